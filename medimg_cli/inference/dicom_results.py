"""Answers as DICOM objects in the study of their images: a Secondary Capture that people see, and a structured report.

The report is a TID 1500 Measurement Report (PS3.16): a TID 1501 group for each class of each image, with the class as its
finding, whether it is called, its probability, and which algorithm says so. highdicom writes both objects; it is imported
when the first is asked for.
"""

import hashlib
import json
import re
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from medimg_cli import __version__
from medimg_cli.errors import MachineError
from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.images.dicom.attributes import value_of
from medimg_cli.images.image import DecodedImage
from medimg_cli.inference.explaining import covered, label_of
from medimg_cli.inference.flags import FLAGS
from medimg_cli.inference.heatmap import Heat, overlaid, plain
from medimg_cli.inference.result_picture import (
    NOTICE,
    SIDE_PX,
    AnyAnswer,
    Words,
    called,
    headline,
    result_picture,
    thresholds_of,
)
from medimg_cli.predictions.exam_answers import ExamAnswer, rule_text
from medimg_cli.runs.run import ModelCard
from medimg_cli.runs.tested import Figure, Tested
from medimg_cli.workspace.section import LabelCode

MAKER = "medimg"
OWN_SCHEME = "99MEDIMG"
"""Designator of the codes of classes that no terminology has; private ones begin with 99 (PS3.16 chapter 8)."""
SECONDARY_CAPTURE, STRUCTURED_REPORT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.88.33"
_ROOT = uuid.UUID("6f0d7c52-5e0b-4b7e-9d1f-2b6f1c6a9e34")
_MOST_MEANING, _MOST_CODE = 64, 16  # characters of LO and SH, PS3.5 6.2
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
# Of the modules Patient and General Study (PS3.3 C.7.1.1 and C.7.2.1), what says whose study it is; nothing else is copied.
_OF_STUDY = """
PatientName PatientID IssuerOfPatientID PatientBirthDate PatientSex PatientIdentityRemoved DeidentificationMethod StudyDate
StudyTime AccessionNumber StudyID StudyDescription ReferringPhysicianName LongitudinalTemporalInformationModified
""".split()
_ALLOWED = {
    "PatientSex": ("M", "F", "O"),
    "PatientIdentityRemoved": ("YES", "NO"),
    "LongitudinalTemporalInformationModified": ("UNMODIFIED", "MODIFIED", "REMOVED"),
}
_MAY_BE_EMPTY = "PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime AccessionNumber StudyID ReferringPhysicianName".split()


class NoResult(Exception):  # noqa: N818 -- no failure of the command: it becomes a row
    """Raised for a DICOM object that no result can be made for; its text is the reason, one line."""


@dataclass(frozen=True)
class Source:
    """What of a DICOM image its results need; small, so that those of an exam can wait for its end.

    Args:
        study, series, instance, sop_class: UIDs.
        of_study: attributes of patient and study, keyword → value.
        methods: of de-identification, codes as (value, scheme, meaning).
        series_number, instance_number: 1 where it has none.
        burned_in: YES or NO of Burned In Annotation, "" where it does not say.
    """

    study: str
    series: str
    instance: str
    sop_class: str
    of_study: tuple[tuple[str, str], ...]
    methods: tuple[tuple[str, str, str], ...]
    series_number: int
    instance_number: int
    burned_in: str

    @property
    def is_deidentified(self) -> bool:
        return ("PatientIdentityRemoved", "YES") in self.of_study


