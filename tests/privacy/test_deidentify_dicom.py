"""DICOM files without their identities: what goes, what stays, and what is not written."""

from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    MediaStorageDirectoryStorage,
)

from medimg_cli.privacy.removal.deidentify_dicom import deidentify_dicom
from medimg_cli.privacy.removal.profile import CannotDeidentify, Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from tests.privacy.dicom_files import write_dicom
from tests.privacy.hidden_places import PIXELS, dicom, picture
from tests.privacy.planted_identities import left_in, planted, secrets

_KEY = Pseudonyms(b"k" * 32)


_BASIC = Profile()


def _clean(content: bytes, profile: Profile = _BASIC, key: Pseudonyms = _KEY) -> Dataset:
    return dcmread(BytesIO(deidentify_dicom(content, profile, key).content))


def _file(folder: Path, **attributes: Any) -> bytes:
    return write_dicom(folder / "a.dcm", **attributes).read_bytes()


@pytest.fixture
def full(tmp_path: Path) -> bytes:
    """Return a drawn file with every kind of identity in it."""
    return planted(write_dicom(tmp_path / "full.dcm", Manufacturer="Acme", BodyPartExamined="CHEST"))


def test_all_planted_kinds_are_in_the_file_and_none_is_left(full: bytes) -> None:
    assert left_in(full) == set(secrets())
    assert len(secrets()) >= 26
    assert left_in(deidentify_dicom(full, Profile(), _KEY).content) == set()


@pytest.mark.parametrize("implicit", [False, True])
@pytest.mark.parametrize("dates", ["remove", "shift"])
def test_nothing_is_left_in_either_encoding(implicit: bool, dates: str, tmp_path: Path) -> None:
    content = planted(write_dicom(tmp_path / "a.dcm", implicit=implicit))
    profile = Profile(dates=dates)  # type: ignore[arg-type]
    assert left_in(deidentify_dicom(content, profile, _KEY).content) == set()


