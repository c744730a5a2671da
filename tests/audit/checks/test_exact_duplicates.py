"""Exact duplicates: each group of equal pictures is told once, by what it breaks."""

from pathlib import Path

from medimg_cli.audit.checks.exact_duplicates import exact_duplicates
from medimg_cli.audit.findings import AuditContext
from tests.audit.checks.cohort import clean_cohort, with_info, with_measurements, with_rows


def _same_picture(context: AuditContext, *image_ids: str, pixels: str = "same") -> AuditContext:
    return with_measurements(context, list(image_ids), pixel_sha256=pixels)


def _told(context: AuditContext) -> list[tuple[str, str, int]]:
    """Return severity, the words after the counts, and count of every finding."""
    return [
        (
            finding.severity,
            finding.message.split(") ", 1)[1].split(":")[0].split(",")[0].split(" (")[0],
            finding.count,
        )
        for finding in exact_duplicates(context).findings
    ]


def test_a_copy_within_class_split_and_patient_is_a_warning(tmp_path: Path) -> None:
    context = _same_picture(clean_cohort(tmp_path), "train-sick-000", "train-sick-001")
    context = with_rows(context, ["train-sick-000", "train-sick-001"], patient_id="one")
    assert _told(context) == [("warning", "within one class and split", 1)]


def test_a_copy_under_another_patient_is_told_as_such_where_patients_are_known(tmp_path: Path) -> None:
    context = _same_picture(clean_cohort(tmp_path), "train-sick-000", "train-sick-001")
    assert _told(context) == [("warning", "under different patients", 1)]
    assert _told(with_info(context, patients_known=False)) == [("warning", "within one class and split", 1)]
    unnamed = with_rows(context, ["train-sick-000"], patient_id="train-sick-000")
    assert _told(unnamed) == [("warning", "within one class and split", 1)]


def test_a_copy_in_another_split_is_an_error_and_told_once(tmp_path: Path) -> None:
    context = _same_picture(clean_cohort(tmp_path), "train-sick-000", "train-sick-001", "test-sick-000")
    assert _told(context) == [("error", "across splits", 1)]
    assert exact_duplicates(context).findings[0].image_ids == (
        "train-sick-000",
        "train-sick-001",
        "test-sick-000",
    )


def test_a_copy_in_another_class_is_a_label_conflict(tmp_path: Path) -> None:
    context = with_info(clean_cohort(tmp_path), patients_known=False)
    context = _same_picture(context, "train-sick-000", "train-healthy-003")
    assert _told(context) == [("error", "across classes", 1)]


def test_a_copy_in_another_class_and_split_is_both(tmp_path: Path) -> None:
    context = _same_picture(clean_cohort(tmp_path), "train-sick-000", "test-healthy-000")
    assert _told(context) == [("error", "across classes", 1), ("error", "across splits", 1)]


def test_several_groups_are_counted_and_an_example_is_named(tmp_path: Path) -> None:
    context = with_info(clean_cohort(tmp_path), patients_known=False)
    context = _same_picture(context, "train-sick-000", "train-sick-001")
    context = _same_picture(context, "val-sick-000", "val-sick-001", "val-sick-002", pixels="other")
    (finding,) = exact_duplicates(context).findings
    assert finding.count == 2
    assert len(finding.image_ids) == 5
    assert finding.message == (
        "2 groups of identical images (5 images) within one class and split: they count several times; "
        "such as 'train-sick-000' = 'train-sick-001'"
    )


def test_the_order_of_several_labels_is_no_conflict(tmp_path: Path) -> None:
    context = with_info(clean_cohort(tmp_path), multi_label=True, patients_known=False)
    context = with_rows(context, ["train-sick-000"], label="healthy|sick")
    context = with_rows(context, ["train-sick-001"], label="sick|healthy")
    context = _same_picture(context, "train-sick-000", "train-sick-001")
    assert _told(context) == [("warning", "within one class and split", 1)]


def test_a_label_nobody_judged_contradicts_none(tmp_path: Path) -> None:
    pair = ["train-sick-000", "train-sick-001"]
    context = with_info(_same_picture(clean_cohort(tmp_path), *pair), multi_label=True)
    context = with_rows(context, pair, patient_id="one", unknown="")
    context = with_rows(context, [pair[0]], label="sick|well")
    assert _told(context) == [("error", "across classes", 1)]
    assert _told(with_rows(context, [pair[0]], unknown="sick")) == [("error", "across classes", 1)]
    assert _told(with_rows(context, [pair[1]], unknown="well")) == [
        ("warning", "within one class and split", 1)
    ]


def test_excluded_and_unreadable_images_are_no_duplicates(tmp_path: Path) -> None:
    context = _same_picture(clean_cohort(tmp_path), "train-sick-000", "train-sick-001")
    assert exact_duplicates(with_rows(context, ["train-sick-000"], status="excluded")).findings == ()
    unreadable = with_measurements(context, ["train-sick-000", "train-sick-001"], readable=False)
    assert exact_duplicates(unreadable).findings == ()
