"""Values of headers found in names, cells, other attributes and raster metadata."""

from pathlib import Path
from typing import Any

import pytest

from medimg_cli.audit.checks.identities_by_value import identities_by_value
from medimg_cli.audit.findings import AuditContext, CheckSkipped, Finding
from tests.audit.checks.cohort import clean_cohort, with_info, with_rows
from tests.privacy.dicom_files import write_dicom
from tests.privacy.raster_files import exif_block, saved

_ONE, _TWO = "val-sick-001", "val-sick-002"


def _with_header(root: Path, path: str = "raw/1.dcm", **attributes: Any) -> AuditContext:
    write_dicom(root / path, **attributes)
    return with_rows(clean_cohort(root), [_ONE], path=path)


def _by_keyword(context: AuditContext) -> dict[str, Finding]:
    found = identities_by_value(context).findings
    return {finding.message.split(" stands")[0].removeprefix("the value of "): finding for finding in found}


def test_a_name_in_the_name_of_its_own_and_of_another_file_is_told(tmp_path: Path) -> None:
    context = _with_header(tmp_path, "raw/doe_jane.dcm", PatientName="Doe^Jane", PatientID="471123")
    context = with_rows(context, [_TWO], path="raw/JANE/2.png")
    finding = _by_keyword(context)["PatientName"]
    assert (finding.severity, finding.count) == ("warning", 2)
    assert set(finding.image_ids) == {_ONE, _TWO}
    assert "the file name (1 image)" in finding.message
    assert "the folder name (1 image)" in finding.message
    assert "Safe Harbor A" in finding.message
    assert finding.notes[_TWO] == "PatientName: the folder name"
    assert "PatientID" not in _by_keyword(context)


def test_columns_of_the_manifest_are_searched(tmp_path: Path) -> None:
    context = _with_header(tmp_path, PatientID="AB-471123", PatientName="Doe^Jane")
    context.dataset.rows["remark"] = ""
    context = with_rows(context, [_TWO], patient_id="ab471123", remark="see Jane")
    found = _by_keyword(context)
    assert "column patient_id (1 image)" in found["PatientID"].message
    assert "column remark (1 image)" in found["PatientName"].message


def test_other_attributes_of_the_file_are_searched(tmp_path: Path) -> None:
    context = _with_header(tmp_path, PatientName="Doe^Jane", StudyDescription="MRI of Doe")
    assert "StudyDescription (1 image)" in _by_keyword(context)["PatientName"].message


def test_metadata_of_raster_files_among_dicom_files_is_searched(tmp_path: Path) -> None:
    context = _with_header(tmp_path, AccessionNumber="ACC9988776")
    (tmp_path / "raw" / f"{_TWO}.png").write_bytes(saved("JPEG", exif=exif_block({0x010E: "acc-9988776"})))
    finding = _by_keyword(context)["AccessionNumber"]
    assert "EXIF ImageDescription (1 image)" in finding.message
    assert finding.image_ids == (_TWO,)


def test_a_short_number_counts_for_its_own_file_only(tmp_path: Path) -> None:
    context = _with_header(tmp_path, "raw/4711.dcm", PatientID="4711")
    context = with_rows(context, [_TWO], path="raw/img_4711.png")
    assert _by_keyword(context)["PatientID"].image_ids == (_ONE,)


def test_no_value_is_shown(tmp_path: Path) -> None:
    context = _with_header(
        tmp_path, "raw/doe_19800203.dcm", PatientName="Doe^Jane", PatientBirthDate="19800203"
    )
    findings = identities_by_value(context).findings
    assert len(findings) == 2
    shown = " ".join(f"{finding.message} {finding.advice} {finding.notes}" for finding in findings).lower()
    assert not any(part in shown for part in ("doe", "jane", "1980"))


def test_invented_values_of_a_deidentified_header_are_info(tmp_path: Path) -> None:
    context = _with_header(tmp_path, "raw/p000123.dcm", PatientID="P000123", PatientIdentityRemoved="YES")
    (finding,) = identities_by_value(context).findings
    assert finding.severity == "info"
    # In the names of other files they are not looked for.
    context = with_rows(context, [_TWO], path="raw/p000123_2.png")
    assert identities_by_value(context).findings == (finding,)


def test_the_name_of_a_class_is_nobodys_name(tmp_path: Path) -> None:
    context = _with_header(tmp_path, "raw/effusion/1.dcm", PatientName="Effusion^Case")
    assert "PatientName" in _by_keyword(context)
    spared = with_info(context, classes=("effusion", "healthy"))
    assert identities_by_value(spared).findings == ()


def test_a_patient_id_made_of_the_files_name_is_not_told_again(tmp_path: Path) -> None:
    context = _with_header(tmp_path, PatientName="Val^Sick")
    assert _by_keyword(with_rows(context, [_ONE], patient_id=_ONE)).keys() <= {"PatientName"}


def test_a_header_that_breaks_off_is_a_warning(tmp_path: Path) -> None:
    context = _with_header(tmp_path, CameraOwnerName="Doe")
    whole = (tmp_path / "raw/1.dcm").read_bytes()
    (tmp_path / "raw/1.dcm").write_bytes(whole[: whole.index(b"UT\0\0") + 6])
    (finding,) = identities_by_value(context).findings
    assert (finding.severity, finding.image_ids) == ("warning", (_ONE,))


def test_without_dicom_files_the_check_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="no DICOM"):
        identities_by_value(clean_cohort(tmp_path))
