"""Patients of a synthetic cohort: their chests by number, written as PNG and DICOM."""

import io
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.sample_data.phantoms.anatomy import Map
from medimg_cli.sample_data.phantoms.draw import SIDE_PX, Chest, Pose, draw_chest, draw_pose, expose
from medimg_cli.workspace.files import atomic_path

_BLACK, _WHITE = 300, 3500  # stored values of the window's ends, well inside 12 bits (0..4095)


@dataclass(frozen=True)
class Header:
    """What a phantom's DICOM header says about its patient.

    Args:
        name: a text that tells this image from all others; its UIDs are made from it.
        identity: keyword → value of attributes that identify a person; empty in a clean cohort.
    """

    name: str
    identity: dict[str, str]


def png_bytes(image: Map) -> bytes:
    """Return `image` (H, W) in 0..1 as an 8-bit grey PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def dicom_bytes(image: Map, header: Header, *, monochrome1: bool) -> bytes:
    """Return `image` (H, W) in 0..1 as a Computed Radiography file that is shown as `image` is.

    12 bits stored, with a linear window (PS3.3 C.11.2.1.2). MONOCHROME1 stores white as the lowest value
    (PS3.3 C.7.6.3.1.2); its window is the same, since it applies before the polarity.
    """
    dataset = _empty_file(header)
    _describe_patient(dataset, header)
    values = 1.0 - image if monochrome1 else image
    stored = np.rint(_BLACK + values * (_WHITE - _BLACK)).astype("<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    # y = (x - (c - 0.5)) / (w - 1) + 0.5 of PS3.3 C.11.2.1.2.1, solved for y = 0 and y = 1.
    dataset.WindowWidth = str(_WHITE - _BLACK + 1)
    dataset.WindowCenter = str((_WHITE + _BLACK + 1) / 2)
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _empty_file(header: Header) -> FileDataset:
    """Return a file with meta header and the identifiers of instance, series and study."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(f"{header.name} instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = _uid(f"{header.name} study")
    dataset.SeriesInstanceUID = _uid(f"{header.name} series")
    dataset.Modality = "CR"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    return dataset


def _describe_patient(dataset: FileDataset, header: Header) -> None:
    """Fill in the patient; what the standard wants present but allows empty (type 2) stays empty."""
    for keyword in tuple(
        """
        PatientName PatientID PatientBirthDate PatientSex StudyDate StudyTime StudyID AccessionNumber
        ReferringPhysicianName Manufacturer Laterality SeriesNumber InstanceNumber
    """.split()
    ):
        setattr(dataset, keyword, None)
    dataset.BurnedInAnnotation = "NO"
    dataset.PatientIdentityRemoved = "NO" if header.identity else "YES"
    if not header.identity:
        dataset.DeidentificationMethod = "Synthetic phantom: no person was ever imaged"
    for keyword, value in header.identity.items():
        setattr(dataset, keyword, value)


def _uid(name: str) -> UID:
    """Return a UID derived from a UUID (PS3.5 B.2) that is derived from `name`."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'medimg phantom {name}').int}")


NORMAL, OPACITY, CARDIOMEGALY, NODULE = "NORMAL", "OPACITY", "CARDIOMEGALY", "NODULE"
FINDINGS = (OPACITY, CARDIOMEGALY, NODULE)
_ANATOMY, _EXPOSURE = 1, 2  # independent streams of random numbers


@dataclass(frozen=True)
class Shot:
    """One image to be written: the `number`-th of a patient.

    Args:
        label: NORMAL, or the findings of the patient joined by `|`; "" for none.
        form: png, monochrome1 or monochrome2.
        folder: it is written into, below `images/`; None = one of the label's name.
    """

    patient: int
    number: int
    label: str
    form: str = "png"
    folder: str | None = None


class Cohort:
    """Draws patients by number and writes their images below one folder."""

    def __init__(self, folder: Path, patients: int, seed: int) -> None:
        self.folder = folder
        self.patients = patients
        self._seed = seed
        self._digits = max(3, len(str(patients)))

    def patient_id(self, patient: int) -> str:
        return f"patient{patient:0{self._digits}d}"

    def write_patient(self, shots: list[Shot]) -> list[dict[str, Any]]:
        """Write one patient's images and return their rows of the truth."""
        chests = {shot.label: self._chest(shot) for shot in shots}
        return [self._write_shot(shot, chests[shot.label]) for shot in shots]

    def picture(self, patient: int, label: str) -> Map:
        """Return the first image of a patient, (256, 256) in 0..1, without writing it."""
        shot = Shot(patient, 1, label)
        return self._expose(shot, self._chest(shot))[0]

    def write(self, name: str, content: bytes) -> str:
        """Write `folder/images/name` and return its path relative to the folder."""
        with atomic_path(self.folder / "images" / name) as temporary:
            temporary.write_bytes(content)
        return f"images/{name}"

    def header(self, shot: Shot, identity: dict[str, str] | None = None) -> Header:
        return Header(f"{self._seed}/{self.patient_id(shot.patient)}/{shot.number}", identity or {})

    def _chest(self, shot: Shot) -> Chest:
        generator = np.random.default_rng([self._seed, _ANATOMY, shot.patient])
        shown = shot.label.split(LABEL_SEP)
        return draw_chest(
            generator, diseased=OPACITY in shown, enlarged_heart=CARDIOMEGALY in shown, nodule=NODULE in shown
        )

    def _expose(self, shot: Shot, chest: Chest) -> tuple[Map, Pose]:
        generator = np.random.default_rng([self._seed, _EXPOSURE, shot.patient, shot.number])
        pose = draw_pose(generator)
        return expose(chest, pose, generator), pose

    def _write_shot(self, shot: Shot, chest: Chest) -> dict[str, Any]:
        image, pose = self._expose(shot, chest)
        folder = shot.label if shot.folder is None else shot.folder
        stem = f"{folder}/{self.patient_id(shot.patient)}_{shot.number}".lstrip("/")
        if shot.form == "png":
            path = self.write(f"{stem}.png", png_bytes(image))
        else:
            inverse = shot.form == "monochrome1"
            path = self.write(f"{stem}.dcm", dicom_bytes(image, self.header(shot), monochrome1=inverse))
        return {
            "path": path,
            "label": shot.label,
            "patient_id": self.patient_id(shot.patient),
            "form": shot.form,
            "opacities": _opacities_px(chest, pose),
        }


