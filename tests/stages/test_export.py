"""export: one file that answers like medimg wherever it is run, or no file."""

import ast
import json
import runpy
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg_cli.errors import ExitCode, GateError, UsageError
from medimg_cli.images.readers import read_image
from medimg_cli.inference import onnx_graph as one_graph
from medimg_cli.inference.load import open_classifier
from medimg_cli.inference.onnx_graph import StandaloneModel
from medimg_cli.preprocessing.probe_images import pixels_at_hand
from medimg_cli.runs.run import Run
from medimg_cli.stages.export import LIMIT, check_out, export
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import REPOSITORY, medimg
from tests.inference.small_runs import THRESHOLD, card_of, ensemble_of, run_of

EXAMPLE = REPOSITORY / "examples" / "run_onnx.py"


def smooth(width: int, height: int, *, colour: bool = False, seed: int = 0) -> Image.Image:
    """Return a picture of clouds, asymmetric in all directions."""
    generator = np.random.default_rng(seed)
    small = generator.integers(0, 256, (7, 5, 3) if colour else (7, 5)).astype(np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures of the kinds that a few lines of Pillow read."""
    folder = tmp_path_factory.mktemp("images")
    smooth(90, 61).save(folder / "wide.png")
    smooth(33, 120, colour=True).save(folder / "high-colour.png")
    smooth(301, 207).save(folder / "large.jpeg")
    smooth(207, 301, colour=True, seed=1).save(folder / "large-colour.jpeg")
    exif = Image.Exif()
    exif[0x0112] = 6
    smooth(280, 150, colour=True, seed=2).save(folder / "turned.jpeg", exif=exif)
    smooth(20, 20).save(folder / "small.png")
    return folder


def test_the_workspace_s_run_is_exported_and_verified(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"
    assert medimg(trained.root, "export", "first", "--out", str(out), "--verify", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["on_pixels"]["images"], said["on_pixels"]["kind"]) == (28, "training images")
    assert (said["on_files"]["images"], said["on_files"]["alone"], said["on_files"]["unreadable"]) == (
        60,
        60,
        0,
    )
    assert max(said["on_pixels"]["difference"], said["on_files"]["difference"]) <= LIMIT
    assert said["bytes"] == out.stat().st_size
    card = Run(trained.root / "runs" / "first").read_card()
    about = StandaloneModel(out).about
    assert about["classes"] == list(card.classes)
    assert about["recipe"] == card.recipe.model_dump(mode="json")
    assert card.threshold is not None
    assert about["threshold"]["value"] == card.threshold.value
    assert about["temperatures"] == [card.temperature]
    assert about["weights_sha256"] == card.weights_sha256
    assert str(trained.root) not in out.read_bytes().decode("latin-1")


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """Return channels → a run of that many."""
    folder = tmp_path_factory.mktemp("networks")
    return {
        channels: run_of(folder / str(channels), card_of("small-cnn", channels=channels, temperature=0.2))
        for channels in (1, 3)
    }


@pytest.mark.parametrize("mode", ["pad", "stretch", "crop"])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_example_answers_like_medimg(
    networks: dict[int, Run],
    tmp_path: Path,
    images: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    mode: str,
    channels: int,
) -> None:
    run = Run(tmp_path / "run")
    shutil.copytree(networks[channels].folder, run.folder)
    card = run.read_card()
    run.write_card(card.model_copy(update={"recipe": card.recipe.model_copy(update={"resize_mode": mode})}))
    out = tmp_path / "model.onnx"
    export(run, out, pixels_at_hand(Workspace(tmp_path), run.read_card().recipe, 4))
    judge, alone = open_classifier(run.folder), StandaloneModel(out)
    assert judge is not None
    seen = []
    for path in sorted(images.iterdir()):
        monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(out), str(path)])
        runpy.run_path(str(EXAMPLE))
        found = ast.literal_eval(capsys.readouterr().out)
        image = read_image(str(path), judge.card.recipe.read_options)
        with Image.open(path) as picture:
            pixels = alone.pixels_of(picture)[0]
        beside = np.abs(pixels - judge.card.recipe.apply(image))
        assert beside.max() <= (1 if image.channels > channels else 0)  # luma is rounded in two ways
        assert (beside > 0).mean() < 0.01
        expected = judge([judge.prepare(image)])[0].probabilities
        assert found == pytest.approx(expected, abs=LIMIT)
        seen.append(found["A"])
    assert np.ptp(seen) > 20 * LIMIT


def test_the_example_is_short_and_stands_in_the_guide_as_it_is() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    lines = text.split("\n\n", 1)[1].splitlines()  # below what it is for
    assert len([line for line in lines if line.strip()]) <= 25
    assert text.strip() in (REPOSITORY / "examples/guide/how-to/hand-over.md").read_text(encoding="utf-8")
    assert "medimg_cli" not in text


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    ensemble_of(folder / "both", classes=("A", "B"), positive="B", threshold=THRESHOLD)
    old = run_of(folder / "old", card_of("small-cnn", bits=16))
    old.onnx_path.unlink()
    old.write_card(old.read_card().model_copy(update={"onnx_sha256": None}))
    return folder


@pytest.fixture
def workspace(runs: Path, tmp_path: Path) -> Workspace:
    """Return a workspace with an ensemble and a network of before, and no data."""
    shutil.copytree(runs, tmp_path / "runs")
    return Workspace(tmp_path)


def test_an_ensemble_is_verified_on_a_folder(
    workspace: Workspace, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(images, folder)
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden").write_text("no image")
    Image.merge("LA", (smooth(50, 40), smooth(50, 40, seed=3))).save(folder / "see-through.png")
    Image.fromarray(np.arange(64 * 50, dtype=np.uint16).reshape(64, 50) * 20).save(folder / "deep.png")
    out = tmp_path / "model.onnx"
    call = ("export", "both", "--out", str(out), "--data", str(folder), "--json")
    assert medimg(workspace.root, *call) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["networks"], said["outputs"]) == (2, ["probabilities"])
    assert (said["on_files"]["images"], said["on_files"]["alone"], said["on_files"]["unreadable"]) == (
        8,
        7,
        1,
    )
    assert said["on_pixels"]["kind"] == "images of noise"
    first = out.read_bytes()
    assert medimg(workspace.root, *call) == 0
    assert out.read_bytes() == first


def test_a_run_of_before_gets_its_copy_on_the_way(
    workspace: Workspace, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"
    call = ("export", "old", "--out", str(out), "--data", str(images), "--json")
    assert medimg(workspace.root, *call) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["on_files"]["images"], said["on_files"]["alone"]) == (6, 0)  # 16 bits take medimg
    run = Run(workspace.runs_dir / "old")
    assert run.read_card().onnx_sha256 is not None
    assert open_classifier(run.folder) is not None


def test_facts_of_the_study_travel_with_it(workspace: Workspace, tmp_path: Path) -> None:
    workspace.facts_path.write_text("purpose:\n  intended_use: triage\nopenness:\n  licence: CC0\n")
    out = tmp_path / "model.onnx"
    assert medimg(workspace.root, "export", "both", "--out", str(out)) == 0
    about = StandaloneModel(out).about
    assert about["said"] == {"intended_use": "triage", "licence": "CC0"}
    assert "Not a medical device" in about["notice"]


def test_a_file_that_answers_otherwise_is_not_written(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    honest = one_graph._add_answer

    def skewed(graph: Any, prefix: str, temperature: float, *rest: Any) -> None:
        honest(graph, prefix, temperature * 1.1, *rest)

    monkeypatch.setattr(one_graph, "_add_answer", skewed)
    out = tmp_path / "model.onnx"
    out.write_bytes(b"of before")
    assert medimg(workspace.root, "export", "both", "--out", str(out)) == ExitCode.GATE
    assert "otherwise than medimg about one of 64 images of noise" in capsys.readouterr().err
    assert out.read_bytes() == b"of before"


def test_a_file_read_otherwise_is_named(
    workspace: Workspace, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = StandaloneModel.of_file

    def turned(self: StandaloneModel, path: str) -> Any:
        found = honest(self, path)
        return found if found is None or "turned" not in path else found[::-1]

    monkeypatch.setattr(StandaloneModel, "of_file", turned)
    run = Run(workspace.runs_dir / "both")
    shown = pixels_at_hand(workspace, run.read_card().recipe, 2)
    files = [str(path) for path in sorted(images.iterdir())]
    with pytest.raises(GateError, match=r"about .*turned\.jpeg"):
        export(run, tmp_path / "model.onnx", shown, files=files)
    assert not (tmp_path / "model.onnx").exists()


def test_places_that_are_wrong_are_refused_before_work(workspace: Workspace, tmp_path: Path) -> None:
    run = Run(workspace.runs_dir / "both")
    with pytest.raises(UsageError, match=r"is not a \.onnx file"):
        check_out(tmp_path / "model.zip", run)
    with pytest.raises(UsageError, match="the copy that the run answers from"):
        check_out(run.folder / "members" / "seed-1" / "model.onnx", run)
    assert medimg(workspace.root, "export", "both", "--data", str(tmp_path / "no")) == ExitCode.DATA
