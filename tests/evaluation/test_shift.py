"""Shift: differences between training and a split, and which of them are large."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.shift import shift
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.results.surroundings import Shift, ShiftRow
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.preprocessing.intensities import Intensities
from medimg_cli.statistics.sampling import Sampling
from tests.evaluation.subjects import Columns, two_classes

GENERATOR = np.random.default_rng(4)
HALF = [number % 2 == 0 for number in range(200)]


def subject(before: Columns, now: Columns, truth: list[bool] = HALF, **options: Any) -> Subject:
    training = {"label": ["ill", "well"] * 100, **before}
    return two_classes(truth, [0.5] * len(truth), training=training, metadata=now, **options)


def found(of: Subject) -> dict[str, ShiftRow]:
    result = shift(of)
    assert isinstance(result, Shift)
    return {row.name: row for row in result.rows}


def test_the_share_of_the_positive_class_is_compared() -> None:
    row = found(subject({}, {}, truth=[number % 10 == 0 for number in range(200)]))["share of ill"]
    assert (row.kind, row.train, row.here, row.measure) == (
        "prevalence",
        "50.0 %",
        "10.0 %",
        "total variation",
    )
    assert row.distance == pytest.approx(0.4)
    assert row.large
    assert found(subject({}, {}))["share of ill"].distance == 0


def test_sizes_differ_by_means_in_standard_deviations() -> None:
    before, now = GENERATOR.normal(1000, 100, 200).round(), GENERATOR.normal(1100, 100, 200).round()
    row = found(subject({"width": [*before]}, {"width": [*now]}))["width (px)"]
    expected = (now.mean() - before.mean()) / np.sqrt((now.var() + before.var()) / 2)
    assert (row.kind, row.measure, row.large) == ("size", "standardised mean difference", True)
    assert row.distance == pytest.approx(expected)
    assert row.train == f"{before.mean():,.0f} ± {before.std():,.0f} px"


def test_two_constant_sizes_are_the_same_or_as_far_apart_as_can_be() -> None:
    row = found(subject({"height": [224] * 200}, {"height": [512] * 200}))["height (px)"]
    assert (row.measure, row.distance, row.large) == ("Kolmogorov–Smirnov distance", 1, True)
    assert found(subject({"height": [224] * 200}, {"height": [224] * 200}))["height (px)"].distance == 0


def test_a_size_of_0_is_none() -> None:
    row = found(subject({"width": [100, 0] * 100}, {"width": [100] * 200}))["width (px)"]
    assert (row.distance, row.train) == (0, "100 ± 0 px")


def test_numbers_differ_by_their_distribution_and_categories_by_their_shares() -> None:
    young, old = GENERATOR.normal(40, 10, 200).round(1), GENERATOR.normal(60, 10, 200).round(1)
    before = {"age": [str(age) for age in young], "site": ["A", "A", "B", ""] * 50}
    now = {"age": [str(age) for age in old], "site": ["A", "B", "B", "C"] * 50}
    rows = found(subject(before, now))
    assert rows["age"].distance == pytest.approx(ks_2samp(young, old).statistic)
    assert rows["age"].train.startswith(f"median {np.median(young):.4g} (")
    # A 0.5 → 0.25, B 0.25 → 0.5, not known 0.25 → 0, C 0 → 0.25
    assert (rows["site"].measure, rows["site"].distance) == ("total variation", 0.5)
    assert rows["site"].train == "not known 25.0 %, value 1 50.0 %, value 2 25.0 %, others 0.0 %"
    assert "A" not in rows["site"].here


def test_a_category_that_names_nobody_is_shown_as_it_is() -> None:
    row = found(subject({"view": ["PA", "AP"] * 100}, {"view": ["PA"] * 200}))["view"]
    assert (row.train, row.here, row.large) == ("AP 50.0 %, PA 50.0 %", "AP 0.0 %, PA 100.0 %", True)


def test_columns_that_say_nothing_and_identifiers_are_left_out() -> None:
    same: Columns = {"view": ["PA"] * 200, "bit_depth": [8] * 200, "study_uid": [*range(200)]}
    assert set(found(subject(same, same))) == {"share of ill"}


def test_what_chance_gives_among_few_patients_is_not_called_large() -> None:
    truth = [True, True, True, True, False, False]
    apart = {"label": ["ill", "well"] * 3}
    of = two_classes(truth, [0.5] * 6, training=apart)
    row = found(of)["share of ill"]
    assert row.distance == pytest.approx(1 / 6)
    assert not row.large
    many = subject({}, {}, truth=[number % 3 > 0 for number in range(200)])
    assert found(many)["share of ill"].large
    of_few = subject(
        {"patient_id": ["one", "two", "three", "four"] * 50},
        {},
        truth=[number % 3 > 0 for number in range(200)],
        patients=[str(number % 4) for number in range(200)],
    )
    assert not found(of_few)["share of ill"].large


def test_draws_from_one_population_are_rarely_called_large() -> None:
    called = 0
    for _ in range(30):
        draws = GENERATOR.integers(0, 5, (2, 60)).astype(str)
        before, now = (["v" + value for value in draw] for draw in draws)
        training = {"label": ["ill", "well"] * 30, "view": before}
        of = two_classes([True, False] * 30, [0.5] * 60, training=training, metadata={"view": now})
        called += found(of)["view"].large
    assert called <= 3


def test_brightness_is_compared_where_it_is_known() -> None:
    dark = Intensities(GENERATOR.normal(0.4, 0.05, 200), np.full(200, 0.2))
    bright = Intensities(GENERATOR.normal(0.5, 0.05, 200), np.full(200, 0.2))
    rows = found(replace(subject({}, {}), intensities=(dark, bright)))
    assert rows["mean intensity"].kind == "intensity"
    assert (rows["mean intensity"].large, rows["spread of the intensity"].large) == (True, False)
    assert rows["spread of the intensity"].train == "20.0 ± 0.0 % of the range"
    assert "mean intensity" not in found(subject({}, {}))


def test_the_largest_difference_for_its_measure_comes_first() -> None:
    before: Columns = {
        "width": [*GENERATOR.normal(1000, 100, 200)],
        "view": ["PA", "AP"] * 100,
    }
    now: Columns = {
        "width": [*GENERATOR.normal(1400, 100, 200)],
        "view": ["PA"] * 130 + ["AP"] * 70,
    }
    assert [*found(subject(before, now))] == ["width (px)", "view", "share of ill"]


def test_of_three_classes_all_shares_are_compared_at_once() -> None:
    names = ["a", "b", "c", "c"] * 25
    table = pd.DataFrame({"y_true": names} | {f"prob_{name}": [1 / 3] * 100 for name in "abc"})
    here = ScoredPredictions(table, LabelSpace(("a", "b", "c"), None), OperatingPoint(), Sampling(None, 100))
    row = found(Subject(here, training=pd.DataFrame({"label": ["a", "a", "b", "c"] * 25})))[
        "shares of the classes"
    ]
    assert (row.distance, row.large) == (0.25, True)
    assert row.train == "a 50.0 %, c 25.0 %, b 25.0 %"


def test_of_several_labels_only_judged_images_count() -> None:
    table = pd.DataFrame({"y_true_x": ["1", "0", "", ""] * 50, "prob_x": [0.5] * 200})
    here = ScoredPredictions(
        table, LabelSpace(("x",), None, several=True), OperatingPoint(), Sampling(None, 200)
    )
    training = pd.DataFrame({"label": ["x", "x", "", ""] * 50, "unknown": ["", "", "", "x"] * 50})
    row = found(Subject(here, training=training))["share of x"]
    assert (row.train, row.here) == ("66.7 %", "50.0 %")


@pytest.mark.parametrize(("training", "why"), [(None, "are not known"), ({"label": []}, "are not known")])
def test_without_training_there_is_nothing_to_compare(training: Columns | None, why: str) -> None:
    assert why in str(shift(two_classes([True, False], [0.5, 0.5], training=training)))


def test_training_is_not_compared_with_itself() -> None:
    files: Columns = {"sha256": [str(number) for number in range(200)]}
    assert shift(subject(files, files)) == "these are the images the model learnt from"
