"""predict --explain: a picture beside every answer, from the ONNX copy, and none that says nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.cli.app import run as front_door
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import RunError
from medimg_cli.images.readers import read_image
from medimg_cli.inference.explaining import ready_maps
from medimg_cli.runs.explanation import read_explanation
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.training.explanation.sanity_check import maps_in_torch
from medimg_cli.training.networks.torch_network import predictor_of
from medimg_cli.workspace.files import sealed
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


@pytest.fixture
def own(trained: Workspace, tmp_path: Path) -> Workspace:
    shutil.copytree(trained.root, tmp_path / "own")
    return Workspace(tmp_path / "own")


def some_images(workspace: Workspace) -> list[str]:
    return [workspace.absolute(path) for path in read_dataset(workspace).usable["path"].iloc[:3]]


def test_training_leaves_what_is_known_of_the_heat_maps(trained: Workspace) -> None:
    run = find_run(trained, "first")
    found = read_explanation(run, run.read_card())
    assert found is not None
    assert (found.method, found.side, found.images) == ("class activation map", 8, 16)
    assert found.passed == (found.similarity["all"] is not None and found.similarity["all"] <= 0.5)


def test_the_copy_has_the_maps_of_the_network(trained: Workspace) -> None:
    run = find_run(trained, "first")
    card = run.read_card()
    pixels: NDArray[Any] = np.stack(
        [card.recipe.apply(read_image(path, card.recipe.read_options)) for path in some_images(trained)]
    )
    ready = ready_maps(run.folder)
    assert ready is not None
    quick = ready[0].answer(pixels, maps=True).maps
    slow = predictor_of(run, device="cpu", quick=False).answer(pixels, maps=True).maps
    assert quick is not None
    assert slow is not None
    np.testing.assert_allclose(quick, slow, atol=1e-3 * float(np.abs(slow).max()))


def test_pictures_are_written_without_torch(own: Workspace) -> None:
    _let_pass(find_run(own, "first"), passed=True)
    images = some_images(own)
    code = (
        "import sys\nfrom medimg_cli.cli.app import run\n"
        f"code = run(['predict', *{images!r}, 'nothing.png', '--explain', {str(own.root / 'maps')!r},"
        f" '--workspace', {str(own.root)!r}, '--quiet'])\n"
        "print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "4 False"
    written = sorted(path.name[:5] for path in (own.root / "maps").iterdir())
    assert written == [f"0000{row}" for row in _answered(own, images)]


def _answered(workspace: Workspace, images: list[str]) -> list[int]:
    out = workspace.root / "rows.jsonl"
    medimg(workspace.root, "predict", *images, "--out", str(out))
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    return [number for number, row in enumerate(rows, start=1) if row["status"] == "ok"]


def _let_pass(run: Run, *, passed: bool) -> None:
    known = json.loads(run.explanation_path.read_text())
    known |= {"passed": passed, "withheld": "" if passed else "they say nothing"}
    run.explanation_path.write_text(json.dumps(sealed(known)))


def test_maps_that_did_not_pass_are_not_drawn(own: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    _let_pass(find_run(own, "first"), passed=False)
    folder = own.root / "maps"
    image = some_images(own)[0]
    assert front_door(["predict", image, "--explain", str(folder), "--workspace", str(own.root)]) == 0
    assert not folder.exists()
    assert "no heat maps: they say nothing" in capsys.readouterr().err


def test_a_run_of_before_is_looked_at_when_it_is_asked(own: Workspace) -> None:
    run = find_run(own, "first")
    known = json.loads(run.explanation_path.read_text())
    run.explanation_path.unlink()
    assert ready_maps(run.folder) is None
    _, found = maps_in_torch(run.folder, device="cpu")
    assert found.similarity["all"] == pytest.approx(known["similarity"]["all"], abs=1e-3)
    assert json.loads(run.explanation_path.read_text())["full"] == pytest.approx(known["full"], rel=1e-3)


def test_the_report_shows_heat_maps_with_their_check(own: Workspace) -> None:
    run = find_run(own, "first")
    out = own.root / "report.html"
    for passed, pictures in ((True, 5), (False, 0)):
        _let_pass(run, passed=passed)
        assert medimg(own.root, "report", "--out", str(out)) == 0
        section = (
            out.read_text().partition("Explanations and their sanity check</h2>")[2].partition("<h2>")[0]
        )
        assert section.count("data:image/jpeg") == pictures
        assert ("Found cases" in section) == passed
        assert ("Failed: they say nothing." in section) != passed
        assert "Maps of the same network, its weights shuffled: all" in section


def test_what_is_known_of_other_weights_does_not_count_and_a_damaged_file_is_refused(own: Workspace) -> None:
    run = find_run(own, "first")
    card = run.read_card()
    assert read_explanation(run, card.model_copy(update={"weights_sha256": "0" * 64})) is None
    run.explanation_path.write_text("{")
    with pytest.raises(RunError, match=r"explain\.json cannot be read"):
        read_explanation(run, card)
