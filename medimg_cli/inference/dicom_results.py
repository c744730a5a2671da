"""Answers as DICOM objects in the study of their images: a Secondary Capture that people see, and a structured report.

The report is a TID 1500 Measurement Report (PS3.16): a TID 1501 group for each class of each image, with the class as its
finding, whether it is called, its probability, and which algorithm says so. highdicom writes both objects; it is imported
when the first is asked for.
"""

import hashlib
import json
import re
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pydicom import config
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.tag import Tag
from pydicom.uid import ComprehensiveSRStorage, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from medimg_cli import __version__
from medimg_cli.errors import MachineError
from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.images.dicom.attributes import value_of
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.explaining import label_of
from medimg_cli.inference.heatmap import Heat
from medimg_cli.inference.result_picture import (
    NOTICE,
    AnyAnswer,
    called,
    headline,
    result_picture,
    thresholds_of,
    words_of,
)
from medimg_cli.predictions.exam_answers import ExamAnswer, rule_text
from medimg_cli.privacy.pixels.text_policy import covered
from medimg_cli.runs.run import ModelCard
from medimg_cli.runs.tested import Tested
from medimg_cli.workspace.section import LabelCode

MAKER = "medimg"
OWN_SCHEME = "99MEDIMG"
"""Designator of the codes of classes that no terminology has; private ones begin with 99 (PS3.16 chapter 8)."""
_OWN_CLASSES = (SecondaryCaptureImageStorage, ComprehensiveSRStorage)
_ROOT = uuid.UUID("6f0d7c52-5e0b-4b7e-9d1f-2b6f1c6a9e34")
_LONG, _MOST_COMMENT = 64, 10_240  # characters of LO and LT, PS3.5 6.2
# Designators of PS3.16 table 8-1, by what people call the terminologies.
_SCHEMES = dict(
    pair.split("=")
    for pair in """snomedct=SCT snomed=SCT sct=SCT radlex=RADLEX loinc=LN ln=LN dcm=DCM dicom=DCM umls=UMLS icd10=I10 i10=I10
    icd10cm=I10C i10c=I10C icd11=I11 i11=I11 ncit=NCIt ncithesaurus=NCIt icdo3=ICDO3""".split()
)
# SOP classes of one frame by definition (PS3.4 B.5), where a file may have several all the same: no frame may be named there.
_OF_ONE_FRAME = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{tail}"
    for tail in "1 1.1 1.1.1 1.2 1.2.1 1.3 1.3.1 2 4 6.1 7 77.1.1 77.1.2 77.1.3 77.1.4 128".split()
)
_UIDS = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
# Of the modules Patient and General Study (PS3.3 C.7.1.1 and C.7.2.1), what says whose study it is; nothing else is copied.
_ALWAYS = """
PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber StudyID ReferringPhysicianName
""".split()
_WHERE_KNOWN = """
IssuerOfPatientID StudyDescription PatientIdentityRemoved DeidentificationMethod LongitudinalTemporalInformationModified
""".split()
_OF_SERIES = ("SeriesNumber", "InstanceNumber", "BurnedInAnnotation")
_DAY = r"\d{4}(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])"
_VALID = {
    **dict.fromkeys(_UIDS, r"[0-9.]{1,64}"),
    **dict.fromkeys(_OF_SERIES[:2], r"[1-9]\d{0,6}"),
    **dict.fromkeys(("PatientBirthDate", "StudyDate"), _DAY),
    "StudyTime": r"([01]\d|2[0-3])([0-5]\d([0-5]\d(\.\d{1,6})?)?)?",
    "ReferringPhysicianName": r"[^\\]+",
    "StudyID": r"[^\\]{1,16}",
    "PatientSex": "M|F|O",
    "PatientIdentityRemoved": "YES|NO",
    "BurnedInAnnotation": "YES|NO",
    "LongitudinalTemporalInformationModified": "UNMODIFIED|MODIFIED|REMOVED",
}
Source = Dataset
"""What results need of an image's header, as `source_of` returns it."""


