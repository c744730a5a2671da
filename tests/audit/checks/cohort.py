"""A small cohort without a flaw, in memory, and ways to spoil it."""

from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.audit.findings import AuditContext
from medimg_cli.audit.measurements.image_statistics import look_at
from medimg_cli.audit.measurements.measurements import MEASUREMENT_COLUMNS
from medimg_cli.audit.measurements.thumbnails import SIDE_PX, Thumbnails, appending
from medimg_cli.dataset.manifest import COLUMNS, QUARANTINE_COLUMNS, Dataset, DatasetInfo
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.workspace import Workspace

CLASSES = ("healthy", "sick")
SIZES = {"train": 30, "val": 12, "test": 12}


def clean_cohort(root: Path, sizes: dict[str, int] = SIZES) -> AuditContext:
    """Return `sizes` images per class and split, each of its own patient, all pixels different."""
    rows = [
        _row(f"{split}-{label}-{number:03d}", label, split)
        for split, count in sizes.items()
        for label in CLASSES
        for number in range(count)
    ]
    info = DatasetInfo(
        classes=CLASSES,
        positive="sick",
        seed=0,
        layout="folders",
        sources=(str(root / "raw"),),
        patients_known=True,
        split_origin="patient-grouped, stratified, seed 0",
    )
    dataset = Dataset(pd.DataFrame(rows, columns=list(COLUMNS)), info)
    measured = [_measured(row["sha256"]) for row in rows]
    index = pd.Index(dataset.rows["image_id"], name="image_id")
    return AuditContext(
        Workspace(root),
        dataset,
        pd.DataFrame(columns=list(QUARANTINE_COLUMNS)),
        pd.DataFrame(measured, index=index, columns=list(MEASUREMENT_COLUMNS)),
        _write_thumbnails(root, list(index)),
        _no_pixels,
    )


def _write_thumbnails(root: Path, image_ids: list[str]) -> Thumbnails:
    """Give every image a picture of its own: smooth noise, no two alike."""
    root.mkdir(parents=True, exist_ok=True)
    path = root / "thumbnails.u8"
    with appending(path, keep=0) as pictures:
        numbers = {image: pictures.append(_picture(number)) for number, image in enumerate(image_ids)}
    return Thumbnails(path, numbers)


def _picture(seed: int) -> NDArray[np.uint8]:
    coarse = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE_PX, SIDE_PX), Image.Resampling.BICUBIC))


def _no_pixels(path: str) -> DecodedImage:
    raise UnreadableImage(f"{path} is not on disk")


def with_rows(context: AuditContext, image_ids: list[str], **cells: Any) -> AuditContext:
    """Return the cohort with manifest cells of some images replaced."""
    rows = context.dataset.rows.copy()
    for column, value in cells.items():
        rows.loc[rows["image_id"].isin(image_ids), column] = value
    return replace(context, dataset=Dataset(rows, context.dataset.info))


def with_info(context: AuditContext, **fields: Any) -> AuditContext:
    """Return the cohort with fields of its record replaced."""
    info = context.dataset.info.model_copy(update=fields)
    return replace(context, dataset=Dataset(context.dataset.rows, info))


def with_measurements(context: AuditContext, image_ids: list[str], **cells: Any) -> AuditContext:
    """Return the cohort with measurements of some images replaced."""
    measured = context.measurements.copy()
    for column, value in cells.items():
        measured.loc[image_ids, column] = value
    return replace(context, measurements=measured)


def without(context: AuditContext, image_ids: list[str]) -> AuditContext:
    """Return the cohort without some images."""
    rows = context.dataset.rows
    kept = rows[~rows["image_id"].isin(image_ids)].reset_index(drop=True)
    measured = context.measurements.drop(index=image_ids)
    return replace(context, dataset=Dataset(kept, context.dataset.info), measurements=measured)


def ids(split: str, label: str, count: int) -> list[str]:
    """Return the first image ids of a class in a split."""
    return [f"{split}-{label}-{number:03d}" for number in range(count)]


def _row(image_id: str, label: str, split: str) -> dict[str, Any]:
    return {
        "image_id": image_id,
        "path": f"raw/{image_id}.png",
        "label": label,
        "patient_id": f"patient-{image_id}",
        "split": split,
        "width": 8,
        "height": 8,
        "channels": 1,
        "bit_depth": 8,
        "sha256": sha256_of_text(image_id),
        "status": "ok",
        "reason": "",
    }


@cache
def _looks() -> dict[str, float]:
    """Return the figures of a picture without a flaw; every image has the same."""
    return asdict(look_at(DecodedImage(_picture(0)[..., np.newaxis], 8)))


def _measured(sha256: str) -> dict[str, Any]:
    return {
        "readable": True,
        "reason": "",
        "pixel_sha256": sha256_of_text(sha256),
        **_looks(),
        "sha256": sha256,
        "text_regions": "",
    }
