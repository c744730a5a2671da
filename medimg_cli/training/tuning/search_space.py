"""What a search may vary: the same settings that `train` takes, each with a range or a list to choose from."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from medimg_cli.errors import UsageError
from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.networks.networks import architecture
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.tune_settings import Searched

Value = str | int | float
Params = Mapping[str, Value]
"""One suggestion: setting → value. Of the learning rate it is the factor over the usual one."""

_RANGES: Mapping[Searched, tuple[float, float, bool]] = {
    "lr": (0.1, 10.0, True),
    "weight_decay": (0.001, 0.5, True),
    "label_smoothing": (0.0, 0.2, False),
    "mixup": (0.0, 0.8, False),
}
# Presets that mirror or turn can change what a picture shows: they are tried where they are named, and only there.
_ALSO_TRIED: Mapping[Searched, tuple[Value, ...]] = {
    "augment": ("none", "light"),
    "batch_size": (16, 32, 64),
    "loss": ("focal",),
}


@dataclass(frozen=True)
class Span:
    """A range of numbers; `log`: as many tries below its geometric middle as above."""

    name: Searched
    low: float
    high: float
    log: bool
    usual: float


@dataclass(frozen=True)
class Choice:
    """A list of values."""

    name: Searched
    values: tuple[Value, ...]
    usual: Value


Dimension = Span | Choice


def search_space(settings: Settings) -> tuple[Dimension, ...]:
    """Return what section `tune` asks to vary: what `space` names, and what has a list of its own.

    Raises:
        UsageError: an unknown network or preset, or nothing to vary.
    """
    listed: list[Searched] = ["augment", "batch_size", "arch", "size"]
    wanted = dict.fromkeys([*settings.tune.space, *(name for name in listed if getattr(settings.tune, name))])
    found = [_dimension(name, settings) for name in wanted]
    space = tuple(one for one in found if isinstance(one, Span) or len(one.values) > 1)
    if not space:
        raise UsageError(
            "the search has nothing to vary",
            "name settings with --space, or give --arch a,b or --size 96,128",
        )
    return space


def _dimension(name: Searched, settings: Settings) -> Dimension:
    if name not in _RANGES:
        return _choice(name, settings)
    low, high, log = _RANGES[name]
    usual = 1.0 if name == "lr" else float(getattr(settings.train, name))
    return Span(name, low, high, log, min(max(usual, low), high))


def _choice(name: Searched, settings: Settings) -> Choice:
    usual: Value = settings.preprocess.size if name == "size" else getattr(settings.train, name)
    given: tuple[Value, ...] = getattr(settings.tune, name, ())
    values = _distinct(*given) or _distinct(usual, *_ALSO_TRIED.get(name, ()))
    refuse_unknown: Callable[[str], object] = {"augment": preset, "arch": architecture}.get(name, str)
    for value in values:
        refuse_unknown(str(value))
    return Choice(name, values, usual if usual in values else values[0])


def _distinct(*values: Value) -> tuple[Value, ...]:
    return tuple(dict.fromkeys(values))


def usual_params(space: tuple[Dimension, ...]) -> Params:
    """Return the suggestion that is closest to the settings as they stand; a search begins with it."""
    return {one.name: one.usual for one in space}


def every_choice(space: tuple[Dimension, ...], at_most: int) -> list[Params]:
    """Return all suggestions of a space without ranges, if there are at most so many; else none."""
    choices = [one for one in space if isinstance(one, Choice)]
    if len(choices) < len(space) or math.prod(len(one.values) for one in choices) > at_most:
        return []
    names = [one.name for one in choices]
    return [
        dict(zip(names, values, strict=True)) for values in itertools.product(*(c.values for c in choices))
    ]


def with_params(settings: Settings, params: Params, usual_lr: Mapping[str, float]) -> Settings:
    """Return the settings of one trial.

    Args:
        usual_lr: network → the learning rate it would have without a search, of which `params` holds the factor.
    """
    train = {name: _rounded(value) if isinstance(value, float) else value for name, value in params.items()}
    size = train.pop("size", settings.preprocess.size)
    if "lr" in params:
        usual = usual_lr[str(params.get("arch", settings.train.arch))]
        factor = float(params["lr"])
        train["lr"] = usual if factor == 1.0 else _rounded(usual * factor)
    return settings.model_copy(
        update={
            "train": settings.train.model_copy(update=train),
            "preprocess": settings.preprocess.model_copy(update={"size": size}),
        }
    )


def _rounded(value: float) -> float:
    """Return three significant digits: what is tried is what is written down.

    >>> _rounded(0.00123456)
    0.00123
    """
    return float(f"{value:.3g}")


def sizes_and_networks(space: tuple[Dimension, ...], settings: Settings) -> Iterator[Settings]:
    """Yield the settings of every combination that needs pixels of its own."""
    lists = {
        one.name: one.values for one in space if isinstance(one, Choice) and one.name in ("arch", "size")
    }
    archs, sizes = lists.get("arch", (settings.train.arch,)), lists.get("size", (settings.preprocess.size,))
    for arch, size in itertools.product(archs, sizes):
        yield with_params(settings, {"arch": arch, "size": size}, {})
