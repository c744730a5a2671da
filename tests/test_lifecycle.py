"""The whole way through the front door: from raw files to the report, twice."""

import json
from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.cli.app import run
from tests.conftest import draw_cohort, medimg


def everything(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def test_from_raw_files_to_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = draw_cohort(tmp_path / "raw")
    (raw / "SPOT" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    before = everything(raw)
    place = tmp_path / "study"
    ingest = ("ingest", str(raw), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    assert medimg(place, *ingest) == 0
    assert medimg(place, *ingest, "--strict") == 4
    assert pd.read_csv(place / "dataset" / "quarantine.csv")["path"].str.contains("broken").all()
    assert medimg(place, "label-audit") == 0
    assert medimg(place, "train", "--epochs", "3", "--batch-size", "8") == 0
    assert medimg(place, "evaluate") == 0
    assert medimg(place, "predict", str(raw), "--out", str(tmp_path / "all.csv")) == 4
    predictions = pd.read_csv(tmp_path / "all.csv")
    assert (len(predictions), (predictions["status"] != "unreadable").sum()) == (61, 60)
    outputs = ("--out", str(tmp_path / "eval.html"), "--out", str(tmp_path / "eval.pdf"))
    assert medimg(place, "report", *outputs) == 0
    assert (tmp_path / "eval.pdf").read_bytes().startswith(b"%PDF-")
    metrics = json.loads((place / "runs" / "small-cnn-1" / "metrics-test.json").read_text())
    assert (
        f"missed {metrics['missed']['count']} of {metrics['missed']['of']}"
        in (tmp_path / "eval.html").read_text()
    )
    assert everything(raw) == before, "the user's files are never changed"
    capsys.readouterr()


def test_report_alone_evaluates_first(tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw")
    place = tmp_path / "study"
    medimg(place, "ingest", str(raw), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    medimg(place, "train", "--epochs", "1", "--batch-size", "8")
    assert medimg(place, "report", "--out", str(tmp_path / "eval.html")) == 0
    assert (place / "runs" / "small-cnn-1" / "metrics-test.json").is_file()


def test_a_second_time_nothing_changes(tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw")
    place = tmp_path / "study"
    ingest = ("ingest", str(raw), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    commands = [
        ingest,
        ("label-audit",),
        ("evaluate",),
        ("report", "--out", str(tmp_path / "study" / "eval.html")),
    ]
    medimg(place, *ingest)
    medimg(place, "train", "--epochs", "1", "--batch-size", "8")
    for command in commands:
        assert medimg(place, *command) == 0
    before = everything(place)
    for command in commands:
        assert medimg(place, *command) == 0
    assert everything(place) == before


def test_an_audit_error_stops_a_script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = draw_cohort(tmp_path / "raw")
    twin = (raw / "SPOT" / "patient001_0.png").read_bytes()
    (raw / "CLEAR" / "patient000_0.png").write_bytes(twin)
    place = tmp_path / "study"
    medimg(place, "ingest", str(raw), "--patient-regex", r"(patient\d+)")
    assert medimg(place, "label-audit") == 1
    assert "label conflict" in capsys.readouterr().out.lower()
    assert medimg(place, "label-audit", "--fail-on", "never") == 0


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_help_and_version_need_no_workspace(option: str) -> None:
    assert run([option]) == 0


def test_training_never_decodes_a_test_image(tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw")
    medimg(tmp_path, "ingest", str(raw), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    assert medimg(tmp_path, "train", "--epochs", "1", "--batch-size", "8") == 0
    (index,) = (tmp_path / "cache").glob("*/index.csv")
    manifest = pd.read_csv(tmp_path / "dataset" / "manifest.csv").set_index("image_id")
    assert set(manifest.loc[pd.read_csv(index)["image_id"], "split"]) == {"train", "val"}
