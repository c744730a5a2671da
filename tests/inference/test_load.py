"""A model from a run's folder or a bundle, without torch."""

import json
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import safetensors.numpy

from medimg_cli.errors import RunError
from medimg_cli.inference.load import open_classifier, open_model
from medimg_cli.runs.bundle import unpacked, write_bundle
from medimg_cli.runs.run import Run
from medimg_cli.stages.bundle import bundle
from medimg_cli.workspace.files import sealed
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.inference.small_runs import card_of, ensemble_of, images_for, run_of


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(tmp_path_factory.mktemp("one") / "run", card_of("small-cnn"))


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return ensemble_of(tmp_path_factory.mktemp("two") / "run")


@pytest.mark.parametrize("kind", ["run", "ensemble"])
def test_a_bundle_answers_bit_by_bit_like_its_run(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    own: Run = request.getfixturevalue(kind)
    path = bundle(own, tmp_path / "model.zip").out
    here, there = open_classifier(own.folder), open_classifier(path)
    assert here is not None and there is not None
    pixels = images_for(here.card)
    np.testing.assert_array_equal(here.predictor.of_pixels(pixels), there.predictor.of_pixels(pixels))
    assert here.card == there.card


def test_opening_a_bundle_loads_no_torch_and_leaves_nothing_behind(run: Run, tmp_path: Path) -> None:
    path = bundle(run, tmp_path / "model.zip").out
    alone = tmp_path / "alone"
    alone.mkdir()
    code = (
        "import sys, tempfile, os\n"
        "from pathlib import Path\n"
        "from medimg_cli.inference.load import open_classifier\n"
        f"tempfile.tempdir = {str(alone)!r}\n"
        f"judge = open_classifier(Path({str(path)!r}))\n"
        "loaded = [name for name in ('torch', 'pandas', 'sklearn', 'scipy', 'onnx') if name in sys.modules]\n"
        f"sys.exit(', '.join(loaded + os.listdir({str(alone)!r})) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=alone
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_run_without_a_copy_has_no_judge(run: Run, tmp_path: Path) -> None:
    shutil.copytree(run.folder, tmp_path / "run")
    (tmp_path / "run" / "model.onnx").unlink()
    assert open_classifier(tmp_path / "run") is None


def rewritten(run: Run, out: Path, **changes: bytes) -> Path:
    """Write a bundle with right sums and other files than a run's."""
    files: dict[str, Path | bytes] = {
        path.name: path.read_bytes()
        for path in (run.card_path, run.onnx_path, run.reference_path, run.explanation_path)
        if path.is_file()
    }
    files |= {name.replace("_", "."): content for name, content in changes.items()}
    write_bundle(out, files)
    return out


def card_with(run: Run, **changes: Any) -> bytes:
    return json.dumps(sealed(json.loads(run.card_path.read_bytes()) | changes)).encode()


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as error:
        open_classifier(path)
    assert "/medimg-" not in error.value.what
    return error.value.what


def test_a_card_that_points_out_of_the_bundle_is_refused(run: Run, tmp_path: Path) -> None:
    member = {"folder": "../../elsewhere", "weights_sha256": "x"}
    path = rewritten(run, tmp_path / "model.zip", model_json=card_with(run, members=[member]))
    assert refusal(path).startswith(f"{path}/model.json: members")


def test_a_card_that_wants_an_image_to_fill_the_memory_is_refused(run: Run, tmp_path: Path) -> None:
    recipe = json.loads(run.card_path.read_bytes())["recipe"] | {"size_px": 1_000_000}
    path = rewritten(run, tmp_path / "model.zip", model_json=card_with(run, recipe=recipe))
    assert "recipe.size_px: Input should be less than or equal to 4096" in refusal(path)


def test_a_bundle_without_a_copy_or_with_another_one_is_refused(run: Run, tmp_path: Path) -> None:
    path = rewritten(run, tmp_path / "model.zip", model_json=card_with(run, onnx_sha256=None))
    assert "lacks the ONNX copy" in refusal(path)
    path = rewritten(run, tmp_path / "model.zip", model_onnx=b"other")
    assert "is not the copy this run wrote" in refusal(path)
    path = rewritten(run, tmp_path / "model.zip", about_json=b"[]")
    assert "about.json" in refusal(path)


@pytest.mark.parametrize("where", ["{folder}/secret", "../secret"])
def test_a_graph_that_reads_a_file_outside_the_bundle_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # so that ../secret is there
    model = onnx.load(str(run.onnx_path))
    weights = max(model.graph.initializer, key=lambda each: len(each.raw_data))
    (tmp_path / "secret").write_bytes(weights.raw_data)
    onnx.external_data_helper.set_external_data(weights, location=where.format(folder=tmp_path))
    weights.ClearField("raw_data")
    content = model.SerializeToString()
    card = card_with(run, onnx_sha256=sha256(content).hexdigest())
    path = rewritten(run, tmp_path / "model.zip", model_json=card, model_onnx=content)
    assert "another file" in refusal(path)


def test_what_is_told_of_a_model_comes_with_it(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "model.zip"
    bundle(run, out, facts={"licence": "CC0", "ethics_approval": "no. 7"}, model_card="# Ä card\n")
    opened = open_model(out)
    assert opened is not None and opened.about is not None
    assert opened.about.said == {"licence": "CC0"}
    from_folder = open_model(run.folder)
    assert from_folder is not None and from_folder.about is None


def tensors_with(run: Run, **changes: Any) -> bytes:
    """Return a network's reference with other arrays in it."""
    return safetensors.numpy.save(safetensors.numpy.load_file(run.reference_path) | changes)


def test_features_of_another_width_are_refused_when_the_bundle_is_opened(
    trained: Workspace, tmp_path: Path
) -> None:
    run = Run(trained.runs_dir / "first")
    tensors = tensors_with(run, features=np.ones((4, 3), np.float32))
    card = card_with(run, reference_sha256=sha256(tensors).hexdigest())
    path = rewritten(run, tmp_path / "a.zip", model_json=card, reference_safetensors=tensors)
    assert "differ in width" in refusal(path)


def test_a_graph_that_fills_the_memory_is_refused_in_a_process_of_its_own(run: Run, tmp_path: Path) -> None:
    model = onnx.load(str(run.onnx_path))
    size = onnx.numpy_helper.from_array(np.array([1 << 36], np.int64), "size")
    model.graph.initializer.append(size)
    model.graph.node.append(onnx.helper.make_node("ConstantOfShape", ["size"], ["huge"]))
    model.graph.node.append(onnx.helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0))
    last = next(one for one in model.graph.node if "logits" in one.output)
    last.output[list(last.output).index("logits")] = "own"
    model.graph.node.append(onnx.helper.make_node("Add", ["own", "most"], ["logits"]))
    content = model.SerializeToString()
    card = card_with(run, onnx_sha256=sha256(content).hexdigest())
    path = rewritten(run, tmp_path / "model.zip", model_json=card, model_onnx=content)
    assert refusal(path)


@pytest.mark.parametrize(
    "names",
    [
        ["model.json/x"],
        ["MODEL.json/../x"],
        ["/x"],
        ["a//b"],
        ["a/./b"],
        ["a\\b"],
        ["a/"],
        ["n" * 300],
        ["a", "a/b"],
    ],
)
def test_names_that_lead_elsewhere_or_clash_are_refused(run: Run, tmp_path: Path, names: list[str]) -> None:
    files: dict[str, Path | bytes] = {"model.json": run.card_path, "model.onnx": run.onnx_path}
    write_bundle(tmp_path / "b.zip", files | dict.fromkeys(names, b"x"))
    refusal(tmp_path / "b.zip")


def test_a_bundle_with_a_byte_flipped_or_its_end_cut_off_is_refused_or_the_same(
    run: Run, tmp_path: Path
) -> None:
    write_bundle(tmp_path / "model.zip", {"model.json": run.card_path, "model.onnx": run.onnx_path})
    whole = (tmp_path / "model.zip").read_bytes()
    path = tmp_path / "damaged.zip"
    generator = np.random.default_rng(1)
    directory = whole.rindex(b"PK\x01\x02") - 600
    for number in range(150):
        damaged = bytearray(whole)
        if number % 3 == 0:
            del damaged[int(generator.integers(len(whole))) :]
        else:  # half of them in the directory, where every byte has a meaning
            place = int(generator.integers(directory if number % 2 else 0, len(whole)))
            damaged[place] ^= 1 << int(generator.integers(8))
        path.write_bytes(damaged)
        try:
            with unpacked(path) as folder:
                assert (folder / "model.onnx").read_bytes() == run.onnx_path.read_bytes()
        except RunError as error:
            assert "\n" not in error.what
    path.write_bytes(whole[: len(whole) // 2])
    assert medimg(tmp_path, "predict", str(tmp_path), "--run", str(path)) == 6
