"""Average precision image by image: its value, its derivative, and what its variance covers."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from medimg_cli.statistics.areas import average_precision_influence

GENERATOR = np.random.default_rng(9)
TRUTH = GENERATOR.random(150) < 0.3
SCORES = {
    "distinct": np.where(TRUTH, 0.3, 0.0) + GENERATOR.random(150),
    "tied": (np.where(TRUTH, 3, 0) + GENERATOR.integers(0, 8, 150)).astype(np.float64),
}


@pytest.mark.parametrize("kind", SCORES)
def test_the_value_is_scikit_learns_and_the_influence_sums_to_zero(kind: str) -> None:
    area, influence = average_precision_influence(TRUTH, SCORES[kind])
    assert area == pytest.approx(average_precision_score(TRUTH, SCORES[kind]), abs=1e-12)
    assert influence.sum() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("image", [0, 7, 41, 90])
def test_the_influence_is_the_derivative_by_the_weight_of_an_image(kind: str, image: int) -> None:
    weights, step = np.ones(150), 1e-4
    weights[image] += step
    _, influence = average_precision_influence(TRUTH, SCORES[kind])
    with_more = average_precision_score(TRUTH, SCORES[kind], sample_weight=weights)
    change = (with_more - average_precision_score(TRUTH, SCORES[kind])) / step
    assert influence[image] == pytest.approx(change, abs=1e-6)