def test_the_same_key_gives_the_same_bytes_and_another_shares_no_pseudonym(full: bytes) -> None:
    once, again = (deidentify_dicom(full, Profile(), _KEY).content for _ in range(2))
    assert once == again
    ours, theirs = dcmread(BytesIO(once)), _clean(full, key=Pseudonyms(b"l" * 32))
    for keyword in ("PatientID", "PatientName", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        assert ours[keyword].value != theirs[keyword].value


def test_what_is_no_identity_stays(full: bytes) -> None:
    before, after = dcmread(BytesIO(full)), _clean(full)
    for keyword in ("Manufacturer", "BodyPartExamined", "Rows", "Columns", "SOPClassUID", "PixelData"):
        assert after[keyword].value == before[keyword].value
    code = after.AnatomicRegionSequence[0].ViewCodeSequence[0]
    assert (code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning) == ("T-D3000", "SRT", "Chest")
    assert after.file_meta.TransferSyntaxUID == before.file_meta.TransferSyntaxUID


def test_one_patient_has_one_code_and_a_uid_one_replacement_everywhere(tmp_path: Path) -> None:
    first = _clean(_file(tmp_path, PatientID="77", PatientName="Quick^Jo", StudyInstanceUID="1.2.3.4.5.6"))
    reference = Dataset()
    reference.ReferencedSOPInstanceUID = "1.2.3.4.5.6"
    reference.ReferencedSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
    second = _clean(
        _file(tmp_path, PatientID="77", PatientName="QUICK^JO", ReferencedImageSequence=Sequence([reference]))
    )
    assert first.PatientID == second.PatientID == first.PatientName == second.PatientName
    inside = second.ReferencedImageSequence[0]
    assert inside.ReferencedSOPInstanceUID == first.StudyInstanceUID
    assert inside.ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert first.file_meta.MediaStorageSOPInstanceUID == first.SOPInstanceUID


def test_the_marks_say_what_was_done(full: bytes) -> None:
    after = _clean(full, Profile(keep=frozenset(["patient", "device"]), dates="shift"))
    assert after.PatientIdentityRemoved == "YES"
    assert after.LongitudinalTemporalInformationModified == "MODIFIED"
    assert [code.CodeValue for code in after.DeidentificationMethodCodeSequence] == [
        "113100",
        "113108",
        "113109",
        "113107",
    ]
    assert "2026d" in str(after.DeidentificationMethod)
    assert "BurnedInAnnotation" not in after  # nobody looked into the pixels


def test_pixels_that_were_checked_are_said_to_be_clean(full: bytes) -> None:
    clean = deidentify_dicom(full, Profile(mask_text=True), _KEY, lambda _: 0)
    after = dcmread(BytesIO(clean.content))
    assert after.BurnedInAnnotation == "NO"
    assert "113101" in [code.CodeValue for code in after.DeidentificationMethodCodeSequence]


def test_shifted_dates_keep_their_gaps_and_one_patient_has_one_shift(tmp_path: Path) -> None:
    header = {
        "PatientID": "77",
        "PatientBirthDate": "19400203",
        "StudyDate": "20210301",
        "AcquisitionDateTime": "20210303101500.5+0100",
        "StudyTime": "101500",
        "DateOfSecondaryCapture": "20210310",
    }
    after = _clean(_file(tmp_path, **header), Profile(dates="shift"))
    study = datetime.strptime(after.StudyDate, "%Y%m%d")
    assert study != datetime(2021, 3, 1)
    assert (datetime.strptime(after.AcquisitionDateTime[:8], "%Y%m%d") - study).days == 2
    assert after.AcquisitionDateTime.endswith("101500.5+0100")
    assert (datetime.strptime(after.DateOfSecondaryCapture, "%Y%m%d") - study).days == 9
    assert (after.PatientBirthDate, after.StudyTime) == ("", "101500")
    other = _clean(_file(tmp_path, PatientID="77", StudyDate="20210301"), Profile(dates="shift"))
    assert other.StudyDate == after.StudyDate


def test_dates_are_removed_by_default_and_kept_when_asked(tmp_path: Path) -> None:
    content = _file(tmp_path, StudyDate="20210301", ContentDate="20210301", DateOfManufacture="20010203")
    after = _clean(content)
    assert (after.StudyDate, after.ContentDate) == ("", "19000101")
    assert "DateOfManufacture" not in after or not after.DateOfManufacture
    assert _clean(content, Profile(dates="keep")).StudyDate == "20210301"


@pytest.mark.parametrize(
    ("keep", "keyword", "value"),
    [
        ("patient", "PatientSex", "F"),
        ("patient", "PatientAge", "090Y"),
        ("device", "StationName", "CTSCAN7"),
        ("device", "DeviceSerialNumber", "SER-4"),
        ("institution", "InstitutionName", "St Brannock Infirmary"),
        ("uids", "StudyInstanceUID", "1.2.3.4.5.6"),
        ("descriptions", "SeriesDescription", "Thorax axial"),
    ],
)
def test_an_option_keeps_its_attributes_and_no_other(
    keep: str, keyword: str, value: str, tmp_path: Path
) -> None:
    header = {
        "PatientSex": "F",
        "PatientAge": "094Y",
        "StationName": "CTSCAN7",
        "DeviceSerialNumber": "SER-4",
        "InstitutionName": "St Brannock Infirmary",
        "StudyInstanceUID": "1.2.3.4.5.6",
        "SeriesDescription": "Thorax axial",
    }
    content = _file(tmp_path, **header)
    assert _clean(content, Profile(keep=frozenset([keep])))[keyword].value == value
    assert _clean(content).get(keyword) != value


@pytest.mark.parametrize(
    "text", ["seen by Quick", "for JO QUICK", "on 2021-02-03", "tel 020 7946 0958", "MRN 123456"]
)
def test_a_description_is_kept_only_where_nothing_in_it_tells(text: str, tmp_path: Path) -> None:
    content = _file(tmp_path, PatientName="Quick^Jo", SeriesDescription=text, ImageComments="plain words")
    after = _clean(content, Profile(keep=frozenset(["descriptions"])))
    assert not after.SeriesDescription
    assert after.ImageComments == "plain words"


def test_a_code_string_that_is_none_is_looked_through_as_a_text(tmp_path: Path) -> None:
    code, text = b"FAT_SAT NO_WRAP ", b"on 2021-02-03 ok"
    content = _file(tmp_path, ScanOptions=code.decode().strip(), SequenceVariant="X" * 16)
    clean = _clean(content.replace(b"X" * 16, text))
    assert (clean.ScanOptions, clean.SequenceVariant) == ("FAT_SAT NO_WRAP", "")


def test_texts_of_a_report_are_invented_and_its_public_codes_stay(tmp_path: Path) -> None:
    concept, item = Dataset(), Dataset()
    concept.CodeValue, concept.CodingSchemeDesignator, concept.CodeMeaning = "121071", "DCM", "Finding"
    item.ValueType, item.TextValue = "TEXT", "told by the neighbour"
    item.ConceptNameCodeSequence = Sequence([concept])
    (after,) = _clean(_file(tmp_path, ContentSequence=Sequence([item]))).ContentSequence
    assert (after.ValueType, after.TextValue) == ("TEXT", "REMOVED")
    assert after.ConceptNameCodeSequence[0].CodeMeaning == "Finding"


@pytest.mark.parametrize(
    ("written", "kept"), [(b"1,5 ", "1,5"), (b" 1e1", "1e1"), (b"Zoe ", ""), (b"1\xe4\xf6 ", "")]
)
def test_of_an_ill_formed_number_no_letter_stays(tmp_path: Path, written: bytes, kept: str) -> None:
    content = _file(tmp_path, SliceThickness="1.5").replace(b"1.5 ", written)
    after = dcmread(BytesIO(deidentify_dicom(content, Profile(), _KEY).content))
    assert after.get_item("SliceThickness").value in ((written if kept else b""), None)


@pytest.mark.parametrize("keyword", ["NumberOfFrames", "RescaleSlope"])
def test_an_ill_formed_number_of_the_pixels_keeps_a_file_from_being_written(
    tmp_path: Path, keyword: str
) -> None:
    content = _file(tmp_path, **{keyword: "13"}).replace(b"S\x02\x0013", b"S\x02\x001A")
    with pytest.raises(CannotDeidentify, match=f"a {keyword} that is no number"):
        deidentify_dicom(content, Profile(), _KEY)


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"EncapsulatedDocument": b"%PDF"}, "encapsulated document"),
        ({"DirectoryRecordSequence": Sequence([])}, "DICOMDIR"),
    ],
)
def test_what_cannot_be_cleaned_is_refused_with_the_reason(
    header: dict[str, object], reason: str, tmp_path: Path
) -> None:
    with pytest.raises(CannotDeidentify, match=reason):
        deidentify_dicom(_file(tmp_path, **header), Profile(), _KEY)


