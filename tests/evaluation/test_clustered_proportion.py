"""The interval of a share of images where patients have several."""

import numpy as np
import pytest

from medimg_cli.evaluation.metrics import rate
from medimg_cli.statistics.intervals import score_interval, wilson
from medimg_cli.statistics.sampling import Sampling

PATIENT = np.repeat(np.arange(12), 3)
RIGHT = np.isin(PATIENT, [0, 5], invert=True)  # all images of two of the twelve patients are wrong


def test_it_is_the_score_interval_with_the_spread_of_patients() -> None:
    estimate = rate(RIGHT, Sampling(PATIENT, 36), undefined="")
    # Twelve patients who are all right or all wrong: the variance of a share of 12, with n - 1 below.
    share = 10 / 12
    expected = score_interval(share, share * (1 - share) / 11, 12, units=12)
    assert (estimate.low, estimate.high) == pytest.approx(expected, abs=1e-12)
    assert estimate.method == "Wilson by patient, 12 patients"
    assert estimate.design_effect == pytest.approx(36 / 11)


def test_few_patients_make_it_wider_than_many_with_the_same_share() -> None:
    few = rate(np.tile([True, True, True, False], 4), Sampling(np.repeat(np.arange(4), 4), 16), undefined="")
    many = rate(
        np.tile([True, True, True, False], 400), Sampling(np.repeat(np.arange(400), 4), 1600), undefined=""
    )
    assert None not in (few.low, few.high, many.low, many.high)
    assert few.high - few.low > 5 * (many.high - many.low)  # type: ignore[operator]


def test_where_nothing_varies_it_is_wilsons_of_the_patients() -> None:
    estimate = rate(np.ones(100, bool), Sampling(np.repeat(np.arange(5), 20), 100), undefined="")
    assert (estimate.low, estimate.high) == wilson(5, 5)


def test_one_patient_gives_the_value_and_the_reason_alone() -> None:
    estimate = rate(RIGHT, Sampling(np.zeros(36, dtype=np.int64), 36), undefined="")
    assert estimate.value == 30 / 36
    assert (estimate.low, estimate.high, estimate.method) == (None, None, "")
    assert estimate.reason is not None and "one patient" in estimate.reason
