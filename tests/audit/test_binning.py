"""Values put into bins, and the bins that tell a class."""

import numpy as np
import pytest

from medimg_cli.audit.shortcuts.separability import bin_numbers, bin_texts, telling_parts, two_sides


def test_frequent_texts_have_bins_of_their_own_and_rare_ones_share_one() -> None:
    binned = bin_texts(["png"] * 20 + ["jpeg"] * 10 + ["", "odd", "rare"])
    called = [binned.names[code] for code in binned.codes]
    assert called == ["png"] * 20 + ["jpeg"] * 10 + ["not known", "others", "others"]


def test_a_frequent_number_is_not_mixed_with_its_neighbours() -> None:
    values = np.concatenate([np.full(50, 256.0), np.linspace(200, 300, 100), [np.nan]])
    binned = bin_numbers(values)
    alone = set(binned.codes[:50].tolist())
    assert len(alone) == 1
    assert binned.names[alone.pop()] == "256"
    assert not set(binned.codes[50:150].tolist()) & set(binned.codes[:50].tolist())
    assert binned.names[binned.codes[150]] == "not known"


def test_other_numbers_are_cut_into_ten_parts_of_one_size_in_order() -> None:
    binned = bin_numbers(np.arange(200, dtype=np.float64))
    assert np.bincount(binned.codes).tolist() == [0, *[20] * 10]
    assert (np.diff(binned.codes) >= 0).all()
    assert binned.names[1] == "0 to 19.9"


@pytest.mark.parametrize("values", [np.full(10, np.nan), np.zeros(10), np.array([1.0, 2.0])])
def test_few_or_no_numbers_are_binned_as_well(values: np.ndarray) -> None:
    binned = bin_numbers(values)
    assert len(binned.codes) == len(values)
    assert binned.codes.max() < len(binned.names)


def test_the_bins_that_tell_most_are_large_and_one_sided() -> None:
    values = ["png"] * 100 + ["jpeg"] * 100 + ["bmp"] * 6
    truth = np.array([True] * 99 + [False] + [False] * 90 + [True] * 10 + [True] * 6)
    first, second = telling_parts(bin_texts(values), truth)
    assert {first.name: first.share, second.name: second.share} == {"png": 0.99, "jpeg": 0.1}
    assert (first.images, second.images) == (100, 100)


def test_a_threshold_stands_where_it_parts_best() -> None:
    values = np.array([1.0, 2, 3, 4, 5, 6])
    truth = np.array([True, True, False, False, True, False])
    below, above = two_sides(values, truth)
    assert (below.name, below.share, below.images) == ("up to 2", 1.0, 2)
    assert (above.share, above.images) == (0.25, 4)
