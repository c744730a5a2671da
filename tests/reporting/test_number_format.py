"""Numbers in words: with intervals, never certain."""

import pytest

from medimg_cli.reporting.tables.number_format import (
    change,
    coded,
    counted,
    duration,
    measured,
    metric_title,
    number,
    percent,
    plain,
    point,
    sentence,
)
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.plain_text import plural


def test_a_share_is_printed_in_per_cent_with_its_interval() -> None:
    recall = Estimate(value=370 / 390, low=0.9222, high=0.9665, method="Wilson", n=390, count=370)
    assert measured("recall", recall) == "94.9 % (92.2–96.7)"
    assert counted(recall) == "370 of 390"


def test_a_score_is_printed_as_a_number_with_its_interval() -> None:
    auroc = Estimate(value=0.97312, low=0.9431, high=0.9829, n=390)
    assert measured("auroc", auroc) == "0.973 (0.943–0.983)"
    assert counted(auroc) == "n = 390"


@pytest.mark.parametrize(
    ("value", "text"), [(0.99996, "> 99.9 %"), (0.00004, "< 0.1 %"), (1.0, "100 %"), (0.0, "0 %")]
)
def test_rounding_never_makes_a_share_certain(value: float, text: str) -> None:
    assert percent(value) == text


def test_rounding_never_makes_a_score_perfect() -> None:
    assert number(0.99999) == "> 0.999"
    assert number(0.00001) == "< 0.001"
    assert number(None) == "not defined"


def test_a_perfect_share_shows_its_interval_or_says_that_there_is_none() -> None:
    assert measured("recall", Estimate(value=1.0, low=0.9, high=1.0, n=34)) == "100 % (90.0–100)"
    assert measured("recall", Estimate(value=1.0, n=34)) == "100 % (no interval)"


def test_an_undefined_number_gives_its_reason() -> None:
    undefined = Estimate(value=None, n=0, reason="no image of this class")
    assert point("macro_recall", undefined) == "not defined: no image of this class"


def test_averages_are_named_after_their_metric() -> None:
    assert metric_title("macro_recall") == "Sensitivity (recall), macro average"
    assert metric_title("balanced_accuracy") == "Balanced accuracy"
    assert metric_title("weighted_kappa") == "Cohen’s kappa, quadratic weights"
    assert metric_title("some_new_figure") == "Some new figure"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (3.21, "3.2 s"), (228.4, "3 min 48 s"), (3725.0, "1 h 2 min")]
)
def test_time_spans_read_like_speech(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


def test_recorded_values_become_one_text() -> None:
    assert plain({"cpu": "2 cores", "gpus": [], "fast": False}) == "cpu 2 cores, gpus –, fast no"
    assert plain(None) == "–"
    assert plain(1e-3) == "0.001"


def test_remarks_and_counts_read_as_sentences() -> None:
    assert sentence("only 4 positive images") == "Only 4 positive images."
    assert plural(1, "file") == "1 file"
    assert plural(1200, "file") == "1,200 files"


def test_a_share_of_fewer_than_ten_images_is_told_by_its_counts() -> None:
    few = Estimate(value=8 / 9, low=0.565, high=0.98, n=9, count=8)
    assert measured("recall", few) == "8 of 9"
    assert measured("recall", few.model_copy(update={"n": 10})) == "88.9 % (56.5–98.0)"
    assert measured("auroc", few) == "0.889 (0.565–0.980)"


def test_negative_numbers_have_a_true_minus_and_intervals_that_cannot_be_misread() -> None:
    assert (
        measured("slope", Estimate(value=-0.25, low=-0.5, high=0.0001, n=9)) == "−0.250 (−0.500 to < 0.001)"
    )
    assert number(-0.00001) == "> −0.001"


def test_differences_carry_their_sign() -> None:
    gap = Estimate(value=-0.1012, low=-0.1713, high=0.0214, n=40)
    assert change("recall", gap) == "−10.1 (−17.1 to +2.1)"
    assert change("auroc", gap) == "−0.101 (−0.171 to +0.021)"
    assert change("recall", Estimate(value=0.00001, n=40)) == "0"


def test_commands_in_remarks_are_set_apart_and_all_else_is_escaped() -> None:
    assert coded("<b> `medimg evaluate <x>`") == "&lt;b&gt; <code>medimg evaluate &lt;x&gt;</code>"


@pytest.mark.parametrize(
    "label", ["No_tumor", "a_b", "macro_x", "50%|B", "recall of X", '"Q" <b>', "\u05d0_\u05d1"]
)
def test_a_class_keeps_its_spelling_in_the_name_of_a_figure(label: str) -> None:
    assert metric_title(f"recall of {label}") == f"Sensitivity (recall) of {label}"
    assert metric_title(f"auroc of {label}") == f"AUROC of {label}"
    assert change(f"recall of {label}", Estimate(value=-0.052, n=90)) == "−5.2"
