"""Decision curves: the formula, its interval, the useful range."""

import numpy as np
import pytest

from medimg_cli.evaluation.analyses.decision_curves import decision_curves, net_benefit
from medimg_cli.evaluation.results.decisions import DecisionCurve, DecisionCurves
from tests.evaluation.subjects import two_classes


def curve(truth: np.ndarray, score: np.ndarray, **options: object) -> DecisionCurve:
    found = decision_curves(two_classes(truth, score, **options))  # type: ignore[arg-type]
    assert isinstance(found, DecisionCurves)
    return found.by_class["ill"]


def counted(tp: int, fn: int, fp: int, tn: int) -> tuple[np.ndarray, np.ndarray]:
    """Return reference standard and scores: 1 where called, 0 where not."""
    truth = np.repeat([True, True, False, False], [tp, fn, fp, tn])
    return truth, np.repeat([1.0, 0.0, 1.0, 0.0], [tp, fn, fp, tn])


@pytest.mark.parametrize(
    ("counts", "at_one_ninth", "at_one"),
    [((30, 0, 75, 0), 0.206, -0.429), ((20, 15, 60, 10), 0.127, -0.381)],
)
def test_net_benefit_is_that_of_metrics_reloaded(
    counts: tuple[int, int, int, int], at_one_ninth: float, at_one: float
) -> None:
    found = curve(*counted(*counts))
    benefit = dict(zip(found.thresholds, found.model, strict=True))
    assert benefit[0.1] == pytest.approx(at_one_ninth, abs=5e-4)
    assert benefit[0.5] == pytest.approx(at_one, abs=5e-4)


def test_net_benefit_is_that_of_dcurves() -> None:
    # R dcurves on its df_binary (750 patients, prevalence 0.14): treat all, and a family history.
    all_of_them = {0.01: 0.13131313131313133, 0.05: 0.09473684210526317, 0.1: 0.04444444444444445}
    history = {
        0.05: 0.025614035087719297,
        0.1: 0.018518518518518517,
        0.15: 0.010588235294117645,
        0.2: 0.0016666666666666635,
        0.25: -0.008444444444444449,
    }
    found = curve(*counted(tp=24, fn=81, fp=91, tn=554))
    treat_all = dict(zip(found.thresholds, found.treat_all, strict=True))
    model = dict(zip(found.thresholds, found.model, strict=True))
    assert found.prevalence == pytest.approx(0.14)
    assert {t: treat_all[t] for t in all_of_them} == pytest.approx(all_of_them, abs=1e-12)
    assert {t: model[t] for t in history} == pytest.approx(history, abs=1e-12)
    shares = net_benefit(np.array([0.116]), np.array([0.257333333]), np.array([1.0]), np.array([0.1]))
    assert shares[0] == pytest.approx(0.0874074074, abs=1e-9)


def test_an_image_on_the_threshold_is_called() -> None:
    found = curve(np.array([True, False]), np.array([0.3, 0.3]))
    at = dict(zip(found.thresholds, found.model, strict=True))
    assert at[0.3] == pytest.approx((1 - 0.3 / 0.7) / 2)
    assert at[0.31] == 0


def test_the_curve_is_that_of_counting_at_each_threshold() -> None:
    generator = np.random.default_rng(3)
    truth = generator.random(300) < 0.3
    score = np.clip(generator.normal(0.2 + 0.3 * truth, 0.2), 0, 1)
    found = curve(truth, score, decision_range="0.2,0.8")
    assert (found.thresholds[0], found.thresholds[-1], len(found.thresholds)) == (0.2, 0.8, 61)
    for t, benefit in zip(found.thresholds, found.model, strict=True):
        called = score >= t
        expected = (called & truth).mean() - (called & ~truth).mean() * t / (1 - t)
        assert benefit == pytest.approx(expected, abs=1e-12)


def test_the_useful_range_is_where_the_model_beats_all_and_none() -> None:
    truth = np.repeat([True, False], [20, 80])
    score = np.concatenate([np.full(20, 0.4), np.full(80, 0.1)])
    found = curve(truth, score)
    # At or below 0.10 everybody is called, as if all were; above 0.40 nobody is.
    assert (found.useful_from, found.useful_to) == (0.11, 0.4)
    never = curve(truth, score[::-1])
    assert (never.useful_from, never.useful_to) == (None, None)


def test_images_of_one_patient_make_the_interval_wider() -> None:
    generator = np.random.default_rng(5)
    truth = np.repeat(generator.random(100) < 0.4, 4)
    score = np.repeat(np.clip(generator.normal(0.3, 0.15, 100) + 0.2 * truth[::4], 0, 1), 4)
    alone = curve(truth, score)
    together = curve(truth, score, patients=[str(number // 4) for number in range(400)])
    at = alone.thresholds.index(0.3)
    widths = [each.high[at] - each.low[at] for each in (alone, together)]
    assert alone.low[at] < alone.model[at] < alone.high[at]
    # Four equal images say as much as one: the standard error doubles.
    assert widths[1] / widths[0] == pytest.approx(2, rel=0.15)


def test_a_class_without_images_has_no_curve() -> None:
    assert "no image of ill" in str(decision_curves(two_classes([False, False], [0.1, 0.2])))


@pytest.mark.parametrize("given", ["0.5,0.1", "0,0.5", "0.1", "0.101,0.105", "0.2,1"])
def test_a_range_of_thresholds_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(ValueError, match="decision_range"):
        two_classes([True], [0.5], decision_range=given)
