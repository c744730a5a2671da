"""evaluate --robustness and --subgroups on a trained run."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.api.prerequisites import answering
from medimg_cli.dataset.manifest import Dataset, read_dataset
from medimg_cli.errors import UsageError
from medimg_cli.inference.corrupted_predictions import answers_to_disturbed
from medimg_cli.preprocessing.corruptions import DISTURBANCES
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.evaluate import EvaluateResult, evaluate
from medimg_cli.stages.preprocess import preprocess_with
from medimg_cli.training.networks.torch_network import predictor_of
from medimg_cli.workspace.operating_settings import EvaluateSettings
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


@pytest.fixture
def own(trained: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the trained workspace a test may change."""
    shutil.copytree(trained.root, tmp_path / "own")
    return Workspace(tmp_path / "own")


def evaluated(workspace: Workspace, **options: object) -> EvaluateResult:
    run = find_run(workspace, "first")
    cache = preprocess_with(workspace, run.read_card().recipe).cache
    settings = EvaluateSettings.model_validate(options)
    return evaluate(workspace, run, answering(run, tta=settings.tta), cache, settings)


def test_disturbed_images_of_the_split_are_answered_by_the_model_itself(own: Workspace) -> None:
    plain, disturbed = evaluated(own), evaluated(own, robustness=True)
    assert plain.evaluation.not_run["robustness"] == "ask for it with --robustness"
    assert (disturbed.reused, evaluated(own, robustness=True).reused) == (False, True)
    found = disturbed.evaluation.robustness
    assert found is not None and "robustness" not in disturbed.evaluation.not_run
    assert found.n == disturbed.evaluation.n
    assert found.undisturbed["recall"] == disturbed.evaluation.metrics["recall"]


def test_each_disturbance_is_answered_in_its_own_place(trained: Workspace) -> None:
    run = find_run(trained, "first")
    cache, predictor = preprocess_with(trained, run.read_card().recipe).cache, predictor_of(run)
    ids = read_dataset(trained).of_split("test")["image_id"].tolist()
    places = np.arange(1, len(ids))
    found = answers_to_disturbed(predictor, cache, ids, places, batch_size=4, progress=SilentProgress())
    pixels = cache.pixels[cache.positions(ids[1:])]
    for disturbance, probabilities in zip(DISTURBANCES, found.probabilities, strict=True):
        wanted = predictor.of_pixels(disturbance(pixels, ids[1:]))
        np.testing.assert_allclose(probabilities, wanted, atol=1e-5)
    assert len({tuple(np.round(each.ravel(), 4)) for each in found.probabilities}) == len(DISTURBANCES)


def test_the_same_command_gives_the_same_bytes_whatever_the_batches(own: Workspace) -> None:
    path = find_run(own, "first").metrics_path("test")
    evaluated(own, robustness=True)
    first = json.loads(path.read_text())["robustness"]
    path.unlink()
    evaluated(own, robustness=True, batch_size=5)
    again = json.loads(path.read_text())["robustness"]
    assert [row["metrics"]["recall"] for row in first["rows"]] == [
        row["metrics"]["recall"] for row in again["rows"]
    ]
    path.unlink()
    evaluated(own, robustness=True)
    assert json.loads(path.read_text())["robustness"] == first


def test_a_column_that_came_later_is_measured_and_one_that_is_not_there_refused(own: Workspace) -> None:
    assert evaluated(own, min_positives=1).evaluation.subgroups is None
    rows = pd.read_csv(own.manifest_path, dtype=str, keep_default_na=False)
    rows.assign(sex=["F", "M"] * (len(rows) // 2)).to_csv(own.manifest_path, index=False)
    with pytest.raises(UsageError, match="no column 'sexx'"):
        evaluated(own, subgroups="sexx")
    result = evaluated(own, min_positives=1)
    assert result.reused is False and result.evaluation.subgroups is not None
    (grouping,) = result.evaluation.subgroups.groupings
    assert sum(group.n for group in grouping.groups) == result.evaluation.n


def test_further_columns_are_known_again_wherever_the_images_lie(trained: Workspace) -> None:
    dataset = read_dataset(trained)
    elsewhere = Dataset(dataset.rows.assign(path="elsewhere"), dataset.info)
    other = Dataset(dataset.rows.assign(sex="F"), dataset.info)
    assert elsewhere.metadata_hash() == dataset.metadata_hash() != other.metadata_hash()


def test_gaps_and_disturbed_images_are_shown_on_the_terminal(
    own: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_csv(own.manifest_path, dtype=str, keep_default_na=False)
    rows.assign(sex=["F", "M"] * (len(rows) // 2), ward=["[a]"] * len(rows)).to_csv(
        own.manifest_path, index=False
    )
    options = ("--subgroups", "sex,ward", "--robustness", "--set", "evaluate.min_positives=1")
    assert medimg(own.root, "evaluate", *options) == 0
    shown = capsys.readouterr().out
    assert "Largest gaps" in shown and "ward: no gap, as no two of its groups can be compared" in shown
    assert "the data say nothing of age, site, device, view, ethnicity, skin type" in shown
    for each in DISTURBANCES:
        assert each.strength in shown
    assert "disturbed after preprocessing (" in shown
    (header,) = (line for line in shown.splitlines() if line.startswith("Disturbance"))
    assert re.split(r"  +", header.strip())[1:] == [
        "Strength",
        "Sensitivity",
        "Specificity",
        "AUROC",
        "Change of sensitivity (points)",
    ]
