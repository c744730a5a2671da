"""What people see: plain lines in a batch job, no folding in a pipe, durations as said."""

import io
import json
import os
from pathlib import Path

import pytest

from medimg_cli.cli.app import spell_out
from medimg_cli.cli.options import Session
from medimg_cli.cli.views import render
from medimg_cli.cli.views.render import LineProgress, TerminalProgress, plain_table, show_json, stdout_console
from medimg_cli.workspace.progress import SilentProgress
from tests.conftest import draw_cohort, medimg


def test_a_pipe_of_another_encoding_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr("sys.stdout", stream)
    spell_out(stream)
    show_json("ingest", {"classes": ["日", "größer", "😀"]})
    stdout_console().print("Müller ≥ 3")
    stream.flush()
    first, second = stream.buffer.getvalue().decode("cp1252").splitlines()
    assert json.loads(first)["classes"] == ["日", "größer", "😀"]
    assert second == "Müller \\u2265 3"


class Clock:
    """Stands for time.monotonic: one second later with every look."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        self.now += 1.0
        return self.now


def test_a_long_task_says_share_rate_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "time", Clock())
    progress = LineProgress()
    progress.start("decode", 100)
    for _ in range(100):
        progress.advance()
    progress.finish()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 10
    assert lines[4] == "decode: 50/100 (50 %), 1/s, 50 s left"


def test_a_task_whose_end_nobody_knows_says_how_far_it_is_every_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(render, "time", Clock())
    progress = LineProgress()
    progress.start("predict", None)
    for _ in range(125):
        progress.advance(2)
    progress.finish()
    assert capsys.readouterr().err.splitlines() == ["predict: 120, 2/s", "predict: 240, 2/s"]


def test_a_quick_task_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LineProgress()
    progress.start("decode", 2)
    progress.advance(2)
    progress.finish()
    assert capsys.readouterr().err == ""


def test_epochs_stand_under_one_header(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LineProgress()
    for epoch in (1.0, 2.0):
        progress.epoch({"epoch": epoch, "val_auroc": 0.98765, "lr": 0.001, "seconds": 2.04})
    header, first, second = capsys.readouterr().err.splitlines()
    assert header.split() == ["epoch", "val_auroc", "lr", "seconds"]
    assert first.split() == ["1", "0.9877", "1.0e-03", "2.0"]
    assert len(header) == len(first) == len(second)


def test_a_terminal_gets_notes_with_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    progress.start("work", 2)
    progress.advance()
    progress.finish()
    progress.note("a [bold] name")
    progress.warn("[/x]")
    said = capsys.readouterr().err
    assert "note: a [bold] name" in said
    assert "warning: [/x]" in said


def test_a_pipe_never_folds_a_path(capsys: pytest.CaptureFixture[str]) -> None:
    table = plain_table("file")
    table.add_row("folder/" * 60 + "image.png")
    stdout_console().print(table)
    assert "folder/" * 60 + "image.png" in capsys.readouterr().out


def test_results_that_nobody_reads_any_more_are_no_gate() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    console = stdout_console()
    with pytest.raises(BrokenPipeError), os.fdopen(writer, "w") as console.file:
        console.print("a row")


@pytest.mark.parametrize("quiet", [True, False])
def test_quiet_has_nobody_listening(quiet: bool) -> None:
    session = Session("runs", None, None, [], json=False, quiet=quiet, verbose=False)
    assert isinstance(session.progress, SilentProgress) == quiet


@pytest.mark.parametrize(
    ("seconds", "text"), [(8.4, "8 s"), (59.6, "1 min 0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations_are_said_as_people_do(seconds: float, text: str) -> None:
    assert render._duration(seconds) == text


def test_class_names_with_brackets_are_shown_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = draw_cohort(tmp_path / "raw")
    (raw / "CLEAR").rename(raw / "[red]")
    assert medimg(tmp_path, "ingest", str(raw), "--positive", "SPOT") == 0
    assert "[red]" in capsys.readouterr().out
