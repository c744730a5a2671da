"""Replicates of images and of patients with all their images."""

import numpy as np
import pytest

from medimg_cli.statistics.intervals import wilson
from medimg_cli.statistics.sampling import Sampling, bootstrap_of, percentiles

GENERATOR = np.random.default_rng(3)
CELLS = GENERATOR.choice(4, 200, p=[0.4, 0.1, 0.05, 0.45])


def names(units: np.ndarray) -> list[str]:
    return [f"p{unit}" for unit in units]


def test_images_of_patients_who_have_one_each_are_drawn_as_images() -> None:
    sampling = Sampling(names(np.arange(200)), 200)
    assert (sampling.clustered, sampling.unit, sampling.units) == (False, "image", 200)
    assert np.array_equal(sampling.tables(CELLS, 4), Sampling(None, 200).tables(CELLS, 4))


def test_the_bootstrap_of_a_proportion_is_close_to_wilson() -> None:
    tables = Sampling(None, 200).tables(np.repeat([0, 1, 2, 3], [80, 20, 10, 90]), 4)
    assert percentiles(tables[:, 3] / tables[:, 2:].sum(axis=1)) == pytest.approx(wilson(90, 100), abs=0.03)


def test_replicates_are_the_same_twice_and_others_with_another_seed() -> None:
    first, second = (Sampling(None, 200).tables(CELLS, 4) for _ in range(2))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, Sampling(None, 200, seed=1).tables(CELLS, 4))


def test_every_replicate_of_images_has_as_many_of_them() -> None:
    assert (Sampling(None, 200).tables(CELLS, 4).sum(axis=1) == 200).all()


def test_a_patient_is_drawn_with_all_images() -> None:
    patient = np.repeat(np.arange(50), 4)
    drawn = Sampling(names(patient), 200).tables(patient, 50)
    assert set(np.unique(drawn % 4)) == {0.0}
    assert (drawn.sum(axis=1) == 200).all()


def test_many_cells_give_the_same_replicates_as_few() -> None:
    patient = GENERATOR.integers(0, 60, 200)
    sampling = Sampling(names(patient), 200)
    few, many = sampling.tables(CELLS, 4), sampling.tables(CELLS * 100, 301)
    assert np.array_equal(few, many[:, [0, 100, 200, 300]])


def test_sums_follow_the_same_draws_as_tables() -> None:
    patient = GENERATOR.integers(0, 60, 200)
    sampling = Sampling(names(patient), 200)
    assert np.array_equal(sampling.sums(np.eye(4)[CELLS]), sampling.tables(CELLS, 4))


def test_sums_of_independent_images_spread_as_a_mean_should() -> None:
    values = GENERATOR.normal(size=(500, 1))
    means = Sampling(None, 500).sums(np.c_[values, np.ones(500)])
    spread = float(np.std(means[:, 0] / means[:, 1]))
    assert spread == pytest.approx(float(np.std(values)) / np.sqrt(500), rel=0.06)


def test_copies_of_every_image_leave_the_spread_of_a_proportion_as_it_was() -> None:
    once = Sampling(None, 200).tables(CELLS, 4)
    tripled = Sampling(names(np.tile(np.arange(200), 3)), 600).tables(np.tile(CELLS, 3), 4)
    spread = [np.std(drawn[:, 3] / drawn.sum(axis=1)) for drawn in (once, tripled)]
    assert spread[1] == pytest.approx(spread[0], rel=0.06)


def test_a_part_of_the_images_keeps_its_patients() -> None:
    patient = np.repeat(np.arange(50), 4)
    part = Sampling(names(patient), 200).of(patient < 10)
    assert (part.n, part.units, part.clustered) == (40, 10, True)


def test_fewer_replicates_are_drawn_of_very_many_images() -> None:
    drawn = Sampling(None, 100_000).sums(np.ones((100_000, 1)))
    assert len(drawn) == 400
    assert (drawn == 100_000).all()


def test_replicates_that_are_all_the_same_or_mostly_undefined_have_no_interval() -> None:
    assert percentiles(np.ones(2000)) is None
    assert percentiles(np.r_[np.full(1200, np.nan), np.linspace(0, 1, 800)]) is None
    assert percentiles(np.linspace(0, 1, 2001)) == pytest.approx((0.025, 0.975))


def test_the_name_says_what_was_drawn() -> None:
    assert bootstrap_of("image", 400) == "bootstrap of images, 400 replicates"
