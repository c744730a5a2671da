"""From data to coordinates."""

import math

import pytest

from medimg_cli.reporting.charts.scales import MAX_POINTS, Scale, outline, path, shortened, thin, ticks


def test_ticks_stand_at_round_numbers_inside_the_scale() -> None:
    found = ticks(Scale(0.0, 1.0, 0.0, 100.0))
    assert [tick.text for tick in found] == ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]
    assert [tick.at for tick in found] == [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]


def test_epochs_are_only_marked_at_whole_numbers() -> None:
    found = ticks(Scale(1.0, 3.0, 0.0, 100.0), count=6, whole=True)
    assert [tick.text for tick in found] == ["1", "2", "3"]


def test_a_scale_without_length_still_has_a_mark() -> None:
    found = ticks(Scale(1.0, 1.0, 0.0, 100.0))
    assert [(tick.at, tick.text) for tick in found] == [(50.0, "1")]


@pytest.mark.parametrize(
    ("values", "ends"),
    [([0.12, 0.57], (0.1, 0.6)), ([3.0], (2.5, 3.5)), ([math.nan], (0.0, 1.0)), ([], (0.0, 1.0))],
)
def test_an_axis_holds_all_values(values: list[float], ends: tuple[float, float]) -> None:
    assert outline(values) == pytest.approx(ends)


def test_a_loss_axis_starts_at_zero() -> None:
    assert outline([0.31, 0.59], floor=0.0) == pytest.approx((0.0, 0.6))


def test_a_curve_is_thinned_and_keeps_its_ends() -> None:
    values = [float(index) for index in range(10_000)]
    thinned = thin(values)
    assert len(thinned) == MAX_POINTS
    assert (thinned[0], thinned[-1]) == (0.0, 9999.0)
    scale = Scale(0.0, 9999.0, 0.0, 100.0)
    assert path(values, values, scale, scale).count("L") == MAX_POINTS - 1


def test_a_gap_in_the_data_lifts_the_pen() -> None:
    scale = Scale(0.0, 3.0, 0.0, 30.0)
    assert path([0, 1, 2, 3], [0, math.nan, 2, 3], scale, scale) == "M0 0M20 20L30 30"


def test_a_long_name_is_cut_visibly() -> None:
    assert shortened("a" * 30 + "7", 10) == "aaaaaa…aa7"  # names that begin alike end differently
    assert shortened("several words are cut", 10) == "severa…cut"
    assert shortened("肺炎の疑いがある", 10) == "肺炎の…る"
    assert shortened("דלקת", 10) == "\u2068דלקת\u2069"
    assert shortened("short", 10) == "short"
