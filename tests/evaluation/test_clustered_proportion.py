"""The interval of a share of images where patients have several."""

import numpy as np
import pytest

from medimg_cli.evaluation.metrics import clustered_proportion, rate
from medimg_cli.statistics.intervals import logit_interval, wilson
from medimg_cli.statistics.sampling import Sampling

PATIENT = np.repeat(np.arange(12), 3)
RIGHT = np.isin(PATIENT, [0, 5], invert=True)  # all images of two of the twelve patients are wrong


def test_it_stands_on_the_logit_scale_with_the_spread_of_patients() -> None:
    estimate = rate(RIGHT, Sampling(PATIENT, 36), undefined="")
    # Twelve patients who are all right or all wrong: the variance of a share of 12, with n - 1 below.
    share = 10 / 12
    expected = logit_interval(share, share * (1 - share) / 11, units=12)
    assert (estimate.low, estimate.high) == pytest.approx(expected, abs=0.02)
    assert estimate.method == "bootstrap of patients, 2,000 replicates, logit scale"
    assert estimate.design_effect == pytest.approx(3, rel=0.05)


def test_few_patients_make_it_wider_than_many_with_the_same_spread() -> None:
    shares = np.linspace(0.75, 0.95, 101)
    few, many = (clustered_proportion(85, 100, shares, patients) for patients in (4, 400))
    assert None not in (few.low, few.high, many.low, many.high)
    assert few.high - few.low > 1.5 * (many.high - many.low)  # type: ignore[operator]
    assert 0 < few.low < 0.85 < few.high < 1  # type: ignore[operator]


def test_where_nothing_varies_it_is_wilsons_of_the_patients() -> None:
    estimate = clustered_proportion(100, 100, np.ones(2000), 5)
    assert (estimate.low, estimate.high) == wilson(5, 5)
    assert estimate.method == "Wilson, as of 5 independent patients"