def source_of(dataset: Dataset) -> Source:
    """Return what results need of an image's header; whatever its character set, text comes as Unicode.

    Raises:
        NoResult: it lacks a UID that results have to name, or is a result of medimg itself.
    """
    with quiet_decoding():
        meta = getattr(dataset, "file_meta", None) or Dataset()
        own = _text(dataset, "SOPClassUID") or _text(meta, "MediaStorageSOPClassUID")
        if own in (SECONDARY_CAPTURE, STRUCTURED_REPORT) and _text(dataset, "Manufacturer") == MAKER:
            raise NoResult("it is a result of medimg itself")
        named = {
            "SOP Class UID": own,
            "SOP Instance UID": _text(dataset, "SOPInstanceUID") or _text(meta, "MediaStorageSOPInstanceUID"),
            "Study Instance UID": _text(dataset, "StudyInstanceUID"),
            "Series Instance UID": _text(dataset, "SeriesInstanceUID"),
        }
        for name, uid in named.items():
            if not re.fullmatch(r"[0-9.]{1,64}", uid):
                raise NoResult(
                    f"its {name} is {'no UID' if uid else 'missing'}, so no result can point to it"
                )
        found = [(keyword, _valid(keyword, _text(dataset, keyword))) for keyword in _OF_STUDY]
        methods = tuple(
            (_text(item, "CodeValue"), _text(item, "CodingSchemeDesignator"), _text(item, "CodeMeaning"))
            for item in value_of(dataset, "DeidentificationMethodCodeSequence") or ()
        )
        numbers = [_number(dataset, keyword) for keyword in ("SeriesNumber", "InstanceNumber")]
        burned_in = _text(dataset, "BurnedInAnnotation")
    return Source(
        study=named["Study Instance UID"],
        series=named["Series Instance UID"],
        instance=named["SOP Instance UID"],
        sop_class=own,
        of_study=tuple((keyword, value) for keyword, value in found if value),
        methods=tuple(method for method in methods if all(method)),
        series_number=numbers[0],
        instance_number=numbers[1],
        burned_in=burned_in if burned_in in ("YES", "NO") else "",
    )


def _text(holder: Dataset, keyword: str) -> str:
    value = value_of(holder, keyword)
    joined = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
    return "".join(sign for sign in joined if sign.isprintable()).strip()


def _valid(keyword: str, value: str) -> str:
    """Return a value, "" where its attribute cannot have it; identities stay as they are: cut, they are somebody else's."""
    kind = dictionary_VR(keyword)
    if keyword in _ALLOWED and value not in _ALLOWED[keyword]:
        return ""
    if kind in ("DA", "TM") and value:
        try:
            _ = DA(value) if kind == "DA" else TM(value)
        except ValueError:
            return ""
        return (
            value
            if re.fullmatch(r"[0-9]{8}" if kind == "DA" else r"[0-9]{2,6}(\.[0-9]{1,6})?", value)
            else ""
        )
    return value


def _number(dataset: Dataset, keyword: str) -> int:
    value = _text(dataset, keyword)
    return int(value) if re.fullmatch(r"[1-9][0-9]{0,6}", value) else 1


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
        whole = {"card": self.card.model_dump(mode="json"), "name": self.name, "views": self.views}
        whole |= {
            "tested": self.tested.model_dump(mode="json") if self.tested else None,
            "version": __version__,
        }
        whole["codes"] = {name: code.model_dump() for name, code in self.codes.items()}
        return hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()

    @cached_property
    def concepts(self) -> dict[str, tuple[str, str, str]]:
        """Return class → (value, scheme, meaning): of a known terminology, else of medimg's own codes."""
        known = {}
        for name, code in self.codes.items():
            scheme = _SCHEMES.get(re.sub(r"[^a-z0-9]", "", code.system.lower()))
            if scheme is not None and re.fullmatch(r"[^\s\\]{1,16}", code.code) and name in self.card.classes:
                known[name] = (code.code, scheme)
        shared = {code for code, count in Counter(known.values()).items() if count > 1}
        found = {}
        for name in self.card.classes:
            own = known.get(name)
            value, scheme = own if own is not None and own not in shared else (_own_code(name), OWN_SCHEME)
            found[name] = (value, scheme, _short(name, _MOST_MEANING))
        return found

    def parameters(self, answer: AnyAnswer) -> list[str]:
        """Return what the algorithm was set to, a line each."""
        card = self.card
        lines = [f"architecture {card.arch}", f"weights SHA-256 {card.weights_sha256}"]
        for name, value in thresholds_of(card, answer).items():
            lines.append(f"threshold of {name}: called at a probability of {value:.6g} or more")
        if isinstance(answer, ExamAnswer) and card.exams is not None:
            lines.append(rule_text(card.exams))
        if card.recalibration is not None:
            lines.append("probabilities recalibrated on local cases")
        return [*lines, "mean over several views of each image"] if self.views else lines


