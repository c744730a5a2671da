"""Identities in DICOM headers: keyword and tag are told, a value never."""

from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from medimg_cli.audit.checks.dicom_headers import dicom_headers
from medimg_cli.audit.findings import AuditContext, CheckSkipped
from tests.audit.checks.cohort import clean_cohort, with_rows
from tests.privacy.dicom_files import write_dicom


def _cohort(folder: Path, *headers: dict[str, Any]) -> AuditContext:
    context = clean_cohort(folder, {"train": len(headers)})
    for number, header in enumerate(headers):
        path = write_dicom(folder / f"{number}.dcm", **header)
        context = with_rows(context, [f"train-sick-{number:03d}"], path=str(path))
    return context


def test_a_cohort_without_dicom_is_skipped(tmp_path: Path) -> None:
    with pytest.raises(CheckSkipped, match="no DICOM file"):
        dicom_headers(clean_cohort(tmp_path))


def test_each_direct_identity_is_one_warning_without_its_value(tmp_path: Path) -> None:
    named = {"PatientName": "Doe^Jane", "PatientIdentityRemoved": "YES", "PatientAddress": "1 High Street"}
    context = _cohort(tmp_path, named, named | {"PatientName": "Roe^Jim"}, {"PatientIdentityRemoved": "YES"})
    found = {finding.message.split()[0]: finding for finding in dicom_headers(context).findings}
    address = found["PatientAddress"]
    assert (address.severity, address.count) == ("warning", 2)
    assert address.message == (
        "PatientAddress (0010,1040) holds a value in 2 of 3 headers (Safe Harbor B, E.1-1:00101040)"
    )
    assert address.image_ids == ("train-sick-000", "train-sick-001")
    shown = " ".join(finding.message + finding.advice for finding in found.values())
    assert not any(value in shown for value in ("Doe", "Jane", "Roe", "High"))


def test_a_possible_pseudonym_in_a_deidentified_file_is_info(tmp_path: Path) -> None:
    header = {"PatientID": "SUBJECT-7"}
    (warning,) = dicom_headers(_cohort(tmp_path / "raw", header | {"SOPInstanceUID": ""})).findings
    assert warning.severity == "warning"
    (info,) = dicom_headers(_cohort(tmp_path / "clean", header | {"PatientIdentityRemoved": "YES"})).findings
    assert info.severity == "info"


def test_a_deidentified_file_with_empty_values_is_silent(tmp_path: Path) -> None:
    header = {"PatientName": "", "PatientID": "", "PatientIdentityRemoved": "YES", "StudyDate": ""}
    assert dicom_headers(_cohort(tmp_path, header)).findings == ()


def test_dates_uids_devices_texts_and_private_attributes_are_one_info_each(tmp_path: Path) -> None:
    header = {
        "StudyDate": "20210203",
        "SeriesDate": "20210203",
        "DeviceSerialNumber": "77",
        "StudyDescription": "chest",
        "private": "ward 7",
    }
    found = dicom_headers(_cohort(tmp_path, header)).findings
    assert {finding.severity for finding in found} == {"info"}
    assert [finding.message.split(":")[0] for finding in found] == [
        "dates or times in 1 of 1 headers (Safe Harbor C)",
        "the device in 1 of 1 headers (Safe Harbor M)",
        "private attributes, which may hold anything, in 1 of 1 headers (Safe Harbor R)",
        "free text, which may hold anything, in 1 of 1 headers (Safe Harbor R)",
        "UIDs in 1 of 1 headers (Safe Harbor R)",
    ]
    assert "StudyDate (E.1-1:00080020), SeriesDate (E.1-1:00080021)" in found[0].message


def test_identities_said_to_be_burned_in_are_a_warning(tmp_path: Path) -> None:
    header = {"BurnedInAnnotation": "YES", "PatientIdentityRemoved": "YES"}
    (finding,) = dicom_headers(_cohort(tmp_path, header)).findings
    assert finding.severity == "warning"
    assert finding.message == (
        "Burned In Annotation (0028,0301) is YES in 1 of 1 headers: identities stand in the pixels"
    )


def test_a_header_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    context = _cohort(tmp_path, {"PatientIdentityRemoved": "YES"}, {"PatientIdentityRemoved": "YES"})
    (tmp_path / "1.dcm").write_bytes(bytes(128) + b"DICM")
    (finding,) = dicom_headers(context).findings
    assert (finding.severity, finding.image_ids) == ("warning", ("train-sick-001",))


def test_a_name_inside_a_sequence_is_found(tmp_path: Path) -> None:
    item = Dataset()
    item.PatientName = "Doe^Jane"
    header = {"OtherPatientIDsSequence": [item], "PatientIdentityRemoved": "NO", "SOPInstanceUID": ""}
    assert [f.message.split()[0] for f in dicom_headers(_cohort(tmp_path, header)).findings] == [
        "PatientName",
        "free",
    ]


def test_shifted_dates_of_a_file_that_says_so_are_expected(tmp_path: Path) -> None:
    header = {"StudyDate": "20210203", "PatientIdentityRemoved": "YES"}
    (finding,) = dicom_headers(_cohort(tmp_path / "a", header)).findings
    assert finding.message.startswith("dates or times")
    header["LongitudinalTemporalInformationModified"] = "MODIFIED"
    assert dicom_headers(_cohort(tmp_path / "b", header)).findings == ()
