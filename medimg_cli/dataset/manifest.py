"""The data set on disk: one row per image, one row per file that could not be used."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ValidationError

from medimg_cli.dataset.labels import LABEL_SEP, LabelSpace
from medimg_cli.dataset.listing import without_frame
from medimg_cli.errors import DataError
from medimg_cli.workspace.files import (
    check_seal,
    read_json,
    sealed,
    write_json,
)
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import Progress, Remarks
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.tables import cells_sha256, csv_sha256, keep_table, read_table, table_sha256
from medimg_cli.workspace.workspace import Workspace

SPLITS = ("train", "val", "test")
STATES = ("ok", "excluded")
FROM_NAMES = "file names"
COLUMNS = tuple(
    """
    image_id path label patient_id split width height channels bit_depth sha256 status reason
""".split()
)
UNKNOWN_COLUMN = "unknown"
"""Of several labels an image, the classes nobody judged, as `label` holds those it carries."""
EXAM = "exam_id"
"""The study, series, volume or visit an image is of, where decisions are wanted for it; no column where they are not."""
QUARANTINE_COLUMNS = ("path", "reason", "bytes", "sha256")
VANISHED, VANISHED_EARLIER = GONE = (
    "vanished since the last ingest",
    "vanished since an earlier ingest",
)
"""Reasons of images that were taken away; every other row of the quarantine is a file that is there."""
_QUARANTINE = "quarantine.csv"
_NUMBERS = ("width", "height", "channels", "bit_depth")


class Origin(BaseModel, frozen=True):
    """A source as it was read, so that the next ingest reads it again in the same way.

    Args:
        path: posix, relative to the workspace or absolute.
        prefix: what the ids of its images begin with.
        reading: settings of this source by name: layout, labels, columns.
    """

    path: str
    prefix: str
    reading: dict[str, Any]


class DatasetInfo(BaseModel, frozen=True):
    """What `dataset.json` holds.

    Args:
        classes: in the order of every probability vector.
        patients_known: False when each image stands as its own patient, so leaks cannot be excluded.
        patients_from: where they are known from: "table", "file names", "DICOM header", "exams" (each counts as one), "unknown".
        splits_given: the source came with splits; medimg did not draw them all.
        split_origin: "patient-grouped, stratified, seed 0", "official", …
        exams_from: what an exam is: "column NAME", "StudyInstanceUID", "patient", "file" …; "" where images stand alone.
        name_pattern: where patients are not known, the pattern by which file names seem to group images; a suspicion.
        folds: the column `fold` numbers this many parts of train and val; None = there is no such column.
        code_book: class → what it means.
        origins: the sources, one for each of `sources`, as the next ingest reads them again.
        settings: what the split rests on, as it was set: patient_regex, split, frames, …
        containers: files that hold several images → SHA-256, by which their images are known unchanged.
        vanished: image id → split of images that are gone; one that comes back gets its split again.
        written: column of the manifest → SHA-256 of its cells as they were written, by which edits by hand are noticed.
        quarantine_sha256: of quarantine.csv, likewise.
    """

    version: Literal[1] = 1
    classes: tuple[str, ...]
    positive: str | None
    positive_guessed: bool = False
    multi_label: bool = False
    label_sep: str = LABEL_SEP
    seed: int
    layout: str
    sources: tuple[str, ...]
    patients_known: bool
    patients_from: str = "unknown"
    splits_given: bool = False
    split_origin: str
    quarantined: int = 0
    content_hash: str = ""
    folds: int | None = None
    exams_from: str = ""
    name_pattern: str | None = None
    code_book: dict[str, LabelCode] = {}
    origins: tuple[Origin, ...] = ()
    settings: dict[str, Any] = {}
    containers: dict[str, str] = {}
    vanished: dict[str, str] = {}
    written: dict[str, str] = {}
    quarantine_sha256: str = ""

    @property
    def labels(self) -> LabelSpace:
        return LabelSpace(self.classes, self.positive, self.multi_label)

    @property
    def patients_certain(self) -> bool:
        """Return whether one patient id in two splits is one patient.

        A number in a file name may start again in each folder of a published split: such ids are a reason
        to look, not proof.
        """
        return not (self.patients_from == FROM_NAMES and self.splits_given)


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Args:
        rows: one row per image with at least `COLUMNS`; `status` is ok or excluded.
        info: see `DatasetInfo`.
        edited: columns that are not as medimg wrote them.
    """

    rows: pd.DataFrame
    info: DatasetInfo
    edited: tuple[str, ...] = ()

    @property
    def labels(self) -> LabelSpace:
        return self.info.labels

    def targets(self, rows: pd.DataFrame) -> NDArray[np.int64] | NDArray[np.float32]:
        """Return what is known of some manifest rows: class indices (N,), or (N, C) as `LabelSpace.marks` has it.

        Raises:
            DataError: a label is not one of the classes.
        """
        labels = rows["label"].tolist()
        if not self.info.multi_label:
            return self.labels.encode(labels)
        return self.labels.marks(labels, rows[UNKNOWN_COLUMN].tolist() if UNKNOWN_COLUMN in rows else ())

    def counts(self, rows: pd.DataFrame) -> dict[str, int]:
        """Return class → how many of the rows carry it, for classes that some row carries; the most frequent first."""
        labels = rows["label"]
        if self.info.multi_label:
            labels = labels[labels != ""].str.split(LABEL_SEP, regex=False).explode()
        return {str(name): int(number) for name, number in labels.value_counts().items()}

    @property
    def usable(self) -> pd.DataFrame:
        """Return the rows that are not excluded."""
        return self.rows[self.rows["status"] == "ok"]

    def nameless(self, rows: pd.DataFrame) -> int:
        """Return how many of the rows name no patient where others do: each stands as a patient of its own."""
        if not self.info.patients_known:
            return 0
        return int((rows["patient_id"] == rows["image_id"].map(without_frame)).sum())

    @property
    def patients_in_words(self) -> str:
        """Return whether every usable image names its patient, else how many do not."""
        origin, usable = self.info.patients_from, self.usable
        if not self.info.patients_known:
            return "not known; every image was taken for a patient of its own"
        known = f"known from {origin if origin == FROM_NAMES else 'the ' + origin}"
        missing = self.nameless(usable)
        if not missing:
            return known
        return f"{known}, but {missing:,} of {len(usable):,} images name none: each counts as a patient of its own"

    def of_split(self, *splits: str) -> pd.DataFrame:
        """Return the usable rows of the named splits, in manifest order."""
        usable = self.usable
        return usable[usable["split"].isin(splits)]

    def content_hash(self) -> str:
        """Return a hash of everything that changes a result: ids, pixels, labels, patients, splits.

        Computed once: the rows of a data set do not change in place.
        """
        return self._content_hash

    def metadata_hash(self) -> str:
        """Return a hash of the further columns: age, sex, site … of each image."""
        further = [name for name in self.rows.columns if name not in COLUMNS]
        rows = self.rows[["image_id", *further]].sort_values("image_id")
        return csv_sha256(rows, index=False, lineterminator="\n")

    @cached_property
    def _content_hash(self) -> str:
        columns = ["image_id", "sha256", "label", "patient_id", "split", "status"]
        if self.info.multi_label and UNKNOWN_COLUMN in self.rows:
            columns.append(UNKNOWN_COLUMN)
        if EXAM in self.rows:
            columns.append(EXAM)
        classes = "|".join(self.info.classes) + str(self.info.positive)
        rows = self.rows[columns].sort_values("image_id")
        return csv_sha256(rows, classes, index=False, lineterminator="\n")


