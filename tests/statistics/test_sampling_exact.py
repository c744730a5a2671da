"""Counts are drawn in single precision where that is exact: the numbers are those of double precision."""

import numpy as np

from medimg_cli.statistics.sampling import Sampling

GENERATOR = np.random.default_rng(8)
PATIENTS = [f"p{number}" for number in GENERATOR.integers(0, 60, 300)]
CELLS = GENERATOR.integers(0, 5, 300)


def test_counts_are_the_sums_of_marks() -> None:
    tables = Sampling(PATIENTS, 300).tables(CELLS, 5)
    assert tables.dtype == np.float64
    assert np.array_equal(tables, Sampling(PATIENTS, 300).sums(np.eye(5)[CELLS]))


def test_counts_too_large_for_single_precision_are_drawn_in_double() -> None:
    sampling = Sampling(PATIENTS, 300)
    odd = 2**24 + 1  # the first whole number that single precision does not hold
    drawn = sampling._drawn(np.full((sampling.units, 1), odd))
    assert (drawn == sampling.units * odd).all()


def test_a_part_of_the_images_keeps_its_patients() -> None:
    rows = np.flatnonzero(CELLS == 2)
    part = Sampling(PATIENTS, 300).of(rows)
    same = Sampling([PATIENTS[row] for row in rows], len(rows))
    assert (part.units, part.clustered) == (same.units, same.clustered)
    assert np.array_equal(part.unit_of, same.unit_of)
