"""The front door: exit codes, two-line errors, proposals, and one JSON object on stdout."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.cli import app as door
from medimg_cli.cli.app import ALIASES, COMMANDS, _interrupt, run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import ExitCode
from medimg_cli.workspace.workspace import Workspace

# The table of commands the design promises.
DESIGN = [
    "init",
    "ingest",
    "download",
    "label-audit",
    "deidentify",
    "preprocess",
    "train",
    "tune",
    "sample-size",
    "evaluate",
    "recalibrate",
    "predict",
    "report",
    "serve",
    "export",
    "bundle",
    "merge",
    "runs",
    "demo",
    "info",
    "doctor",
]


def test_every_command_of_the_design_has_its_place() -> None:
    assert set(COMMANDS) == set(DESIGN)


@pytest.mark.parametrize(
    ("arguments", "code", "what"),
    [
        (["trian"], 2, "'train'"),
        (["train", "--epoch", "3"], 2, "--epochs"),
        (["train", "--epochs", "many"], 2, "--epochs"),
        (["ingest"], 2, "SOURCE"),
        (["train", "--arch", "resnet81"], 3, "no data set"),
        (["evaluate"], 6, "no trained run"),
        (["label-audit"], 3, "no data set"),
        (["report", "--out", "a.docx"], 6, "no trained run"),
        (["ingest", "nowhere"], 3, "nowhere"),
    ],
)
def test_an_error_is_two_lines_and_an_exit_code(
    arguments: list[str], code: int, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        run([*arguments, "--workspace", str(tmp_path)] if len(arguments) > 1 or code != 2 else arguments)
        == code
    )
    captured = capsys.readouterr()
    lines = captured.err.strip().splitlines()
    assert captured.out == ""
    assert len(lines) == 2
    assert lines[0].startswith("error: ") and lines[1].startswith("hint: ")
    assert what in captured.err


def test_the_alias_is_the_same_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ALIASES == {"audit": "label-audit"}
    assert run(["audit", "-C", str(tmp_path)]) == ExitCode.DATA
    assert "no data set" in capsys.readouterr().err


def test_a_bug_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a\nb")

    monkeypatch.setattr(door, "app", broken)
    assert run(["runs"]) == ExitCode.BUG
    assert capsys.readouterr().err.startswith("error: a bug in medimg: ZeroDivisionError: a b\nhint: ")
    monkeypatch.setenv("MEDIMG_DEBUG", "1")
    run(["runs"])
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(("raised", "code"), [("KeyboardInterrupt()", 130), ("DataError('a', 'b')", 3)])
def test_what_stops_a_command_decides_the_exit_code(raised: str, code: int, tmp_path: Path) -> None:
    script = (
        "from medimg_cli.cli import app as door\n"
        "from medimg_cli.errors import DataError\n"
        f"def stop(*_, **__): raise {raised}\n"
        "door.app = stop\ndoor.main(['runs'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == code


def test_a_closed_pipe_ends_quietly(trained: Workspace) -> None:
    call = f"{sys.executable} -m medimg_cli runs --json -C {trained.root}"
    command = f"{call} | (exec 0<&-); echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "141"
    assert "Traceback" not in done.stderr


def json_of(arguments: list[str], capsys: pytest.CaptureFixture[str], code: int = 0) -> dict[str, Any]:
    assert run([*arguments, "--json"]) == code
    captured = capsys.readouterr()
    assert captured.out.count("\n") == 1
    content: dict[str, Any] = json.loads(captured.out)
    assert content["schema"] == 1
    return content


PROMISED = {
    "label-audit": {"findings", "passed", "checks_run", "checks_skipped"},
    "preprocess": {"images", "seconds", "images_per_second", "cache", "bytes", "reused"},
    "evaluate": {
        "run",
        "split",
        "n",
        "patients",
        "positive",
        "threshold",
        "metrics",
        "per_class",
        "confusion",
        "missed",
        "calibration",
        "leakage",
    },
    "runs": {"runs"},
    "doctor": {"checks"},
}


@pytest.mark.parametrize("name", PROMISED)
def test_json_holds_the_promised_keys(
    name: str, trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    content = json_of([name, "-C", str(trained.root)], capsys)
    assert content["command"] == name
    assert PROMISED[name] <= set(content)


def test_json_of_predict_has_one_entry_an_input(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    good = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    content = json_of(["predict", good, "missing.png", "-C", str(trained.root)], capsys, code=4)
    first, second = content["predictions"]
    assert set(first) == {
        "path",
        "status",
        "label",
        "confidence",
        "probabilities",
        "decision",
        "prediction_set",
        "flags",
        "message",
    }
    assert first["status"] == "ok" and first["probabilities"].keys() == {"CLEAR", "SPOT"}
    assert second["status"] == "unreadable" and second["confidence"] is None


def test_json_of_a_whole_way(cohort: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ["-C", str(tmp_path / "w")]
    ingested = json_of(
        ["ingest", str(cohort), "--positive", "SPOT", "--patient-regex", r"(patient\d+)", *place], capsys
    )
    assert {"images", "patients", "quarantined", "classes", "splits", "manifest"} <= set(ingested)
    assert (ingested["images"], ingested["patients"]) == (60, 30)
    trained = json_of(["train", "--epochs", "1", "--batch-size", "8", *place], capsys)
    assert {
        "run",
        "arch",
        "epochs_run",
        "best_epoch",
        "val",
        "seconds",
        "images_per_second",
        "parameters",
        "device",
    } <= set(trained)
    out = tmp_path / "eval.html"
    reported = json_of(["report", "--out", str(out), *place], capsys)
    assert reported["outputs"] == [out.as_posix()]
    assert "not_reported" in reported
    assert out.is_file()


def test_gates_exit_with_one(trained: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--require", "auroc>1", "-C", str(trained.root)]) == ExitCode.GATE
    captured = capsys.readouterr()
    assert "recall of SPOT" in captured.out
    assert "not met on test: auroc>1" in captured.err


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(
    "moment",
    [
        "door.app = stop",
        "door._end_in_time = stop",  # before the command begins
        "door.run = lambda *_: (bool(Gone()), any(False for _ in iter(int, 1)))",  # twice, and outside of the command
        "door.app = lambda *_, **__: (bool(Gone()), any(False for _ in iter(int, 1)))",  # in a finaliser, where nothing can be raised
    ],
)
def test_sigterm_ends_as_ctrl_c_does(moment: str, number: str, tmp_path: Path) -> None:
    environment = {**os.environ, "MEDIMG_WORKSPACE": str(tmp_path / "w")}
    script = (
        "import os, signal\nfrom medimg_cli.cli import app as door\n"
        f"def stop(*_, **__): os.kill(os.getpid(), signal.{number})\n"
        "class Gone:\n    __del__ = stop\n"
        f"{moment}\ndoor.main(['runs'])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=False)
    assert done.returncode == ExitCode.INTERRUPTED
    assert done.stderr.decode().splitlines()[0] == "error: interrupted"


def test_ctrl_c_within_a_command_says_how_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(_given: Path | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("medimg_cli.workspace.workspace.find_workspace", stop)
    assert run(["runs"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err.splitlines()[0] == "error: interrupted"


def test_python_m_is_the_same_door() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "medimg_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("medimg ")


def test_verbose_says_workspace_and_settings_on_stderr(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["evaluate", "-v", "-C", str(trained.root), "--set", "evaluate.batch_size=7"])
    captured = capsys.readouterr()
    assert f"workspace: {trained.root}" in captured.err
    assert "settings of evaluate: " in captured.err
    assert "split test" in captured.err
    assert "batch_size 7" in captured.err
    assert "workspace:" not in captured.out


def test_the_flaws_that_demo_planted_stand_in_its_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["demo", str(tmp_path / "cohort"), "--patients", "4", "--flaws", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["flaws"]
    assert told == json.loads((tmp_path / "cohort" / "truth.json").read_text())["flaws"]
    assert {"kind", "files", "check", "expect"} <= set(told[0])


def test_an_interruption_that_a_library_took_for_its_own_error_is_no_bug(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def build(*_: object, **__: object) -> None:
        try:
            _interrupt(signal.SIGINT, None)
        except KeyboardInterrupt as stop:
            raise ValueError("SchemaError: KeyboardInterrupt") from stop

    monkeypatch.setattr("medimg_cli.cli.app._SIGNALS", [])
    monkeypatch.setattr("medimg_cli.cli.app.app", build)
    assert run(["runs"]) == ExitCode.INTERRUPTED
    assert capsys.readouterr().err.splitlines()[0] == "error: interrupted"


@pytest.mark.parametrize(
    "before", [("-C", "{}"), ("--json", "--workspace={}", "-q"), ("--set", "seed=3", "-C", "{}")]
)
def test_options_of_every_command_may_stand_before_it(tmp_path: Path, before: tuple[str, ...]) -> None:
    assert run([*(each.format(tmp_path) for each in before), "init"]) == 0
    assert (tmp_path / "medimg.yaml").is_file()


@pytest.mark.parametrize(
    ("call", "where"),
    [
        (("train", "--positive", "X"), "`medimg ingest`"),
        (("ingest", "raw", "--epochs", "3"), "`medimg train`"),
        (("train", "--list"), None),
    ],
)
def test_an_option_of_another_command_is_told_with_its_command(
    call: tuple[str, ...], where: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(call) == 2
    said, hint = capsys.readouterr().err.splitlines()
    if where is None:
        assert "Possible options: --list-archs" in said and hint == "hint: see `medimg train --help`"
    else:
        assert said == f"error: No such option: {call[-2]}" and hint.startswith("hint: it is an option of ")
        assert where in hint
