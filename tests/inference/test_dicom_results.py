"""Answers as DICOM objects: valid, in the study of their image, and saying what the answer says."""

import shutil
import subprocess
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import image_paths, read_image
from medimg_cli.inference.dicom_results import Judged, Model, NoResult, answers_as_dicom, source_of
from medimg_cli.predictions.exam_answers import ExamAnswer
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.runs.run import ModelCard, Threshold
from medimg_cli.workspace.section import LabelCode
from tests.images.dicom_file import dicom_image
from tests.inference.test_heatmap import card_of

sr = pytest.importorskip("highdicom.sr", reason="highdicom is not installed: extra [dicom]")

PIXELS = np.arange(80 * 60, dtype=np.uint16).reshape(80, 60)
ANSWER = Prediction("ok", "SPOT", 0.8123456789, {"CLEAR": 0.1876543211, "SPOT": 0.8123456789}, "positive")


def model(**more: object) -> Model:
    threshold = Threshold(
        value=0.4131, rule="r", split="val", achieved_recall=None, achieved_specificity=None
    )
    card = ModelCard.model_validate(
        card_of(classes=("CLEAR", "SPOT")).model_dump()
        | {"positive": "SPOT", "threshold": threshold, "weights_sha256": "ab" * 32}
    )
    codes = {"SPOT": LabelCode(code="233604007", system="SNOMED CT")}
    return Model(card, "first", **{"codes": codes} | more)  # type: ignore[arg-type]


def source(**elements: object) -> Dataset:
    usual = {
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "PatientID": "0815",
        "PatientName": "Doe^Jane",
        "SeriesNumber": 3,
        "InstanceNumber": 7,
    }
    return dicom_image(PIXELS, **usual | elements)


