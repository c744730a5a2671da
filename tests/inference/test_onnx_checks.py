"""ONNX files that are refused before anything of them runs, and numbers that are no answer."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from medimg_cli.errors import RunError
from medimg_cli.inference.classifier import Classifier
from medimg_cli.inference.load import open_classifier
from medimg_cli.inference.onnx_network import Seen, check_graph
from medimg_cli.inference.predictor import Predictor
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.files import sealed, sha256_of_file
from tests.conftest import medimg
from tests.inference.small_runs import THRESHOLD, card_of, images_for, run_of
from tests.stages import made_up_model

Change = Callable[[onnx.ModelProto], None]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    card = card_of("small-cnn", classes=("NORMAL", "SPOT"), positive="SPOT", threshold=THRESHOLD)
    return run_of(tmp_path_factory.mktemp("plain") / "runs" / "one", card)


def copy_of(run: Run, folder: Path, change: Change) -> Run:
    """Return a run whose network was changed by somebody who also wrote its hash anew."""
    model = onnx.load(str(run.onnx_path))
    change(model)
    folder.mkdir(parents=True)
    made = Run(folder)
    made.onnx_path.write_bytes(model.SerializeToString())
    card = json.loads(run.card_path.read_text()) | {"onnx_sha256": sha256_of_file(made.onnx_path)}
    made.card_path.write_text(json.dumps(sealed(card)))
    return made


def weight(value: float, place: int = 0) -> Change:
    def change(model: onnx.ModelProto) -> None:
        weights = [one for one in model.graph.initializer if one.data_type == TensorProto.FLOAT]
        numbers = numpy_helper.to_array(weights[place]).copy()
        numbers.flat[0] = value
        weights[place].CopyFrom(numpy_helper.from_array(numbers, weights[place].name))

    return change


def node(kind: str, inputs: list[str], domain: str = "", **attributes: Any) -> Change:
    def change(model: onnx.ModelProto) -> None:
        made = helper.make_node(kind, inputs, ["more"], domain=domain, **attributes)
        model.graph.node.append(made)

    return change


def condition(model: onnx.ModelProto) -> None:
    branch = helper.make_graph([], "branch", [], [])
    node("If", ["pixels"], then_branch=branch, else_branch=branch)(model)


def hidden(model: onnx.ModelProto) -> None:
    """Put a graph into an operator that is on the list."""
    node("Relu", ["pixels"], body=helper.make_graph([], "body", [], []))(model)


def elsewhere(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../etc/passwd")


def function(model: onnx.ModelProto) -> None:
    model.functions.add(name="f", domain="own")


def sized_by_pixels(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Cast", ["pixels"], ["whole"], to=TensorProto.INT64))
    model.graph.node.append(helper.make_node("ConstantOfShape", ["whole"], ["more"]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (weight(np.nan), "no number"),
        (weight(np.inf, -1), "no number"),
        (weight(-np.inf, 3), "no number"),
        (node("Loop", ["pixels"]), "'Loop'"),
        (node("Scan", ["pixels"]), "'Scan'"),
        (condition, "of its own|'If'"),
        (hidden, "a graph of its own"),
        (node("NonZero", ["pixels"]), "'NonZero'"),
        (node("RandomNormalLike", ["pixels"]), "'RandomNormalLike'"),
        (node("Relu", ["pixels"], "com.microsoft"), "com.microsoft"),
        (elsewhere, "another file"),
        (function, "functions"),
        (sized_by_pixels, "hangs on the pixels"),
        (node("Expand", ["pixels", "logits"]), "hangs on the pixels"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_a_graph_that_no_training_writes_is_refused_whatever_its_hash(
    plain: Run, tmp_path: Path, change: Change, said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    changed = copy_of(plain, tmp_path / "runs" / "one", change)
    with pytest.raises(RunError, match=said):
        check_graph(changed.onnx_path)
    assert medimg(tmp_path, "predict", str(tmp_path), "--run", str(changed.folder)) == 6
    assert capfd.readouterr().err.count("\n") == 2


def test_what_training_writes_is_taken(plain: Run) -> None:
    check_graph(plain.onnx_path)
    assert open_classifier(plain.folder) is not None


def test_a_weight_that_is_no_number_is_refused_also_where_torch_answers(
    plain: Run, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from safetensors.numpy import load_file, save_file

    run = Run(tmp_path / "runs" / "one")
    run.folder.mkdir(parents=True)
    weights = load_file(plain.weights_path)
    next(one for one in weights.values() if one.dtype == np.float32).flat[0] = np.nan
    save_file(weights, run.weights_path)
    card = json.loads(plain.card_path.read_text())
    card |= {"weights_sha256": sha256_of_file(run.weights_path), "onnx_sha256": None}
    run.card_path.write_text(json.dumps(sealed(card)))
    for command in (("predict", str(tmp_path), "--run", "one"), ("export", "one"), ("bundle", "one")):
        assert medimg(tmp_path, *command) == 6, command
        assert capfd.readouterr().err.count("\n") == 2


def test_every_truncated_or_flipped_file_is_refused_or_answers_the_same(plain: Run, tmp_path: Path) -> None:
    """With the hash written anew: what a check of the hash would have caught is for the graph's own checks."""
    whole = plain.onnx_path.read_bytes()
    path = tmp_path / "model.onnx"
    generator = np.random.default_rng(0)
    for number in range(120):
        damaged = bytearray(whole)
        if number % 3:
            damaged[int(generator.integers(len(whole)))] ^= 1 << int(generator.integers(8))
        else:
            del damaged[int(generator.integers(len(whole))) :]
        path.write_bytes(damaged)
        try:
            check_graph(path)
        except RunError:
            continue
        assert number % 3, "a file that ends in the middle was taken"


class Broken:
    """A network whose logits are what they are made to be."""

    def __init__(self, card: ModelCard, logits: list[list[float]]) -> None:
        self.card, self.logits = card, logits

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:  # noqa: ARG002
        return Seen(np.array(self.logits), np.zeros((len(pixels), 3), np.float32))


@pytest.mark.parametrize("logit", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("answers", ["softmax", "sigmoid", "ordinal"])
def test_a_logit_that_is_no_number_is_no_answer_and_harms_no_other_image(logit: float, answers: str) -> None:
    card = made_up_model.card(answers=answers)
    predictor = Predictor(card, [Broken(card, [[0.0, 1.0], [logit, 1.0]])])
    pixels = images_for(card, 2)
    with pytest.raises(RunError, match="no number"):
        predictor.of_pixels(pixels)
    judge = Classifier(predictor)
    from medimg_cli.images.image import DecodedImage

    said = judge([judge.prepare(DecodedImage(one, 8)) for one in pixels])
    assert said[0].status == "ok"
    assert (said[1].status, said[1].label, said[1].decision) == ("refused", None, "refer")
    assert "no number" in said[1].message
    assert set(said[1].probabilities.values()) == {None}
