"""bundle --dataset: the labelled images as one folder, or one archive, that other tools read."""

import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from medimg_cli import __version__
from medimg_cli.audit.findings import read_audit
from medimg_cli.dataset.manifest import EXAM, SPLITS, UNKNOWN_COLUMN, Dataset, leaks, read_dataset
from medimg_cli.errors import DataError, UsageError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.registry import did_you_mean
from medimg_cli.reporting.croissant import croissant_of
from medimg_cli.workspace.files import atomic_path, sha256_of_file, write_json, write_text
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked
from medimg_cli.workspace.tables import safe_csv
from medimg_cli.workspace.workspace import Workspace, is_plain_name

_TABLE = "metadata.csv"
_FIXED_DATE = (1980, 1, 1, 0, 0, 0)
_ABOUT = """\
# {images:,} labelled images

Written by medimg {version}. A folder for each split{and_class}; `{table}` has a row an image: its label, split, patient (numbered) and
SHA-256. `croissant.json` says the same to programs (MLCommons Croissant). `SHA256SUMS` tells damage: `sha256sum -c SHA256SUMS`.

{counts}
- Patients: {patients}. Split: {split}.
- Audit: {audit}
- Licence of the data: {licence}

The images are PNG files of what medimg reads (windows and orientation applied): headers and metadata of the originals are not in them.
Text within the pixels, and the anatomy itself, may still tell a person.
"""


@dataclass(frozen=True)
class DatasetBundle:
    """What was written.

    Args:
        splits: split → images; not_written: image id → why it could not be read.
        audited: whether the audit's verdict is inside.
        leaking: patients or files that stand in two splits.
    """

    out: Path
    images: int
    patients: int
    splits: dict[str, int]
    not_written: dict[str, str]
    audited: bool
    leaking: int


def bundle_dataset(
    workspace: Workspace,
    out: Path,
    *,
    columns: tuple[str, ...] = (),
    facts: Mapping[str, str] | None = None,
    progress: Progress = SilentProgress(),
) -> DatasetBundle:
    """Write the usable images as PNG files in SPLIT/CLASS/, with a table, a description and checksums.

    Args:
        out: a new folder, or a file .zip.
        columns: of the manifest that travel too; they may name people, so none does unasked.
        facts: facts that only people know: licence, source, citation, contact.

    Raises:
        UsageError: `out` exists, or there is no such column.
        DataError: there is no data set, or no image of it can be read.
    """
    dataset = read_dataset(workspace)
    unknown = next((name for name in columns if name not in dataset.rows), None)
    if unknown is not None:
        raise UsageError(
            f"--columns: the manifest has no '{unknown}'",
            did_you_mean(unknown, map(str, dataset.rows.columns)),
        )
    if out.exists():
        raise UsageError(f"--out {out} exists already", "name a new folder, or a file .zip")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as made:
        folder = Path(made) / "data"
        rows, failed = _images(workspace, dataset, folder, progress)
        if rows.empty:
            raise DataError("no image of the data set can be read", "run `medimg label-audit` to see why")
        result = _described(workspace, dataset, rows, failed, folder, out, columns, facts or {})
        _place(folder, out)
    return result


def _images(
    workspace: Workspace, dataset: Dataset, folder: Path, progress: Progress
) -> tuple[pd.DataFrame, dict[str, str]]:
    """Write the images; return their rows with `file_name` and `sha256` of what was written, and what could not be."""
    usable = dataset.usable.reset_index(drop=True)
    names, sums, failed = [""] * len(usable), [""] * len(usable), dict[str, str]()
    classes = folders_of(dataset.info.classes)
    whole = [usable[name].tolist() for name in ("image_id", "path", "split", "label")]
    for number, row in enumerate(tracked(list(zip(*whole, strict=True)), progress, "writing images")):
        image, path, split, label = map(str, row)
        place = split if dataset.info.multi_label else f"{split}/{classes[label]}"
        target = folder / place / f"{number + 1:0{len(str(len(usable)))}d}.png"
        try:
            _write_png(read_image(workspace.absolute(path)).pixels, target)
        except UnreadableImage as reason:
            failed[image] = str(reason)
            continue
        names[number], sums[number] = target.relative_to(folder).as_posix(), sha256_of_file(target)
    rows = usable.assign(file_name=names, sha256=sums)
    return rows[rows["file_name"] != ""], failed


