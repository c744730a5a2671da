"""Fill a pixel cache: appended to, crash-safe, one writer at a time, memory bounded by one batch of lines."""

import csv
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO, StringIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pandas as pd

from medimg_cli.errors import DataError, MachineError
from medimg_cli.preprocessing.cache import (
    INDEX_COLUMNS,
    PixelCache,
    cache_folder,
    checksum_of,
    is_of,
    next_row,
    open_cache,
    present,
    read_index,
)
from medimg_cli.preprocessing.recipe import Pixels, Recipe
from medimg_cli.workspace.files import disk_errors, drop_unfinished_line, write_json
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.plain_text import shielded
from medimg_cli.workspace.tables import write_table
from medimg_cli.workspace.workspace import Workspace

_HINT = "free some disk space, or choose another folder; the same command then goes on from there"

CHECKPOINT_SECONDS = 1.0
"""At most so much work is lost with a killed process."""


class CacheWriter:
    """An open cache to which rows are appended; made by `writing`.

    Rows are numbered in the order in which they are given, from the last valid one on. So an interrupted write
    and the one that finishes it leave the same array as one that was never interrupted.
    """

    def __init__(self, workspace: Workspace, recipe: Recipe) -> None:
        self._workspace, self._recipe = workspace, recipe
        self._folder = cache_folder(workspace, recipe)
        self._pixels_path, self._journal_path = self._folder / "pixels.npy", self._folder / "journal.csv"
        self._columns = [*INDEX_COLUMNS, "row", "crc32", *(["border"] if recipe.border_crop else [])]
        self._header_bytes = len(_header(recipe, 0))
        shape = (recipe.size_px, recipe.size_px, recipe.channels)
        self._shape, self._row_bytes = shape, int(np.prod(shape)) * recipe.dtype.itemsize
        self._index = self._recovered()
        self._rows = next_row(self._index)
        self._kept_rows, self._kept_journal_bytes = self._rows, _size(self._journal_path)

    def missing(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Return those of `rows` (image_id, sha256, …) that are not here with the same content."""
        return rows[~present(self._index, rows)]

    def forget(self, image_ids: Sequence[str]) -> None:
        """Let these images be missing, so that they are written again."""
        self._index = self._index[~self._index["image_id"].isin(image_ids)]

    def append(self, rows: pd.DataFrame, images: Iterable[tuple[Pixels, str]]) -> None:
        """Write the images of `rows` (image_id, sha256), given in the same order as (pixels, border).

        What was written is kept when `images` raises or the process is stopped.

        Raises:
            MachineError: the disk is full or cannot be written; the cache is as it was at the last checkpoint.
        """
        with disk_errors(self._pixels_path, _HINT):
            try:
                self._append(rows, images)
            except OSError:
                self._drop_unsaved()
                raise

    def finish(self) -> PixelCache:
        """Make everything that was appended valid, and return the cache.

        Raises:
            MachineError: the disk is full, or the cache cannot be read back.
        """
        with disk_errors(self._pixels_path, _HINT):
            self._write_header()
            write_table(self._folder / "index.csv", self._recovered())
            self._journal_path.unlink(missing_ok=True)
        written = open_cache(self._workspace, self._recipe)
        if written is None:
            raise MachineError(
                f"{self._folder} cannot be read back", "check the disk, then run `medimg preprocess` again"
            )
        return written

    def _append(self, rows: pd.DataFrame, images: Iterable[tuple[Pixels, str]]) -> None:
        names = zip(rows["image_id"], rows["sha256"], strict=True)
        with self._pixels_path.open("r+b") as pixels, self._journal_path.open("ab") as journal:
            pixels.seek(self._header_bytes + self._rows * self._row_bytes)
            lines = StringIO()
            table = csv.writer(lines, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
            if not journal.tell():
                table.writerow(self._columns)
            saved = time.monotonic()
            try:
                for (image_id, sha256), (image, border) in zip(names, images, strict=True):
                    row = np.ascontiguousarray(image.reshape(self._shape))
                    pixels.write(row.data)
                    line = [shielded(image_id), sha256, self._rows, checksum_of(row), border]
                    table.writerow(line[: len(self._columns)])
                    self._rows += 1
                    if time.monotonic() - saved > CHECKPOINT_SECONDS:
                        self._checkpoint(pixels, journal, lines)
                        saved = time.monotonic()
            finally:
                self._checkpoint(pixels, journal, lines)

    def _checkpoint(self, pixels: BinaryIO, journal: BinaryIO, lines: StringIO) -> None:
        """Bring the rows to the disk, and only then the lines that say so."""
        _sync(pixels)
        journal.write(lines.getvalue().encode("utf-8"))
        _sync(journal)
        lines.seek(0)
        lines.truncate()
        self._kept_rows, self._kept_journal_bytes = self._rows, _size(self._journal_path)

    def _recovered(self) -> pd.DataFrame:
        """Return index and journal as one, after an unfinished write of any kind; nothing where there is none."""
        if not (self._pixels_path.is_file() and is_of(self._recipe, self._folder)):
            return self._begin_anew()
        parts = [self._read("index.csv"), self._read("journal.csv")]
        index = pd.concat(parts, ignore_index=True).drop_duplicates(
            "image_id", keep="last", ignore_index=True
        )
        enough = self._header_bytes + next_row(index) * self._row_bytes
        if self._pixels_path.stat().st_size < enough or not self._has_own_header():
            return self._begin_anew()
        return index

    def _read(self, name: str) -> pd.DataFrame:
        """Return an index or a journal; of a journal, the part before a line that was not finished."""
        path = self._folder / name
        empty = pd.DataFrame(
            {column: pd.Series(dtype="int64" if column == "row" else "str") for column in self._columns}
        )
        if not path.is_file():
            return empty
        if name == "journal.csv":
            drop_unfinished_line(path)
        try:
            index = read_index(path)
        except DataError:
            return empty
        return index.reindex(columns=self._columns, fill_value="")

    def _begin_anew(self) -> pd.DataFrame:
        """Leave an empty cache: first nothing that makes old rows valid, then the new file."""
        for name in ("index.csv", "journal.csv", "pixels.npy"):  # a training may still look at the old array
            (self._folder / name).unlink(missing_ok=True)
        self._pixels_path.write_bytes(_header(self._recipe, 0))
        write_json(self._folder / "recipe.json", self._recipe.model_dump())
        return self._read("index.csv")

    def _has_own_header(self) -> bool:
        with self._pixels_path.open("rb") as stream:
            magic = stream.read(self._header_bytes)
        own = _header(self._recipe, 0)
        place = own.index(b"'shape': (")  # what stands before does not depend on the number of rows
        return len(magic) == len(own) and magic[:place] == own[:place] and magic.endswith(b"\n")

    def _write_header(self) -> None:
        """Say in the array's header how many rows there are; the header's length leaves room for any number."""
        with self._pixels_path.open("r+b") as pixels:
            pixels.truncate(self._header_bytes + self._rows * self._row_bytes)
            pixels.write(_header(self._recipe, self._rows))
            _sync(pixels)

    def _drop_unsaved(self) -> None:
        """Give back the disk space of rows no line names, and of lines whose rows may be among them."""
        os.truncate(self._journal_path, self._kept_journal_bytes)
        os.truncate(self._pixels_path, self._header_bytes + self._kept_rows * self._row_bytes)


@contextmanager
def writing(workspace: Workspace, recipe: Recipe, *, anew: bool = False) -> Iterator[CacheWriter]:
    """Open the cache of a recipe to append to it, whatever state an earlier write left it in.

    Args:
        anew: keep nothing of a write that was not finished.

    Raises:
        MachineError: another process is writing it, or the folder cannot be written.
    """
    folder = cache_folder(workspace, recipe)
    with locked(folder / ".lock", doing=f"writing {folder}"):
        with disk_errors(folder, _HINT):
            if anew:
                (folder / "journal.csv").unlink(missing_ok=True)
            writer = CacheWriter(workspace, recipe)
        yield writer


def _header(recipe: Recipe, rows: int) -> bytes:
    """Return the head of an .npy file (format 1.0) of `rows` rows; of the same length for every number of them."""
    stream = BytesIO()
    shape = (rows, recipe.size_px, recipe.size_px, recipe.channels)
    described = {"descr": recipe.dtype.str, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, described)
    return stream.getvalue()


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _sync(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
