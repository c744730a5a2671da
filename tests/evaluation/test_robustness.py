"""What disturbed images do to recall: paired, by patient where there are several images of one."""

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as reference

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.robustness import robustness
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.results.surroundings import Robustness
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.preprocessing.corruptions import DISTURBANCES, DisturbedAnswers
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.intervals import wilson
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.workspace.operating_settings import EvaluateSettings

N = 400
GENERATOR = np.random.default_rng(2)
ILL = np.arange(N) % 2 == 0
SCORE = np.where(ILL, 0.8, 0.2)
CUT = Threshold(
    value=0.5, rule="", split="val", target_recall=0.9, achieved_recall=0.9, achieved_specificity=0.5
)
ASKED = EvaluateSettings(robustness=True)


def subject_of(changed: np.ndarray, *, images_a_patient: int = 1, rows: np.ndarray | None = None) -> Subject:
    """Return a perfect model whose every disturbed answer is `changed` (N,)."""
    table = pd.DataFrame(
        {
            "image_id": [f"{number}.png" for number in range(N)],
            "patient_id": [f"p{number // (2 * images_a_patient)}-{number % 2}" for number in range(N)],
            "y_true": np.where(ILL, "ill", "well"),
            "prob_ill": SCORE,
            "prob_well": 1 - SCORE,
        }
    )
    kept = np.arange(N) if rows is None else rows
    answers = np.stack([changed[kept], 1 - changed[kept]], axis=1)
    labels = LabelSpace(("ill", "well"), "ill")
    return Subject(
        ScoredPredictions(table, labels, OperatingPoint(CUT), sampling_of(table, known=True)),
        ASKED,
        disturbed=DisturbedAnswers(kept, np.stack([answers] * len(DISTURBANCES)), "32 x 32, grey, pad"),
    )


def found_in(subject: Subject) -> Robustness:
    found = robustness(subject)
    assert isinstance(found, Robustness)
    return found


def test_each_row_has_the_figures_of_the_disturbed_answers_and_the_change_of_recall() -> None:
    changed = np.where(np.arange(N) % 10 == 0, 0.3, SCORE)  # every fifth ill image is missed now
    found = found_in(subject_of(changed))
    assert [(row.disturbance, row.severity) for row in found.rows] == [
        (each.name, each.severity) for each in DISTURBANCES
    ]
    assert (found.n, found.pixels, found.undisturbed["recall"].value) == (N, "32 x 32, grey, pad", 1.0)
    row = found.rows[0]
    assert row.metrics["recall"].value == pytest.approx(0.8)
    assert row.metrics["auroc"].value == pytest.approx(reference.roc_auc_score(ILL, changed))
    change = row.change
    assert change.value == pytest.approx(-0.2)
    assert change.n == 200
    assert change.method == "Student, paired, by image"
    half = 1.96 * np.sqrt(0.2 * 0.8 / 200)
    assert [change.low, change.high] == pytest.approx([-0.2 - half, -0.2 + half], abs=0.02)


def test_patients_are_drawn_with_all_their_images() -> None:
    changed = np.where(np.arange(N) % 40 < 8, np.minimum(SCORE, 0.3), SCORE)  # all images of some patients
    alone, together = (
        found_in(subject_of(changed, images_a_patient=count)).rows[0].change for count in (1, 4)
    )
    assert together.method == "Student, paired, by patient"
    assert alone.value == together.value == pytest.approx(-0.2)
    assert None not in (alone.low, alone.high, together.low, together.high)
    ratio = (together.high - together.low) / (alone.high - alone.low)  # type: ignore[operator]
    assert ratio == pytest.approx(2, abs=0.3)


@pytest.mark.parametrize(("images_a_patient", "units"), [(1, 200), (4, 50)])
def test_where_no_decision_changes_the_interval_still_has_a_width(images_a_patient: int, units: int) -> None:
    change = found_in(subject_of(SCORE, images_a_patient=images_a_patient)).rows[0].change
    most = wilson(0, units)[1]
    assert (change.value, change.low, change.high) == (0.0, -most, most)


def test_where_few_decisions_change_the_interval_is_that_of_gained_and_lost() -> None:
    changed = SCORE.copy()
    changed[0] = 0.3
    change = found_in(subject_of(changed)).rows[0].change
    least, most = wilson(1, 200)
    wanted = [-1 / 200 - (most - 1 / 200), -1 / 200 + np.hypot(wilson(0, 200)[1], 1 / 200 - least)]
    assert [change.low, change.high] == pytest.approx(wanted)
    assert change.method == "Wilson of gained and lost, by image"


def test_only_the_drawn_images_count_on_both_sides() -> None:
    rows = np.arange(40)
    found = found_in(subject_of(np.where(np.arange(N) < 40, SCORE, 0.0), rows=rows))
    assert (found.n, found.undisturbed["recall"].n, found.rows[0].metrics["recall"].value) == (40, 20, 1.0)


def test_without_a_positive_class_the_mean_recall_changes() -> None:
    truth = np.arange(N) % 3
    right, wrong = np.eye(3)[truth], np.eye(3)[(truth + 1) % 3]
    table = pd.DataFrame({"image_id": np.arange(N), "y_true": np.array(["a", "b", "c"])[truth]})
    table = table.assign(patient_id=np.arange(N), **{f"prob_{n}": right[:, i] for i, n in enumerate("abc")})
    answered = ScoredPredictions(
        table, LabelSpace(("a", "b", "c")), OperatingPoint(), sampling_of(table, known=True)
    )
    answers = np.where((np.arange(N) < 30)[:, None], wrong, right)
    disturbed = DisturbedAnswers(np.arange(N), np.stack([answers] * len(DISTURBANCES)), "")
    row = found_in(Subject(answered, ASKED, disturbed=disturbed)).rows[0]
    wanted = reference.balanced_accuracy_score(truth, answers.argmax(axis=1))
    assert row.metrics["macro_recall"].value == pytest.approx(wanted)
    assert row.change.value == pytest.approx(wanted - 1)


def test_what_was_not_asked_for_or_cannot_be_had_is_said() -> None:
    subject = subject_of(SCORE)
    assert robustness(Subject(subject.here)) == "ask for it with --robustness"
    assert robustness(Subject(subject.here, ASKED)) == "there are no pixels to disturb, only answers"
