"""Charts of what probabilities are worth, before they are drawn."""

import re
from pathlib import Path

import pytest

from medimg_cli.evaluation.results.decisions import Histogram
from medimg_cli.reporting.charts.calibration_charts import (
    columns,
    coverage_chart,
    decision_chart,
    histogram_chart,
    reliability_chart,
)
from medimg_cli.reporting.charts.curves import band, plane
from tests.reporting import results
from tests.reporting.cohort import make_cohort

X, Y = plane((0.0, 1.0), (0.0, 1.0))


def test_a_point_stands_at_its_mean_and_observed_share_and_is_hollow_with_few_images() -> None:
    chart = reliability_chart("PNEUMONIA", results.calibration().by_class["PNEUMONIA"])
    assert chart is not None
    first, middle, last = chart.points
    plane_ = chart.plane
    width, height = plane_.right - plane_.left, plane_.bottom - plane_.top
    assert last.x == pytest.approx(plane_.left + 0.9712 * width, abs=0.01)
    assert last.y == pytest.approx(plane_.bottom - 36 / 38 * height, abs=0.01)
    assert (first.hollow, middle.hollow, last.hollow) == (False, True, False)
    assert last.low is not None and last.high is not None and last.low > last.y > last.high
    assert [column.text for column in chart.columns] == ["38", "4", "38"]
    assert "51.2 % predicted, 2 of 4 observed" in chart.plane.title


def test_bars_stand_on_their_base_share_one_scale_and_can_be_seen() -> None:
    drawn = columns([(0.0, 0.5, 1000), (0.5, 0.6, 0), (0.6, 1.0, 1)], X, 100.0, 40.0)
    assert [bar.text for bar in drawn] == ["1,000", "1"]
    assert [bar.height for bar in drawn] == [40.0, 1.5]
    assert all(bar.y + bar.height == pytest.approx(100.0) for bar in drawn)


def test_the_histogram_shows_each_class_and_the_threshold(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    chart = histogram_chart("PNEUMONIA", results.histograms().by_class["PNEUMONIA"], evaluation)
    assert [panel.heading for panel in chart.panels] == ["PNEUMONIA: 40 images", "NORMAL: 40 images"]
    assert [bar.text for bar in chart.panels[0].columns] == ["3", "37"]
    assert chart.rule == pytest.approx(chart.left + 0.3127 * (chart.right - chart.left), abs=0.01)
    assert chart.rule_text == "threshold 0.313"
    bare = evaluation.model_copy(update={"threshold": None})
    assert histogram_chart("a", Histogram(bins=2, counts={"a": (0, 0)}), bare).rule is None


def test_a_decision_curve_leaves_the_plane_below_and_its_band_stays_inside() -> None:
    curve = results.decision_curve()
    steep = curve.model_copy(update={"treat_all": tuple(0.5 - 9 * at for at in curve.thresholds)})
    chart = decision_chart("PNEUMONIA", steep)
    assert chart is not None
    assert [line.dash for line in chart.lines] == ["", "7 3", "2 3"]
    heights = [float(text) for text in re.findall(r"[\d.]+ ([\d.]+)", chart.lines[1].d)]
    assert max(heights) <= chart.bottom and len(heights) < 10
    assert len(chart.bands) == 1
    assert "above both others from 0.12 to 0.47" in chart.title
    never = curve.model_copy(update={"useful_from": None, "useful_to": None, "low": (), "high": ()})
    lone = decision_chart("PNEUMONIA", never)
    assert lone is not None and lone.bands == () and "never above" in lone.title


def test_referrals_are_marked_where_that_many_images_are_answered() -> None:
    chart = coverage_chart(results.abstention())
    assert chart is not None
    assert [mark[0] for mark in chart.marks] == pytest.approx(
        [chart.right, chart.left + 0.9 * (chart.right - chart.left)], abs=0.01
    )
    assert "10.0 % referred" in chart.title


def test_a_band_runs_along_its_upper_and_back_along_its_lower_line() -> None:
    assert band((0.0, 1.0), (0.0, 0.5), (0.5, 2.0), X, Y) == (
        f"M{X(0):g} {Y(0.5):g}L{X(1):g} {Y(1.0):g}L{X(1):g} {Y(0.5):g}L{X(0):g} {Y(0.0):g}Z"
    )
    assert band((0.0, 1.0), (), (), X, Y) == ""
    many = tuple(index / 999 for index in range(1000))
    assert band(many, many, many, X, Y).count("L") < 200