def test_an_overlay_among_the_bits_of_the_pixels_is_refused(tmp_path: Path) -> None:
    dataset = dcmread(BytesIO(_file(tmp_path)))
    dataset.add_new(0x60000102, "US", 12)
    target = BytesIO()
    dataset.save_as(target)
    with pytest.raises(CannotDeidentify, match="unused bits"):
        deidentify_dicom(target.getvalue(), Profile(), _KEY)


def test_damaged_bytes_and_a_directory_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CannotDeidentify):
        deidentify_dicom(bytes(128) + b"DICM", Profile(), _KEY)
    content = _file(tmp_path)
    dataset = dcmread(BytesIO(content))
    dataset.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    target = BytesIO()
    dataset.save_as(target)
    with pytest.raises(CannotDeidentify, match="DICOMDIR"):
        deidentify_dicom(target.getvalue(), Profile(), _KEY)


@pytest.mark.parametrize(
    "text",
    [
        "Quintrell",
        "ZEBEDEE",
        "7734219",
        "MRN7734219",
        "19370219",
        "19.02.1937",
        "February 19, 1937",
        "Zebedee Quintrell",
    ],
)
@pytest.mark.parametrize("coding", ["latin-1", "utf-16-le", "utf-16-be"])
def test_a_value_or_a_part_of_one_among_the_samples_keeps_a_file_from_being_written(
    text: str, coding: str
) -> None:
    # Into the entropy-coded data, where nothing but a decoder can tell it from samples.
    jpeg, written = picture("JPEG"), text.encode(coding)
    middle = (jpeg.index(b"\xff\xda") + len(jpeg)) // 2
    frame = jpeg[:middle] + written + jpeg[middle:]
    with pytest.raises(CannotDeidentify, match="among the bytes of the pixels"):
        deidentify_dicom(dicom(JPEGBaseline8Bit, encapsulate([frame])), Profile(), _KEY)
    behind = jpeg[:-2] + written + jpeg[-2:]
    clean = deidentify_dicom(dicom(JPEGBaseline8Bit, encapsulate([behind])), Profile(), _KEY)
    assert written not in clean.content


