"""Files that gave no pixels, at ingest or now."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from medimg_cli.audit.checks.unreadable import unreadable
from medimg_cli.dataset.manifest import QUARANTINE_COLUMNS
from tests.audit.checks.cohort import clean_cohort, with_measurements


def test_quarantined_files_are_a_warning_with_the_commonest_reasons(tmp_path: Path) -> None:
    reasons = ["truncated"] * 5 + ["no pixels"] * 2 + ["empty file", "too large"]
    quarantine = pd.DataFrame(
        [(f"raw/{n}.png", reason, 0, "") for n, reason in enumerate(reasons)],
        columns=list(QUARANTINE_COLUMNS),
    )
    (finding,) = unreadable(replace(clean_cohort(tmp_path), quarantine=quarantine)).findings
    assert (finding.severity, finding.count) == ("warning", 9)
    assert finding.message == (
        "9 files quarantined at ingest: truncated (5); no pixels (2); empty file (1); other reasons (1)"
    )


def test_the_classes_that_lost_files_are_named_by_their_folders(tmp_path: Path) -> None:
    paths = ["raw/sick/healthy/1.png", "raw/sick/2.png", "raw/sick/3.png", "raw/notes.txt"]
    quarantine = pd.DataFrame(
        [(path, "truncated", 0, "") for path in paths], columns=list(QUARANTINE_COLUMNS)
    )
    (finding,) = unreadable(replace(clean_cohort(tmp_path), quarantine=quarantine)).findings
    assert finding.message == "4 files quarantined at ingest: truncated (4) (sick: 2, healthy: 1)"


def test_an_image_that_no_longer_decodes_is_an_error(tmp_path: Path) -> None:
    context = with_measurements(clean_cohort(tmp_path), ["val-sick-001"], readable=False, reason="truncated")
    (finding,) = unreadable(context).findings
    assert (finding.severity, finding.image_ids) == ("error", ("val-sick-001",))
    assert finding.message == "1 image cannot be decoded: truncated (1)"


def test_a_vanished_file_is_left_to_the_check_of_the_manifest(tmp_path: Path) -> None:
    context = with_measurements(clean_cohort(tmp_path), ["val-sick-001"], readable=False, sha256="")
    assert unreadable(context).findings == ()