def _own_code(name: str) -> str:
    plain_code = re.fullmatch(r"[A-Za-z0-9_.-]{1,16}", name)
    return name if plain_code else hashlib.sha256(name.encode()).hexdigest()[:_MOST_CODE].upper()


def _short(text: str, most: int) -> str:
    printable = "".join(sign for sign in text.replace("\\", "/") if sign.isprintable()).strip()
    return printable if len(printable) <= most else f"{printable[: most - 1]}…"


@dataclass(frozen=True)
class Judged:
    """An answer and what it is of.

    Args:
        images: the source and the number of the frame, from 1; None where it has one frame, or all are meant.
    """

    answer: AnyAnswer
    images: Sequence[tuple[Source, int | None]]


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
    highdicom = _highdicom()
    shown = _most_telling(judged, model.card)
    image, heat = show(shown)
    source = judged[shown].images[0][0]
    named = [(one.instance, frame) for each in judged for one, frame in each.images]
    content = [model.key, named, image.pixel_sha256(), heat is not None]
    picture = _picture(judged, shown, model, image, heat, full)
    made = [
        _secondary_capture(highdicom, judged, shown, model, picture, _uid("SC", content)),
        _structured_report(highdicom, judged, model, _uid("SR", content)),
    ]
    for one in made:
        _belong_to(one, source)
    return made


def _highdicom() -> Any:
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


def _most_telling(judged: Sequence[Judged], card: ModelCard) -> int:
    def score(number: int) -> float:
        answer = judged[number].answer
        if answer.status != "ok":
            return -1.0
        names = card.labels.positives or called(card, answer)
        return sum(answer.probabilities[name] or 0.0 for name in names) or answer.confidence or 0.0

    return max(range(len(judged)), key=score)


def _picture(
    judged: Sequence[Judged],
    shown: int,
    model: Model,
    image: DecodedImage,
    heat: Heat | None,
    full: float | None,
) -> Any:
    answer, images = judged[shown].answer, judged[shown].images
    if any(source.is_deidentified for source, _ in images):
        image = covered(image)
    base = plain(image, max_px=SIDE_PX, enlarged=True)
    pictures, captions = [base], ["Image as answered"]
    frame = images[0][1]
    if len(judged) > 1:
        captions = [f"Frame {frame} of {len(judged)}, the most telling"]
    elif len(images) > 1 and isinstance(answer, ExamAnswer):
        captions = [f"1 of {answer.images} images, the most telling"]
    elif frame is not None:
        captions = [f"Frame {frame}"]
    if heat is not None and not isinstance(answer, ExamAnswer):
        pictures.append(overlaid(image, model.card.recipe, heat, base, full=full))
        captions.append(f"Evidence for {label_of(model.card, answer)}: no outline of a disease")
    words = Words(answer, _lines(judged, shown, model), f"{MAKER} {__version__}: {model.name}", captions)
    return np.asarray(result_picture(model.card, pictures, words))