class NoResult(Exception):  # noqa: N818 -- no failure of the command: it becomes a row
    """Raised for what no result can be made for; its text is the reason, one line.

    Args:
        is_lacking: it is an image that should have one.
    """

    def __init__(self, reason: str, *, is_lacking: bool = True) -> None:
        super().__init__(reason)
        self.is_lacking = is_lacking


def source_of(dataset: Dataset) -> Source:
    """Return of an image's header what its results need, in Unicode: UIDs, patient, study, and how it was de-identified.

    It is small, so that those of an exam can wait for its end. A value that its attribute cannot have is left out, but for
    identities: cut, they would be somebody else's.

    Raises:
        NoResult: it lacks a UID that results have to name, or is a result of medimg itself.
    """
    with quiet_decoding():
        meta = getattr(dataset, "file_meta", None) or Dataset()
        keywords = (*_UIDS, *_ALWAYS, *_WHERE_KNOWN, *_OF_SERIES)
        values = {keyword: _text(dataset, keyword) for keyword in keywords}
        values["SOPClassUID"] = values["SOPClassUID"] or _text(meta, "MediaStorageSOPClassUID")
        values["SOPInstanceUID"] = values["SOPInstanceUID"] or _text(meta, "MediaStorageSOPInstanceUID")
        if values["SOPClassUID"] in _OWN_CLASSES and _text(dataset, "Manufacturer") == MAKER:
            raise NoResult("it is a result of medimg itself", is_lacking=False)
        methods = [
            tuple(_text(item, keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
            for item in value_of(dataset, "DeidentificationMethodCodeSequence") or ()
        ]
    found = Dataset()
    for keyword in ("StudyDescription", "DeidentificationMethod"):
        values[keyword] = "\\".join(map(_short, filter(None, values[keyword].split("\\"))))
    for keyword, value in values.items():
        value = value.upper() if dictionary_VR(keyword) == "CS" else value
        valid = bool(value) and (keyword not in _VALID or re.fullmatch(_VALID[keyword], value))
        if keyword in _UIDS and not valid:
            what = "no UID" if value else "missing"
            raise NoResult(f"its {keyword} is {what}, so no result can point to it")
        if valid or keyword in _ALWAYS:
            kept, tag = value if valid else "", Tag(keyword)
            found.add(DataElement(tag, dictionary_VR(tag), kept, validation_mode=config.IGNORE))
    found.setdefault("SeriesNumber", 1), found.setdefault("InstanceNumber", 1)
    if known := [_code(*method) for method in methods if all(method)]:
        found.DeidentificationMethodCodeSequence = known
    elif found.get("PatientIdentityRemoved") == "YES" and "DeidentificationMethod" not in found:
        found.DeidentificationMethod = "not stated by the source image"
    return found


def _text(holder: Dataset, keyword: str) -> str:
    value = value_of(holder, keyword)
    joined = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
    return "".join(sign for sign in joined if sign.isprintable()).strip()


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


@dataclass(frozen=True)
class Model:
    """What answered.

    Args:
        card: of it.
        name: of its run.
        tested: what test said of it, None where it was not tested as it answers.
        codes: class → what it is in a terminology, as `labels:` of the settings has it.
        views: more than one view of each image was answered (`--tta`).
    """

    card: ModelCard
    name: str
    tested: Tested | None = None
    codes: Mapping[str, LabelCode] = field(default_factory=dict)
    views: bool = False

    @cached_property
    def key(self) -> str:
        """Return a hash that differs wherever the objects of one image may, but for their time."""
        tested = self.tested.model_dump(mode="json") if self.tested else None
        whole = [self.card.model_dump(mode="json"), self.name, tested, self.concepts, self.views, __version__]
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @cached_property
    def concepts(self) -> dict[str, tuple[str, str, str]]:
        """Return class → (value, scheme, meaning): of a known terminology, else, or where two share one, a code of medimg."""
        known = {}
        for name in self.card.classes:
            code = self.codes.get(name, LabelCode())
            scheme = _SCHEMES.get(re.sub(r"[^a-z0-9]", "", code.system.lower()))
            if scheme is not None and re.fullmatch(r"[^\s\\]{1,16}", code.code):
                known[name] = (code.code, scheme)
        given = list(known.values())
        for name in self.card.classes:
            if given.count(known.get(name, ("", ""))) != 1:
                plain_name = re.fullmatch(r"[A-Za-z0-9_.-]{1,16}", name)
                own = name if plain_name else hashlib.sha256(name.encode()).hexdigest()[:16].upper()
                known[name] = (own, OWN_SCHEME)
        return {name: (*known[name], _short(name)) for name in self.card.classes}

    @property
    def unused_codes(self) -> list[str]:
        """Return the classes whose code in a terminology cannot be used."""
        own = [name for name, (_, scheme, _) in self.concepts.items() if scheme == OWN_SCHEME]
        return [name for name in own if name in self.codes and self.codes[name].code]

    def parameters(self, answer: AnyAnswer, of: str) -> list[str]:
        """Return what the algorithm was set to for a class, a line each."""
        lines = [f"architecture {self.card.arch}", f"weights SHA-256 {self.card.weights_sha256}"]
        for name, value in thresholds_of(self.card, answer).items():
            if self.card.labels.several and name != of:
                continue
            lines.append(f"threshold of {name}: called at a probability of {value:.6g} or more")
        if isinstance(answer, ExamAnswer) and self.card.exams is not None:
            lines.append(rule_text(self.card.exams))
        lines += ["probabilities recalibrated on local cases"] if self.card.recalibration is not None else []
        return [*lines, "mean over several views of each image"] if self.views else lines


def _short(text: str) -> str:
    """Return a text as LO may hold it (PS3.5 6.2): 64 characters, and no more bytes, as some systems count these."""
    printable = "".join(sign for sign in text.replace("\\", "/") if sign.isprintable()).strip()
    whole = printable.encode()
    short = printable if len(whole) <= _LONG else f"{whole[: _LONG - 3].decode(errors='ignore')}..."
    return short or "unnamed"


_Image = tuple[Source, int | None]


@dataclass(frozen=True)
class Judged:
    """An answer and what it is of.

    Args:
        images: of each the source, and the number of the frame from 1; None where it has one, or all are meant.
    """

    answer: AnyAnswer
    images: Sequence[_Image]


Show = Callable[[int], tuple[DecodedImage, Heat | None]]
"""Returns the image that is shown of the answer with this number, and its heat map where there is one."""


def answers_as_dicom(
    judged: Sequence[Judged], model: Model, show: Show, *, full: float | None = None
) -> list[Dataset]:
    """Return a Secondary Capture and a structured report, ready to be written or sent.

    UIDs are made of the source's, the model and what is shown: the same image answered by the same model has the same ones.
    A refused image has both objects too, and they say that there is no answer.

    Args:
        judged: the answers to the frames of one object, in their order; or the one to an exam, of all its images.
        show: gives the picture of one of them; of several the one most probably positive is shown.
        full: evidence that has the last colour of a heat map, None for the highest of the image.

    Raises:
        MachineError: highdicom is not installed.
        UnreadableImage: of `show`.
    """
    highdicom = highdicom_of()
    shown = max(range(len(judged)), key=lambda number: _weight(judged[number].answer, model.card))
    image, heat = show(shown)
    source = judged[shown].images[0][0]
    named = [(one.SOPInstanceUID, frame) for each in judged for one, frame in each.images]
    content = [model.key, named, image.pixel_sha256(), heat is not None]
    lines = words_of([each.answer for each in judged], shown, model.card, model.tested)
    answer, images = judged[shown].answer, judged[shown].images
    if any(one.get("PatientIdentityRemoved") == "YES" for one, _ in images):
        image = covered(image)
    frame, count = images[0][1], max(len(judged), len(images))
    caption = "Image as answered" if frame is None else f"Frame {frame}"
    caption += f", the most telling of {count}" if count > 1 else ""
    pictures: dict[str, tuple[DecodedImage, Heat | None]] = {caption: (image, None)}
    if heat is not None:
        pictures[f"Evidence for {label_of(model.card, answer)}: no outline of a disease"] = (image, heat)
    name = f"{MAKER} {__version__}: {model.name}"
    picture = np.asarray(result_picture(model.card, answer, pictures, name, lines, full=full))
    with quiet_decoding():  # what is invalid in the source is warned of when it is copied
        common = _common("SC", 98, source, model, content)
        made = [_secondary_capture(highdicom, source, images, picture, common)]
        made.append(_structured_report(highdicom, judged, model, _common("SR", 99, source, model, content)))
        made[0].ImageComments = " ".join([f"{headline(model.card, answer)}.", *lines])[:_MOST_COMMENT]
        for one in made:
            for keyword in (*_ALWAYS, *_WHERE_KNOWN, "DeidentificationMethodCodeSequence"):
                if keyword in source:
                    one[keyword] = source[keyword]
    return made


def highdicom_of() -> Any:
    """Return highdicom, imported; raises `MachineError` where it is not installed."""
    try:
        import highdicom.coding_schemes
        import highdicom.sc
        import highdicom.sr
    except ImportError as error:
        raise MachineError("results as DICOM need highdicom", "pip install 'medimg[dicom]'") from error
    return highdicom


def _uid(*parts: Any) -> str:
    """Return a UID of PS3.5 B.2 that is the same for the same parts."""
    return f"2.25.{uuid.uuid5(_ROOT, json.dumps(parts)).int}"


def _weight(answer: AnyAnswer, card: ModelCard) -> float:
    """Return how much one of several answers is worth showing."""
    if answer.status != "ok":
        return -1.0 if answer.status == "refused" else -2.0
    names = card.labels.positives or called(card, answer)
    return sum(answer.probabilities[name] or 0.0 for name in names)


def _common(kind: str, place: int, source: Dataset, model: Model, content: Sequence[Any]) -> dict[str, Any]:
    """Return what both objects say of themselves; those of one kind and one series of images are one series."""
    return {
        "series_instance_uid": _uid(kind, model.key, source.StudyInstanceUID, source.SeriesInstanceUID),
        "series_number": int(source.SeriesNumber) * 100 + place,
        "sop_instance_uid": _uid(kind, *content),
        "instance_number": int(source.InstanceNumber),
        "manufacturer": MAKER,
        "manufacturer_model_name": _short(model.name),
        "device_serial_number": model.card.weights_sha256[:16] or "none",
        "software_versions": __version__,
        "series_description": _short(f"{MAKER}: not a diagnosis ({model.name})"),
        "specific_character_set": "ISO_IR 192",
    }


def _secondary_capture(
    highdicom: Any, source: Source, images: Sequence[_Image], picture: Any, common: dict[str, Any]
) -> Dataset:
    capture: Dataset = highdicom.sc.SCImage(
        picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        study_instance_uid=source.StudyInstanceUID,
        **common,
    )
    capture.PatientOrientation = capture.Laterality = None  # the picture is no view of a body
    capture.ConversionType = "WSD"
    if "BurnedInAnnotation" in source:
        capture.BurnedInAnnotation = source.BurnedInAnnotation
    capture.SourceImageSequence = []
    for image, frame in images:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
        if _nameable(image, frame):
            item.ReferencedFrameNumber = frame
        item.PurposeOfReferenceCodeSequence = [_code(*codes.DCM.SourceImageForImageProcessingOperation[:3])]
        capture.SourceImageSequence.append(item)
    return capture


def _nameable(image: Dataset, frame: int | None) -> bool:
    return frame is not None and image.SOPClassUID not in _OF_ONE_FRAME


def _structured_report(
    highdicom: Any, judged: Sequence[Judged], model: Model, common: dict[str, Any]
) -> Dataset:
    sr = highdicom.sr
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_uid("device", model.card.weights_sha256),
        name=_short(model.name),
        manufacturer_name=MAKER,
        model_name=model.card.arch,
        serial_number=model.card.weights_sha256 or None,
    )
    observer = sr.ObserverContext(codes.DCM.Device, device)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[
            group for each in judged for group in _groups(sr, each, model, first=each is judged[0])
        ],
    )
    said, evidence = [NOTICE], {}
    for each in judged:
        frame = f"Frame {each.images[0][1]}: " if len(judged) > 1 else ""
        words = " ".join(words_of([each.answer], 0, model.card, model.tested))
        said.append(f"{frame}{headline(model.card, each.answer)}. {words}")
        for source, _ in each.images:
            evidence[source.SOPInstanceUID] = blank = Dataset()  # its patient and study are copied afterwards
            for keyword in (*_UIDS, *_ALWAYS):
                setattr(blank, keyword, source[keyword].value if keyword in _UIDS else None)
    for line in said:
        comment = sr.TextContentItem(codes.DCM.Comment, line, relationship_type="CONTAINS")
        report[0].ContentSequence.append(comment)
    scheme = highdicom.coding_schemes.CodingSchemeIdentificationItem(
        OWN_SCHEME, name="Classes of medimg models"
    )
    own = [scheme] if any(code[1] == OWN_SCHEME for code in model.concepts.values()) else None

    class Report(sr.ComprehensiveSR):  # type: ignore[misc, name-defined]
        def copy_patient_and_study_information(self, dataset: Dataset) -> None:
            """Copy nothing: highdicom knows no private SOP classes, and the source is copied as it is."""

    document: Dataset = Report(
        evidence=list(evidence.values()),
        content=report[0],
        is_complete=True,
        coding_schemes=own,
        **common,
    )
    return document