def objects(
    dataset: Dataset, answer: Prediction = ANSWER, of: Model | None = None
) -> tuple[Dataset, Dataset]:
    image = DecodedImage((PIXELS // 20).astype(np.uint8)[..., None], 8)
    judged = [Judged(answer, [(source_of(dataset), None)])]
    capture, report = answers_as_dicom(judged, of or model(), lambda _: (image, None))
    return capture, report


def read_back(report: Dataset, folder: Path) -> Any:
    report.save_as(folder / "report.dcm", enforce_file_format=True)
    return sr.srread(folder / "report.dcm")


def faults(dataset: Dataset, folder: Path) -> list[str]:
    """Return what dciodvfy calls an error."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: Debian package dicom3tools")
    path = folder / "object.dcm"
    dataset.save_as(path, enforce_file_format=True)
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


def test_the_report_says_of_each_class_whether_it_is_there_how_probable_and_who_says_so(
    tmp_path: Path,
) -> None:
    report = read_back(objects(source())[1], tmp_path)
    spot, clear = report.content.get_image_measurement_groups()
    assert (spot.finding_type.value, spot.finding_type.scheme_designator) == ("233604007", "SCT")
    assert (clear.finding_type.value, clear.finding_type.scheme_designator) == ("CLEAR", "99MEDIMG")
    for group, name, presence in ((spot, "SPOT", "Present"), (clear, "CLEAR", "Absent")):
        (measured,) = group.get_measurements()
        assert (measured.name.value, measured.value) == ("122157", ANSWER.probabilities[name])
        assert presence in [one.value.meaning for one in group.get_qualitative_evaluations()]
        assert group.source_images[0].referenced_sop_instance_uid == source().SOPInstanceUID
    said = [str(item.value) for item in report.content[0].ContentSequence[-2:]]
    parameters = report.to_json()
    assert "threshold of SPOT: called at a probability of 0.4131 or more" in parameters
    assert "ab" * 32 in parameters and "not a diagnosis" in said[0] and said[1].startswith("SPOT: positive")


def test_both_objects_are_in_the_study_of_the_image_in_series_of_their_own_and_no_validator_objects(
    tmp_path: Path,
) -> None:
    capture, report = objects(source())
    for one in (capture, report):
        assert (one.StudyInstanceUID, one.PatientID, str(one.PatientName)) == ("1.2.3", "0815", "Doe^Jane")
    assert len({capture.SeriesInstanceUID, report.SeriesInstanceUID, "1.2.3.4"}) == 3
    assert faults(capture, tmp_path) + faults(report, tmp_path) == []


def test_codes_in_small_letters_are_taken_for_the_capitals_they_have_to_be() -> None:
    with quiet_decoding():
        found = source_of(source(PatientIdentityRemoved="yes", PatientSex="f"))
    assert (found.PatientIdentityRemoved, found.PatientSex) == ("YES", "F")


def test_the_same_image_and_model_have_the_same_uids_and_others_have_others() -> None:
    def uids(*of: Dataset) -> list[str]:
        return [str(one.SOPInstanceUID) for one in of]

    first = uids(*objects(source()))
    assert uids(*objects(source())) == first
    assert not set(uids(*objects(source(), of=model(codes={})))) & set(first)
    assert not set(uids(*objects(source(SOPInstanceUID="1.2.9")))) & set(first)


def coded() -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "113100", "DCM", "Basic Profile"
    return item


IMAGE = "1.2.840.10008.5.1.4.1.1"
KINDS: dict[str, dict[str, object]] = {
    "radiograph": {"SOPClassUID": f"{IMAGE}.1.1", "PhotometricInterpretation": "MONOCHROME1"},
    "mammogram": {"SOPClassUID": f"{IMAGE}.1.2"},
    "ultrasound, retired": {"SOPClassUID": f"{IMAGE}.6"},
    "slide": {"SOPClassUID": f"{IMAGE}.77.1.6"},
    "of a private class": {"SOPClassUID": "1.3.12.2.1107.5.9.1"},
    "class in the file meta alone": {"SOPClassUID": ""},
    "no patient": {"PatientID": None, "PatientName": None},
    "sex that is none": {"PatientSex": "Female"},
    "day with dashes": {"PatientBirthDate": "1980-02-03", "StudyDate": "2020.01.05"},
    "no such day": {"PatientBirthDate": "00000000", "StudyTime": "12:30:11"},
    "range of times": {"StudyTime": "1200-1300", "StudyDate": "20200101-20200105"},
    "Latin 1": {"PatientName": "Müller^Jörg", "SpecificCharacterSet": "ISO_IR 100"},
    "Greek": {"PatientName": "Διονυσιος", "SpecificCharacterSet": "ISO_IR 126"},
    "Hebrew": {"PatientName": "שרון^דבורה", "SpecificCharacterSet": "ISO_IR 138"},
    "Japanese": {
        "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
        "SpecificCharacterSet": ["", "ISO 2022 IR 87"],
    },
    "Korean": {
        "PatientName": "Hong^Gildong=洪^吉洞=홍^길동",
        "SpecificCharacterSet": ["", "ISO 2022 IR 149"],
    },
    "Chinese": {"PatientName": "Wang^XiaoDong=王^小东", "SpecificCharacterSet": "GB18030"},
    "set of characters that is none": {"SpecificCharacterSet": "ISO_IR 999"},
    "control characters": {"StudyDescription": "a\x07b\r\n"},
    "long description": {"StudyDescription": "d" * 100, "StudyID": "s" * 30},
    "two studies' ids": {"StudyID": "a\\b"},
    "two physicians": {"ReferringPhysicianName": "Dr^X\\Dr^Y"},
    "de-identified, in words": {"PatientIdentityRemoved": "YES", "DeidentificationMethod": "m" * 100},
    "de-identified, in codes": {
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethodCodeSequence": [coded()],
        "LongitudinalTemporalInformationModified": "MODIFIED",
    },
    "de-identified, nobody says how": {"PatientIdentityRemoved": "YES"},
    "de-identified, a code without value": {
        "PatientIdentityRemoved": "YES",
        "DeidentificationMethodCodeSequence": [Dataset()],
    },
    "negative numbers": {"SeriesNumber": "-3", "InstanceNumber": "0"},
    "large numbers": {"SeriesNumber": "2147483647", "InstanceNumber": "99999999"},
    "text burned in": {"BurnedInAnnotation": "unknown"},
}
NOT_COPIED = {"InstitutionName": "St. Elsewhere", "OperatorsName": "Op^Erator", "StationName": "CT1"}


@pytest.mark.parametrize("kind", KINDS)
def test_results_of_every_kind_of_source_are_valid_and_carry_its_patient_and_nothing_else(
    kind: str, tmp_path: Path
) -> None:
    elements = {"PatientName": "Doe^Jane"} | KINDS[kind]
    made = source(**NOT_COPIED)
    for keyword, value in elements.items():
        if value is None:
            del made[keyword]
        else:
            made.add(DataElement(Tag(keyword), dictionary_VR(keyword), value, validation_mode=config.IGNORE))
    stored = BytesIO()
    with quiet_decoding():
        made.save_as(stored, enforce_file_format=True)
        stored.seek(0)
        capture, report = objects(header_of(stored))
    for one in (capture, report):
        assert str(one.PatientName) == str(elements["PatientName"] or "")
        assert one.get("PatientIdentityRemoved") == elements.get("PatientIdentityRemoved")
        assert not set(NOT_COPIED.values()) & {str(element.value) for element in one.iterall()}
        assert faults(one, tmp_path) == []
    spot = read_back(report, tmp_path).content.get_image_measurement_groups()[0]
    assert spot.get_measurements()[0].value == ANSWER.probabilities["SPOT"]
    if "DeidentificationMethodCodeSequence" in elements and kind.endswith("codes"):
        assert capture.DeidentificationMethodCodeSequence[0].CodeValue == "113100"


EXAM = ExamAnswer("P", 3, 3, "ok", "SPOT", 0.8, {"CLEAR": 0.2, "SPOT": 0.8}, "positive", "x", "max")


@pytest.mark.parametrize(
    ("changes", "presence"),
    [
        ({}, ["Present", "Absent"]),
        ({"decision": "refer", "message": "1 of 3 images were not answered"}, ["Presence Undetermined"] * 2),
        ({"status": "refused", "label": None}, ["Presence Undetermined"] * 2),
    ],
)
def test_an_exam_of_two_studies_is_answered_in_the_one_of_the_image_that_is_shown(
    changes: dict[str, Any], presence: list[str], tmp_path: Path
) -> None:
    images = [
        (source_of(source(StudyInstanceUID=f"1.2.{study}", SOPInstanceUID=f"1.2.{study}.{number}")), None)
        for number, study in enumerate((9, 3, 9))
    ]
    image = DecodedImage((PIXELS // 20).astype(np.uint8)[..., None], 8)
    judged = [Judged(replace(EXAM, **changes), images)]
    capture, report = answers_as_dicom(judged, model(), lambda _: (image, None))
    assert (capture.StudyInstanceUID, report.StudyInstanceUID) == ("1.2.9", "1.2.9")
    assert len(report.PertinentOtherEvidenceSequence) == 1
    assert faults(capture, tmp_path) + faults(report, tmp_path) == []
    found = read_back(report, tmp_path).content.get_image_measurement_groups()
    assert [one.get_qualitative_evaluations()[-1].value.meaning for one in found] == presence


@pytest.mark.slow
def test_results_of_the_real_files_are_valid(shared_data: Path, tmp_path: Path) -> None:
    count = 0
    for path in sorted((shared_data / "dicom").rglob("*")):
        try:
            frames = list(image_paths(str(path))) if path.is_file() else []
            images = [read_image(frame) for frame in frames[:3]]
            with quiet_decoding():
                header = source_of(header_of(path)) if images else None
        except (UnreadableImage, NoResult):
            continue
        if header is not None:
            numbers = range(1, len(images) + 1) if len(frames) > 1 else [None]
            judged = [Judged(ANSWER, [(header, number)]) for number in numbers]
            both = answers_as_dicom(judged, model(), lambda number, seen=images: (seen[number], None))  # type: ignore[misc]
            assert [fault for one in both for fault in faults(one, tmp_path)] == [], path
            count += 1
    assert count >= 90


def test_long_and_foreign_names_and_many_of_them_are_written_in_full_and_drawn_in_the_picture(
    tmp_path: Path,
) -> None:
    names = (
        "Carcinoma " + "x" * 120,
        "Клеточный рак почки — светлоклеточный",
        "bénin",
        *(f"c{n}" for n in range(20)),
    )
    card = ModelCard.model_validate(card_of(answers="sigmoid", classes=names).model_dump())
    answer = Prediction("ok", "|".join(names[:3]), 0.9, dict.fromkeys(names, 0.6), flags=("uncertain",))
    capture, report = objects(source(), answer, Model(card, "r" * 150))
    assert faults(capture, tmp_path) + faults(report, tmp_path) == []
    read = read_back(report, tmp_path).content.get_image_measurement_groups()
    assert [one.tracking_identifier for one in read] == list(names)
    assert len({one.finding_type.value for one in read}) == len(names)
    assert 900 < capture.Columns < 1300 and 500 < capture.Rows < 1300


def test_a_refused_image_has_no_probability_in_its_report_and_the_picture_says_why(tmp_path: Path) -> None:
    refused = Prediction(
        "refused", None, None, dict(ANSWER.probabilities), "refer", message="unlike the training"
    )
    capture, report = objects(source(), refused)
    for group in read_back(report, tmp_path).content.get_image_measurement_groups():
        assert group.get_measurements() == []
        assert "Presence Undetermined" in [one.value.meaning for one in group.get_qualitative_evaluations()]
    assert capture.ImageComments == "No answer. Unlike the training."


@pytest.mark.parametrize(
    ("chance", "said"), [(0.2, "0.413"), (0.41308, "0.41310"), (0.4130999, "0.4131000"), (0.4131, "0.413")]
)
def test_a_probability_below_the_threshold_never_reads_as_the_threshold(chance: float, said: str) -> None:
    decision: Literal["negative", "positive"] = "negative" if chance < 0.4131 else "positive"
    answer = Prediction("ok", "CLEAR", 1 - chance, {"CLEAR": 1 - chance, "SPOT": chance}, decision)
    capture, _ = objects(source(), answer)
    assert capture.ImageComments.startswith(f"SPOT: {decision}. Called SPOT at {said} or more.")


def test_two_classes_of_one_code_are_told_apart_by_codes_of_medimg() -> None:
    both = {name: LabelCode(code="RID1", system="RadLex") for name in ("CLEAR", "SPOT")}
    assert [code[1] for code in model(codes=both).concepts.values()] == ["99MEDIMG"] * 2
    one = {"SPOT": LabelCode(code="RID1", system="RadLex"), "CLEAR": LabelCode(code="x", system="our list")}
    assert model(codes=both).unused_codes == ["CLEAR", "SPOT"] and model(codes=one).unused_codes == ["CLEAR"]
    assert [code[:2] for code in model(codes=one).concepts.values()] == [
        ("CLEAR", "99MEDIMG"),
        ("RID1", "RADLEX"),
    ]


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        ({"StudyInstanceUID": ""}, "its StudyInstanceUID is missing"),
        ({"SeriesInstanceUID": "abc"}, "its SeriesInstanceUID is no UID"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "Manufacturer": "medimg"}, "a result of medimg"),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")  # of the writing, here
def test_a_source_that_no_result_can_point_to_is_said(elements: dict[str, str], reason: str) -> None:
    with pytest.raises(NoResult, match=reason):
        source_of(source(**elements))
