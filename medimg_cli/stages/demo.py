"""Write a small synthetic cohort whose truth is known: something to try every other command on."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from medimg_cli.core.files import atomic_path, write_json
from medimg_cli.core.phantom_anatomy import Map
from medimg_cli.core.phantom_files import Header, dicom_bytes, png_bytes
from medimg_cli.core.phantoms import SIDE_PX, Chest, Pose, draw_chest, draw_pose, expose
from medimg_cli.core.progress import Progress, SilentProgress, tracked
from medimg_cli.errors import UsageError

NORMAL, OPACITY = "NORMAL", "OPACITY"
_IMAGES_OF_PATIENTS = (1, 2, 3, 4)
_DICOM_SHARE = 1 / 4
_MONOCHROME1_SHARE = 1 / 3
_ORDER, _ANATOMY, _EXPOSURE = range(3)  # independent streams of random numbers


@dataclass(frozen=True)
class Flaw:
    """Something wrong that was planted on purpose.

    Args:
        kind: what it is, in two or three words.
        files: the files concerned, relative to the folder.
        check: the check of `label-audit` that should name them; None where only a look finds it.
        expect: what should be said about them.
    """

    kind: str
    files: tuple[str, ...]
    check: str | None
    expect: str


@dataclass(frozen=True)
class DemoResult:
    """What was written.

    Args:
        folder: holds `images/<class>/…` and `truth.json`.
        images: images of the cohort; files that `flaws` adds are not counted.
        patients: patients of the cohort.
        flaws: what was planted; empty when not asked for.
        classes: class → images.
    """

    folder: Path
    images: int
    patients: int
    flaws: tuple[Flaw, ...]
    classes: dict[str, int]


@dataclass(frozen=True)
class _Shot:
    """One image to be written: the `number`-th of a patient."""

    patient: int
    number: int
    label: str
    form: str = "png"  # png, monochrome1 or monochrome2


def demo(
    folder: Path,
    *,
    patients: int = 160,
    seed: int = 0,
    flaws: bool = False,
    progress: Progress = SilentProgress(),
) -> DemoResult:
    """Write a cohort of X-ray-like phantoms below `folder/images`, one folder per class.

    Half of the patients are NORMAL, half show one to three opacities in a lung. A patient has one to four
    images, 256 x 256 grey; a quarter are DICOM, the rest PNG. Format, size, brightness and images per
    patient are drawn alike in both classes. The same arguments write the same bytes.

    Args:
        folder: must not exist or be empty.
        patients: how many, at least 2.
        seed: another seed gives other patients.
        flaws: also plant what an audit should find; `folder/truth.json` tells what and where.

    Raises:
        UsageError: the folder holds something, or there are too few patients.
        MachineError: the disk is full.
    """
    _check(folder, patients, seed)
    cohort = _Cohort(folder, patients, seed)
    by_patient = _by_patient(_plan(patients, np.random.default_rng([seed, _ORDER])))
    drawn = tracked(by_patient, progress, "drawing patients")
    rows = [row for shots in drawn for row in cohort.write_patient(shots)]
    planted = tuple(_plant(cohort, rows)) if flaws else ()
    classes = Counter(row["label"] for row in rows)
    truth = {"schema": 1, "seed": seed, "patients": patients, "classes": classes}
    found = {"flaws": [asdict(flaw) for flaw in planted], "images": rows}
    write_json(folder / "truth.json", truth | found)
    return DemoResult(folder, len(rows), patients, planted, dict(sorted(classes.items())))


def _check(folder: Path, patients: int, seed: int) -> None:
    if patients < 2:
        raise UsageError(f"--patients {patients} is too few", "two classes need at least 2 patients")
    if seed < 0:
        raise UsageError(f"--seed {seed} is negative", "use 0 or a positive number")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder that does not exist yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", "name a new folder, or empty this one first")


def _plan(patients: int, generator: Generator) -> Iterator[_Shot]:
    """Yield every image to be written, the classes alike in images per patient and in formats."""
    order = generator.permutation(patients) + 1
    for label, members in ((NORMAL, order[::2]), (OPACITY, order[1::2])):
        counts = generator.permutation(np.resize(_IMAGES_OF_PATIENTS, len(members)))
        shots = [
            (int(patient), number + 1)
            for patient, count in zip(members, counts, strict=True)
            for number in range(count)
        ]
        forms = generator.permutation(_forms(len(shots)))
        for (patient, number), form in zip(shots, forms, strict=True):
            yield _Shot(patient, number, label, str(form))


def _forms(images: int) -> list[str]:
    """Return how many images are stored in which form, unordered."""
    dicom = round(images * _DICOM_SHARE)
    monochrome1 = round(dicom * _MONOCHROME1_SHARE)
    return (
        ["monochrome1"] * monochrome1 + ["monochrome2"] * (dicom - monochrome1) + ["png"] * (images - dicom)
    )


def _by_patient(shots: Iterator[_Shot]) -> list[list[_Shot]]:
    patients: dict[int, list[_Shot]] = {}
    for shot in shots:
        patients.setdefault(shot.patient, []).append(shot)
    return [patients[number] for number in sorted(patients)]


class _Cohort:
    """Draws patients by number and writes their images below one folder."""

    def __init__(self, folder: Path, patients: int, seed: int) -> None:
        self.folder = folder
        self.patients = patients
        self._seed = seed
        self._digits = max(3, len(str(patients)))

    def patient_id(self, patient: int) -> str:
        return f"patient{patient:0{self._digits}d}"

    def write_patient(self, shots: list[_Shot]) -> list[dict[str, Any]]:
        """Write one patient's images and return their rows of the truth."""
        chest = self._chest(shots[0])
        return [self._write_shot(shot, chest) for shot in shots]

    def picture(self, patient: int, label: str) -> Map:
        """Return the first image of a patient, (256, 256) in 0..1, without writing it."""
        shot = _Shot(patient, 1, label)
        return self._expose(shot, self._chest(shot))[0]

    def write(self, name: str, content: bytes) -> str:
        """Write `folder/images/name` and return its path relative to the folder."""
        with atomic_path(self.folder / "images" / name) as temporary:
            temporary.write_bytes(content)
        return f"images/{name}"

    def header(self, shot: _Shot, identity: dict[str, str] | None = None) -> Header:
        return Header(f"{self._seed}/{self.patient_id(shot.patient)}/{shot.number}", identity or {})

    def _chest(self, shot: _Shot) -> Chest:
        generator = np.random.default_rng([self._seed, _ANATOMY, shot.patient])
        return draw_chest(generator, diseased=shot.label == OPACITY)

    def _expose(self, shot: _Shot, chest: Chest) -> tuple[Map, Pose]:
        generator = np.random.default_rng([self._seed, _EXPOSURE, shot.patient, shot.number])
        pose = draw_pose(generator)
        return expose(chest, pose, generator), pose

    def _write_shot(self, shot: _Shot, chest: Chest) -> dict[str, Any]:
        image, pose = self._expose(shot, chest)
        stem = f"{shot.label}/{self.patient_id(shot.patient)}_{shot.number}"
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


