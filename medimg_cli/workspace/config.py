"""Where settings come from: defaults, files, `--set` and options, in that order."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from medimg_cli.errors import UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.files import read_under_seal, write_text
from medimg_cli.workspace.section import LabelCode, about
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.table_form import keep_as_parquet_from
from medimg_cli.workspace.workspace import Workspace


def load_settings(
    workspace: Workspace,
    *,
    config: Path | None = None,
    assignments: Sequence[str] = (),
    options: Mapping[str, Mapping[str, Any]] | None = None,
    planned: bool = True,
    note: Callable[[str], None] = lambda _text: None,
) -> Settings:
    """Return the settings in force: defaults, plan.yaml, medimg.yaml, `config`, `assignments`, `options`.

    Those of `tables` hold for the process from then on.

    Args:
        workspace: its `medimg.yaml` is read where it exists.
        config: a further file that goes over it.
        assignments: `SECTION.KEY=VALUE` texts (`--set`), values read as YAML.
        options: section → option → value from the command line; None means "not given".
        planned: read the workspace's `plan.yaml` where it exists; what does not fit the rest is left out of it.
        note: called with what was left out.

    Raises:
        UsageError: a file is missing or malformed, a name is unknown, a value is out of range.
    """
    merged: dict[str, dict[str, Any]] = {}
    if workspace.settings_path.is_file():
        _merge(merged, _read_yaml(workspace.settings_path))
    if config is not None:
        _merge(merged, _read_yaml(config))
    for assignment in assignments:
        _merge(merged, _parse_assignment(assignment))
    for section, values in (options or {}).items():
        _merge(merged, {section: {key: value for key, value in values.items() if value is not None}})
    if planned and workspace.plan_path.is_file():
        merged = _over_plan(workspace.plan_path, merged, note)
    settings = _validated(merged)
    keep_as_parquet_from(settings.tables.parquet_from)
    return settings


def settings_with(settings: Settings, section: str, values: Mapping[str, Any]) -> Settings:
    """Return settings with some of one section over them; raises `UsageError` as `load_settings`."""
    merged = settings.model_dump(exclude_unset=True)
    _merge(merged, {section: values})
    return _validated(merged)


def planned_for(workspace: Workspace) -> str | None:
    """Return the hash of the data that the workspace's `plan.yaml` was made for; None where there is no plan.

    Raises:
        UsageError: it is malformed.
    """
    if not workspace.plan_path.is_file():
        return None
    return str(_read_yaml(workspace.plan_path).get(DATA, ""))


def _over_plan(
    path: Path, above: dict[str, dict[str, Any]], note: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Return the settings of a plan with those `above` over them."""
    plan: dict[str, dict[str, Any]] = {}
    _merge(plan, {section: values for section, values in _read_yaml(path).items() if section != DATA})
    part, remark = fitting_part(plan, above)
    if remark:
        note(remark)
    merged: dict[str, dict[str, Any]] = {}
    _merge(merged, part)
    _merge(merged, above)
    return merged


def read_settings(path: Path) -> Settings:
    """Return the settings of a run's or search's `config.yaml`; raises `UsageError` as `load_settings`, and `RunError`."""
    return _validated(_read_yaml(path, read_under_seal))


def _validated(merged: Mapping[str, Any]) -> Settings:
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise _as_usage_error(error) from error


def _read_yaml(
    path: Path, read: Callable[[Path], str] = lambda path: path.read_text(encoding="utf-8")
) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} has more than {_MOST_BYTES >> 20} MiB", "check --config")
        content = yaml.safe_load(read(path)) or {}
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check --config") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        line = f" at line {place.line + 1}" if place else ""
        raise UsageError(
            f"{path} is not valid YAML{line}", "`medimg init` writes a commented example"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no sections", "`medimg init` writes a commented example")
    return content


def _parse_assignment(assignment: str) -> dict[str, Any]:
    name, equals, value = assignment.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and section and key):
        raise UsageError(f"cannot read --set {assignment!r}", "write --set SECTION.KEY=VALUE")
    try:
        return {section.replace("-", "_"): {key.replace("-", "_"): yaml.safe_load(value)}}
    except yaml.YAMLError as error:
        raise UsageError(
            f"cannot read the value of --set {assignment!r}", "quote it for the shell"
        ) from error


def _merge(into: dict[str, dict[str, Any]], more: Mapping[str, Any]) -> None:
    for section, values in more.items():
        if values is None:
            continue
        if not isinstance(values, Mapping):
            raise UsageError(
                f"section '{section}' holds {values!r}", "write its settings as KEY: VALUE below it"
            )
        into.setdefault(section, {}).update(values)


def _as_usage_error(error: ValidationError) -> UsageError:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    if place[0] == "labels" and len(place) > 1:
        return UsageError(
            f"labels: '{place[1]}' cannot hold {'.'.join([*place[2:], repr(first['input'])])}",
            f"below a class stand {', '.join(LabelCode.model_fields)}, each a text",
        )
    if first["type"] == "extra_forbidden":
        names = Settings.fields_of(place[0]) if len(place) > 1 else Settings.model_fields
        return UsageError(f"unknown setting '{'.'.join(place)}'", did_you_mean(place[-1], names))
    section_name, option = place[0].replace("_", "-"), place[1] if len(place) > 1 else place[0]
    message = first["msg"].removeprefix("Value error, ")
    field = Settings.fields_of(place[0]).get(option)
    known = about(field) if field else None
    spelt = option if known and not known.option else f"--{option.replace('_', '-')}"  # --set alone has it
    what = f"{section_name}: {(known.flags if known else '').split('/')[0] or spelt}"
    return UsageError(
        f"{what} cannot be given here" if first["input"] is True else f"{what} cannot be {first['input']!r}",
        message[0].lower() + message[1:],
    )


DATA = "data"
_HEAD = """\
# What was chosen to train on this data set, and why. In the workspace's folder, `medimg train` reads it below
# medimg.yaml, --config, --set and options: change a value, or delete its line to have it chosen anew.
"""
_REASONS_FROM = 32
_MOST_BYTES = 16 << 20
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
    """Return what of a plan holds below the settings that go over it, and a remark on the rest, "" if none.

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
        remark = f"plan.yaml is for {key} {made_for}, not {wanted}: left out of it: {', '.join(left_out)}"
        return kept, remark if left_out else ""
    return dict(plan), ""


def _inline(value: Any) -> str:
    """Return a value as YAML in one line."""
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("...\n").strip()
