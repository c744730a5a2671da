"""Columns of a table that hold DICOM unique identifiers, and of which level."""

import re
from collections.abc import Sequence

from medimg_cli.dataset.layouts.labels_file import Table, is_image_column, plain

LEVELS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
"""From one image to all images of an examination (PS3.3 C.12.1, C.7.3.1, C.7.2.1)."""

_NAMES = {
    "SOPInstanceUID": "sopinstanceuid sopuid sopinstance instanceuid imageuid",
    "SeriesInstanceUID": "seriesinstanceuid seriesuid seriesinstance",
    "StudyInstanceUID": "studyinstanceuid studyuid studyinstance",
}
# PS3.5 §9.1: numbers with dots between, 64 characters at most; fewer than four of them identify no instance.
_UID = re.compile(r"[0-2](?:\.[0-9]+){3,}")


def level_of(column: str) -> str | None:
    """Return the level a column's name speaks of, None where it does not."""
    return next((level for level in LEVELS if plain(column) in _NAMES[level].split()), None)


def uid_columns(table: Table) -> Sequence[str]:
    """Return the columns that hold UIDs by name or by every value, the finest level first."""
    by_name = [column for level in LEVELS for column in table.columns if level_of(column) == level]
    by_value = [name for name in table.columns if name not in by_name and holds_uids(table, name)]
    return [*by_name, *by_value]


def holds_uids(table: Table, column: str) -> bool:
    """Return whether every filled cell of a column is a UID, and there is one."""
    values = [cells[column] for _, cells in table.rows if cells[column]]
    return bool(values) and all(len(value) <= 64 and _UID.fullmatch(value) for value in values)


def names_uids(table: Table, image_col: str | None) -> bool:
    """Return whether a table names its images by UIDs: in the column named for them, or for want of file names."""
    if image_col is not None:
        return image_col in table.columns and (
            level_of(image_col) is not None or holds_uids(table, image_col)
        )
    if any(is_image_column(name) and not holds_uids(table, name) for name in table.columns):
        return False
    return bool(uid_columns(table))
