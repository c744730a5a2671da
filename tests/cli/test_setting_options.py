"""An option is its setting: one place for name, type, help, default and choices."""

import inspect
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from medimg_cli.cli.app import COMMANDS, run
from medimg_cli.cli.options import Session, with_session
from medimg_cli.cli.setting_options import option_of, taken_by, takes
from medimg_cli.errors import ExitCode
from medimg_cli.stages.init import schema
from medimg_cli.workspace.config import read_settings
from medimg_cli.workspace.section import about, choices
from medimg_cli.workspace.settings import Settings

TAKEN = [(name, each) for name, body in COMMANDS.items() for each in taken_by(body)]
SECTIONS = {name: Settings.fields_of(name) for name in Settings.model_fields if name != "labels"}
OF_A_RULE = ("lower_bound", "keep_threshold", "assurance")
SPECIAL = {
    "clip": "1.5", "decision_range": "0.1,0.4", "folds": "3", "frames": "first", "keep": "uids", "label_sep": ";",
    "lr": "0.001", "metric": "f1", "map_classes": "1=ill", "protocol": "medmnist", "require": "recall>=0.9", "size": "96", "space": "lr,loss",
    "ingest.split": "0.6,0.2,0.2", "time_limit": "20m", "track": "mlflow", "window": "40,400", "port": "9000", "freeze": "3",
    "batch_size": "16", "shard": "1/2", "scheduler": "local:2", "target_recall": "0.9", "target_specificity": "0.8", "alpha": "0.2", "miss_cost": "5",
    "evaluate.prevalence": "0.01,0.1", "threshold": "0.4", "channels": "3", "bits": "16",
}  # fmt: skip
"""Values for settings that hold no plain word or number."""


def flags_of(parameter: inspect.Parameter) -> list[str]:
    info = get_args(parameter.annotation)[-1]
    return [flag for text in (info.default, *(info.param_decls or ())) for flag in str(text).split("/")]


@pytest.mark.parametrize(("command", "taken"), TAKEN, ids=[f"{name}-{each.key}" for name, each in TAKEN])
def test_what_an_option_is_given_stands_in_its_setting(
    command: str, taken: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: list[tuple[Session, Settings]] = []

    def body(session: Session) -> None:
        # One rule has to be named for those that rest on one.
        rest: dict[str, Any] = {}
        if taken.section == "evaluate" and taken.key in OF_A_RULE:
            rest["evaluate"] = {"target_recall": 0.9}
        seen.append((session, session.settings(**rest)))

    monkeypatch.setattr("medimg_cli.cli.elsewhere.at_work", lambda _: nullcontext())  # it would start them
    takes("", {f"{taken.section}.{taken.key}": taken.help_text})(body)
    monkeypatch.setitem(COMMANDS, command, body)
    flag = flags_of(option_of(taken))[0]
    field = SECTIONS[taken.section][taken.key]
    if field.annotation in (bool, bool | None):
        given, value = [flag], "true"
    else:
        value = SPECIAL.get(taken.key) or SPECIAL.get(f"{taken.section}.{taken.key}") or _plain(taken)
        given = [f"{flag}={value}"]
    assert run([command, "-C", str(tmp_path), *given]) == ExitCode.DONE
    ((session, settings),) = seen
    by_option = getattr(getattr(settings, taken.section), taken.key)
    assert list(session.options[taken.section]) == [taken.key]
    assert by_option == getattr(getattr(by_file(tmp_path, taken, value), taken.section), taken.key)


def by_file(folder: Path, taken: Any, value: Any) -> Settings:
    path = folder / "by-file.yaml"
    content: dict[str, Any] = {taken.key: (value,) if taken.key in ("require", "map_classes") else value}
    if taken.section == "evaluate" and taken.key in OF_A_RULE:
        content["target_recall"] = 0.9
    path.write_text(yaml.safe_dump({taken.section: json.loads(json.dumps(content))}))
    return read_settings(path)


def _plain(taken: Any) -> str:
    """Return a value that the setting takes and that is not its default, where there is another one."""
    field = SECTIONS[taken.section][taken.key]
    rest = {"target_recall": 0.9} if taken.section == "evaluate" and taken.key in OF_A_RULE else {}
    for value in (*choices(field.annotation), "word", "7", "0.7", str(field.default)):
        try:
            Settings.model_validate({taken.section: {taken.key: value, **rest}})
        except ValueError:
            continue
        if value != str(field.default):
            return value
    return str(field.default)


def test_what_a_command_leaves_open_leaves_what_was_given(tmp_path: Path) -> None:
    given = {"export": {"verify": True}}
    session = Session("export", tmp_path, None, [], json=False, quiet=True, verbose=False, options=given)
    assert session.settings(export={"verify": None}).export.verify
    assert session.settings(export={"images": 3}).export.verify
    assert not session.settings(export={"verify": False}).export.verify


def test_a_command_cannot_repeat_a_setting_as_an_option_of_its_own() -> None:
    @takes("predict")
    def body(session: Session, workers: int | None = None) -> None:
        """Repeat one."""

    with pytest.raises(ValueError, match="workers"):
        with_session("predict", body)


def test_every_section_with_options_belongs_to_the_command_of_its_name() -> None:
    for section, fields in SECTIONS.items():
        if section in ("cluster", "tables"):  # belong to all commands whose work can be divided, or to all
            continue
        own = {each.key for each in taken_by(COMMANDS[section.replace("_", "-")]) if each.section == section}
        assert own == {key for key, field in fields.items() if about(field).option}


@pytest.mark.parametrize("taken", [each for _, each in TAKEN], ids=lambda each: f"{each.section}-{each.key}")
def test_the_help_says_what_the_setting_is_and_its_default(taken: Any) -> None:
    info = get_args(option_of(taken).annotation)[-1]
    field = SECTIONS[taken.section][taken.key]
    assert str(taken.help_text or field.description).lower() in info.help.lower()
    if not isinstance(field.default, bool) and field.default not in (None, (), {}):
        shown = field.default if isinstance(field.default, tuple) else (field.default,)
        assert info.show_default == ",".join(map(str, shown))


def test_the_schema_describes_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["init", "--schema"]) == ExitCode.DONE
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(json.dumps(schema()))
    for section, fields in SECTIONS.items():
        reference = printed["properties"][section]
        name = str(reference.get("$ref") or reference["allOf"][0]["$ref"]).rpartition("/")[2]
        described = printed["$defs"][name]["properties"]
        assert set(described) == set(fields)
        for key, field in fields.items():
            assert described[key]["description"].startswith(field.description), key
            assert {"type", "anyOf", "const", "enum"} & set(described[key]), key
            assert "default" in described[key], key
    assert printed["$defs"]["PreprocessSettings"]["properties"]["size"]["unit"] == "px"
    assert printed["$defs"]["TrainSettings"]["properties"]["time_limit"]["unit"] == "seconds"
