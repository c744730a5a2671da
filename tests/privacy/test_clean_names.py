"""What files and folders are called in a de-identified copy."""

from pydicom import Dataset

from medimg_cli.privacy.dicom.header_values import IdentityValues, harvest
from medimg_cli.privacy.removal.pseudonyms import CleanNames, Pseudonyms

_KEY = Pseudonyms(b"k" * 32)


def _names(*paths: str, values: IdentityValues | None = None, rule: str = "auto") -> list[str]:
    names = CleanNames(_KEY, values or IdentityValues(), paths, rule)  # type: ignore[arg-type]
    return [names.of(path) for path in paths]


def _header() -> IdentityValues:
    dataset = Dataset()
    dataset.PatientName, dataset.PatientID = "Quintrell^Zebedee", "MRN7734"
    return harvest(dataset)


def test_a_plain_name_and_a_class_folder_stay() -> None:
    paths = ["train/NORMAL/IM-0115-0001.jpeg", "PNEUMONIA/person1_bacteria_2.jpeg", "scan.nii.gz", "noext"]
    assert _names(*paths) == paths


def test_a_name_that_tells_becomes_a_code_and_keeps_its_suffix() -> None:
    (name,) = _names("sick/DOE^JANE.dcm")
    assert name == f"sick/{_KEY.name('DOE^JANE')}.dcm"


def test_a_folder_that_tells_keeps_its_images_together() -> None:
    first, second = _names("DOE^JANE/1.png", "DOE^JANE/2.png")
    assert first.split("/")[0] == second.split("/")[0] == _KEY.name("DOE^JANE")
    assert [name.split("/")[1] for name in (first, second)] == ["1.png", "2.png"]


def test_a_value_of_a_header_is_found_in_any_name() -> None:
    found = _names("zebedee quintrell/a.png", "x/mrn-7734_b.png", "x/c.png", values=_header())
    assert not any("quintrell" in name.lower() or "7734" in name for name in found)
    assert found[2] == "x/c.png"


def test_only_a_known_suffix_is_one() -> None:
    (name,) = _names("Quintrell.Zebedee.dcm", values=_header())
    assert name == f"{_KEY.name('Quintrell.Zebedee')}.dcm"


def test_a_uid_is_replaced_as_in_the_header() -> None:
    uid = "1.2.840.113619.2.55.3.604"
    assert _names(f"{uid}.dcm", f"CT.{uid}.dcm") == [f"{_KEY.uid(uid)}.dcm", f"CT.{_KEY.uid(uid)}.dcm"]


def test_counters_are_no_record_numbers_but_records_are() -> None:
    counted = [f"scan_{100000 + number}.png" for number in range(50)]
    assert _names(*counted) == counted
    records = ["471123.png", "889214.png", "130977.png"]
    assert not set(_names(*records)) & set(records)


def test_codes_always_or_never_on_request() -> None:
    coded = _names("NORMAL/a.png", "SICK/a.png", rule="code")
    assert [name.split("/")[0] for name in coded] == ["NORMAL", "SICK"]
    assert len({name.split("/")[1] for name in coded}) == 2 and "a.png" not in str(coded)
    assert _names("DOE^JANE.png", rule="keep") == ["DOE^JANE.png"]
