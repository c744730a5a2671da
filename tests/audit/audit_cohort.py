"""A small data set on disk with copies, and findings about it, without running a check."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from medimg_cli.audit.findings import AuditResult, Finding
from medimg_cli.dataset.manifest import (
    COLUMNS,
    QUARANTINE_COLUMNS,
    Dataset,
    DatasetInfo,
    read_dataset,
    write_dataset,
)
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.workspace import Workspace

SIZES = {"train": 6, "val": 3, "test": 3}


def draw_picture(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 32), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_study(root: Path) -> Workspace:
    """Write 24 images `healthy/train-0` … `sick/test-23` of 24 patients, and their manifest with a column `site`."""
    workspace = Workspace(root)
    rows: list[list[object]] = []
    for split, count in SIZES.items():
        for label in ("healthy", "sick"):
            for _ in range(count):
                number = len(rows)
                image, path = f"{label}/{split}-{number}", f"raw/{label}/{split}-{number}.png"
                draw_picture(root / path, number)
                digest = sha256_of_file(root / path)
                cells = [image, path, label, f"p{number}", split, 32, 24, 1, 8, digest, "ok", ""]
                rows.append([*cells, "north" if number % 2 else "south"])
    info = DatasetInfo(
        classes=("healthy", "sick"),
        positive="sick",
        seed=0,
        layout="folders",
        sources=("raw",),
        patients_known=True,
        patients_from="table",
        split_origin="official",
    )
    dataset = Dataset(pd.DataFrame(rows, columns=[*COLUMNS, "site"]), info)
    write_dataset(workspace, dataset, pd.DataFrame(columns=list(QUARANTINE_COLUMNS)))
    return workspace


def rows_of(workspace: Workspace) -> pd.DataFrame:
    """Return the manifest by image id."""
    return read_dataset(workspace).rows.set_index("image_id")


def cells_of(workspace: Workspace, image: str, *columns: str) -> list[str]:
    """Return cells of one row of the manifest."""
    rows = rows_of(workspace)
    return [str(rows.loc[image, column]) for column in columns]


def bytes_of(workspace: Workspace) -> dict[str, bytes]:
    """Return the data set's files by name, and every image's file."""
    places = [*workspace.manifest_path.parent.iterdir(), *(workspace.root / "raw").rglob("*.png")]
    return {str(place): place.read_bytes() for place in places if place.name != ".lock"}


def copies(*groups: tuple[str, ...]) -> Finding:
    ids = tuple(image for group in groups for image in group)
    message = f"{len(groups)} groups of identical images"
    return Finding(
        "exact-duplicates", "error", message, "keep one", ids, len(groups), groups, remedy="keep-one"
    )


def blank(*image_ids: str) -> Finding:
    notes = {image_ids[0]: "every pixel is 0"}
    return Finding(
        "image-quality",
        "warning",
        f"{len(image_ids)} blank images",
        "exclude them",
        image_ids,
        len(image_ids),
        notes=notes,
        remedy="exclude",
    )


def doubted(*image_ids: str) -> Finding:
    return Finding(
        "label-errors", "warning", "labels that look wrong", "look at them", image_ids, len(image_ids)
    )


def audit_of(workspace: Workspace, *findings: Finding) -> AuditResult:
    return AuditResult(findings, False, ("exact-duplicates",), (), read_dataset(workspace).content_hash(), {})