def leaks(rows: pd.DataFrame) -> dict[str, list[str]]:
    """Return what stands on both sides of a split: keys `patients` (ids) and `files` (image ids).

    Args:
        rows: usable manifest rows.
    """
    patients = rows.groupby("patient_id")["split"].nunique()
    files = rows.groupby("sha256")["split"].transform("nunique")
    return {
        "patients": [str(patient) for patient in patients[patients > 1].index],
        "files": [str(image) for image in rows.loc[files > 1, "image_id"]],
    }


def write_dataset(workspace: Workspace, dataset: Dataset, quarantine: pd.DataFrame) -> DatasetInfo:
    """Write manifest, quarantine and `dataset.json`, in this order, each atomically."""
    extra = [column for column in dataset.rows.columns if column not in COLUMNS]
    keep_table(workspace.manifest_path, dataset.rows[[*COLUMNS, *extra]])
    keep_table(workspace.quarantine_path, quarantine.reindex(columns=list(QUARANTINE_COLUMNS)))
    update = {
        "content_hash": dataset.content_hash(),
        "quarantined": len(quarantine),
        "written": _column_hashes(read_table(workspace.manifest_path)),
        "quarantine_sha256": _quarantine_hash(workspace),
    }
    info = dataset.info.model_copy(update=update)
    write_info(workspace, info)
    return info


