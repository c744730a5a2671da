"""Intervals and tests against figures that others published, where these need no data file."""

import numpy as np
import pytest

from medimg_cli.statistics.intervals import clopper_pearson, wilson
from medimg_cli.statistics.paired_tests import two_sided

# R package pROC, data set aSAH (41 poor, 72 good outcomes): areas, DeLong's variances and covariances (its tests).
AREA = {"wfns": 0.823678861788618, "ndka": 0.611957994579946, "s100b": 0.7313685636856369}
VARIANCE = {"wfns": 0.00146991470882363, "ndka": 0.0031908105493913, "s100b": 0.00266868245717244}
COVARIANCE = {
    ("wfns", "ndka"): -0.000532967856762438,
    ("ndka", "s100b"): -0.000756164938056579,
    ("wfns", "s100b"): 0.00119615567376754,
}
# Its paired tests of these: Z and p.
PAIRED = {
    ("wfns", "s100b"): (2.20898359144091, 0.0271757822291882),
    ("wfns", "ndka"): (2.79777591868904, 0.00514557970691098),
    ("ndka", "s100b"): (-1.39077002573558, 0.164295175223054),
}
# Newcombe RG. Stat Med 1998;17:857-872, table I: count, n, Wilson's interval, Clopper and Pearson's.
SINGLE = [
    (81, 263, (0.2553, 0.3662), (0.2527, 0.3676)),
    (15, 148, (0.0624, 0.1605), (0.0578, 0.1617)),
    (0, 20, (0.0, 0.1611), (0.0, 0.1684)),
    (1, 29, (0.0061, 0.1718), (0.0009, 0.1776)),
]


@pytest.mark.parametrize("models", PAIRED)
def test_the_difference_of_two_areas_is_tested_as_proc_does(models: tuple[str, str]) -> None:
    first, second = models
    gap = AREA[first] - AREA[second]
    variance = VARIANCE[first] + VARIANCE[second] - 2 * COVARIANCE[models]
    z, p = PAIRED[models]
    assert gap / np.sqrt(variance) == pytest.approx(z, rel=1e-9)
    assert two_sided(gap, variance) == pytest.approx(p, rel=1e-9)


@pytest.mark.parametrize(("count", "n", "by_score", "exact"), SINGLE)
def test_single_proportions_have_newcombes_intervals(
    count: int, n: int, by_score: tuple[float, float], exact: tuple[float, float]
) -> None:
    assert wilson(count, n) == pytest.approx(by_score, abs=6e-5)
    assert clopper_pearson(count, n) == pytest.approx(exact, abs=6e-5)


def test_intervals_of_usual_sizes_keep_every_digit() -> None:
    assert wilson(48, 50) == pytest.approx((0.8653990931, 0.9889611157), abs=1e-9)
    assert clopper_pearson(48, 50) == pytest.approx((0.8628623744, 0.9951185666), abs=1e-9)
    assert wilson(95, 100) == pytest.approx((0.8882495308, 0.9784563208), abs=1e-9)
    assert clopper_pearson(95, 100) == pytest.approx((0.8871650889, 0.9835681208), abs=1e-9)
