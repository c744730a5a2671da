"""The search itself, by Optuna: what to try next, which trial to stop, and a journal that outlives a kill."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from medimg_cli.errors import MachineError, RunError
from medimg_cli.workspace.files import drop_unfinished_line

if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study as OptunaStudy
    from optuna.trial import FrozenTrial, Trial
import itertools
import math
from collections.abc import Callable, Iterator

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


State = Literal["complete", "pruned", "failed", "stopped"]
"""Of a trial; stopped = by Ctrl-C, a kill or the time limit: it is no evidence, and another takes its place."""

# The first trials are not judged, and no trial before its third epoch is over: averaged weights and the learning rate's rise
# make the first epochs say little.
_JUDGED_AFTER_TRIALS = 4
_JUDGED_AFTER_EPOCHS = 3
_RANDOM_TRIALS = 8


@dataclass(frozen=True)
class Outcome:
    """What became of one trial.

    Args:
        value: its figure, at its best epoch; None where it has none.
        facts: what else is worth a column of the table.
    """

    number: int
    state: State
    value: float | None
    params: Params
    facts: Mapping[str, Any]


class Study:
    """One search in its journal; numbers of trials count from 1."""

    def __init__(
        self, path: Path, space: Sequence[Dimension], *, seed: int, pruner: str, lower_is_better: bool
    ) -> None:
        """Open the journal `path`, new or of a search that goes on.

        Raises:
            MachineError: Optuna is not installed.
            RunError: the journal cannot be read.
        """
        optuna = _optuna()
        self._space, self._seed, self.lower_is_better = tuple(space), seed, lower_is_better
        drop_unfinished_line(path)
        try:
            backend = optuna.storages.journal.JournalFileBackend(str(path))
            self._study: OptunaStudy = optuna.create_study(
                storage=optuna.storages.JournalStorage(backend),
                study_name=path.parent.name,
                direction="minimize" if lower_is_better else "maximize",
                pruner=_pruner(pruner),
                load_if_exists=True,
            )
        except (ValueError, KeyError) as error:
            raise RunError(f"{path} cannot be read: {error}", "begin a new search") from error
        for trial in self._study.get_trials(deepcopy=False):
            if trial.state == optuna.trial.TrialState.RUNNING:
                self._close(trial.number, trial.user_attrs)

    def fact(self, name: str) -> Any:
        """Return what `remember` kept under this name, None where there is nothing."""
        return self._study.user_attrs.get(name)

    def remember(self, name: str, value: Any) -> None:
        """Keep a fact with the search."""
        self._study.set_user_attr(name, value)

    def outcomes(self) -> list[Outcome]:
        """Return every trial that is over, oldest first."""
        return [
            _outcome(trial) for trial in self._study.get_trials(deepcopy=False) if trial.state.is_finished()
        ]

    def best(self) -> Outcome | None:
        """Return the complete trial with the best figure, the earliest of equals."""
        ranked = self.ranked()
        return ranked[0] if ranked else None

    def ranked(self) -> list[Outcome]:
        """Return the complete trials, best first, the earlier of equals first."""
        complete = [one for one in self.outcomes() if one.state == "complete" and one.value is not None]
        sign = 1.0 if self.lower_is_better else -1.0
        return sorted(complete, key=lambda one: (sign * (one.value or 0.0), one.number))

    def evidence(self) -> list[Outcome]:
        """Return the trials that say something: all but the stopped ones."""
        return [one for one in self.outcomes() if one.state != "stopped"]

    def total(self, trials: int) -> int:
        """Return how many trials there will be: `trials`, or fewer where there are not so many different ones."""
        return len(every_choice(self._space, trials)) or trials

    def suggest(self, trials: int) -> "Suggestion | None":
        """Return what to try next, None when there is nothing more.

        The same seed after the same evidence suggests the same, so a search that was killed goes on as if it had
        not been: the chance behind each suggestion depends on the seed and on how many trials came before it.

        Args:
            trials: how many there are to be, the past ones included.
        """
        past = self.evidence()
        if len(past) >= trials:
            return None
        if fixed := _fixed(self._space, [one.params for one in past], trials, self._seed):
            self._study.enqueue_trial(dict(fixed))
        elif every_choice(self._space, trials):
            return None
        self._study.sampler = _optuna().samplers.TPESampler(
            seed=int(np.random.SeedSequence([self._seed, len(past)]).generate_state(1)[0]),
            n_startup_trials=_RANDOM_TRIALS,
        )
        trial = self._study.ask()
        return Suggestion(trial, {one.name: _ask(trial, one) for one in self._space})

    def tell(
        self, suggestion: "Suggestion", state: State, value: float | None, facts: Mapping[str, Any]
    ) -> Outcome:
        """Write down how a trial ended."""
        # The facts go first: the end of a trial that was half recorded is recorded again from them.
        for name, fact in {**facts, "value": value, "state": state}.items():
            suggestion.trial.set_user_attr(name, fact)
        index = suggestion.number - 1
        self._close(index, {"state": state, "value": value})
        return _outcome(self._study.get_trials(deepcopy=False)[index])

    def _close(self, index: int, facts: Mapping[str, Any]) -> None:
        states = _optuna().trial.TrialState
        if facts.get("state") == "complete":
            self._study.tell(index, facts["value"])
        else:
            pruned = facts.get("state") == "pruned"
            self._study.tell(index, state=states.PRUNED if pruned else states.FAIL)


class Suggestion:
    """One trial on its way."""

    def __init__(self, trial: "Trial", params: Params) -> None:
        self.trial, self.params = trial, params

    @property
    def number(self) -> int:
        return self.trial.number + 1

    def is_hopeless(self, epoch: int, value: float) -> bool:
        """Take note of an epoch's figure, and return whether the pruner would stop here."""
        self.trial.report(value, epoch)
        return self.trial.should_prune()


def _optuna() -> Any:
    # An optional package, and only here. Its own words would stand between our lines.
    try:
        import optuna
    except ImportError as error:
        raise MachineError(
            "the search needs Optuna, which is not installed", "pip install 'medimg[tune]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


def check_searchable() -> None:
    """Raise MachineError where Optuna is not installed."""
    _optuna()


def _pruner(name: str) -> "BasePruner":
    pruners: Any = _optuna().pruners
    made: dict[str, BasePruner] = {
        "median": pruners.MedianPruner(_JUDGED_AFTER_TRIALS, n_warmup_steps=_JUDGED_AFTER_EPOCHS),
        "hyperband": pruners.HyperbandPruner(min_resource=_JUDGED_AFTER_EPOCHS),
        "none": pruners.NopPruner(),
    }
    return made[name]


def _ask(trial: "Trial", dimension: Dimension) -> Any:
    if isinstance(dimension, Span):
        return trial.suggest_float(dimension.name, dimension.low, dimension.high, log=dimension.log)
    return trial.suggest_categorical(dimension.name, dimension.values)


def _fixed(space: tuple[Dimension, ...], past: list[Params], trials: int, seed: int) -> Params | None:
    """Return what is tried without asking the sampler: the settings as they stand, then, of a short list, the rest."""
    if not past:
        return usual_params(space)
    left = [params for params in every_choice(space, trials) if params not in past]
    order = np.random.default_rng([seed, len(past)])
    return left[int(order.integers(len(left)))] if left else None


def _outcome(trial: "FrozenTrial") -> Outcome:
    facts = {"reason": "killed", **trial.user_attrs}
    state, value = facts.pop("state", "stopped"), facts.pop("value", None)
    return Outcome(trial.number + 1, state, value, trial.params, facts)
