"""Test figures are quoted only where they are of the model as it decides now."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg_cli.inference.classifier import Prepared
from medimg_cli.inference.load import open_model
from medimg_cli.runs import tested
from medimg_cli.runs.ood_limits import Sets
from medimg_cli.runs.run import Run
from medimg_cli.stages.bundle import bundle
from medimg_cli.workspace.workspace import Workspace


@pytest.fixture
def run(trained: Workspace, tmp_path: Path) -> Run:
    """Return a copy of the evaluated run."""
    return Run(Path(shutil.copytree(trained.runs_dir / "first", tmp_path / "first")))


def measured(run: Run) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.metrics_path("test").read_text())
    return found


def test_the_figures_are_those_of_the_evaluation_and_travel_in_a_bundle(run: Run, tmp_path: Path) -> None:
    found, told = tested.tested_of(run, run.read_card()), measured(run)
    assert found is not None
    for name in ("recall", "specificity"):
        assert getattr(found, name).value == told["metrics"][name]["value"]
        assert getattr(found, name).low == told["metrics"][name]["low"]
    assert (found.missed.count, found.n) == (told["missed"]["count"], told["n"])
    here, there = open_model(run.folder), open_model(bundle(run, tmp_path / "model.zip").out)
    assert here is not None and there is not None
    assert here.tested == there.tested == found


Change = Callable[[dict[str, Any]], Any]


@pytest.mark.parametrize(
    "change",
    [
        lambda told: told["threshold"].update(value=told["threshold"]["value"] + 0.01),
        lambda told: told.update(threshold=None),
        lambda told: told.update(weights_sha256="0" * 64),
        lambda told: told.update(positive="CLEAR"),
        lambda told: told.update(views=4),
        lambda told: told.update(split="val"),
        lambda told: told["leakage"].update(shared_patients=3),
        lambda told: told["leakage"].update(shared_files=1),
        lambda told: told["metrics"].pop("recall"),
        lambda told: told["metrics"]["recall"].update(value=1.2),
        lambda told: told.update(missed=None),
    ],
    ids=range(11),
)
def test_figures_of_another_model_threshold_or_a_leaky_split_are_not_quoted(run: Run, change: Change) -> None:
    told = measured(run)
    change(told)
    run.metrics_path("test").write_text(json.dumps(told))
    assert tested.tested_of(run, run.read_card()) is None


def test_a_threshold_chosen_after_the_test_has_no_test_figures(run: Run) -> None:
    card = run.read_card()
    assert card.threshold is not None
    moved = card.model_copy(update={"threshold": card.threshold.model_copy(update={"value": 0.123})})
    assert tested.tested_of(run, moved) is None
    run.metrics_path("test").unlink()
    assert tested.tested_of(run, card) is None


def test_sets_that_left_out_a_class_on_test_are_withheld_from_answers_and_in_a_bundle(
    run: Run, tmp_path: Path
) -> None:
    card, told = run.read_card(), measured(run)
    assert tested.withheld_sets(run, card) == {}
    name, least = card.classes[0], dict.fromkeys(card.classes, 0.5)
    card = card.model_copy(update={"sets": Sets(alpha=0.1, least=least, counts={}, split="val")})
    run.write_card(card)
    told["conformal"] |= {"alpha": 0.1, "withheld": {name: "holds it in 3 of 9 tested images"}}
    run.metrics_path("test").write_text(json.dumps(told))
    for place in (run.folder, bundle(run, tmp_path / "model.zip").out):
        opened = open_model(place)
        assert opened is not None
        judge = opened.classifier
        assert f"sets that leave out {name} are withheld" in judge.remark and "3 of 9" in judge.remark
        recipe = card.recipe
        pixels = np.zeros((1, recipe.size_px, recipe.size_px, recipe.channels), dtype=recipe.dtype)
        sure = np.eye(len(card.classes))
        features = [*judge.predictor.answer(pixels).features]
        given = [judge.prediction(Prepared(pixels[0]), row, [one[0] for one in features]) for row in sure]
        assert given[0].prediction_set is not None and name in given[0].prediction_set
        assert given[1].prediction_set is None
    told["conformal"]["alpha"] = 0.05  # of other sets than the model gives
    run.metrics_path("test").write_text(json.dumps(told))
    assert tested.withheld_sets(run, card) == {}
