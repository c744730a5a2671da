"""Examinations, series and files on both sides of a split."""

from pathlib import Path

from medimg_cli.audit.checks.sources_across_splits import sources_across_splits
from medimg_cli.audit.findings import AuditContext
from tests.audit.checks.cohort import clean_cohort, with_rows

TRAIN, TEST = "train-sick-000", "test-sick-000"


def _with_studies(root: Path, column: str = "study_uid") -> AuditContext:
    """Return a cohort in which every image has an examination of its own, but for two."""
    context = clean_cohort(root)
    numbers = {image: f"1.2.3.{n}" for n, image in enumerate(context.dataset.rows["image_id"])}
    rows = context.dataset.rows.assign(**{column: context.dataset.rows["image_id"].map(numbers)})
    context = with_rows(context, [])
    object.__setattr__(context.dataset, "rows", rows)
    return with_rows(context, [TRAIN, TEST], **{column: "1.2.3.999"})


def test_an_examination_in_two_splits_is_an_error(tmp_path: Path) -> None:
    (finding,) = sources_across_splits(_with_studies(tmp_path)).findings
    assert (finding.severity, finding.count) == ("error", 1)
    assert finding.message == (
        "1 examination (column 'study_uid') in more than one split (train and test: 1), 2 images"
    )
    assert finding.groups == ((TRAIN, TEST),)


def test_a_series_is_told_apart_from_an_examination(tmp_path: Path) -> None:
    (finding,) = sources_across_splits(_with_studies(tmp_path, "SeriesInstanceUID")).findings
    assert finding.message.startswith("1 image series (column 'SeriesInstanceUID')")


def test_what_a_patient_known_by_name_leaks_is_not_told_twice(tmp_path: Path) -> None:
    context = with_rows(_with_studies(tmp_path), [TRAIN, TEST], patient_id="jones")
    assert sources_across_splits(context).findings == ()


def test_a_column_that_names_trials_is_no_column_of_examinations(tmp_path: Path) -> None:
    context = _with_studies(tmp_path, "study")
    everybody = list(context.dataset.rows["image_id"])
    assert sources_across_splits(with_rows(context, everybody, study="TRIAL-A")).findings == ()


def test_frames_of_one_file_in_two_splits_are_an_error(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), [TRAIN], path="raw/film.dcm#frame/0")
    context = with_rows(context, [TEST], path="raw/film.dcm#frame/7")
    (finding,) = sources_across_splits(context).findings
    assert finding.message == "1 file in more than one split (train and test: 1), 2 images"


def test_images_of_one_array_are_not_of_one_source(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    for number, image in enumerate(context.dataset.rows["image_id"]):
        context = with_rows(context, [str(image)], path=f"set.npz#train/{number}")
    assert sources_across_splits(context).findings == ()