@pytest.mark.parametrize(
    "text", ["quintrellct", "told by ZEBEDEE", "id8472", "7734219", "on 19.2.1937", "2/19/1937"]
)
def test_parts_of_values_are_found_in_texts(text: str) -> None:
    profile = Profile(keep=frozenset(["descriptions"]))
    after = _clean(
        dicom(ExplicitVRLittleEndian, SeriesDescription=text, ImageComments="plain words"), profile
    )
    assert (after.SeriesDescription == text) == (text == "id8472")
    assert after.ImageComments == "plain words"


@pytest.mark.parametrize("name", ["Basic^Option", "Clean^Pixel", "Profile^Dates"])
def test_words_that_medimg_writes_itself_are_no_residue(name: str) -> None:
    assert _clean(dicom(ExplicitVRLittleEndian, PatientName=name)).PatientIdentityRemoved == "YES"


def test_a_maker_as_institution_stays_the_maker_and_a_patient_of_that_name_does_not(tmp_path: Path) -> None:
    header = {"Manufacturer": "PHILIPS", "ManufacturerModelName": "seen by Philips"}
    after = _clean(_file(tmp_path, InstitutionName="Philips Medical Systems", **header))
    assert after.Manufacturer == "PHILIPS"
    after = _clean(_file(tmp_path, PatientName="Philips^Anne", **header))
    assert not after.ManufacturerModelName


@pytest.mark.parametrize("vr", ["OB", "OW"])
def test_the_last_of_an_odd_number_of_samples_stays_in_either_byte_order(vr: str) -> None:
    samples = bytes(range(1, 28))
    for little in (True, False):
        dataset = dcmread(BytesIO(dicom(ExplicitVRLittleEndian, Rows=3, Columns=9)))
        swapped = b"".join(samples[at : at + 2].ljust(2, b"\7")[::-1] for at in range(0, 27, 2))
        dataset.PixelData = (samples + b"\7" if little or vr == "OB" else swapped) + b"Hepzibah"
        dataset["PixelData"].VR = vr
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        target = BytesIO()
        list(dataset.iterall())  # decoded, to be written in the other byte order
        dcmwrite(target, dataset, little_endian=little, implicit_vr=False, force_encoding=True)
        clean = deidentify_dicom(target.getvalue(), Profile(), _KEY).content
        assert b"Hepzibah" not in clean and b"\7\0" not in clean[-3:]
        assert dcmread(BytesIO(clean)).pixel_array.tobytes() == samples


_LONG_NAME = "M\u00fcller-L\u00fcdenscheidt^Anneliese Katharina"
_PARTS = ["M\u00fcller", "L\u00dcDENSCHEIDT", "Luedenscheidt", "muller", "Mueller", "Katharina", "anneliese"]


@pytest.mark.parametrize("part", _PARTS)
def test_a_part_of_a_longer_name_leaves_texts_that_stay(part: str) -> None:
    named: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": _LONG_NAME,
        "FilterType": part,
    }
    assert not _clean(dicom(ExplicitVRLittleEndian, **named)).FilterType


@pytest.mark.parametrize("coding", ["latin-1", "utf-8", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("part", _PARTS)
def test_a_part_of_a_longer_name_among_samples_keeps_a_file_from_being_written(
    part: str, coding: str
) -> None:
    pixels = bytearray(PIXELS.tobytes())
    pixels[200 : 200 + len(part.encode(coding))] = part.encode(coding)
    named: dict[str, Any] = {"SpecificCharacterSet": "ISO_IR 100", "PatientName": _LONG_NAME}
    with pytest.raises(CannotDeidentify, match="the value of PatientName among the bytes of the pixels"):
        deidentify_dicom(dicom(ExplicitVRLittleEndian, bytes(pixels), **named), Profile(), _KEY)


def test_samples_that_spell_a_short_name_as_their_rows_do_are_written() -> None:
    row = (b"nmkmuller" * 6)[: PIXELS.shape[1]]
    pixels = b"".join(bytes((one + number) % 256 for one in row) for number in range(-2, PIXELS.shape[0] - 2))
    assert b"muller" in pixels
    after = _clean(dicom(ExplicitVRLittleEndian, pixels, PatientName="Muller^Al"))
    assert after.PixelData == pixels
