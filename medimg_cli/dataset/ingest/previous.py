"""What an earlier ingest left, as the next one compares with it."""

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from medimg_cli.dataset.listing import Entry
from medimg_cli.dataset.manifest import COLUMNS, DatasetInfo, read_dataset
from medimg_cli.errors import UsageError
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace

DECIDING = tuple("seed split patient_regex frames exam_col multi_label label_sep folds deidentify".split())
"""Settings that decide who is a patient, which split they get and what an image is."""


class Containers:
    """Content hashes of files that hold several images, each file hashed once however many ask."""

    def __init__(self, before: Mapping[str, str]) -> None:
        self._before = before
        self._lock = threading.Lock()
        self.hashes: dict[str, str] = {}

    def __reduce__(self) -> tuple[type["Containers"], tuple[Mapping[str, str]]]:
        return type(self), (self._before,)  # to a process that hashes for itself: a lock cannot go along

    def unchanged(self, name: str, path: Path) -> bool:
        """Return whether the file has the bytes it had; `name` is its manifest path.

        Raises:
            OSError: it cannot be read.
        """
        with self._lock:
            if name not in self.hashes:
                self.hashes[name] = sha256_of_file(path)
            return self._before.get(name) == self.hashes[name]


class PreviousDataset:
    """The rows of the data set as it stands; column by column, as a million dictionaries would not fit.

    Args:
        rows: a manifest.
    """

    def __init__(self, rows: pd.DataFrame, info: DatasetInfo | None, edited: tuple[str, ...] = ()) -> None:
        self.info = info
        self.edited = edited
        self.positions: dict[str, int] = {name: i for i, name in enumerate(rows["image_id"])}
        self._columns: dict[str, list[Any]] = {name: rows[name].tolist() for name in rows.columns}

    def __contains__(self, image_id: str) -> bool:
        return image_id in self.positions

    def cell(self, image_id: str, column: str) -> str:
        """Return one cell of an image, "" for an unknown image or column."""
        position = self.positions.get(image_id)
        if position is None or column not in self._columns:
            return ""
        return str(self._columns[column][position])

    def cells(self, image_id: str) -> dict[str, Any]:
        """Return all cells of an image."""
        position = self.positions[image_id]
        return {name: values[position] for name, values in self._columns.items()}

    def split_of(self, image_id: str) -> str | None:
        """Return the split an image has, or had before it vanished."""
        if image_id in self.positions:
            return self.cell(image_id, "split") or None
        return None if self.info is None else self.info.vanished.get(image_id)

    @property
    def further_columns(self) -> list[str]:
        """Return the columns beyond `COLUMNS`, in order."""
        return [name for name in self._columns if name not in COLUMNS]

    def splits_to_keep(self, lost: Sequence[str], entries: Sequence[Entry]) -> dict[str, str]:
        """Return image id → split of every image that once had one and is not there: it may come back."""
        before = {} if self.info is None else self.info.vanished
        present = {entry.image_id for entry in entries if entry.image_id in before}
        kept = {name: split for name, split in before.items() if name not in present}
        return dict(sorted((kept | {name: self.cell(name, "split") for name in lost}).items()))

    def has_column(self, column: str) -> bool:
        return column in self._columns


def read_previous(workspace: Workspace, *, fresh: bool) -> PreviousDataset:
    """Return what stands in the workspace: nothing where there is no data set yet, or one is to start over.

    A manifest without `dataset.json`, which is written last, is what a killed first ingest left: nothing.

    Raises:
        UsageError: the data set does not say how it was made, so nothing can be added to it.
        DataError: it cannot be read.
    """
    if fresh or not (workspace.manifest_path.is_file() and workspace.dataset_path.is_file()):
        return PreviousDataset(pd.DataFrame(columns=list(COLUMNS)), None)
    dataset = read_dataset(workspace)
    if not dataset.info.origins:
        raise UsageError(
            f"{workspace.dataset_path} does not say how the data set was made, so nothing can be added",
            "start over with --fresh",
        )
    return PreviousDataset(dataset.rows, dataset.info, dataset.edited)


def settings_in_force(settings: IngestSettings, previous: PreviousDataset) -> IngestSettings:
    """Return the settings: what is given now, and for the rest what the data set was made with.

    Raises:
        UsageError: what is given contradicts what decided the splits that stand.
    """
    if previous.info is None:
        return settings
    remembered = previous.info.settings
    if settings.patient_regex == "auto" and remembered.get("patient_regex") is not None:
        kept = {"patient_regex": remembered["patient_regex"]}  # the one that auto took, or that was given
        settings = IngestSettings.model_validate({**settings.model_dump(exclude_unset=True), **kept})
    now = settings.model_dump(mode="json")
    for name in DECIDING:
        before = remembered.get(name)
        if name in settings.model_fields_set and before is not None and now[name] != before:
            raise UsageError(
                f"--{name.replace('_', '-')} {_as_text(now[name])} is not what the data set was made with: {_as_text(before)}",
                "leave it out to add to the data set, or start over with --fresh",
            )
    for name in ("patient_regex", "exam_col"):
        if name in settings.model_fields_set and remembered.get(name) is None:
            raise UsageError(
                f"--{name.replace('_', '-')} is new: it would give images that have a split other patients",
                "leave it out to add to the data set, or start over with --fresh",
            )
    unsaid = {
        name: value
        for name, value in remembered.items()
        if value is not None and name not in settings.model_fields_set
    }
    return IngestSettings.model_validate({**settings.model_dump(exclude_unset=True), **unsaid})


def to_remember(settings: IngestSettings) -> dict[str, Any]:
    """Return the settings that the next ingest takes over where nothing else is given."""
    kept = settings.model_dump(mode="json", include={*DECIDING, "copy_images"})
    return kept if settings.positive is None else {**kept, "positive": settings.positive}


def _as_text(value: object) -> str:
    return ",".join(f"{part:g}" for part in value) if isinstance(value, list) else str(value)
