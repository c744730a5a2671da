"""Bands around curves."""

import numpy as np
import pytest

from medimg_cli.evaluation.curves import (
    precision_recall_curve_of,
    roc_curve_of,
    with_precision_band,
    with_roc_band,
)
from medimg_cli.statistics.sampling import Sampling, score_levels

RANDOM = np.random.default_rng(0)
TRUTH = np.repeat([True, False], [60, 90])
SCORE = np.where(TRUTH, RANDOM.normal(1.2, 1, 150), RANDOM.normal(0, 1, 150))


def _levels(truth: np.ndarray, patients: list[str] | None = None):  # type: ignore[no-untyped-def]
    return score_levels(truth, SCORE, Sampling(patients, len(truth)))


def test_the_band_of_a_roc_curve_is_the_interval_of_recall_at_a_false_positive_rate() -> None:
    curve = roc_curve_of("a", TRUTH, SCORE, None)
    assert curve is not None
    banded = with_roc_band(curve, _levels(TRUTH))
    assert len(banded.low) == len(banded.high) == len(curve.x)
    place = int(np.argmin(np.abs(np.array(curve.x) - 0.1)))
    at = curve.x[place]
    replicates = []
    for _ in range(1000):
        drawn = RANDOM.integers(0, 150, 150)
        truth, score = TRUTH[drawn], SCORE[drawn]
        cut = np.sort(score[~truth])[::-1]
        threshold = cut[min(int(np.floor(at * len(cut) + 1e-9)), len(cut) - 1)]
        replicates.append((score[truth] > threshold).mean())
    expected = np.quantile(replicates, [0.025, 0.975])
    assert (banded.low[place], banded.high[place]) == pytest.approx(expected, abs=0.04)


def test_bands_hold_the_upper_end_of_every_rise_and_never_cross() -> None:
    curve = roc_curve_of("a", TRUTH, SCORE, None)
    assert curve is not None
    banded = with_roc_band(curve, _levels(TRUTH))
    top = {x: max(y for other, y in zip(curve.x, curve.y, strict=True) if other == x) for x in curve.x}
    held = [
        low <= top[x] <= high for x, low, high in zip(curve.x, banded.low, banded.high, strict=True) if x < 1
    ]
    assert np.mean(held) > 0.97
    assert banded.low[0] < top[0.0] < banded.high[0]
    assert all(low <= high for low, high in zip(banded.low, banded.high, strict=True))
    assert banded.high[-1] == banded.low[-1] == 1.0


def test_the_band_of_precision_ends_at_the_prevalence_and_widens_with_whole_patients() -> None:
    curve = precision_recall_curve_of("a", TRUTH, SCORE, None)
    assert curve is not None
    alone = with_precision_band(curve, _levels(TRUTH))
    assert alone.low[-1] < 60 / 150 < alone.high[-1]
    middle = len(curve.x) // 2
    assert alone.low[middle] < curve.y[middle] < alone.high[middle]
    ranked = np.empty(150, dtype=int)
    ranked[np.lexsort((SCORE, TRUTH))] = np.arange(150) // 10
    alike = with_precision_band(curve, _levels(TRUTH, [str(rank) for rank in ranked]))
    assert alike.high[middle] - alike.low[middle] > 1.3 * (alone.high[middle] - alone.low[middle])


def test_a_curve_whose_replicates_lack_a_class_has_no_band() -> None:
    truth = np.zeros(150, dtype=bool)
    truth[0] = True
    curve = roc_curve_of("a", truth, SCORE, None)
    assert curve is not None
    levels = _levels(truth)
    kept = with_roc_band(curve, levels)  # a lone positive is drawn in 63 % of the replicates
    assert kept.low
    none = levels.packed.copy()
    none[: len(none) * 6 // 10, :, 1] = 0
    assert with_roc_band(curve, type(levels)(levels.exact, levels.counts, none)).low == ()
