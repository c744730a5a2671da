"""bundle: one zip with which a machine that has seen nothing of the study answers as this one does."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import save

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import ExitCode, UsageError
from medimg_cli.images.pictures import shrunk
from medimg_cli.images.readers import read_image
from medimg_cli.inference.load import open_model
from medimg_cli.inference.similar_cases import SIDE_PX
from medimg_cli.privacy.pixels.text_policy import covered
from medimg_cli.runs.bundle import unpacked, write_bundle
from medimg_cli.stages.bundle import check_out
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import REPOSITORY, medimg
from tests.inference.small_runs import card_of, ensemble_of, run_of


@pytest.fixture(scope="module")
def made(trained: Workspace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the bundle of the trained run, of a copy of its workspace with facts."""
    root = tmp_path_factory.mktemp("bundled") / "study"
    shutil.copytree(trained.root, root)
    (root / "report.yaml").write_text("purpose:\n  intended_use: triage\nopenness:\n  licence: CC0\n")
    out = root / "out" / "model.zip"
    assert medimg(root, "bundle", "first", "--out", str(out)) == 0
    return out


def test_it_holds_what_using_the_model_needs_and_says_whose_it_is(made: Path, trained: Workspace) -> None:
    with zipfile.ZipFile(made) as archive:
        names = set(archive.namelist())
        notice = archive.read("NOTICE.txt").decode()
        card = archive.read("MODEL_CARD.md").decode()
        assert archive.read("model.json") == (trained.runs_dir / "first" / "model.json").read_bytes()
    needed = {"model.json", "model.onnx", "about.json", "NOTICE.txt", "MODEL_CARD.md", "SHA256SUMS"}
    assert names == needed | {"reference.safetensors", "explain.json"}
    for said in ("triage", "CC0", "Not a medical device", "Not reported"):
        assert said in notice
    assert "# Model card" in card
    assert "triage" in card


def test_no_path_patient_or_picture_is_in_it(made: Path, trained: Workspace) -> None:
    with zipfile.ZipFile(made) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    dataset = read_dataset(trained)
    for column in ("image_id", "path", "patient_id"):
        for value in dataset.rows[column]:
            assert str(value).encode() not in content
    assert str(trained.root).encode() not in content
    assert str(made.parents[1]).encode() not in content
    assert not re.search(rb"\x89PNG|\xff\xd8\xff[\xe0\xe1]|data:image", content)


def test_the_same_run_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "elsewhere"
    shutil.copytree(made.parents[1], again)
    assert medimg(again, "bundle", "--out", str(tmp_path / "again.zip")) == 0
    assert (tmp_path / "again.zip").read_bytes() == made.read_bytes()


def test_a_machine_that_has_only_the_bundle_answers_the_same(
    made: Path, trained: Workspace, tmp_path: Path
) -> None:
    image = trained.absolute(read_dataset(trained).usable["path"].iloc[0])
    shutil.copy(made, tmp_path / "model.zip")
    shutil.copy(image, tmp_path / "image.png")
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    environment.pop("MEDIMG_WORKSPACE", None)
    call = (sys.executable, "-m", "medimg_cli", "predict", "image.png", "--json")

    def probabilities(*more: str) -> dict[str, float]:
        done = subprocess.run(
            [*call, *more], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        )
        found: dict[str, float] = json.loads(done.stdout)["predictions"][0]["probabilities"]
        return found

    from_bundle = probabilities("--run", "model.zip")
    assert from_bundle == probabilities("--run", str(trained.runs_dir / "first"))
    assert {path.name for path in tmp_path.iterdir()} == {"model.zip", "image.png"}


