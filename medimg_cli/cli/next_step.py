"""medimg, and nothing else: the next sensible step for the folder it is called in."""

import csv
import os
import shlex
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from medimg_cli.errors import MedimgError
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_unfinished, list_runs
from medimg_cli.workspace.files import read_json
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.spreadsheets import TABLES
from medimg_cli.workspace.table_form import rows_of
from medimg_cli.workspace.workspace import Workspace, find_workspace

_SUFFIXES = frozenset(".png .jpg .jpeg .tif .tiff .dcm .bmp .gif .pgm .ppm .webp .npz .zip .tar".split())
_ENTRIES_SEEN = 2_000
_NOT_RAW = {"dataset", "audit", "cache", "runs", "tune", "downloads"}


def next_step() -> tuple[str, str]:
    """Return what stands in the workspace, and the command that goes on from there; reads no image."""
    workspace = find_workspace()
    try:
        return _step(workspace)
    except (
        MedimgError,
        KeyError,
        ValueError,
        csv.Error,
    ) as error:  # damaged files: what uses them names them
        return f"something in {workspace.root} cannot be read ({error})", "medimg runs"


def _step(workspace: Workspace) -> tuple[str, str]:
    if not workspace.manifest_path.is_file():
        return _beginning(workspace.root)
    images = sum(row.get("status") == "ok" for row in rows_of(workspace.manifest_path, ("status",)))
    here = f"{plural(images, 'image')} ingested"
    audit = workspace.audit_dir / "audit.json"
    if not audit.is_file():
        return f"{here}, not audited", "medimg label-audit"
    here += ", audited"
    runs = list_runs(workspace)
    if not runs:
        return _untrained(workspace, here)
    newest = runs[-1]
    here += f", run {newest.name} trained"
    metrics = newest.metrics_path("test")
    if not metrics.is_file():
        return f"{here}, not evaluated", f"medimg evaluate {newest.name}"
    if read_json(metrics)["dataset_hash"] != read_json(workspace.dataset_path)["content_hash"]:
        return f"{here} and evaluated; the data set has changed since", "medimg train"
    if not any(path.stat().st_mtime >= metrics.stat().st_mtime for path in _reports(workspace, newest)):
        return f"{here} and evaluated, not reported", "medimg report --out eval.pdf --out eval.html"
    return f"{here}, evaluated and reported", f"medimg serve {newest.name}"


def _beginning(root: Path) -> tuple[str, str]:
    """Return the step before there is a data set: the folder with the most names of images, or a demo."""
    counted = {
        path: images for path in _folders(root) if path.name not in _NOT_RAW if (images := _images(path))
    }
    if not counted:
        return "no data set and no images here", "medimg demo cohort"
    classes = [path for path in counted if any(map(_is_image, path.iterdir()))]
    source = "." if len(classes) > 1 else max(counted, key=lambda path: counted[path]).name
    where = "here" if source == "." else f"in {source}"
    tables = [path.name for path in sorted(root.iterdir()) if _is_table(path)]
    grouped = len(classes) > 1 or sum(map(bool, map(_images, _folders(root / source)))) > 1
    # A table beside images that no folders sort: their labels stand in it, or in none that can be told.
    labels = f" --labels {shlex.quote(tables[0])}" if len(tables) == 1 and not grouped else ""
    return f"images {where}, no data set yet", f"medimg ingest {shlex.quote(source)}{labels} --dry-run"


def _folders(place: Path) -> list[Path]:
    return [path for path in sorted(place.iterdir()) if path.is_dir() and not path.name.startswith(".")]


def _is_table(path: Path) -> bool:
    return path.is_file() and path.suffix.lower() in TABLES and not path.name.startswith((".", "~"))


def _images(folder: Path) -> int:
    """Return how many of the first entries of a folder are named like images."""

    def names() -> Iterator[str]:
        for _, folders, files in os.walk(folder):
            folders.sort()
            yield from files

    return sum(map(_is_image, islice(names(), _ENTRIES_SEEN)))


def _is_image(path: str | Path) -> bool:
    return Path(path).suffix.lower() in _SUFFIXES


def _untrained(workspace: Workspace, here: str) -> tuple[str, str]:
    try:
        run = find_unfinished(workspace, None)
    except MedimgError:
        return f"{here}, nothing trained yet", "medimg train"
    return f"{here}, training of {run.name} not over", f"medimg train --resume {run.name}"


def _reports(workspace: Workspace, run: Run) -> Iterator[Path]:
    for folder in (workspace.root, run.folder):
        yield from (path for path in folder.iterdir() if path.suffix.lower() in (".html", ".pdf"))
