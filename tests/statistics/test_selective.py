"""Images by certainty, and the error among those that are answered."""

import numpy as np
import pytest

from medimg_cli.statistics.conformal import kept_points, most_certain_first, referred_of, selective_risk


def test_the_area_of_a_hand_computed_curve() -> None:
    order = most_certain_first(np.array([0.7, 0.9, 0.6, 0.8]), list("abcd"))
    wrong = np.array([True, False, False, False])[order]
    assert selective_risk(wrong).tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert selective_risk(wrong).mean() == pytest.approx(7 / 48)


def test_equally_certain_images_stand_in_the_order_of_their_ids() -> None:
    assert most_certain_first(np.array([0.5, 0.9, 0.5, 0.5]), ["c", "z", "a", "b"]).tolist() == [1, 2, 3, 0]


@pytest.mark.parametrize("n", [1, 2, 199, 200, 201, 5000])
def test_a_curve_is_drawn_with_its_ends_and_at_most_200_points(n: int) -> None:
    kept = kept_points(n)
    assert (kept[0], kept[-1], len(kept)) == (0, n - 1, min(n, 200))
    assert np.diff(kept).max(initial=1) <= -(-n // 199)


def test_halves_are_referred() -> None:
    assert [referred_of(n, share) for n, share in ((10, 0.05), (9, 0.05), (5, 0.3), (7, 0.0))] == [1, 0, 2, 0]
