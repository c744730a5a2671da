"""The files somebody names to have them predicted: single ones, folders, archives, and lists of them."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO

from medimg_cli.errors import DataError
from medimg_cli.images.archives import list_members
from medimg_cli.images.file_listing import readable, walk
from medimg_cli.images.image import HEAD_BYTES, sniff_format, split_member

_ARCHIVES = ("zip", "tar", "gzip")


@dataclass(frozen=True, slots=True)
class Input:
    """One file.

    Args:
        path: what `images.readers.read_image` opens; of a file that cannot be opened, what to call it in a table.
        fault: why it cannot be opened, "" where that is yet to be seen.
    """

    path: str
    fault: str = ""


def list_inputs(named: Iterable[str | Path]) -> Iterator[Input]:
    """Yield every file that is named, below a folder that is named, and in an archive that is named.

    In the order they are named in; of a folder as `images.file_listing` goes through it, of an archive in the order of its
    names. Nothing is decoded, and nothing left out but what systems leave behind in folders and archives.
    """
    for one in named:
        given = Path(one)
        if readable(str(given)) != str(given):
            yield Input(readable(given.as_posix()), "the file name is not valid UTF-8")
        elif given.is_dir():
            yield from _in_folder(given)
        elif _is_archive(given):
            yield from _in_archive(given)
        else:
            yield Input(given.as_posix())


def named_in(stream: BinaryIO) -> Iterator[str]:
    """Yield the paths in a stream, one a line; empty lines are none."""
    for line in stream:
        if name := os.fsdecode(line.rstrip(b"\r\n")):
            yield name


def _in_folder(folder: Path) -> Iterator[Input]:
    for found in walk(folder):
        path = (folder / found.relative).as_posix()
        if found.kind == "rejected":
            yield Input(readable(path), found.reason)
        elif found.kind == "file":
            yield Input(path)


def _in_archive(archive: Path) -> Iterator[Input]:
    try:
        members = list_members(archive)
    except DataError as error:
        yield Input(archive.as_posix(), error.what.removeprefix(str(archive)).lstrip(": "))
        return
    if not members:
        yield Input(archive.as_posix(), "an archive without files")
    for member in sorted(members):
        yield Input(f"{archive.as_posix()}#{member}")


def _is_archive(path: Path) -> bool:
    """Return whether a file is an archive whose members can be named."""
    if split_member(f"{path.as_posix()}#a") != (path.as_posix(), "a"):
        return False
    try:
        if not S_ISREG(path.stat().st_mode):  # asked first: opening a pipe may wait for ever
            return False
        with path.open("rb") as stream:
            return sniff_format(stream.read(HEAD_BYTES)) in _ARCHIVES
    except OSError:  # reading it says why
        return False
