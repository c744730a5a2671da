"""One image, one answer: command line, API, page and exported file say the same of the same 64 images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import numpy as np
import pytest

from medimg_cli.images.readers import read_image
from medimg_cli.inference.load import open_classifier
from medimg_cli.inference.onnx_graph import StandaloneModel
from medimg_cli.inference.onnx_network import as_input
from medimg_cli.stages.demo import demo
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.web.looking import upload
from tests.web.server_process import running_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IMAGES, LEAST_DICOM = 64, 10
LIMIT = 1e-4
Answers = np.ndarray[Any, np.dtype[np.float64]]


def table(predictions: list[dict[str, Any]]) -> Answers:
    """Return the probabilities (N, C) of entries as JSON has them."""
    return np.array([list(entry["probabilities"].values()) for entry in predictions], dtype=np.float64)


def exported_answers(workspace: Workspace, paths: list[Path], out: Path) -> Answers:
    """Return what the exported file answers: to PNG by Pillow alone, to DICOM on the pixels that medimg reads."""
    assert medimg(workspace.root, "export", "--out", str(out)) == 0
    alone, judge = StandaloneModel(out), open_classifier(next(workspace.runs_dir.iterdir()))
    assert judge is not None
    answers = []
    for path in paths:
        found = alone.of_file(str(path))
        if found is None:
            image = read_image(str(path), judge.card.recipe.read_options)
            found = alone.of_pixels(as_input(judge.prepare(image).pixels[None]))[0]
        answers.append(found)
    return np.array(answers, dtype=np.float64)


def page_answers(browser: "Browser", address: str, paths: list[Path]) -> Answers:
    """Return what the page saves as JSON."""
    page = browser.new_page(locale="en-GB")
    page.goto(address)
    given = {str(number): path for number, path in enumerate(paths)}
    upload(page, given, *given)
    with page.expect_download() as saved:
        page.get_by_role("button", name="Save JSON").click()
    content = json.loads(saved.value.path().read_text(encoding="utf-8"))
    page.close()
    return table(content["predictions"])


@pytest.mark.slow  # `test_serve.py`, `test_serve_page_run.py` and `test_export.py` hold two of the four each
def test_command_line_api_page_and_exported_file_answer_alike(
    browser: "Browser", trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo(tmp_path / "cohort", patients=30)
    paths = sorted((tmp_path / "cohort").rglob("patient*"))[:IMAGES]
    assert len(paths) == IMAGES
    assert sum(path.suffix == ".dcm" for path in paths) >= LEAST_DICOM
    exported = exported_answers(trained, paths, tmp_path / "model.onnx")
    capsys.readouterr()
    medimg(trained.root, "predict", *map(str, paths), "--json")
    said = table(json.loads(capsys.readouterr().out)["predictions"])
    with running_server(trained.root) as server:
        files = [("files", (path.name, path.read_bytes())) for path in paths]
        halves = [
            httpx.post(f"{server.address}api/predict", files=some, timeout=60).json()["predictions"]
            for some in (files[:16], files[16:32], files[32:48], files[48:])
        ]
        over_http = table([entry for half in halves for entry in half])
        on_page = np.concatenate(
            [page_answers(browser, server.address, some) for some in (paths[:32], paths[32:])]
        )
    assert said.shape == (IMAGES, 2)
    assert said.std(axis=0).min() > LIMIT, "answers that are all alike would agree whatever was asked"
    assert np.array_equal(over_http, said)
    assert np.array_equal(on_page, said)
    assert np.abs(exported - said).max() <= LIMIT