def _opacities_px(chest: Chest, pose: Pose) -> list[dict[str, float]]:
    """Return where an image shows its opacities: centre and radius in pixels, from the top left corner."""
    half = SIDE_PX / 2
    centres = [pose.to_image(opacity.x, opacity.y) for opacity in chest.opacities]
    return [
        {
            "x_px": round((x + 1) * half, 1),
            "y_px": round((y + 1) * half, 1),
            "radius_px": round(opacity.radius * pose.zoom_x * half, 1),
        }
        for (x, y), opacity in zip(centres, chest.opacities, strict=True)
    ]


@dataclass(frozen=True)
class Flaw:
    """Something wrong that was planted on purpose.

    Args:
        kind: what it is, in two or three words.
        files: the files concerned, relative to the folder.
        check: the check of `label-audit` that should name them; None where only a look finds it.
        expect: what the audit should report about them.
    """

    kind: str
    files: tuple[str, ...]
    check: str | None
    expect: str


def plant(cohort: Cohort, rows: list[dict[str, Any]]) -> Iterator[Flaw]:
    """Write the flawed files, each under a patient number of its own, and yield what was planted."""
    yield from _plant_duplicates(cohort, rows)
    yield from _plant_unusable(cohort, cohort.patients + 2)
    yield from _plant_identities(cohort, cohort.patients + 6)
    name = f"{NORMAL}/{cohort.patient_id(cohort.patients + 8)}_1.png"
    negative = cohort.write(name, png_bytes(1.0 - cohort.picture(cohort.patients + 8, NORMAL)))
    yield Flaw("inverted image", (negative,), "image-quality", "a negative: bone is black and air is white")


def _plant_duplicates(cohort: Cohort, rows: list[dict[str, Any]]) -> Iterator[Flaw]:
    def copy(row: dict[str, Any], name: str) -> tuple[str, str]:
        return row["path"], cohort.write(name, (cohort.folder / row["path"]).read_bytes())

    png = [row for row in rows if row["form"] == "png"]
    ill = next(row for row in png if row["label"] == OPACITY)
    well = [row for row in png if row["label"] == NORMAL]
    check = "exact-duplicates"
    conflict = copy(ill, f"{NORMAL}/{Path(ill['path']).name}")
    yield Flaw("label conflict", conflict, check, f"one image in two classes; it is {OPACITY}")
    again = copy(well[0], f"{NORMAL}/{well[0]['patient_id']}_9.png")
    yield Flaw("duplicate of one patient", again, check, "the same image twice under one patient")
    other = copy(well[-1], f"{NORMAL}/{cohort.patient_id(cohort.patients + 1)}_1.png")
    yield Flaw("duplicate across patients", other, check, "the same image under two patients: it can leak")


def _plant_unusable(cohort: Cohort, first: int) -> Iterator[Flaw]:
    blank = np.zeros((SIDE_PX, SIDE_PX), dtype=np.float32)
    whole = png_bytes(cohort.picture(first + 1, OPACITY))
    for patient, (label, kind, content, check, expect) in enumerate(
        (
            (NORMAL, "blank image", png_bytes(blank), "image-quality", "every pixel has the same value"),
            (
                OPACITY,
                "truncated image",
                whole[: len(whole) // 2],
                "unreadable",
                "quarantined: it ends too soon",
            ),
            (
                NORMAL,
                "text named .png",
                b"A note, not an image.\n",
                "unreadable",
                "quarantined: not an image",
            ),
            (OPACITY, "empty file", b"", "unreadable", "quarantined: it has no bytes"),
        ),
        start=first,
    ):
        path = cohort.write(f"{label}/{cohort.patient_id(patient)}_1.png", content)
        yield Flaw(kind, (path,), check, expect)


def _plant_identities(cohort: Cohort, first: int) -> Iterator[Flaw]:
    """Plant a person who does not exist in a DICOM header, and another in a file name."""
    identity = {
        "PatientName": "Musterfrau^Erika",
        "PatientID": "MRN-0047110",
        "PatientBirthDate": "19580312",
        "StudyDate": "20210504",
        "InstitutionName": "Example Hospital",
    }
    shot = Shot(first, 1, NORMAL)
    content = dicom_bytes(cohort.picture(first, NORMAL), cohort.header(shot, identity), monochrome1=False)
    header = cohort.write(f"{NORMAL}/{cohort.patient_id(first)}_1.dcm", content)
    yield Flaw("identity in a header", (header,), "dicom-headers", "names: " + ", ".join(identity))
    name = f"{OPACITY}/Mustermann_Max_1961-05-17_{cohort.patient_id(first + 1)}_1.png"
    named = cohort.write(name, png_bytes(cohort.picture(first + 1, OPACITY)))
    yield Flaw("identity in a file name", (named,), "file-names", "a person's name and a date of birth")
