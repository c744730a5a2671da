"""Replicates of images and of patients with all their images."""

import numpy as np
import pytest

from medimg_cli.statistics.intervals import wilson
from medimg_cli.statistics.sampling import Sampling, bootstrap_of, different, percentiles

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


def test_copies_of_every_image_leave_the_spread_of_a_proportion_as_it_was() -> None:
    once = Sampling(None, 200).tables(CELLS, 4)
    tripled = Sampling(names(np.tile(np.arange(200), 3)), 600).tables(np.tile(CELLS, 3), 4)
    spread = [np.std(drawn[:, 3] / drawn.sum(axis=1)) for drawn in (once, tripled)]
    assert spread[1] == pytest.approx(spread[0], rel=0.06)


def test_a_part_of_the_images_keeps_its_patients() -> None:
    patient = np.repeat(np.arange(50), 4)
    part = Sampling(names(patient), 200).of(patient < 10)
    assert (part.n, part.units, part.clustered) == (40, 10, True)


def test_replicates_that_are_all_the_same_or_mostly_undefined_have_no_interval() -> None:
    assert percentiles(np.ones(2000)) is None
    assert percentiles(np.r_[np.full(1200, np.nan), np.linspace(0, 1, 800)]) is None
    assert percentiles(np.linspace(0, 1, 2001)) == pytest.approx((0.025, 0.975))


def test_the_name_says_what_was_drawn() -> None:
    assert bootstrap_of("image", 400) == "bootstrap of images, 400 replicates"


def test_fewer_replicates_are_drawn_of_very_many_patients() -> None:
    patients = np.repeat(np.arange(50_000), 2)
    drawn = Sampling(patients, 100_000).tables(np.zeros(100_000, dtype=np.int64), 1)
    assert drawn.shape == (800, 1)
    assert (drawn == 100_000).all()


def test_one_patient_tells_nothing_of_how_patients_differ() -> None:
    alone, two = Sampling(["a"] * 5, 5), Sampling(["a"] * 5 + ["b"], 6)
    assert alone.nothing_from(alone.units, " with X").startswith("one patient with X")
    assert two.nothing_from(two.units) == ""
    assert alone.share_interval(np.array([True, True, False, True, False])) == (0.0, 1.0)
    assert Sampling(None, 1).nothing_from(1).startswith("one image")


def test_values_are_summed_by_patient() -> None:
    sampling = Sampling(["a", "b", "a"], 3)
    assert sampling.by_unit(np.array([1.0, 2.0, 3.0])).tolist() == [4.0, 2.0]
    assert sampling.by_unit(np.array([[1.0, 0.0], [2.0, 1.0], [3.0, 5.0]])).tolist() == [
        [4.0, 5.0],
        [2.0, 1.0],
    ]


def test_some_rows_keep_the_patients_they_have() -> None:
    patients = names(GENERATOR.integers(0, 60, 200))
    rows = np.flatnonzero(CELLS == 2)
    part, same = Sampling(patients, 200).of(rows), Sampling([patients[row] for row in rows], len(rows))
    assert (part.units, part.clustered) == (same.units, same.clustered)
    assert np.array_equal(part.unit_of, same.unit_of)


def test_different_places_are_counted_as_numpy_counts_them() -> None:
    places = GENERATOR.integers(0, 90, 60)
    assert different(places, 90) == len(np.unique(places))
    assert different(places[:0], 90) == 0


def test_patients_of_a_large_table_are_counted_without_sorting_or_hashing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    patient = np.repeat(np.arange(50), 4)
    sampling = Sampling(names(patient), 200)
    monkeypatch.setattr(np, "unique", lambda *_, **__: pytest.fail("np.unique takes twenty times as long"))
    assert sampling.units_among(patient < 7) == 7
