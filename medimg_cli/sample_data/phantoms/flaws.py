"""What an audit should find, planted into a synthetic cohort."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medimg_cli.sample_data.phantoms.cohort import NORMAL, OPACITY, Cohort, Shot
from medimg_cli.sample_data.phantoms.draw import SIDE_PX
from medimg_cli.sample_data.phantoms.files import dicom_bytes, png_bytes


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
