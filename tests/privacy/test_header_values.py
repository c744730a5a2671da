"""Values harvested from headers, and found again however they are written."""

import time
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement

from medimg_cli.privacy.dicom.header_values import IdentityValues, harvest, letter_of, merge
from tests.privacy.dicom_files import write_dicom


def _header(**attributes: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize(
    "text",
    [
        "DOE^JANE",
        "raw/doe_jane.png",
        "Jane Doe, left lung",
        "JaneDoe2.png",
        "janedoe",
        "DOEJANE-1",
        "of Mrs. Döe",
        "scan-of-jane",
    ],
)
def test_a_name_is_found_in_every_writing(text: str) -> None:
    assert harvest(_header(PatientName="Doe^Jane")).search(text) == ["PatientName"]


@pytest.mark.parametrize("text", ["doeskin.png", "janet", "undoe", "", "normal/left_lung.png"])
def test_a_name_inside_another_word_is_not_found(text: str) -> None:
    assert harvest(_header(PatientName="Doe^Jane")).search(text) == []


def test_accents_and_sharp_s_make_no_difference() -> None:
    values = harvest(_header(PatientName="Müßig^José", SpecificCharacterSet="ISO_IR 192"))
    assert values.search("mussig_jose.png") == ["PatientName"]
    assert harvest(_header(PatientName="Mussig^Jose")).search("MÜSSIG") == ["PatientName"]


def test_japanese_names_are_read_in_their_character_set() -> None:
    dataset = _header(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎")
    assert harvest(dataset).search("山田太郎.png") == ["PatientName"]
    assert harvest(dataset).search("yamada") == ["PatientName"]


@pytest.mark.parametrize("text", ["mcdonald_1.png", "McDonald", "MCDONALD"])
def test_a_name_with_a_capital_inside_is_one_name(text: str) -> None:
    assert harvest(_header(PatientName="McDonald^Ann")).search(text) == ["PatientName"]
    assert harvest(_header(PatientName="McDonald^Ann")).search("Donald") == []


def test_short_names_count_whole_only() -> None:
    values = harvest(_header(PatientName="Li^Wei"))
    assert values.search("li_1.png") == []
    assert values.search("li_wei.png") == values.search("weili") == ["PatientName"]


@pytest.mark.parametrize("name", ["Anonymous", "", "Patient^Test", "REMOVED", "^^^^", "Phantom^Head", "xxx"])
def test_placeholders_and_ordinary_words_are_not_harvested(name: str) -> None:
    assert not harvest(_header(PatientName=name))


@pytest.mark.parametrize(
    "text",
    [
        "19800203",
        "1980-02-03",
        "03.02.1980",
        "02/03/1980",
        "03FEB1980",
        "3 Feb 1980",
        "February 3, 1980",
        "1980_Feb_03",
    ],
)
def test_a_birth_date_is_found_in_every_writing(text: str) -> None:
    assert harvest(_header(PatientBirthDate="19800203")).search(f"x {text} y") == ["PatientBirthDate"]


@pytest.mark.parametrize("day", ["19000101", "00010101", "", "19700101"])
def test_a_birth_date_that_systems_fill_in_is_not_harvested(day: str) -> None:
    assert not harvest(_header(PatientBirthDate=day))


@pytest.mark.parametrize(
    ("keyword", "value", "text", "letter"),
    [
        ("PatientID", "AB-123.456", "scan_ab123456.png", "H"),
        ("PatientID", "0012345678", "12345678.png", "H"),
        ("AccessionNumber", "A4711-2021", "A4711 2021", "J"),
        ("PatientTelephoneNumbers", "+41 44 123 45 67", "call 41-44-1234567", "D"),
        ("InstitutionName", "St. Elsewhere Hospital", "st_elsewhere_hospital_1", "B"),
        ("PatientAddress", "12 Elm Lane, Springfield", "12 elm lane", "B"),
        ("DeviceSerialNumber", "SN-99887", "sn99887", "M"),
        ("OperatorsName", "Roe^Jim", "by J. Roe", "A"),
    ],
)
def test_numbers_places_and_names_of_staff_are_found(
    keyword: str, value: str, text: str, letter: str
) -> None:
    assert harvest(_header(**{keyword: value})).search(text) == [keyword]
    assert letter_of(keyword) == letter


def test_nested_values_are_harvested_with_their_keyword() -> None:
    inner = _header(OtherPatientIDs="XY998877")
    assert harvest(_header(RequestAttributesSequence=[inner])).search("xy998877") == ["OtherPatientIDs"]


@pytest.mark.parametrize(
    ("keyword", "value"), [("PatientID", "7"), ("StudyID", "1234"), ("PatientID", "0000")]
)
def test_numbers_too_short_to_tell_anybody_are_left_out(keyword: str, value: str) -> None:
    assert not harvest(_header(**{keyword: value}))


def test_short_values_are_not_sure() -> None:
    values = harvest(_header(PatientID="4711", PatientName="Doe^Jane"))
    assert values.search("4711/doe.png") == ["PatientID", "PatientName"]
    assert values.search("4711/doe.png", sure=True) == []
    assert values.search("14711.png") == []
    assert values.search("jane.png", sure=True) == ["PatientName"]


def test_values_of_many_headers_merge() -> None:
    merged = merge([harvest(_header(PatientName="Doe^Jane")), harvest(_header(OperatorsName="Doe^Jim"))])
    assert merged.search("doe") == ["OperatorsName", "PatientName"]
    assert merged.search("jim_jane") == ["OperatorsName", "PatientName"]
    assert merge([]).search("doe") == []


def test_names_of_classes_can_be_spared() -> None:
    values = harvest(_header(PatientName="Effusion^Jane")).without(["effusion"])
    assert values.search("effusion/1.png") == []
    assert values.search("jane") == ["PatientName"]


def test_the_header_is_left_undecoded(tmp_path: Path) -> None:
    dataset = dcmread(write_dicom(tmp_path / "a.dcm", PatientName="Doe^Jane", PatientID="471123"))
    assert harvest(dataset).search("doe_471123") == ["PatientID", "PatientName"]
    assert isinstance(dataset.get_item("PatientName"), RawDataElement)
    assert isinstance(dataset.get_item("PatientID"), RawDataElement)


def test_a_hundred_thousand_values_are_no_slower_to_search_than_a_few() -> None:
    few = IdentityValues({"doe": frozenset(["PatientName"])})
    many = IdentityValues({f"{n:09d}": frozenset(["PatientID"]) for n in range(100_000)} | dict(few.values))
    text = "raw/ward3/img_doe_2.png"

    def seconds(values: IdentityValues) -> float:
        begin = time.process_time()
        for _ in range(2000):
            assert values.search(text) == ["PatientName"]
        return time.process_time() - begin

    assert seconds(many) < 20 * seconds(few)
