"""Where values stand a second time in one DICOM file."""

import warnings
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from medimg_cli.privacy.dicom.headers import UnreadableHeader, quiet_headers, read_values
from tests.privacy.dicom_files import write_dicom


def _repeated(path: Path) -> set[tuple[str, str]]:
    header = read_values(path)
    assert header is not None
    return set(header.repeated)


@pytest.mark.parametrize("implicit", [False, True])
def test_values_are_found_in_texts_sequences_and_private_elements(implicit: bool, tmp_path: Path) -> None:
    step = Dataset()
    step.ScheduledProcedureStepDescription = "MRI for Doe"
    path = write_dicom(
        tmp_path / "a.dcm",
        implicit=implicit,
        private="ward 7, J. DOE, 1980-02-03",
        PatientName="Doe^Jane",
        PatientID="471123",
        PatientBirthDate="19800203",
        StudyDescription="follow-up of 471123",
        RequestAttributesSequence=[step],
    )
    assert _repeated(path) == {
        ("PatientID", "StudyDescription"),
        ("PatientName", "RequestAttributesSequence > ScheduledProcedureStepDescription"),
        ("PatientName", "(0099,1001)"),
        ("PatientBirthDate", "(0099,1001)"),
    }


def test_the_file_meta_information_is_searched(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", PatientName="Doe^Jane")
    dataset = dcmread(path)
    dataset.file_meta.SourceApplicationEntityTitle = "DOE_PC"
    dataset.save_as(path)
    assert _repeated(path) == {("PatientName", "SourceApplicationEntityTitle")}


def test_attributes_that_identify_by_themselves_and_dates_are_not_told_again(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "a.dcm",
        PatientName="Doe^Jane",
        OtherPatientNames="Doe^J",
        PatientBirthDate="19800203",
        StudyDate="19800203",
        Manufacturer="Doe",
    )
    assert _repeated(path) == set()


def test_the_mark_of_deidentification_is_read(tmp_path: Path) -> None:
    header = read_values(write_dicom(tmp_path / "a.dcm", PatientIdentityRemoved="YES"))
    assert header is not None
    assert header.identity_removed
    assert not header.values


def test_bytes_of_an_archive_member_are_read_like_a_file(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", PatientName="Doe^Jane", StudyDescription="Doe")
    assert read_values(path.read_bytes()) == read_values(path)


def test_another_format_is_none_and_a_damaged_header_says_why(tmp_path: Path) -> None:
    assert read_values(b"\x89PNG\r\n\x1a\n") is None
    path = write_dicom(tmp_path / "a.dcm", CameraOwnerName="Doe")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"UT\0\0") + 6])
    with pytest.raises(UnreadableHeader):
        read_values(path)


def test_real_headers_repeat_what_they_name(shared_data: Path) -> None:
    files = sorted((shared_data / "dicom" / "deid-data").rglob("*.dcm"))
    with warnings.catch_warnings():
        quiet_headers()
        headers = [read_values(path) for path in files]
    assert len(headers) == 11
    assert all(header is not None and header.values.search("nothing of anybody") == [] for header in headers)
    # Names and ids again in a private attribute and in the history of the patient.
    assert sum(bool(header and header.repeated) for header in headers) == 4
