"""Pictures of nothing."""

from pathlib import Path

from medimg_cli.checks.blank_images import blank_images
from tests.checks.cohort import clean_cohort, with_measurements


def test_images_of_one_value_are_told_with_their_classes(tmp_path: Path) -> None:
    blank = ["train-sick-000", "train-sick-001", "test-healthy-000"]
    context = with_measurements(clean_cohort(tmp_path), blank, minimum=0.2, maximum=0.2, std=0.0)
    (finding,) = blank_images(context).findings
    assert (finding.severity, finding.count) == ("warning", 3)
    assert set(finding.image_ids) == set(blank)
    assert finding.message == "3 images of one single value (sick: 2, healthy: 1)"


def test_an_unreadable_image_is_not_blank(tmp_path: Path) -> None:
    context = with_measurements(
        clean_cohort(tmp_path), ["train-sick-000"], readable=False, minimum=float("nan"), maximum=float("nan")
    )
    assert blank_images(context).findings == ()
