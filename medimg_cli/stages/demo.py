"""Write a small synthetic cohort whose truth is known: something to try every other command on."""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.random import Generator

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.errors import UsageError
from medimg_cli.sample_data.phantoms.cohort import FINDINGS, NORMAL, OPACITY, Cohort, Flaw, Shot, plant
from medimg_cli.workspace.files import remove_leftovers, write_json, write_text
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked

_IMAGES_OF_PATIENTS = (1, 2, 3, 4)
_DICOM_SHARE = 1 / 4
_MONOCHROME1_SHARE = 1 / 3
_UNFINISHED = ".unfinished"
_ORDER, _JUDGED = 0, 3  # streams of random numbers beside those of the cohort
_FINDING_SHARE, _UNJUDGED_SHARE = 0.35, 0.05


@dataclass(frozen=True)
class DemoResult:
    """What was written.

    Args:
        folder: holds `images/<class>/…` and `truth.json`, or of findings `images/…`, `labels.csv` and `truth.json`.
        images: images of the cohort; files that `flaws` adds are not counted.
        patients: patients of the cohort.
        flaws: what was planted; empty when not asked for.
        classes: class → images, or finding → images that show it.
    """

    folder: Path
    images: int
    patients: int
    flaws: tuple[Flaw, ...]
    classes: dict[str, int]


def demo(
    folder: Path,
    *,
    patients: int = 160,
    seed: int = 0,
    flaws: bool = False,
    findings: bool = False,
    exams: bool = False,
    progress: Progress = SilentProgress(),
) -> DemoResult:
    """Write a cohort of X-ray-like phantoms below `folder/images`, one folder per class.

    Half of the patients are NORMAL, half show one to three opacities in a lung. A patient has one to four
    images, 256 x 256 grey; a quarter are DICOM, the rest PNG. Format, size, brightness and images per
    patient are drawn alike in both classes. The same arguments write the same bytes.

    With `findings` a patient shows opacities, an enlarged heart and a nodule independently of each other, each in about
    a third of the patients; `labels.csv` has a column for each of them, 1, 0, or empty where nobody judged it.

    With `exams` a patient has one or two exams of 6 to 14 slices, and of half of the patients one to three slices of each
    show the opacities; `labels.csv` says of every slice what its exam shows, `truth.json` what it shows itself.

    Args:
        folder: must not exist or be empty, or hold a cohort whose writing was stopped, which is begun anew.
        patients: how many, at least 2.
        seed: another seed gives other patients.
        flaws: also plant what an audit should find; `folder/truth.json` tells what and where.
        findings: several findings an image instead of one class.
        exams: slices of exams instead of single images.

    Raises:
        UsageError: the folder holds something, there are too few patients, or more than one of the three is asked for.
        MachineError: the disk is full.
    """
    _check(folder, patients, seed)
    if flaws + findings + exams > 1:
        raise UsageError(
            "--flaws, --findings and --exams exclude each other", "leave one: flaws are of two classes"
        )
    shutil.rmtree(folder / "images", ignore_errors=True)  # of one that was stopped, see `_check`
    write_json(folder / _UNFINISHED, {"seed": seed, "patients": patients})
    cohort = Cohort(folder, patients, seed)
    plan = _plan_findings if findings else _plan_exams if exams else _plan
    by_patient = _by_patient(plan(patients, np.random.default_rng([seed, _ORDER])))
    drawn = tracked(by_patient, progress, "drawing patients")
    rows = [row for shots in drawn for row in cohort.write_patient(shots)]
    planted = tuple(plant(cohort, rows)) if flaws else ()
    if findings:
        _write_labels(folder, rows, np.random.default_rng([seed, _JUDGED]))
    if exams:
        _write_exams(folder, rows)
    classes = Counter(name for row in rows for name in row["label"].split(LABEL_SEP) if name)
    truth = {"schema": 1, "seed": seed, "patients": patients, "classes": classes}
    found = {"flaws": [asdict(flaw) for flaw in planted], "images": rows}
    write_json(folder / "truth.json", truth | found)
    (folder / _UNFINISHED).unlink(missing_ok=True)  # two at once write the same bytes
    return DemoResult(folder, len(rows), patients, planted, dict(sorted(classes.items())))


