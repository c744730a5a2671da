"""The exported graph: from pixels to the probabilities medimg gives, whatever the model is made of."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg_cli.errors import RunError
from medimg_cli.inference import onnx_graph as module
from medimg_cli.inference.onnx_graph import StandaloneModel, one_graph
from medimg_cli.inference.onnx_network import as_input
from medimg_cli.inference.predictor import Predictor, members_of, quick_predictor
from medimg_cli.runs.run import Run
from medimg_cli.statistics.probabilities import AnswerKind
from tests.inference.small_runs import card_of, ensemble_of, images_for, run_of


def exported(run: Run, out: Path, **told: Any) -> tuple[Predictor, StandaloneModel]:
    predictor = quick_predictor(run)
    assert predictor is not None
    members = [(own.onnx_path, card) for own, card in members_of(run, predictor.card)]
    out.write_bytes(one_graph(members, told))
    return predictor, StandaloneModel(out)


@pytest.mark.parametrize(
    ("answers", "bits", "channels"), [("softmax", 8, 3), ("sigmoid", 16, 1), ("ordinal", 8, 1)]
)
def test_the_graph_of_a_network_answers_like_medimg(
    tmp_path: Path, answers: AnswerKind, bits: int, channels: int
) -> None:
    classes = ("A", "B", "C", "D")
    run = run_of(
        tmp_path / "run",
        card_of("small-cnn", answers=answers, bits=bits, channels=channels, classes=classes),
    )
    predictor, alone = exported(run, tmp_path / "x.onnx")
    pixels = images_for(predictor.card)
    for count in (1, 5):
        found = alone.of_pixels(as_input(pixels[:count]))
        np.testing.assert_allclose(found, predictor.of_pixels(pixels[:count]), atol=1e-6)
    assert alone.outputs[:3] == ("probabilities", "logits", "features")


def test_two_grades_are_one_step(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", card_of("small-cnn", answers="ordinal", classes=("low", "high")))
    predictor, alone = exported(run, tmp_path / "x.onnx")
    pixels = images_for(predictor.card)
    np.testing.assert_allclose(alone.of_pixels(as_input(pixels)), predictor.of_pixels(pixels), atol=1e-6)


def test_an_ensemble_is_one_graph_that_answers_with_the_mean(tmp_path: Path) -> None:
    run = ensemble_of(tmp_path / "run")
    predictor, alone = exported(run, tmp_path / "x.onnx")
    pixels = images_for(predictor.card)
    expected = predictor.of_pixels(pixels)
    np.testing.assert_allclose(alone.of_pixels(as_input(pixels)), expected, atol=1e-6)
    first = Predictor(predictor.card, predictor.networks[:1]).of_pixels(pixels)
    assert np.abs(first - expected).max() > 1e-3
    assert alone.outputs == ("probabilities",)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run_of(tmp_path_factory.mktemp("one") / "run", card_of("small-cnn"))


def test_what_is_told_stands_in_the_file_and_the_bytes_do_not_vary(run: Run, tmp_path: Path) -> None:
    told = {"classes": ["Ä", "B"], "threshold": {"value": 0.25}, "positive": None}
    _, alone = exported(run, tmp_path / "x.onnx", **told)
    assert alone.about == told
    _, other = exported(run, tmp_path / "z.onnx", **told)
    assert other.about == told
    assert (tmp_path / "x.onnx").read_bytes() == (tmp_path / "z.onnx").read_bytes()


def test_a_model_too_large_for_one_file_is_refused(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LIMIT_BYTES", 1000)
    with pytest.raises(RunError, match="cannot hold more than 2 GiB") as refused:
        exported(run, tmp_path / "x.onnx")
    assert "medimg bundle" in refused.value.hint