def _lines(judged: Sequence[Judged], shown: int, model: Model) -> list[str]:
    """Return what the answer rests on and what a reader should know of it, a sentence each."""
    answer, card = judged[shown].answer, model.card
    lines = [f"{answer.message[0].upper()}{answer.message[1:]}."] if answer.message else []
    if len(judged) > 1:
        counts = Counter(headline(card, each.answer) for each in judged)
        lines.append(
            "Frames: " + ", ".join(f"{number} {name}" for name, number in counts.most_common(6)) + "."
        )
    if answer.status != "ok":
        return lines
    flags = () if isinstance(answer, ExamAnswer) else answer.flags
    lines += [f"{name}: {FLAGS.get(name).meaning}." for name in flags]
    points = thresholds_of(card, answer)
    if card.labels.several:
        lines.append("Each label has its own threshold, the mark on its bar.")
    elif points:
        lines += [f"Called {name} at {value:.3f} or more." for name, value in points.items()]
    if isinstance(answer, ExamAnswer):
        lines.append(
            f"Exam of {answer.images} images, {answer.judged} answered: {answer.pooling} of their probabilities."
        )
    elif model.tested is not None:
        tested = model.tested
        lines.append(
            f"On {tested.n} test images of {tested.patients} patients: sensitivity {_interval(tested.recall)}, missed"
            f" {tested.missed.count} of {tested.missed.of}; specificity {_interval(tested.specificity)}."
        )
    else:
        lines.append("Not tested at this operating point.")
    return lines


def _interval(figure: Figure) -> str:
    known = figure.low is not None and figure.high is not None
    return f"{figure.value:.2f}" + (f" ({figure.low:.2f} to {figure.high:.2f})" if known else "")


def _secondary_capture(
    highdicom: Any, judged: Sequence[Judged], shown: int, model: Model, picture: Any, uid: str
) -> Dataset:
    source = judged[shown].images[0][0]
    capture: Dataset = highdicom.sc.SCImage(
        picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "F"),
        transfer_syntax_uid=ExplicitVRLittleEndian,
        sop_instance_uid=uid,
        **_of_series(source, model, "SC", 98),
    )
    capture.PatientOrientation = capture.Laterality = None  # the picture is no view of a body
    capture.ConversionType = "WSD"
    capture.ImageComments = " ".join(
        [f"{headline(model.card, judged[shown].answer)}.", *_lines(judged, shown, model)]
    )
    if source.burned_in:
        capture.BurnedInAnnotation = source.burned_in
    capture.SourceImageSequence = [_reference(*image) for each in judged for image in each.images]
    return capture


def _of_series(source: Source, model: Model, kind: str, place: int) -> dict[str, Any]:
    """Return what the objects of one kind have in common that belong to one series of images."""
    return {
        "study_instance_uid": source.study,
        "series_instance_uid": _uid(kind, model.key, source.study, source.series),
        "series_number": source.series_number * 100 + place,
        "instance_number": source.instance_number,
        "manufacturer": MAKER,
        "manufacturer_model_name": _short(model.name, _MOST_MEANING),
        "device_serial_number": model.card.weights_sha256[:16] or "none",
        "software_versions": __version__,
        "series_description": _short(f"{MAKER}: not a diagnosis ({model.name})", _MOST_MEANING),
        "specific_character_set": "ISO_IR 192",
    }


def _reference(source: Source, frame: int | None) -> Dataset:
    item, purpose = Dataset(), Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = source.sop_class, source.instance
    if frame is not None and source.sop_class not in _OF_ONE_FRAME:
        item.ReferencedFrameNumber = frame
    code = codes.DCM.SourceImageForImageProcessingOperation
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = code[:3]
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _structured_report(highdicom: Any, judged: Sequence[Judged], model: Model, uid: str) -> Dataset:
    sr = highdicom.sr
    device = sr.DeviceObserverIdentifyingAttributes(
        uid=_uid("device", model.card.weights_sha256),
        name=_short(model.name, _MOST_MEANING),
        manufacturer_name=MAKER,
        model_name=model.card.arch,
        serial_number=model.card.weights_sha256 or None,
    )
    observer = sr.ObserverContext(observer_type=codes.DCM.Device, observer_identifying_attributes=device)
    report = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer),
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[group for each in judged for group in _groups(sr, each, model)],
    )
    for line in _comments(judged, model):
        report[0].ContentSequence.append(
            sr.TextContentItem(name=codes.DCM.Comment, value=line, relationship_type="CONTAINS")
        )
    seen = {source.instance: source for each in judged for source, _ in each.images}
    own = any(scheme == OWN_SCHEME for _, scheme, _ in model.concepts.values())
    scheme = highdicom.coding_schemes.CodingSchemeIdentificationItem(
        OWN_SCHEME, name="Classes of models trained with medimg"
    )
    source = judged[0].images[0][0]
    common = _of_series(source, model, "SR", 99)
    common.pop("study_instance_uid")
    document: Dataset = sr.ComprehensiveSR(
        evidence=[_evidence(one) for one in seen.values()],
        content=report[0],
        sop_instance_uid=uid,
        is_complete=True,
        coding_schemes=[scheme] if own else None,
        **common,
    )
    return document


