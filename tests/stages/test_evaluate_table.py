"""evaluate --predictions: the numbers of any table, without a model or a workspace."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from medimg_cli.errors import DataError, GateError, UsageError
from medimg_cli.evaluation.evaluation import read_evaluation
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.evaluate_table import TableResult, evaluate_table
from medimg_cli.workspace.operating_settings import EvaluateSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg

ROWS = 40


def draw(folder: Path, **changed: list[Any]) -> Path:
    """Write answers to 40 images: even ones are ill, every tenth answer is wrong, ten are of val."""
    truth = ["ill" if number % 2 == 0 else "NORMAL" for number in range(ROWS)]
    right = [number % 10 != 0 for number in range(ROWS)]
    ill = [(name == "ill") == yes for name, yes in zip(truth, right, strict=True)]
    score = [0.6 + number / 200 if yes else 0.4 - number / 200 for number, yes in enumerate(ill)]
    columns: dict[str, list[Any]] = {
        "image_id": [f"i{number}" for number in range(ROWS)],
        "patient_id": [f"p{number // 2}" for number in range(ROWS)],
        "split": ["val" if number < 10 else "test" for number in range(ROWS)],
        "y_true": truth,
        "prob_NORMAL": [1 - value for value in score],
        "prob_ill": score,
    }
    columns.update(changed)
    path = folder / "preds.csv"
    pd.DataFrame({name: cells for name, cells in columns.items() if cells}).to_csv(path, index=False)
    return path


def evaluated(path: Path, **options: object) -> TableResult:
    return evaluate_table(path, EvaluateSettings.model_validate(options))


def said(result: TableResult) -> str:
    return "; ".join(result.evaluation.warnings)


def test_a_run_s_own_answers_have_the_numbers_of_the_run(trained: Workspace, tmp_path: Path) -> None:
    run = find_run(trained, "first")
    own = read_evaluation(run, "test")
    assert own is not None and own.threshold is not None
    parts = [
        pd.read_csv(run.predictions_path(split), dtype=str, keep_default_na=False)
        for split in ("val", "test")
    ]
    path = tmp_path / "both.csv"
    pd.concat(parts).to_csv(path, index=False)
    found = evaluated(path, positive="SPOT", target_recall=own.threshold.target_recall).evaluation
    assert found.threshold == own.threshold
    assert found.metrics == own.metrics
    assert (found.missed, found.confusion, found.conformal) == (own.missed, own.confusion, own.conformal)


def test_rows_of_test_are_evaluated_where_there_are_splits_else_all(tmp_path: Path) -> None:
    result = evaluated(draw(tmp_path))
    assert (result.evaluation.n, result.evaluation.split, result.evaluation.patients) == (30, "test", 15)
    result = evaluated(draw(tmp_path, split=[]))
    assert (result.evaluation.n, result.evaluation.split) == (40, "all")
    assert "leaks cannot be excluded: the table names no other split" in said(result)


def test_the_metrics_stand_beside_the_table_or_where_one_says_and_are_the_same_twice(tmp_path: Path) -> None:
    path = draw(tmp_path)
    assert medimg(tmp_path, "evaluate", "--predictions", str(path)) == 0
    assert medimg(tmp_path, "evaluate", "--predictions", str(path), "--out", str(tmp_path / "m.json")) == 0
    first, second = (tmp_path / "preds.metrics.json").read_bytes(), (tmp_path / "m.json").read_bytes()
    assert first == second
    assert json.loads(first)["positive"] == "ill"


def test_what_was_taken_for_granted_is_said(tmp_path: Path) -> None:
    told = said(evaluated(draw(tmp_path, patient_id=[], split=[])))
    assert "'ill' is taken for the disease class" in told
    assert "no threshold was given" in told
    assert "intervals assume that images are independent" in told
    named = said(evaluated(draw(tmp_path), positive="ill", threshold=0.3))
    assert "is taken for" not in named and "no threshold" not in named


def test_a_given_threshold_decides_and_is_tried_on_val(tmp_path: Path) -> None:
    threshold = evaluated(draw(tmp_path), threshold=0.65).evaluation.threshold
    assert threshold is not None
    # Of val, i0 (wrong) to i8 are ill with 0.4, 0.61 … 0.64.
    assert (threshold.value, threshold.rule, threshold.split) == (0.65, "given", "val")
    assert (threshold.achieved_recall, threshold.achieved_specificity) == (0.0, 1.0)
    alone = evaluated(draw(tmp_path, split=[]), threshold=0.65).evaluation
    assert alone.threshold is not None
    assert (alone.threshold.split, alone.threshold.achieved_recall) == ("", None)
    assert alone.missed is not None and alone.missed.count == 4 + 4  # four are wrong, i2 … i8 below 0.65


def test_a_rule_takes_its_threshold_from_rows_of_val_only(tmp_path: Path) -> None:
    threshold = evaluated(draw(tmp_path), target_recall=0.8).evaluation.threshold
    assert threshold is not None and (threshold.value, threshold.split) == (0.61, "val")
    with pytest.raises(UsageError, match="chosen on rows whose split is val"):
        evaluated(draw(tmp_path, split=[]), target_recall=0.8)


def test_a_patient_in_two_splits_is_refused_unless_allowed(tmp_path: Path) -> None:
    path = draw(tmp_path, patient_id=[f"p{number % 20}" for number in range(ROWS)])
    with pytest.raises(GateError, match="10 patients of the test split"):
        evaluated(path)
    assert evaluated(path, allow_leak=True).evaluation.leakage.shared_patients == 10


def test_a_table_tells_its_leak_and_is_measured_without_it(tmp_path: Path) -> None:
    path = draw(
        tmp_path,
        patient_id=[f"p{number % 20}" for number in range(ROWS)],
        sha256=[f"f{number % 25}" for number in range(ROWS)],
    )
    leakage = evaluated(path, allow_leak=True).evaluation.leakage
    assert leakage.leak is not None
    # Of test (10 to 39), 20 to 29 are of patients of val, 25 to 34 are files of val.
    told = leakage.leak
    assert (told.of, told.images, told.patient, told.identical, told.near) == (30, 15, 10, 10, None)
    assert (leakage.shared_patients, leakage.shared_files, leakage.not_compared) == (10, 10, "")
    rest = evaluated(path, without_leaked=True)
    assert (rest.evaluation.n, rest.evaluation.leakage.left_out) == (15, 15)
    assert rest.evaluation.leakage.leak == told and "15 images with a counterpart" in said(rest)
    with pytest.raises(UsageError, match="--without-leaked: the table names no other split"):
        evaluated(draw(tmp_path, split=[]), without_leaked=True)
    every = draw(tmp_path, patient_id=["p0"] * ROWS)
    with pytest.raises(DataError, match="30 of 30 test images"):
        evaluated(every, without_leaked=True)


def test_files_in_two_splits_of_a_table_are_refused_unless_allowed(tmp_path: Path) -> None:
    path = draw(tmp_path, sha256=["" if number % 3 else f"f{number % 6}" for number in range(ROWS)])
    with pytest.raises(GateError, match="2 files of the test split"):
        evaluated(path)


def test_images_of_one_class_only_are_evaluated_and_it_is_said(tmp_path: Path) -> None:
    evaluation = evaluated(draw(tmp_path, y_true=["ill"] * ROWS)).evaluation
    assert evaluation.metrics["auroc"].value is None and evaluation.metrics["auroc"].reason
    assert evaluation.metrics["recall"].n == 30
    assert any("every image is of ill" in warning for warning in evaluation.warnings)


def test_a_class_that_no_image_is_of_is_named(tmp_path: Path) -> None:
    result = evaluated(draw(tmp_path, prob_other=[0.0] * ROWS))
    assert "no image is of other" in said(result)
    assert result.evaluation.per_class["other"]["recall"].value is None


def test_further_columns_are_subgroups(tmp_path: Path) -> None:
    found = evaluated(draw(tmp_path, sex=["F", "F", "M", "M"] * 10), min_positives=1).evaluation.subgroups
    assert found is not None
    assert {group.level for group in found.groupings[0].groups} == {"F", "M"}


def test_several_labels_are_evaluated_each(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "y_true_mass,y_true_edema,prob_mass,prob_edema\n1,,0.9,0.8\n0,1,0.2,0.9\n0,0,0.1,0.3\n1,1,0.7,0.4\n"
    )
    evaluation = evaluated(path, threshold=0.6, protocol="medmnist").evaluation
    assert evaluation.unknown_labels == {"mass": 0, "edema": 1}
    assert evaluation.per_class["edema"]["recall"].value == 0.5
    assert evaluation.protocol is not None and evaluation.protocol.auc == 1.0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["RUN"], 2),
        (["--tta"], 2),
        (["--data", "folder"], 2),
        (["--threshold", "0.5", "--target-recall", "0.9"], 2),
        (["--positive", "healthy"], 2),
        (["--keep-threshold", "--youden"], 2),
        (["--subgroups", "sex"], 2),
        (["--split", "train"], 3),
        (["--require", "recall>=0.99"], 1),
    ],
)
def test_what_cannot_be_met_ends_with_its_code(arguments: list[str], code: int, tmp_path: Path) -> None:
    assert medimg(tmp_path, "evaluate", "--predictions", str(draw(tmp_path)), *arguments) == code


def test_options_of_a_table_are_refused_for_a_run(trained: Workspace) -> None:
    assert medimg(trained.root, "evaluate", "--threshold", "0.4") == 2
    assert medimg(trained.root, "evaluate", "--layout", "folders") == 2


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no row whose split is train"):
        evaluated(draw(tmp_path), split="train")
    with pytest.raises(UsageError, match="has no column split"):
        evaluated(draw(tmp_path, split=[]), split="test")


def test_no_network_library_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from medimg_cli.cli.app import run\n"
        f"code = run(['evaluate', '--predictions', {str(draw(tmp_path))!r}, '--quiet'])\n"
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
