"""Which attributes of a header hold an identity."""

from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from medimg_cli.privacy.dicom.headers import UnreadableHeader, is_dicom, read_header_identities
from tests.privacy.dicom_files import write_dicom


def _keywords(path: Path) -> set[str]:
    return {rule.keyword for rule in read_header_identities(path).attributes}


@pytest.mark.parametrize("implicit", [False, True])
def test_names_ids_and_nested_names_are_found_in_both_encodings(implicit: bool, tmp_path: Path) -> None:
    inner, outer = Dataset(), Dataset()
    inner.OperatorsName = "Roe^Jim"
    outer.ReferencedStudySequence = [inner]
    path = write_dicom(
        tmp_path / "a.dcm",
        implicit=implicit,
        PatientName="Doe^Jane",
        PatientID="4711",
        StudyDate="20210203",
        RequestAttributesSequence=[outer],
    )
    assert _keywords(path) == {
        "PatientName",
        "PatientID",
        "StudyDate",
        "OperatorsName",
        "SOPInstanceUID",
        "RequestAttributesSequence",
    }


def test_a_name_and_a_date_outside_the_table_are_found_by_their_kind(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", EvaluatorName="Roe^Jim", DateOfManufacture="20010203")
    rules = {rule.keyword: rule for rule in read_header_identities(path).attributes}
    assert (rules["EvaluatorName"].kind, rules["EvaluatorName"].rule_id) == ("identity", "")
    assert rules["DateOfManufacture"].kind == "date"


@pytest.mark.parametrize("value", ["", "Anonymous", "ANON^PATIENT", "REMOVED", "xxx", "0000", "^^^^"])
def test_an_empty_or_replaced_value_is_no_identity(value: str, tmp_path: Path) -> None:
    assert _keywords(write_dicom(tmp_path / "a.dcm", PatientName=value, PatientID=value)) == {
        "SOPInstanceUID"
    }


@pytest.mark.parametrize(("age", "found"), [("089Y", False), ("090Y", True), ("091M", False), ("", False)])
def test_only_an_age_above_89_years_identifies(age: str, found: bool, tmp_path: Path) -> None:
    assert ("PatientAge" in _keywords(write_dicom(tmp_path / "a.dcm", PatientAge=age))) is found


def test_private_attributes_are_found(tmp_path: Path) -> None:
    assert "PrivateAttributes" in _keywords(write_dicom(tmp_path / "a.dcm", private="ward 7"))


def test_overlays_and_curves_are_found(tmp_path: Path) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm"))
    for tag, vr, value in (
        (0x60023000, "OB", b"\1\2"),
        (0x60020022, "LO", "drawn by Roe"),
        (0x60020010, "US", 7),
        (0x50003000, "OB", b"\1\2"),
    ):
        dataset.add_new(tag, vr, value)
    dataset.save_as(tmp_path / "a.dcm")
    assert _keywords(tmp_path / "a.dcm") == {
        "SOPInstanceUID",
        "OverlayData",
        "OverlayDescription",
        "CurveData",
    }


def test_the_marks_of_deidentification_and_of_burned_in_text_are_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", PatientIdentityRemoved="YES", BurnedInAnnotation="YES")
    header = read_header_identities(path)
    assert (header.identity_removed, header.burned_in) == (True, True)
    header = read_header_identities(write_dicom(tmp_path / "b.dcm", PatientIdentityRemoved="NO"))
    assert (header.identity_removed, header.burned_in) == (False, False)


def test_an_empty_file_and_a_missing_one_say_why(tmp_path: Path) -> None:
    (tmp_path / "empty.dcm").write_bytes(b"")
    with pytest.raises(UnreadableHeader):
        read_header_identities(tmp_path / "empty.dcm")
    with pytest.raises(UnreadableHeader, match="FileNotFoundError"):
        read_header_identities(tmp_path / "missing.dcm")


def test_a_header_that_breaks_off_says_so(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "a.dcm", CameraOwnerName="Doe")
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.index(b"UT\0\0") + 6])
    with pytest.raises(UnreadableHeader):
        read_header_identities(path)


def test_dicom_is_told_by_its_content(tmp_path: Path) -> None:
    assert is_dicom(write_dicom(tmp_path / "no-suffix"))
    (tmp_path / "a.dcm").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert not is_dicom(tmp_path / "a.dcm")


def test_real_headers_with_invented_identities_give_them_away(shared_data: Path) -> None:
    files = sorted((shared_data / "dicom" / "deid-data").rglob("*.dcm"))
    assert len(files) == 11
    for path in files:
        assert {"PatientName", "PatientID", "StudyDate", "InstitutionName"} <= _keywords(path)
