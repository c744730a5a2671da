"""Scores on few levels keep their order and their counts."""

import numpy as np

from medimg_cli.statistics.sampling import Sampling, score_levels

GENERATOR = np.random.default_rng(3)


def test_few_scores_have_a_level_each() -> None:
    truth, score = np.array([False, True, True, False]), np.array([0.1, 0.5, 0.9, 0.5])
    levels = score_levels(truth, score, Sampling(None, 4))
    assert levels.exact
    assert levels.counts.tolist() == [[[1, 0], [1, 1], [0, 1]]]


def test_many_scores_share_256_levels_of_as_many_images() -> None:
    truth, score = GENERATOR.random(5120) < 0.2, GENERATOR.random(5120)
    levels = score_levels(truth, score, Sampling(None, 5120))
    assert not levels.exact
    assert levels.counts.shape == (1, 256, 2)
    assert np.abs(levels.counts[0].sum(axis=1) - 20).max() <= 1
    lowest = np.sort(score)[:2560] <= np.median(score)
    assert levels.counts[0, :128].sum() == lowest.sum()


def test_replicates_are_packed_without_loss() -> None:
    truth, score = GENERATOR.random(3000) < 0.5, np.full(3000, 0.5)
    sampling = Sampling([f"p{index // 3}" for index in range(3000)], 3000)
    levels = score_levels(truth, score, sampling)
    assert levels.packed.dtype == np.uint16
    assert (levels.drawn == sampling.tables(truth.astype(np.int64), 2)[:, None]).all()
