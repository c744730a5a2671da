"""Progress: every item counted, the end told also after an error."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from medimg_cli.workspace.progress import LoggedProgress, SilentProgress, tracked


class Recorder(SilentProgress):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def start(self, task: str, total: int | None) -> None:
        self.heard.append(f"{task} of {total}")

    def advance(self, steps: int = 1) -> None:
        self.heard.append(f"+{steps}")

    def finish(self) -> None:
        self.heard.append("end")

    def epoch(self, row: Mapping[str, float]) -> None:
        self.heard.append(f"epoch {row['epoch']:.0f}")


def test_items_are_counted() -> None:
    recorder = Recorder()
    assert list(tracked([1, 2], recorder, "work")) == [1, 2]
    assert recorder.heard == ["work of 2", "+1", "+1", "end"]


def test_the_end_is_told_after_an_error() -> None:
    recorder = Recorder()
    with pytest.raises(ZeroDivisionError):
        [1 // item for item in tracked([0], recorder, "work")]
    assert recorder.heard[-1] == "end"


def test_the_log_keeps_epochs_and_passes_them_on(tmp_path: Path) -> None:
    recorder = Recorder()
    logged = LoggedProgress(recorder, tmp_path / "log.txt")
    logged.epoch({"epoch": 1.0, "val_loss": 0.25})
    logged.warn("look")
    assert recorder.heard == ["epoch 1"]
    assert (tmp_path / "log.txt").read_text() == "epoch=1 val_loss=0.25\nwarning: look\n"
