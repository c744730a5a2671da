"""Kappa of readers, against figures of the literature and of scikit-learn."""

from math import isnan

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from medimg_cli.audit.checks.annotator_agreement import cohen, fleiss

# Fleiss' own form of table, ten subjects rated by fourteen people into five categories; kappa 0.210 (the worked
# example that textbooks give for Fleiss JL, Psychol Bull 1971;76:378-382).
COUNTS = [
    [0, 0, 0, 0, 14],
    [0, 2, 6, 4, 2],
    [0, 0, 3, 5, 6],
    [0, 3, 9, 2, 0],
    [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0],
    [3, 2, 6, 3, 0],
    [2, 5, 3, 2, 2],
    [6, 5, 2, 1, 0],
    [0, 2, 2, 3, 7],
]


def _labels(counts: list[list[int]]) -> list[list[str]]:
    return [[str(label) for label, n in enumerate(row) for _ in range(n)] for row in counts]


def _own(count: int) -> list[str]:
    return [f"p{number}" for number in range(count)]


def test_fleiss_kappa_is_that_of_the_worked_example() -> None:
    assert fleiss(_labels(COUNTS), _own(10)).value == pytest.approx(0.2099, abs=1e-4)


def test_fleiss_kappa_counts_images_with_one_label_not_at_all() -> None:
    more = [*_labels(COUNTS), ["3"] + [""] * 13, [""] * 14]
    assert fleiss(more, _own(12)) == fleiss(_labels(COUNTS), _own(10))


def test_a_missing_reader_leaves_the_pairs_of_the_others() -> None:
    # Image by image the pairs agree in 1, 1/3, 1 and 0; labels have the shares 13/24 and 11/24.
    ratings = [["a", "a", ""], ["a", "b", "b"], ["b", "b", ""], ["a", "b", ""]]
    shares_a = (1 + 1 / 3 + 0 + 1 / 2) / 4
    chance = shares_a**2 + (1 - shares_a) ** 2
    observed = (1 + 1 / 3 + 1 + 0) / 4
    assert fleiss(ratings, _own(4)).value == pytest.approx((observed - chance) / (1 - chance))


@pytest.mark.parametrize("classes", [2, 5])
def test_cohens_kappa_is_that_of_scikit_learn(classes: int) -> None:
    generator = np.random.default_rng(classes)
    first = generator.integers(0, classes, 200)
    second = np.where(generator.random(200) < 0.7, first, generator.integers(0, classes, 200))
    kappa = cohen([str(x) for x in first], [str(x) for x in second], _own(200))
    assert kappa.value == pytest.approx(cohen_kappa_score(first, second))
    assert kappa.low < kappa.value < kappa.high
    assert kappa.images == 200


def test_the_interval_of_cohens_kappa_is_as_wide_as_its_standard_error_says() -> None:
    generator = np.random.default_rng(0)
    first = generator.integers(0, 2, 400)
    second = np.where(generator.random(400) < 0.8, first, 1 - first)
    kappa = cohen([str(x) for x in first], [str(x) for x in second], _own(400))
    # Even margins: kappa is 2 * agreement - 1, whose standard error is twice that of a proportion.
    agreement = (first == second).mean()
    error = 2 * np.sqrt(agreement * (1 - agreement) / 400)
    assert kappa.high - kappa.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_images_of_one_patient_widen_the_interval() -> None:
    generator = np.random.default_rng(0)
    first = np.repeat(generator.integers(0, 2, 40), 10)
    second = np.where(np.repeat(generator.random(40) < 0.8, 10), first, 1 - first)
    labels = [str(x) for x in first], [str(x) for x in second]
    apart = cohen(*labels, _own(400))
    together = cohen(*labels, [f"p{number // 10}" for number in range(400)])
    assert together.value == apart.value
    assert together.high - together.low > 2 * (apart.high - apart.low)


def test_one_label_alone_has_no_kappa_and_full_agreement_no_interval() -> None:
    assert isnan(cohen(["a"] * 20, ["a"] * 20, _own(20)).value)
    whole = cohen(["a", "b"] * 10, ["a", "b"] * 10, _own(20))
    assert whole.value == 1.0
    assert isnan(whole.low)
    assert fleiss([["a", ""]], ["p"]).images == 0
