"""The area a trait reaches by itself: honest folds, honest intervals."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.audit.shortcuts.separability import (
    Area,
    area_by_patient,
    area_of,
    area_together,
    bin_numbers,
    bin_texts,
    evidence,
    folds_by_patient,
)
from medimg_cli.statistics.areas import delong
from medimg_cli.statistics.intervals import logit_interval, wilson


def _scored(count: int = 80) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    generator = np.random.default_rng(1)
    truth = np.arange(count) % 2 == 0
    return truth, np.round(generator.normal(size=count) + truth, 1)


def _folds(truth: NDArray[np.bool_]) -> NDArray[np.int64]:
    return folds_by_patient([str(one) for one in truth], [f"p{n}" for n in range(len(truth))], seed=0)


def test_a_patient_stands_in_one_fold_and_the_classes_in_all() -> None:
    patients = [f"p{number // 4}" for number in range(200)]
    labels = ["sick" if number // 4 % 2 else "well" for number in range(200)]
    folds = folds_by_patient(labels, patients, seed=3)
    for patient in set(patients):
        assert len({fold for fold, one in zip(folds, patients, strict=True) if one == patient}) == 1
    sick = np.array(labels) == "sick"
    assert np.bincount(folds[sick], minlength=5).tolist() == [20] * 5


def test_with_one_image_a_patient_the_interval_is_delongs() -> None:
    truth, score = _scored()
    area, variance = delong(truth, score)
    found = area_by_patient(truth, score, np.arange(len(truth)))
    assert found.value == pytest.approx(area) == area_of(truth, score)
    assert (found.low, found.high) == pytest.approx(logit_interval(area, variance))


def test_copies_of_images_do_not_narrow_the_interval() -> None:
    truth, score = _scored()
    once = area_by_patient(truth, score, np.arange(len(truth)))
    patients = np.repeat(np.arange(len(truth)), 4)
    often = area_by_patient(np.repeat(truth, 4), np.repeat(score, 4), patients)
    assert (often.value, often.low, often.high) == pytest.approx((once.value, once.low, once.high))


def test_the_interval_covers_the_truth_where_patients_have_several_images_of_both_classes() -> None:
    generator = np.random.default_rng(5)
    patients = np.repeat(np.arange(60), 4)
    covered = 0
    for _ in range(200):
        truth = generator.random(240) < 0.5
        score = generator.normal(size=60)[patients] + generator.normal(size=240)
        found = area_by_patient(truth, score, patients)
        covered += found.low <= 0.5 <= found.high
    assert 182 <= covered <= 198  # 95 % of 200, give or take what 200 draws vary by


def test_where_nothing_is_confused_the_lower_end_comes_from_the_number_of_patients() -> None:
    truth = np.array([True] * 20 + [False] * 30)
    found = area_by_patient(truth, truth.astype(np.float64), np.arange(50))
    assert found == Area(1.0, wilson(20, 20)[0], 1.0)


def test_a_trait_that_is_the_same_everywhere_has_no_evidence() -> None:
    truth, _ = _scored()
    scores = evidence(bin_texts(["png"] * len(truth)), truth, _folds(truth))
    assert scores == pytest.approx(np.zeros(len(truth)), abs=1e-12)


def test_a_value_that_only_one_patient_has_says_nothing_about_that_patient() -> None:
    patients = [f"p{number // 8}" for number in range(160)]
    labels = ["sick" if number // 8 % 2 else "well" for number in range(160)]
    truth = np.array(labels) == "sick"
    folds = folds_by_patient(labels, patients, seed=0)
    scores = evidence(bin_texts([f"device of {patient}" for patient in patients]), truth, folds)
    assert scores == pytest.approx(np.zeros(160))


def test_a_format_of_one_class_is_told_out_of_fold_though_it_is_not_in_order() -> None:
    truth, _ = _scored(100)
    values = np.where(truth, 5.0, np.where(np.arange(100) % 4 == 1, 3.0, 9.0))  # the class in the middle
    assert area_of(truth, evidence(bin_numbers(values), truth, _folds(truth))) == 1.0


def test_many_traits_that_tell_nothing_do_not_add_up() -> None:
    generator = np.random.default_rng(0)
    areas = []
    for _ in range(10):
        truth = generator.random(400) < 0.5
        traits = [bin_numbers(generator.normal(size=400)) for _ in range(30)]
        areas.append(area_together(traits, truth, _folds(truth)))
    assert 0.45 < np.mean(areas) < 0.55


def test_two_traits_that_tell_half_each_tell_more_together() -> None:
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=600), generator.normal(size=600)
    truth = first + second > 0
    folds = _folds(truth)
    traits = [bin_numbers(first), bin_numbers(second)]
    alone = max(area_of(truth, evidence(trait, truth, folds)) for trait in traits)
    assert area_together(traits, truth, folds) > alone + 0.1


def test_what_one_test_would_believe_a_hundred_do_not() -> None:
    area = Area(0.75, 0.61, 0.85)
    assert area.beats_chance(1)
    assert not Area(0.7, 0.52, 0.84).beats_chance(100)
    assert Area(1.0, 0.8, 1.0).beats_chance(100)
