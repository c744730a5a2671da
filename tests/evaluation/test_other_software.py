"""Intervals, tests and curves beside what statsmodels and dcurves make of the same random data.

Both are development oracles, and not installed by the project: `pip install statsmodels dcurves`, then
`pytest -m slow tests/evaluation/test_other_software.py`.
"""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from medimg_cli.evaluation.analyses.decision_curves import curve_of, thresholds_between
from medimg_cli.evaluation.metrics.counts import kappa_of, weighted_kappa_of
from medimg_cli.statistics.calibration_slope import Fitted, intercept_of, logit, slope_of
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import clopper_pearson, difference, wilson
from medimg_cli.statistics.paired_tests import holm, mcnemar
from tests.evaluation.subjects import two_classes

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
SEEDS = range(20)


@pytest.fixture
def statsmodels() -> Any:
    return part_of_statsmodels("stats.api")


def part_of_statsmodels(name: str) -> Any:
    return pytest.importorskip(f"statsmodels.{name}", reason="pip install statsmodels")


def answers(seed: int, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return reference standard and probabilities that are too sure of themselves, by a varying amount."""
    random = np.random.default_rng(seed)
    logits = random.normal(-0.5, 1.5, n)
    truth = random.random(n) < 1 / (1 + np.exp(-logits * random.uniform(0.4, 1.6) + 0.3))
    return truth, 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("seed", SEEDS)
def test_intervals_of_a_proportion_are_those_of_statsmodels(statsmodels: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    n = int(random.integers(5, 300))
    count = int(random.integers(0, n + 1))
    assert wilson(count, n) == pytest.approx(
        statsmodels.proportion_confint(count, n, method="wilson"), abs=1e-12
    )
    assert clopper_pearson(count, n) == pytest.approx(
        statsmodels.proportion_confint(count, n, method="beta"), abs=1e-9
    )


@pytest.mark.parametrize("seed", SEEDS)
def test_the_interval_of_a_difference_is_that_of_statsmodels(statsmodels: Any, seed: int) -> None:
    random = np.random.default_rng(seed)
    n = random.integers(8, 200, 2)
    counts = [int(random.integers(0, most + 1)) for most in n]
    both = [
        Estimate(value=count / most, low=wilson(count, most)[0], high=wilson(count, most)[1], n=most)
        for count, most in zip(counts, n.tolist(), strict=True)
    ]
    expected = statsmodels.confint_proportions_2indep(
        counts[0], n[0], counts[1], n[1], compare="diff", method="newcomb"
    )
    found = difference(both[0], both[1])
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_mcnemar_is_that_of_statsmodels(seed: int) -> None:
    theirs = part_of_statsmodels("stats.contingency_tables").mcnemar

    random = np.random.default_rng(seed)
    first, second = (int(count) for count in random.integers(0, 40, 2))
    exact = first + second < 25
    expected = theirs([[50, first], [second, 50]], exact=exact, correction=True).pvalue
    if first == second:
        expected = 1.0  # the correction of statsmodels overshoots: |0| - 1 squared is 1
    assert mcnemar(first, second)[0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_holm_is_that_of_statsmodels(statsmodels: Any, seed: int) -> None:
    tests = np.random.default_rng(seed).beta(0.5, 3, 7)
    expected = statsmodels.multipletests(tests, method="holm")[1]
    assert holm(tests.tolist()) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_kappa_is_that_of_statsmodels(statsmodels: Any, seed: int) -> None:
    table = np.random.default_rng(seed).integers(1, 60, (4, 4))
    tables = table[None].astype(np.float64)
    assert kappa_of(tables)[0] == pytest.approx(statsmodels.cohens_kappa(table, return_results=False))
    weighted = statsmodels.cohens_kappa(table, weights=np.arange(4), wt="quadratic", return_results=False)
    assert weighted_kappa_of(tables)[0] == pytest.approx(weighted)


@pytest.mark.parametrize("seed", SEEDS)
def test_recalibration_is_that_of_statsmodels(seed: int) -> None:
    sm = part_of_statsmodels("api")

    truth, score = answers(seed)
    x, outcome = logit(score), truth.astype(float)
    slope = sm.GLM(outcome, sm.add_constant(x), family=sm.families.Binomial()).fit(tol=1e-12)
    level = sm.GLM(outcome, np.ones_like(x), family=sm.families.Binomial(), offset=x).fit(tol=1e-12)
    for found, expected in ((slope_of(truth, score), (slope, 1)), (intercept_of(truth, score), (level, 0))):
        fit, place = expected
        assert isinstance(found, Fitted)
        assert found.value == pytest.approx(fit.params[place], abs=1e-7)
        assert found.variance == pytest.approx(fit.bse[place] ** 2, rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_spread_of_a_slope_by_patient_is_that_of_statsmodels(seed: int) -> None:
    sm = part_of_statsmodels("api")

    truth, score = answers(seed)
    patients = np.random.default_rng(seed).integers(0, 120, len(truth))
    x = logit(score)
    model = sm.GLM(truth.astype(float), sm.add_constant(x), family=sm.families.Binomial())
    fit = model.fit(tol=1e-12, cov_type="cluster", cov_kwds={"groups": patients, "use_correction": False})
    found = slope_of(truth, score, patients)
    assert isinstance(found, Fitted)
    several = len(np.unique(patients))
    assert found.variance == pytest.approx(fit.bse[1] ** 2 * several / (several - 1), rel=1e-4)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_decision_curve_is_that_of_dcurves(seed: int) -> None:
    dcurves = pytest.importorskip("dcurves", reason="pip install dcurves")
    truth, score = answers(seed)
    thresholds = thresholds_between(0.01, 0.99)
    table = dcurves.dca(
        pd.DataFrame({"ill": truth.astype(int), "score": score}),
        outcome="ill",
        modelnames=["score"],
        thresholds=thresholds.tolist(),
    )
    theirs = {
        name: rows.sort_values("threshold")["net_benefit"].to_numpy() for name, rows in table.groupby("model")
    }
    view = two_classes(truth, score).here.questions["ill"]
    found = curve_of(view, thresholds)
    assert np.array(found.model) == pytest.approx(theirs["score"], abs=1e-12)
    assert np.array(found.treat_all) == pytest.approx(theirs["all"], abs=1e-12)