def test_an_ensemble_and_a_run_of_before_are_bundled_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ensemble_of(tmp_path / "runs" / "both")
    old = run_of(tmp_path / "runs" / "old", card_of("small-cnn"))
    old.onnx_path.unlink()
    for name in ("both", "old"):
        out = tmp_path / f"{name}.zip"
        assert medimg(tmp_path, "bundle", name, "--out", str(out), "--json") == 0
        said = json.loads(capsys.readouterr().out)
        assert (said["model_card"], len(said["not_reported"])) == (False, 8)
        assert said["no_heat_maps"].startswith("nobody has looked at them yet")
        opened = open_model(out)
        assert opened is not None
        assert len(opened.classifier.predictor.networks) == (2 if name == "both" else 1)
    members = {f"members/seed-{seed}/model.{kind}" for seed in (1, 2) for kind in ("json", "onnx")}
    with zipfile.ZipFile(tmp_path / "both.zip") as archive:
        assert members | {"model.json"} <= set(archive.namelist())
        assert "model.onnx" not in archive.namelist()
    assert run.read_card().onnx_sha256 is None


def test_another_suffix_is_refused_before_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is not a \.zip file"):
        check_out(tmp_path / "model.onnx")
    assert medimg(tmp_path, "bundle") == ExitCode.RUN


@pytest.fixture(scope="module")
def showing(made: Path) -> Path:
    """Return the bundle of the same run with training images."""
    out = made.with_name("showing.zip")
    assert medimg(made.parents[1], "bundle", "first", "--out", str(out), "--similar-cases") == 0
    return out


def test_training_images_travel_only_where_asked_for_and_the_most_alike_comes_first(
    made: Path, showing: Path, trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    plain, opened = open_model(made), open_model(showing)
    assert plain is not None and plain.similar is None
    assert opened is not None and opened.similar is not None
    rows = read_dataset(trained).of_split("train")
    assert len(opened.similar.labels) == len(rows)
    classifier = opened.classifier
    recipe = classifier.card.recipe
    for path, label in rows[["path", "label"]].head(5).itertuples(index=False):
        image = read_image(trained.absolute(path), recipe.read_options)
        answer = classifier.predictor.answer(recipe.apply(image)[None])
        first, *others = opened.similar.nearest([each[0] for each in answer.features])
        assert (first.label, round(first.likeness, 4), len(others)) == (label, 1, 2)
        assert first.picture.size == (SIDE_PX, SIDE_PX)
        small = shrunk(covered(image), SIDE_PX)
        left, top = (SIDE_PX - small.width) // 2, (SIDE_PX - small.height) // 2
        middle = first.picture.crop((left, top, left + small.width, top + small.height))
        assert np.array_equal(np.asarray(small), np.asarray(middle))
    with zipfile.ZipFile(showing) as archive:
        assert f"pictures of {len(rows)} training images" in archive.read("NOTICE.txt").decode()
    assert medimg(made.parents[1], "bundle", "first", "--out", str(showing), "--similar-cases") == 0
    assert "give it only to those who may see them" in capsys.readouterr().out
    assert medimg(made.parents[1], "bundle", "--dataset", "--similar-cases") == 2


@pytest.mark.parametrize("damage", ["cut", "width", "labels", "pictures", "nan"])
def test_similar_cases_of_another_model_or_damaged_are_refused(
    showing: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with unpacked(showing) as folder:
        files: dict[str, Path | bytes] = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*")
            if path.is_file() and path.name != "SHA256SUMS"
        }
    content = files["similar.safetensors"]
    assert isinstance(content, bytes)
    with safe_open(_kept(tmp_path / "whole", content), "numpy") as file:
        arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 -- not a mapping
        labels = file.metadata()["labels"]
    if damage == "width":
        arrays["features0"] = arrays["features0"][:, :-1].copy()
    elif damage == "labels":
        labels = json.dumps(json.loads(labels)[:-1])
    elif damage == "pictures":
        arrays["pictures"] = arrays["pictures"].astype(np.float32)
    elif damage == "nan":
        arrays["features0"][0, 0] = np.nan
    files["similar.safetensors"] = content[:-9] if damage == "cut" else save(arrays, {"labels": labels})
    write_bundle(tmp_path / "bad.zip", files)
    image = tmp_path / "x.png"
    Image.new("L", (64, 64)).save(image)
    assert medimg(tmp_path, "predict", str(image), "--run", str(tmp_path / "bad.zip")) == ExitCode.RUN
    assert "similar.safetensors" in capsys.readouterr().err


def _kept(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