def _groups(sr: Any, judged: Judged, model: Model) -> list[Any]:
    """Return a TID 1501 group for each class: what it is, whether it is called, and how probable it is."""
    answer, card = judged.answer, model.card
    decided = answer.status == "ok" and answer.decision != "refer"
    marked, images = called(card, answer), []
    for source, frame in judged.images:
        frames = None if frame is None or source.sop_class in _OF_ONE_FRAME else [frame]
        images.append(sr.SourceImageForMeasurementGroup(source.sop_class, source.instance, frames))
    groups = []
    for name in sorted(card.classes, key=lambda one: one not in card.labels.positives):
        chance = answer.probabilities[name] if answer.status == "ok" else None
        presence = codes.DCM.PresenceUndetermined
        if decided:
            presence = codes.DCM.Present if name in marked else codes.DCM.Absent
        of = [(source.instance, frame) for source, frame in judged.images]
        frame = of[0][1]
        identifier = name if frame is None else f"frame {frame}: {name}"
        groups.append(
            sr.MeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(_uid("finding", model.key, of, name), identifier),
                finding_type=_concept(sr, model, name),
                algorithm_id=sr.AlgorithmIdentification(
                    name=model.name,
                    version=f"{MAKER} {__version__}",
                    parameters=model.parameters(answer),
                    family=codes.DCM.ArtificialIntelligence,
                    manufacturer=MAKER,
                ),
                measurements=[]
                if chance is None
                else [sr.Measurement(codes.DCM.Probability, float(chance), codes.UCUM.NoUnits)],
                qualitative_evaluations=[sr.QualitativeEvaluation(codes.DCM.PresenceOfProperty, presence)],
                source_images=images,
            )
        )
    return groups


def _concept(sr: Any, model: Model, name: str) -> Any:
    value, scheme, meaning = model.concepts[name]
    return sr.CodedConcept(value=value, scheme_designator=scheme, meaning=meaning)


def _comments(judged: Sequence[Judged], model: Model) -> list[str]:
    lines = [NOTICE]
    for number, each in enumerate(judged):
        frame = each.images[0][1]
        before = f"Frame {frame}: " if len(judged) > 1 else ""
        lines.append(
            f"{before}{headline(model.card, each.answer)}. {' '.join(_lines(judged[number : number + 1], 0, model))}"
        )
    return lines


def _evidence(source: Source) -> Dataset:
    """Return the references of a source, with nothing of the patient: that is added to what highdicom made of it."""
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = source.sop_class, source.instance
    found.StudyInstanceUID, found.SeriesInstanceUID = source.study, source.series
    for keyword in _MAY_BE_EMPTY:
        setattr(found, keyword, None)
    return found


def _belong_to(result: Dataset, source: Source) -> None:
    """Give a result the patient and study of its source, as they stand there."""
    values = dict.fromkeys(_MAY_BE_EMPTY, "") | dict(source.of_study)
    if source.is_deidentified and not source.methods:
        values.setdefault("DeidentificationMethod", "not stated by the source image")
    for keyword, value in values.items():
        tag = tag_for_keyword(keyword)
        assert tag is not None, keyword
        result.add(DataElement(tag, dictionary_VR(keyword), value, validation_mode=config.IGNORE))
    if source.methods:
        items = []
        for value, scheme, meaning in source.methods:
            item = Dataset()
            item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
            items.append(item)
        result.DeidentificationMethodCodeSequence = items
