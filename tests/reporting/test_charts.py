"""Curves, matrices, bars and whiskers, before they are drawn."""

import re
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medimg_cli.evaluation.evaluation import Confusion, Curve
from medimg_cli.reporting.charts.curves import learning_charts, precision_recall_chart, roc_chart
from medimg_cli.reporting.charts.forest import forest_chart
from medimg_cli.reporting.charts.matrix_charts import MATRIX_CLASSES, confusion_matrix
from medimg_cli.workspace.files import templates_dir
from tests.reporting.cohort import make_cohort


def test_the_roc_curve_marks_the_operating_point(tmp_path: Path) -> None:
    chart = roc_chart(make_cohort(tmp_path).evaluation)
    assert chart is not None
    width, height = chart.right - chart.left, chart.bottom - chart.top
    ((x, y),) = chart.marks
    assert abs(x - (chart.left + 0.05 * width)) < 0.01
    assert abs(y - (chart.bottom - 0.925 * height)) < 0.01
    assert "AUROC 0.973" in chart.title


def test_a_curve_of_many_points_stays_small(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    steps = tuple(index / 20_000 for index in range(20_001))
    curve = Curve(name="PNEUMONIA", x=steps, y=steps)
    chart = roc_chart(evaluation.model_copy(update={"roc": (curve,)}))
    assert chart is not None
    assert chart.lines[0].d.count("L") < 200


def test_an_evaluation_without_curves_has_no_curve_chart(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation.model_copy(update={"roc": (), "precision_recall": ()})
    assert roc_chart(evaluation) is None
    assert precision_recall_chart(evaluation) is None


def test_of_many_classes_the_weakest_six_are_drawn_and_told_apart_without_colour(tmp_path: Path) -> None:
    names = tuple(f"class {index}" for index in range(9))
    chart = roc_chart(make_cohort(tmp_path, classes=names, positive=None, per_class=4).evaluation)
    assert chart is not None
    assert chart.lines[0].name.startswith("class 8")  # the one with missed images
    assert len({line.dash for line in chart.lines}) == len(chart.lines) == 6


def test_learning_curves_show_losses_and_figures_and_the_best_epoch() -> None:
    history = pd.DataFrame(
        {
            "epoch": [1.0, 2.0, 3.0],
            "train_loss": [0.6, 0.4, 0.3],
            "val_auroc": [0.8, float("nan"), 0.9],
            "lr": 0.1,
        }
    )
    loss, figures = learning_charts(history, best_epoch=3)
    assert [line.name for line in loss.lines] == ["Loss, training"]
    assert [line.name for line in figures.lines] == ["AUROC, validation"]
    assert loss.rule_text == "best epoch 3"
    assert figures.lines[0].d.count("M") == 2


def test_a_history_of_one_epoch_is_drawn_as_dots() -> None:
    history = pd.DataFrame({"epoch": [1.0], "train_loss": [0.6], "val_loss": [0.7]})
    (chart,) = learning_charts(history, best_epoch=1)
    assert len(chart.marks) == 2


def test_no_history_draws_nothing() -> None:
    assert learning_charts(pd.DataFrame(), best_epoch=None) == ()


def test_a_confusion_matrix_shows_each_count_with_its_share_of_the_row() -> None:
    chart = confusion_matrix(Confusion(labels=("a", "b"), matrix=((9, 1), (0, 0))))
    assert chart is not None
    assert [(cell.text, cell.share) for cell in chart.cells] == [
        ("9", "90.0 %"), ("1", "10.0 %"), ("0", ""), ("0", ""),
    ]  # fmt: skip
    assert "reference a: predicted a 9, b 1" in chart.title


@pytest.mark.parametrize("dark", [False, True])
def test_each_text_of_a_confusion_matrix_stands_out_from_its_shade(dark: bool) -> None:
    folder = templates_dir() / "report"
    chart = confusion_matrix(Confusion(labels=("a", "b"), matrix=((9, 0), (3, 7))))
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    drawn = environment.from_string('{% import "charts.svg.j2" as c %}{{ c.matrix(chart) }}').render(
        chart=chart
    )
    of_theme = (folder / "style.css").read_text(encoding="utf-8").split("prefers-color-scheme: dark")[dark]
    colours = {name: _rgb(code) for name, code in re.findall(r"--(\w+): #([0-9a-f]{6})", of_theme)}
    cells = drawn.split("<rect ")[1:]
    assert [cell.count("</text>") for cell in cells] == [2] * 4
    for cell in cells:
        opacity = float(re.findall('fill-opacity="(.*?)"', cell)[0])
        shade = colours["paper"] + opacity * (colours["cell"] - colours["paper"])
        for tone in re.findall(r'<text class="f-(\w+)"', cell):
            lighter, darker = sorted((_luminance(shade), _luminance(colours[tone])), reverse=True)
            assert (lighter + 0.05) / (darker + 0.05) >= 4.5, (opacity, tone)


def _rgb(code: str) -> NDArray[np.float64]:
    return np.array([int(code[at : at + 2], 16) for at in (0, 2, 4)], dtype=np.float64)


def _luminance(rgb: NDArray[np.float64]) -> float:
    """Return the relative luminance (WCAG 2.2) of sRGB 0..255."""
    share = rgb / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def test_a_matrix_of_too_many_classes_is_not_drawn() -> None:
    size = MATRIX_CLASSES + 1
    row = (0,) * size
    assert confusion_matrix(Confusion(labels=tuple(map(str, range(size))), matrix=(row,) * size)) is None


def test_a_roc_curve_stands_in_a_square(tmp_path: Path) -> None:
    chart = roc_chart(make_cohort(tmp_path).evaluation)
    assert chart is not None
    assert chart.right - chart.left == chart.bottom - chart.top


def test_of_several_classes_page_1_draws_the_curve_of_the_positive_one_alone(tmp_path: Path) -> None:
    names = ("benign", "normal", "malignant")
    evaluation = make_cohort(tmp_path, classes=names, positive="malignant", per_class=4).evaluation
    alone, every = roc_chart(evaluation, alone=True), roc_chart(evaluation)
    assert alone is not None and every is not None
    assert [line.name.partition(",")[0] for line in alone.lines] == ["malignant"]
    assert len(every.lines) == 3


def test_the_interval_plot_starts_with_the_weakest_class(tmp_path: Path) -> None:
    chart = forest_chart(make_cohort(tmp_path, missed=3).evaluation)
    assert chart is not None
    assert [label.text for label in chart.labels] == ["PNEUMONIA", "NORMAL"]
    weakest = chart.whiskers[0]
    assert weakest.low is not None and weakest.high is not None
    assert weakest.at is not None
    assert weakest.low < weakest.at < weakest.high
    assert weakest.text == "92.5 % (85.5–97.5)"


def test_no_label_of_a_drawing_starts_left_of_it(tmp_path: Path) -> None:
    names = ("MMMMMMMMMMMMMMMMMMMMMMMM", "WWWWWWWWWWWWWWWWWWWWWWWWWWWW")
    chart = forest_chart(make_cohort(tmp_path, classes=names, positive=None, per_class=4).evaluation)
    assert chart is not None
    # 22 letters of 11 units, each at most 0.78 em wide, end 12 units before the axis
    assert chart.left - 12.0 - 22 * 0.78 * 11.0 > -1.0