def _groups(sr: Any, judged: Judged, model: Model, *, first: bool) -> list[Any]:
    """Return a TID 1501 group for each class: what it is, whether it is called, and how probable it is.

    Args:
        first: of several frames; the algorithm is identified there, as repeating it makes the report twice as long.
    """
    answer, card = judged.answer, model.card
    images, of = [], [(one.SOPInstanceUID, frame) for one, frame in judged.images]
    for one, frame in judged.images:
        frames = [frame] if _nameable(one, frame) else None
        images.append(sr.SourceImageForMeasurementGroup(one.SOPClassUID, one.SOPInstanceUID, frames))
    groups = []
    for name in sorted(card.classes, key=lambda one: one not in card.labels.positives):
        chance = answer.probabilities[name] if answer.status == "ok" else None
        presence = codes.DCM.Present if name in called(card, answer) else codes.DCM.Absent
        if answer.status != "ok" or answer.decision == "refer":
            presence = codes.DCM.PresenceUndetermined
        measured = sr.Measurement(codes.DCM.Probability, chance or 0.0, codes.UCUM.NoUnits)
        algorithm = sr.AlgorithmIdentification(
            name=model.name,
            version=f"{MAKER} {__version__}",
            parameters=model.parameters(answer, name),
            family=codes.DCM.ArtificialIntelligence,
            manufacturer=MAKER,
        )
        value, scheme, meaning = model.concepts[name]
        identifier = name if of[0][1] is None else f"frame {of[0][1]}: {name}"
        groups.append(
            sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(_uid("finding", model.key, of, name), identifier),
                finding_type=sr.CodedConcept(value, scheme, meaning),
                algorithm_id=algorithm if first else None,
                measurements=[] if chance is None else [measured],
                qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, presence)],
                source_images=images,
            )
        )
    return groups