def _write_png(pixels: NDArray[np.uint8] | NDArray[np.uint16], target: Path) -> None:
    """Write pixels (H, W, C); colour in 8 bits, as Pillow writes no other, grey in all bits there are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if pixels.shape[2] == 3 and pixels.dtype != np.uint8:
        pixels = (pixels >> 8).astype(np.uint8)
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(target, "PNG")


def folders_of(classes: Sequence[str]) -> dict[str, str]:
    """Return class → folder: its name where every system takes it and tells it from those of others, else a number.

    >>> folders_of(["NV", "nv", "a/b", "CON", "class-1"])
    {'NV': 'NV', 'class-1': 'class-1', 'nv': 'class-2', 'a/b': 'class-3', 'CON': 'class-4'}
    """
    own = {name.casefold(): name for name in reversed(classes) if name.isascii() and is_plain_name(name)}
    folders = {name: name for name in classes if own.get(name.casefold()) == name}
    free = (f"class-{number}" for number in count(1) if f"class-{number}" not in own)
    return folders | {name: next(free) for name in classes if name not in folders}


def _described(
    workspace: Workspace,
    dataset: Dataset,
    rows: pd.DataFrame,
    failed: dict[str, str],
    folder: Path,
    out: Path,
    columns: tuple[str, ...],
    facts: Mapping[str, str],
) -> DatasetBundle:
    """Write what stands beside the images."""
    numbers, patients = pd.factorize(rows["patient_id"])
    rows = rows.assign(patient_id=[f"patient-{number + 1}" for number in numbers])
    if EXAM in rows:
        exams, _ = pd.factorize(rows[EXAM])
        rows = rows.assign(**{EXAM: [f"exam-{number + 1}" for number in exams]})
    kept = ["file_name", "label", "split", "patient_id", "width", "height", "sha256"]
    kept += [name for name in (EXAM, UNKNOWN_COLUMN, "fold", *columns) if name in rows and name not in kept]
    write_text(folder / _TABLE, safe_csv(rows[kept]))
    write_json(
        folder / "croissant.json", croissant_of(dataset, folder / _TABLE, _TABLE, kept, facts, files=True)
    )
    audit = read_audit(workspace)
    verdict = "not done"
    if audit is not None:
        findings = [{"check": each.check, "severity": each.severity, "count": each.count, "message": each.message} for each in audit.findings]  # fmt: skip
        of_these = audit.dataset_hash == dataset.info.content_hash
        summary = {
            "passed": audit.passed,
            "of_these_data": of_these,
            "checks_run": audit.checks_run,
            "findings": findings,
        }
        write_json(folder / "audit.json", summary)
        verdict = (
            f"{'passed' if audit.passed else 'not passed'}, {plural(len(findings), 'finding')} (`audit.json`)"
        )
        verdict += "" if of_these else "; the data set has changed since"
    splits = {split: int((rows["split"] == split).sum()) for split in SPLITS}
    counts = [f"- {split}: {', '.join(f'{name} {number:,}' for name, number in dataset.counts(rows[rows['split'] == split]).items())}" for split in SPLITS if splits[split]]  # fmt: skip
    about = _ABOUT.format(
        images=len(rows),
        version=__version__,
        table=_TABLE,
        and_class="" if dataset.info.multi_label else " and class, as torchvision's ImageFolder reads it",
        counts="\n".join(counts),
        patients=dataset.patients_in_words,
        split=dataset.info.split_origin,
        audit=verdict,
        licence=facts.get("data_licence", "not reported"),
    )
    write_text(folder / "README.md", about)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256_of_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text(folder / "SHA256SUMS", "".join(lines))
    crossing = leaks(rows)
    leaking = len(crossing["patients"]) + len(crossing["files"])
    return DatasetBundle(out, len(rows), len(patients), splits, failed, audit is not None, leaking)


def _place(folder: Path, out: Path) -> None:
    """Move the folder to its place, or write it as one archive, the same bytes each time."""
    if out.suffix.lower() != ".zip":
        shutil.move(folder, out)
        return
    with atomic_path(out) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for path in sorted(each for each in folder.rglob("*") if each.is_file()):
            member = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _FIXED_DATE)
            with path.open("rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target)
