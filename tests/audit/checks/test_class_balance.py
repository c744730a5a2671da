"""Class balance: what a split lacks, and what it has too little of."""

from pathlib import Path

import pytest

from medimg_cli.audit.checks.class_balance import class_balance
from medimg_cli.audit.findings import CheckSkipped
from tests.audit.checks.cohort import clean_cohort, ids, with_info, with_rows, without


@pytest.mark.parametrize(("split", "severity"), [("train", "error"), ("val", "warning"), ("test", "error")])
def test_a_class_missing_in_a_split_is_found(split: str, severity: str, tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    found = class_balance(without(context, ids(split, "sick", {"train": 30}.get(split, 12)))).findings
    assert (severity, f"{split} holds no image of sick") in [(f.severity, f.message) for f in found]


def test_a_cohort_without_test_images_says_that_nothing_can_be_evaluated(tmp_path: Path) -> None:
    found = class_balance(clean_cohort(tmp_path, {"train": 30, "val": 12})).findings
    assert [(f.severity, f.message) for f in found] == [
        ("warning", "no image is in test: nothing can be evaluated")
    ]


def test_a_cohort_without_training_images_is_an_error(tmp_path: Path) -> None:
    found = class_balance(clean_cohort(tmp_path, {"val": 12, "test": 12})).findings
    assert [finding.severity for finding in found] == ["error"]


def test_few_test_cases_are_told_with_the_interval_to_expect(tmp_path: Path) -> None:
    found = class_balance(without(clean_cohort(tmp_path), ids("test", "sick", 3))).findings
    assert len(found) == 1
    assert found[0].severity == "warning"
    assert found[0].message == (
        "test holds 9 patients of sick: finding 8 of 9 is a recall of 0.89 with a 95 % interval "
        "from 0.57 to 0.98 (±0.21)"
    )
    assert len(found[0].image_ids) == found[0].count == 9


def test_many_images_of_few_patients_count_as_few_cases(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ids("test", "sick", 12), patient_id="one")
    assert [finding.count for finding in class_balance(context).findings] == [1]
    assert class_balance(with_info(context, patients_known=False)).findings == ()


def test_excluded_images_do_not_count(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), ids("test", "sick", 12), status="excluded")
    assert class_balance(context).findings[0].message == "test holds no image of sick"


@pytest.mark.parametrize(("healthy", "severity"), [(300, []), (301, ["info"]), (3001, ["warning"])])
def test_a_ratio_above_ten_is_told_and_above_a_hundred_is_a_warning(
    healthy: int, severity: list[str], tmp_path: Path
) -> None:
    context = clean_cohort(tmp_path, {"train": 3001})
    context = without(context, ids("train", "sick", 3001)[30:] + ids("train", "healthy", 3001)[healthy:])
    found = [finding for finding in class_balance(context).findings if "times the images" in finding.message]
    assert [finding.severity for finding in found] == severity


def test_another_share_of_the_disease_in_test_is_a_drift(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path, {"train": 200, "val": 50, "test": 100})
    found = class_balance(without(context, ids("test", "healthy", 70))).findings
    assert [finding.message for finding in found] == ["sick is 50.0% of train but 76.9% of test"]


def test_a_difference_that_chance_explains_is_no_drift(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    assert class_balance(without(context, ids("val", "healthy", 5))).findings == ()


def test_an_image_of_several_classes_counts_for_each(tmp_path: Path) -> None:
    context = with_info(clean_cohort(tmp_path), multi_label=True)
    context = without(context, ids("test", "healthy", 12))
    assert "test holds no image of healthy" in [f.message for f in class_balance(context).findings]
    both = with_rows(context, ids("test", "sick", 12), label="healthy|sick")
    assert [f.message for f in class_balance(both).findings if "no image of" in f.message] == []


def test_without_usable_images_the_check_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="no usable image"):
        class_balance(clean_cohort(tmp_path, {}))


def test_the_width_of_the_recall_interval_to_expect_is_said_for_the_disease(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path, {"train": 30, "val": 12, "test": 100})
    assert class_balance(context).did == (
        "284 images of 2 classes counted by split; at recall 0.95 (95 of 100 test patients of sick) the 95 % "
        "interval is about ±0.05 (Wilson)"  # 0.888 to 0.978
    )


def test_the_width_counts_patients_where_they_are_known_and_images_else(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path, {"train": 30, "val": 12, "test": 100})
    paired = with_rows(context, ids("test", "sick", 61), patient_id="one")
    assert "(38 of 40 test patients of sick)" in class_balance(paired).did
    unknown = with_info(paired, patients_known=False)
    assert "(95 of 100 test images of sick)" in class_balance(unknown).did


def test_without_a_disease_class_the_width_is_that_of_the_rarest_in_test(tmp_path: Path) -> None:
    context = without(clean_cohort(tmp_path), ids("test", "healthy", 2))
    assert "of healthy) the 95 % interval" in class_balance(with_info(context, positive=None)).did


def test_a_long_class_name_leaves_the_sentence_readable(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    name = "a carcinoma " * 20
    renamed = with_rows(
        context, ids("train", "sick", 30) + ids("val", "sick", 12) + ids("test", "sick", 12), label=name
    )
    assert len(class_balance(with_info(renamed, classes=("healthy", name), positive=name)).did) < 200


def test_without_test_images_no_width_is_promised(tmp_path: Path) -> None:
    assert "interval" not in class_balance(clean_cohort(tmp_path, {"train": 30, "val": 12})).did
