"""Conformal sets: the rank that the guarantee asks for, and the guarantee."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.statistics.conformal import least_probabilities, sets_of


def of_first_class(score: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return two columns, the first of which holds the given probabilities."""
    return np.stack([score, 1 - score], axis=1)


@pytest.mark.parametrize(
    ("n", "alpha", "rank"), [(9, 0.1, 9), (19, 0.1, 18), (99, 0.05, 95), (20, 0.1, 19), (7, 0.5, 4)]
)
def test_the_quantile_has_the_rank_of_n_plus_one(n: int, alpha: float, rank: int) -> None:
    # The k-th smallest score, which is 1 less p, is the k-th highest probability.
    probabilities = np.random.default_rng(n).permutation(np.linspace(0.01, 0.99, n))
    least, counts = least_probabilities(of_first_class(probabilities), np.zeros(n, dtype=np.int64), alpha)
    assert least[0] == np.sort(probabilities)[::-1][rank - 1]
    assert counts.tolist() == [n, 0]


def test_too_few_images_of_a_class_put_it_into_every_set() -> None:
    least, counts = least_probabilities(
        of_first_class(np.full(8, 0.9)), np.zeros(8, dtype=np.int64), alpha=0.1
    )
    assert (least.tolist(), counts.tolist()) == ([0.0, 0.0], [8, 0])
    assert sets_of(np.array([[0.0, 1.0]]), least).all()


def test_each_class_has_a_quantile_of_its_own_images() -> None:
    probabilities = of_first_class(np.r_[np.linspace(0.5, 0.9, 9), np.linspace(0.05, 0.45, 9)])
    least, _ = least_probabilities(probabilities, np.repeat([0, 1], 9), 0.1)
    assert least == pytest.approx([0.5, 0.55])


def test_a_probability_at_the_quantile_belongs_to_the_set_and_a_set_may_be_empty() -> None:
    sets = sets_of(np.array([[0.6, 0.4], [0.5, 0.5], [0.3, 0.7]]), np.array([0.6, 0.6]))
    assert sets.tolist() == [[True, False], [False, False], [False, True]]


def test_sets_hold_the_right_class_as_often_as_promised_in_each_class() -> None:
    generator = np.random.default_rng(2)
    held = np.zeros((300, 2))
    for trial in held:
        truth = np.repeat([0, 1], [60, 25])
        chance = np.clip(generator.normal(np.where(truth == 0, 0.65, 0.4), 0.2), 0, 1)
        least, _ = least_probabilities(of_first_class(chance), truth, 0.1)
        fresh = np.repeat([0, 1], 200)
        score = np.clip(generator.normal(np.where(fresh == 0, 0.65, 0.4), 0.2), 0, 1)
        holds = sets_of(of_first_class(score), least)[np.arange(400), fresh]
        trial[:] = holds[:200].mean(), holds[200:].mean()
    # The mean coverage is ceil((n + 1) 0.9) / (n + 1): 55/61 and 24/26.
    assert held.mean(axis=0) == pytest.approx([55 / 61, 24 / 26], abs=0.012)
