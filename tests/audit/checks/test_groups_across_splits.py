"""File names that group images whose patients nobody knows are a leak to suspect."""

from pathlib import Path

from medimg_cli.audit.checks.groups_across_splits import groups_across_splits
from tests.audit.checks.cohort import clean_cohort, with_info


def test_groups_in_two_splits_are_a_warning_with_the_pattern_to_copy(tmp_path: Path) -> None:
    # The numbers of the cohort start again in each split: 12 of them are in all three.
    context = with_info(clean_cohort(tmp_path), patients_known=False, name_pattern=r"((?:healthy|sick)-\d+)")
    (finding,) = groups_across_splits(context).findings
    assert (finding.severity, finding.count) == ("warning", 24)
    assert "24 of 24 test images" in finding.message
    assert "--patient-regex" in finding.advice
    assert len(finding.image_ids) == 72


def test_groups_within_one_split_no_pattern_and_known_patients_are_no_finding(tmp_path: Path) -> None:
    context = with_info(clean_cohort(tmp_path), patients_known=False, name_pattern=r"(\w+-\w+-\d+)")
    assert groups_across_splits(context).findings == ()
    assert groups_across_splits(with_info(context, name_pattern=None)).findings == ()
    assert groups_across_splits(with_info(context, patients_known=True)).findings == ()
