"""Every metric against scikit-learn or a hand-computed case; the contract of the shelf."""

import numpy as np
import pytest
from sklearn import metrics as reference

from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.evaluation.run_table import LOWER_IS_BETTER
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import clopper_pearson, wilson
from medimg_cli.statistics.sampling import Sampling

EPS = float(np.finfo(np.float32).eps)
GENERATOR = np.random.default_rng(7)
TRUTH = GENERATOR.random(300) < 0.4
SCORE = np.clip(GENERATOR.normal(0.35 + 0.3 * TRUTH, 0.2), 0, 1)
CALLED = SCORE >= 0.5
VIEW = OneVsRest(TRUTH, SCORE, CALLED)
ALL_POSITIVE = OneVsRest(np.ones(3, bool), np.full(3, 0.9), np.ones(3, bool))
ALL_NEGATIVE = OneVsRest(np.zeros(3, bool), np.full(3, 0.1), np.zeros(3, bool))

ORACLES = {
    "recall": reference.recall_score(TRUTH, CALLED),
    "specificity": reference.recall_score(~TRUTH, ~CALLED),
    "precision": reference.precision_score(TRUTH, CALLED),
    "npv": reference.precision_score(~TRUTH, ~CALLED),
    "accuracy": reference.accuracy_score(TRUTH, CALLED),
    "balanced_accuracy": reference.balanced_accuracy_score(TRUTH, CALLED),
    "f1": reference.f1_score(TRUTH, CALLED),
    "mcc": reference.matthews_corrcoef(TRUTH, CALLED),
    "kappa": reference.cohen_kappa_score(TRUTH, CALLED),
    "auroc": reference.roc_auc_score(TRUTH, SCORE),
    "average_precision": reference.average_precision_score(TRUTH, SCORE),
    "brier": reference.brier_score_loss(TRUTH, SCORE),
    "log_loss": reference.log_loss(TRUTH, np.clip(SCORE, EPS, 1 - EPS)),
}


@pytest.mark.parametrize("name", ORACLES)
def test_the_value_is_scikit_learns(name: str) -> None:
    estimate = METRICS.get(name)(VIEW)
    assert estimate.value == pytest.approx(ORACLES[name], abs=1e-12)


@pytest.mark.parametrize("name", METRICS.names())
@pytest.mark.parametrize("view", [VIEW, ALL_POSITIVE, ALL_NEGATIVE], ids=["mixed", "positive", "negative"])
def test_every_metric_keeps_the_contract(name: str, view: OneVsRest) -> None:
    estimate = METRICS.get(name)(view)
    assert isinstance(estimate, Estimate)
    assert (estimate.low is None) == (estimate.reason is not None)
    assert (estimate.low is None) == (estimate.high is None) == (estimate.method == "")
    if estimate.value is not None and estimate.low is not None and estimate.high is not None:
        assert estimate.low <= estimate.value <= estimate.high
    assert METRICS.get(name).__doc__


def test_every_metric_has_an_oracle() -> None:
    assert {*ORACLES, "ece"} == set(METRICS.names())


@pytest.mark.parametrize("name", METRICS.names())
def test_a_metric_falls_with_better_answers_where_runs_are_ranked_so(name: str) -> None:
    better = np.where(TRUTH, 0.5 + SCORE / 2, SCORE / 2)
    of_better = METRICS.get(name)(OneVsRest(TRUTH, better, better >= 0.5)).value
    of_worse = METRICS.get(name)(OneVsRest(TRUTH, 1 - better, better < 0.5)).value
    assert of_better is not None and of_worse is not None
    assert (of_better < of_worse) == (name in LOWER_IS_BETTER)


@pytest.mark.parametrize(
    ("name", "view"),
    [
        ("recall", ALL_NEGATIVE),
        ("specificity", ALL_POSITIVE),
        ("precision", ALL_NEGATIVE),
        ("npv", ALL_POSITIVE),
        ("auroc", ALL_POSITIVE),
        ("mcc", ALL_NEGATIVE),
        ("f1", ALL_NEGATIVE),
        ("average_precision", ALL_NEGATIVE),
    ],
)
def test_an_undefined_number_is_none_with_a_reason_never_zero(name: str, view: OneVsRest) -> None:
    estimate = METRICS.get(name)(view)
    assert estimate.value is None
    assert estimate.reason


def test_proportions_carry_their_counts() -> None:
    estimate = METRICS.get("recall")(VIEW)
    assert (estimate.count, estimate.n, estimate.method) == (
        int((TRUTH & CALLED).sum()),
        int(TRUTH.sum()),
        "Wilson",
    )


@pytest.mark.parametrize("name", METRICS.names())
def test_patients_with_copies_of_their_image_get_the_interval_of_single_images(name: str) -> None:
    copies = Sampling([f"p{index}" for index in range(300)] * 3, 900)
    tripled = OneVsRest(np.tile(TRUTH, 3), np.tile(SCORE, 3), np.tile(CALLED, 3), copies)
    once, thrice = METRICS.get(name)(VIEW), METRICS.get(name)(tripled)
    assert thrice.value == pytest.approx(once.value)
    assert None not in (once.low, once.high, thrice.low, thrice.high)
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.12)  # type: ignore[operator]
    if thrice.design_effect is not None:
        assert thrice.design_effect == pytest.approx(3, rel=0.12)


def test_a_perfect_proportion_of_few_patients_has_a_wide_interval() -> None:
    sampling = Sampling([f"p{index % 5}" for index in range(100)], 100)
    view = OneVsRest(np.ones(100, bool), np.ones(100), np.ones(100, bool), sampling)
    estimate = METRICS.get("recall")(view)
    assert (estimate.low, estimate.high) == wilson(5, 5)


def test_the_exact_interval_is_there_on_request() -> None:
    view = OneVsRest(TRUTH, SCORE, CALLED, Sampling(None, 300, exact=True))
    estimate = METRICS.get("recall")(view)
    assert (estimate.low, estimate.high) == clopper_pearson(int((TRUTH & CALLED).sum()), int(TRUTH.sum()))
    assert estimate.method == "Clopper–Pearson"


def test_calibration_error_of_a_known_case() -> None:
    # Two bins of the fifteen are used: (0.2, 0.27] holds two cases at 0.25 with outcomes 0, 0; the bin of
    # 0.75 holds two with outcomes 1, 1: both gaps are 0.25.
    score = np.array([0.25, 0.25, 0.75, 0.75])
    view = OneVsRest(np.array([False, False, True, True]), score, score > 0.5)
    assert METRICS.get("ece")(view).value == pytest.approx(0.25)
