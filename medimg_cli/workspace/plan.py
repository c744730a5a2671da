"""plan.yaml: what was chosen for a data set and why, readable, editable, and read back as settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from medimg_cli.workspace.files import write_text
from medimg_cli.workspace.settings import Settings

DATA = "data"
_HEAD = """\
# What was chosen to train on this data set, and why. In the workspace's folder, `medimg train` reads it below
# medimg.yaml, --config, --set and options: change a value, or delete its line to have it chosen anew.
"""
_REASONS_FROM = 32
# What a plan rests on, and what of it then holds for nothing else.
_RESTS_ON = ("arch", "weights", "freeze", "stem")
_FOLLOWS = {"preprocess": ("size",), "train": ("epochs", "lr", "patience", "batch_size", "layer_decay")}


@dataclass(frozen=True)
class Choice:
    """One line of a plan.

    Args:
        setting: its name, such as train.epochs.
        reason: why it has this value.
    """

    setting: str
    value: Any
    reason: str


def plan_text(choices: Iterable[Choice], *, about: str, dataset_hash: str) -> str:
    """Return a plan as YAML with the reasons as comments.

    Args:
        choices: of any sections; those of one section stand together in the order given.
        about: one line on the data.
        dataset_hash: of the data it was made for.
    """
    sections: dict[str, list[str]] = {}
    for choice in choices:
        section, _, key = choice.setting.partition(".")
        line = f"  {key}: {_inline(choice.value)}".ljust(_REASONS_FROM)
        sections.setdefault(section, []).append(f"{line} # {choice.reason}")
    lines = [f"# {about}", f"{DATA}: {dataset_hash}"]
    for section, own in sections.items():
        lines += [f"{section}:", *own]
    return _HEAD + "\n".join(lines) + "\n"


def write_plan(path: Path, text: str) -> Path | None:
    """Write a plan, and return where another one that stood there is kept; None where there was none.

    Raises:
        MachineError: it cannot be written.
    """
    kept = None
    if path.is_file() and path.read_bytes() != text.encode("utf-8"):
        kept = path.with_name(f"{path.name}.before")
        path.replace(kept)
    write_text(path, text)
    return kept


def fitting_part(
    plan: Mapping[str, Mapping[str, Any]], above: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Any], str]:
    """Return what of a plan holds below the settings that go over it, and what is to be said of the rest, "" if nothing.

    A learning rate planned for one network is none for another: where the settings `above` name another network or
    start, what follows from it is left out.

    Args:
        plan: sections as `plan.yaml` holds them, without the hash of the data.
    """
    planned, set_above = plan.get("train", {}), above.get("train", {})
    defaults = Settings().train
    for key in _RESTS_ON:
        made_for = planned.get(key, getattr(defaults, key))
        wanted = set_above.get(key, made_for)
        if str(wanted) == str(made_for):
            continue
        left_out = [
            f"{section}.{name}"
            for section, names in _FOLLOWS.items()
            for name in names
            if name in plan.get(section, {})
        ]
        kept = {
            section: {name: value for name, value in values.items() if name not in _FOLLOWS.get(section, ())}
            for section, values in plan.items()
        }
        said = f"plan.yaml is for {key} {made_for}, not {wanted}: left out of it: {', '.join(left_out)}"
        return kept, said if left_out else ""
    return dict(plan), ""


def _inline(value: Any) -> str:
    """Return a value as YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
