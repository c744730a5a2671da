"""Answers as DICOM objects: valid, in the study of their image, and saying what the answer says."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.dicom_results import Judged, Model, NoResult, answers_as_dicom, source_of
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


def test_the_same_image_and_model_have_the_same_uids_and_others_have_others() -> None:
    def uids(*of: Dataset) -> list[str]:
        return [str(one.SOPInstanceUID) for one in of]

    first = uids(*objects(source()))
    assert uids(*objects(source())) == first
    assert not set(uids(*objects(source(), of=model(codes={})))) & set(first)
    assert not set(uids(*objects(source(SOPInstanceUID="1.2.9")))) & set(first)


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
