"""Patients of a synthetic cohort: their chests by number, written as PNG and DICOM."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.sample_data.phantoms.anatomy import Map
from medimg_cli.sample_data.phantoms.draw import SIDE_PX, Chest, Pose, draw_chest, draw_pose, expose
from medimg_cli.sample_data.phantoms.files import Header, dicom_bytes, png_bytes
from medimg_cli.workspace.files import atomic_path

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
            generator,
            diseased=OPACITY in shown,
            enlarged_heart=CARDIOMEGALY in shown,
            nodule=NODULE in shown,
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