def write_info(workspace: Workspace, info: DatasetInfo) -> None:
    """Write `dataset.json` alone."""
    write_json(workspace.dataset_path, sealed(info.model_dump()))


def read_dataset(workspace: Workspace) -> Dataset:
    """Read the workspace's data set.

    Raises:
        DataError: there is none, or the manifest lacks a column.
    """
    info = read_info(workspace)
    rows = read_table(workspace.manifest_path, required=COLUMNS)
    hashes = _column_hashes(rows) if info.written else {}
    edited = tuple(sorted(name for name, _ in hashes.items() ^ info.written.items()))
    for column in _NUMBERS:
        numbers = pd.to_numeric(rows[column], errors="coerce")
        rows[column] = numbers.where(numbers.between(0, 1 << 31), 0).astype(int)
    if info.quarantine_sha256 not in ("", _quarantine_hash(workspace)):
        edited = (*edited, _QUARANTINE)
    return Dataset(rows, info, tuple(dict.fromkeys(edited)))


def _quarantine_hash(workspace: Workspace) -> str:
    path = workspace.quarantine_path
    return table_sha256(path) if path.is_file() else "none"


def _column_hashes(rows: pd.DataFrame) -> dict[str, str]:
    """Return column → SHA-256 of its cells, texts as a file holds them."""
    return {str(name): cells_sha256(rows[name]) for name in rows.columns}


def warn_of_edits(
    edited: Sequence[str],
    progress: Progress | Remarks,
    outcome: str = "what it says now is used",
    rows: pd.DataFrame | None = None,
) -> None:
    """Tell that a manifest was edited by hand, in which columns, and what becomes of it; of its `rows`, which are lost or twice."""
    if _QUARANTINE in edited:
        progress.warn(f"{_QUARANTINE} was edited since medimg wrote it; {outcome}")
    edited = [name for name in edited if name != _QUARANTINE]
    if edited:
        moved = set(COLUMNS) - {"reason"} <= set(edited)
        where = "rows were added, taken out or moved" if moved else f"column {', '.join(edited)}"
        progress.warn(f"manifest.csv was edited since medimg wrote it ({where}); {outcome}")
        if rows is not None:
            _warn_of_strange(rows, progress)


def _warn_of_strange(rows: pd.DataFrame, progress: Progress | Remarks) -> None:
    usable = rows["status"] == "ok"
    for found, words in (
        (~rows["status"].isin(STATES), "a status that means nothing: passed over"),
        (usable & ~rows["split"].isin(SPLITS), "a split that means nothing: passed over"),
        (usable & rows["image_id"].duplicated(keep=False), "an image_id that another row has too"),
    ):
        if count := int(found.sum()):
            progress.warn(f"manifest.csv: {plural(count, 'row')} with {words} (see `medimg label-audit`)")


def read_info(workspace: Workspace) -> DatasetInfo:
    """Read what `dataset.json` says of the workspace's data set, without its rows.

    Raises:
        DataError: there is no data set, or the file is not one of medimg's.
    """
    if not workspace.manifest_path.is_file():
        raise DataError(
            f"no data set in {workspace.root}",
            "run `medimg ingest FOLDER` first, or point --workspace to one",
        )
    try:
        content = check_seal(workspace.dataset_path, read_json(workspace.dataset_path))
        return DatasetInfo.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(
            f"{workspace.dataset_path}: {place}: {first['msg']}", "run `medimg ingest` again with --fresh"
        ) from error


def read_quarantine(workspace: Workspace) -> pd.DataFrame:
    """Return the quarantined files (columns `QUARANTINE_COLUMNS`), empty when there are none."""
    if not workspace.quarantine_path.exists():
        return pd.DataFrame(columns=list(QUARANTINE_COLUMNS))
    return read_table(workspace.quarantine_path, required=QUARANTINE_COLUMNS)


MARK = "label-audit: "
RELABELLED = f"{MARK}review: relabelled"
"""How the reason of a row begins whose label is a reviewer's, not the source's; ingest keeps such a label."""