def _check(folder: Path, patients: int, seed: int) -> None:
    if patients < 2:
        raise UsageError(f"--patients {patients} is too few", "two classes need at least 2 patients")
    if seed < 0:
        raise UsageError(f"--seed {seed} is negative", "use 0 or a positive number")
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "name a folder that does not exist yet")
    if folder.is_dir():
        remove_leftovers(folder.iterdir())
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _UNFINISHED).is_file():
        raise UsageError(f"{folder} is not empty", "name a new folder, or empty this one first")


def _plan(patients: int, generator: Generator) -> Iterator[Shot]:
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
            yield Shot(patient, number, label, str(form))


def _plan_findings(patients: int, generator: Generator) -> Iterator[Shot]:
    """Yield every image to be written; of each patient's findings none depends on another, nor on the images' form."""
    counts = generator.permutation(np.resize(_IMAGES_OF_PATIENTS, patients)).tolist()
    shown = generator.random((patients, len(FINDINGS))) < _FINDING_SHARE
    forms = iter(generator.permutation(_forms(sum(counts))).tolist())
    for patient, count in enumerate(counts, start=1):
        label = LABEL_SEP.join(
            name for name, there in zip(FINDINGS, shown[patient - 1], strict=True) if there
        )
        for number in range(1, count + 1):
            yield Shot(patient, number, label, str(next(forms)), folder="")


def _plan_exams(patients: int, generator: Generator) -> Iterator[Shot]:
    """Yield every slice to be written; those of the ill that show it stand anywhere in the exam."""
    exam, ill = 0, generator.permutation(patients) % 2 == 1
    for patient in range(1, patients + 1):
        number = 0
        for _ in range(int(generator.integers(1, 3))):
            exam, slices = exam + 1, int(generator.integers(6, 15))
            shown = generator.permutation(slices)[: generator.integers(1, 4)] if ill[patient - 1] else ()
            for place in range(slices):
                number += 1
                label = OPACITY if place in shown else NORMAL
                yield Shot(patient, number, label, folder=f"exam{exam:04d}")


def _write_exams(folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write `labels.csv`: one row per slice, with its exam and the exam's label."""
    lines, images = ["image,exam,patient_id,label"], [row["path"].removeprefix("images/") for row in rows]
    ill = {image.split("/")[0] for image, row in zip(images, rows, strict=True) if row["label"] == OPACITY}
    for image, row in zip(images, rows, strict=True):
        exam = image.split("/")[0]
        lines.append(f"{image},{exam},{row['patient_id']},{OPACITY if exam in ill else NORMAL}")
    write_text(folder / "labels.csv", "\n".join(lines) + "\n")


def _write_labels(folder: Path, rows: Sequence[dict[str, Any]], generator: Generator) -> None:
    """Write `labels.csv`: one row per image and one column per finding; some cells nobody filled in."""
    judged = generator.random((len(rows), len(FINDINGS))) >= _UNJUDGED_SHARE
    lines = [",".join(("image", "patient_id", *FINDINGS))]
    for row, known in zip(rows, judged, strict=True):
        there = row["label"].split(LABEL_SEP)
        marks = [str(int(name in there)) if sure else "" for name, sure in zip(FINDINGS, known, strict=True)]
        lines.append(",".join((row["path"].removeprefix("images/"), row["patient_id"], *marks)))
    write_text(folder / "labels.csv", "\n".join(lines) + "\n")


def _forms(images: int) -> list[str]:
    """Return how many images are stored in which form, unordered."""
    dicom = round(images * _DICOM_SHARE)
    monochrome1 = round(dicom * _MONOCHROME1_SHARE)
    return (
        ["monochrome1"] * monochrome1 + ["monochrome2"] * (dicom - monochrome1) + ["png"] * (images - dicom)
    )


def _by_patient(shots: Iterator[Shot]) -> list[list[Shot]]:
    patients: dict[int, list[Shot]] = {}
    for shot in shots:
        patients.setdefault(shot.patient, []).append(shot)
    return [patients[number] for number in sorted(patients)]