def _plant(cohort: _Cohort, rows: list[dict[str, Any]]) -> Iterator[Flaw]:
    """Write the flawed files, each under a patient number of its own, and yield what was planted."""
    yield from _plant_duplicates(cohort, rows)
    yield from _plant_unusable(cohort, cohort.patients + 2)
    yield from _plant_identities(cohort, cohort.patients + 6)
    name = f"{NORMAL}/{cohort.patient_id(cohort.patients + 8)}_1.png"
    negative = cohort.write(name, png_bytes(1.0 - cohort.picture(cohort.patients + 8, NORMAL)))
    yield Flaw("inverted image", (negative,), "image-quality", "a negative: bone is black and air is white")


def _plant_duplicates(cohort: _Cohort, rows: list[dict[str, Any]]) -> Iterator[Flaw]:
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


def _plant_unusable(cohort: _Cohort, first: int) -> Iterator[Flaw]:
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


def _plant_identities(cohort: _Cohort, first: int) -> Iterator[Flaw]:
    """Plant a person who does not exist in a DICOM header, and another in a file name."""
    identity = {
        "PatientName": "Musterfrau^Erika",
        "PatientID": "MRN-0047110",
        "PatientBirthDate": "19580312",
        "StudyDate": "20210504",
        "InstitutionName": "Example Hospital",
    }
    shot = _Shot(first, 1, NORMAL)
    content = dicom_bytes(cohort.picture(first, NORMAL), cohort.header(shot, identity), monochrome1=False)
    header = cohort.write(f"{NORMAL}/{cohort.patient_id(first)}_1.dcm", content)
    yield Flaw("identity in a header", (header,), "dicom-headers", "names: " + ", ".join(identity))
    name = f"{OPACITY}/Mustermann_Max_1961-05-17_{cohort.patient_id(first + 1)}_1.png"
    named = cohort.write(name, png_bytes(cohort.picture(first + 1, OPACITY)))
    yield Flaw("identity in a file name", (named,), "file-names", "a person's name and a date of birth")
