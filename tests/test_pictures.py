"""The pictures of the README and the notebook: made anew, they are what the repository holds."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.errors import ExitCode
from tests.test_docs import GUIDE

PICTURES = GUIDE / "pictures"
NOTEBOOK = GUIDE.parent / "whole-way.ipynb"
MOST_BYTES = 160_000


def pictures_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("pictures", GUIDE / "pictures.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def coarse(path: Path) -> NDArray[np.float64]:
    """Return what stands where on a page, whatever the numbers are: grey values of 24 x 24 places, from their mean."""
    with Image.open(path) as picture:
        small = np.asarray(picture.convert("L").resize((24, 24), Image.Resampling.BOX), float)
    apart: NDArray[np.float64] = (small - small.mean()).ravel()
    return apart


def likeness(one: Path, other: Path) -> float:
    first, second = coarse(one), coarse(other)
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


def test_the_pictures_are_small_and_unlike_each_other() -> None:
    report, upload = PICTURES / "report.png", PICTURES / "upload.png"
    assert {path.name for path in PICTURES.iterdir()} == {report.name, upload.name}
    assert all(path.stat().st_size < MOST_BYTES for path in (report, upload))
    assert likeness(report, upload) < 0.3


@pytest.mark.slow
def test_made_anew_the_pictures_show_the_same_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("playwright", reason="playwright is not installed: extra [test]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEDIMG_WORKSPACE", raising=False)
    for call in (
        ["demo", "cohort", "--patients", "60"],
        ["ingest", "cohort/images", "--positive", "OPACITY", "--patient-regex", r"(patient\d+)"],
        ["train", "--epochs", "6"],
        ["evaluate"],
    ):
        assert run([*call, "--quiet"]) == ExitCode.DONE
    pictures_script().main(tmp_path, tmp_path / "pictures")
    for name in ("report.png", "upload.png"):
        with Image.open(PICTURES / name) as before, Image.open(tmp_path / "pictures" / name) as after:
            assert before.size == after.size
        # Another model has other remarks, which move what stands below them; another page has a likeness of about 0.
        assert likeness(PICTURES / name, tmp_path / "pictures" / name) > 0.6


def cells() -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return found


def test_the_notebook_was_run_from_top_to_bottom_and_names_no_machine() -> None:
    code = [cell for cell in cells() if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    assert all(cell["outputs"] for cell in code)
    assert NOTEBOOK.stat().st_size < 200_000


@pytest.mark.slow
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in cells():
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), NOTEBOOK.name, "exec"), names)  # type: ignore[arg-type]
    assert (tmp_path / "study" / "eval.html").is_file()
