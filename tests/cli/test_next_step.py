"""medimg alone: the next step for the folder it is called in."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from medimg_cli.cli.app import run
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg
from tests.test_docs import parses


def said_in(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[str, str]:
    """Return what stands there and the next command, which the program takes."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MEDIMG_WORKSPACE", raising=False)
    assert run([]) == 0
    here, following, _ = capsys.readouterr().out.splitlines()
    command = following.removeprefix("next: ")
    with monkeypatch.context() as patched:
        assert parses(command, patched) == 0
    return here.removeprefix("here: "), command


def touched(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_before_there_is_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said_in(tmp_path, monkeypatch, capsys) == ("no data set and no images here", "medimg demo cohort")
    touched(tmp_path / "my scans" / "A" / "1.PNG", tmp_path / "notes" / "a.txt")
    assert said_in(tmp_path, monkeypatch, capsys)[1] == "medimg ingest 'my scans' --dry-run"
    shutil.rmtree(tmp_path / "my scans")
    touched(tmp_path / "ill" / "1.dcm", tmp_path / "well" / "2.dcm")
    assert said_in(tmp_path, monkeypatch, capsys)[1] == "medimg ingest . --dry-run"


def test_one_table_beside_unsorted_images_is_proposed_as_their_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def proposed(*files: str) -> str:
        place = tmp_path / f"study{len(list(tmp_path.iterdir()))}"
        touched(*(place / file for file in files))
        return said_in(place, monkeypatch, capsys)[1].removeprefix("medimg ingest ")

    for table in ("findings.xlsx", "labels.CSV", "all.tsv"):
        assert proposed("images/1.png", "images/2.png", table) == f"images --labels {table} --dry-run"
    assert proposed("images/all/1.png", "my labels.csv") == "images --labels 'my labels.csv' --dry-run"
    for files in (("a.csv", "b.csv"), ("notes.txt",), ("~$a.xlsx",)):
        assert proposed("images/1.png", *files) == "images --dry-run"
    assert proposed("images/ill/1.png", "images/well/2.png", "a.csv") == "images --dry-run"
    assert proposed("ill/1.png", "well/2.png", "a.csv") == ". --dry-run"


def test_from_the_images_to_the_audit_to_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg(tmp_path, "ingest", str(draw_cohort(tmp_path / "raw")), "--positive", "SPOT") == 0
    capsys.readouterr()
    assert said_in(tmp_path, monkeypatch, capsys) == ("60 images ingested, not audited", "medimg label-audit")
    touched(tmp_path / "audit" / "audit.json")
    assert said_in(tmp_path, monkeypatch, capsys)[1] == "medimg train"


def test_from_the_model_to_the_report(
    trained: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(trained.root, tmp_path, dirs_exist_ok=True)
    touched(tmp_path / "audit" / "audit.json")
    (folder,) = (tmp_path / "runs").iterdir()
    for report in [*tmp_path.glob("*.html"), *folder.glob("*.html")]:
        report.unlink()
    assert said_in(tmp_path, monkeypatch, capsys)[1] == "medimg report --out eval.pdf --out eval.html"
    touched(tmp_path / "eval.html")
    assert said_in(tmp_path, monkeypatch, capsys)[1] == f"medimg serve {folder.name}"
    metrics = folder / "metrics-test.json"
    content = json.loads(metrics.read_text())
    metrics.write_text(json.dumps(content | {"dataset_hash": "of other data"}))
    assert "has changed" in said_in(tmp_path, monkeypatch, capsys)[0]
    metrics.write_text("{")
    assert "cannot be read" in said_in(tmp_path, monkeypatch, capsys)[0]
    metrics.unlink()
    assert said_in(tmp_path, monkeypatch, capsys)[1] == f"medimg evaluate {folder.name}"


def test_it_loads_neither_networks_nor_tables(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from medimg_cli.cli.app import run\n"
        "code = run([])\n"
        "sys.exit(code or ', '.join({'torch', 'pandas', 'scipy', 'sklearn', 'onnxruntime'} & set(sys.modules)) or 0)"
    )
    clean = {name: value for name, value in os.environ.items() if name != "MEDIMG_WORKSPACE"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=clean, capture_output=True, text=True, check=False)  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
