"""What a source holds: every file once, in one order on every machine, and no link leads round in circles."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from medimg_cli.core.archives import is_litter, list_members
from medimg_cli.core.image import HEAD_BYTES, UnreadableImage, sniff_format
from medimg_cli.core.listing import Rejected, Source
from medimg_cli.errors import DataError

_ARCHIVES = ("zip", "tar", "gzip")


@dataclass(frozen=True)
class Tree:
    """What a source holds, as posix paths relative to it, sorted.

    Args:
        base: what stands before such a path to make one that `readers.read_image` opens: `folder/`, `set.zip#`.
        files: regular files; members of an archive; the numbers of a stack's images, from 0.
        folders: folders at any depth, also empty ones.
        rejected: what is neither: broken links, links that lead back, names that are no text.
    """

    base: str
    files: tuple[str, ...]
    folders: tuple[str, ...]
    rejected: tuple[Rejected, ...]


def kind_of(source: Source) -> str:
    """Return what a source is: "folder", "archive" (.zip, .tar, .tar.gz), "stack" (.npy) or "file"."""
    if source.path.is_dir():
        return "folder"
    try:
        with source.path.open("rb") as stream:
            found = sniff_format(stream.read(HEAD_BYTES))
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise DataError(f"{source.path}: {reason}", "check the source") from error
    if found in _ARCHIVES:
        return "archive"
    return "stack" if found == "npy" else "file"


def contents(source: Source) -> Tree:
    """Return everything in a folder, an archive or a stack of images.

    Raises:
        DataError: the archive or stack is damaged, or the source is a single file.
    """
    kind = kind_of(source)
    if kind == "folder":
        return walk(source)
    base = f"{source.path.as_posix()}#"
    if kind == "stack":
        return Tree(base, tuple(str(number) for number in range(_stack_length(source.path))), (), ())
    if kind != "archive":
        raise DataError(
            f"{source.path} is a single file", "name the folder or the archive that holds the images"
        )
    try:
        members = list_members(source.path)
    except UnreadableImage as error:
        raise DataError(
            f"{source.path} cannot be read: {error}", "copy or download the archive again"
        ) from error
    folders = {folder.as_posix() for member in members for folder in PurePosixPath(member).parents}
    return Tree(base, tuple(sorted(members)), tuple(sorted(folders - {".", "/"})), ())


def _stack_length(path: Path) -> int:
    """Return how many images a stack (N, H, W[, C]) holds, by its header alone."""
    try:
        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[0])
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is no array of images: {error}", "save it with numpy.save, (N, H, W)"
        ) from error


def walk(source: Source) -> Tree:
    """Return everything in a source's folder but what systems leave behind (hidden files, Thumbs.db, …).

    Links are followed. A folder that was seen already, which a link may lead back to, is not read twice.
    """
    files: list[str] = []
    folders: list[str] = []
    rejected: list[Rejected] = []
    seen = {_identity(source.path)}
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        try:
            items = sorted(os.scandir(source.path / folder), key=lambda item: item.name)
        except OSError as error:
            reason = (error.strerror or "cannot be read").lower()
            rejected.append(Rejected((source.path / folder).as_posix(), f"folder: {reason}"))
            continue
        for item in items:
            if is_litter(item.name) or Path(item.path) in source.ignored:
                continue
            relative = f"{folder}{item.name}"
            if (misfit := _misfit(item, seen)) is not None:
                rejected.append(Rejected(_readable(item.path), misfit))
            elif item.is_dir():
                folders.append(relative)
                waiting.append(f"{relative}/")
            else:
                files.append(relative)
    return Tree(
        f"{source.path.as_posix().rstrip('/')}/",
        tuple(sorted(files)),
        tuple(sorted(folders)),
        tuple(sorted(rejected, key=lambda row: row.path)),
    )


def _misfit(item: "os.DirEntry[str]", seen: set[tuple[int, int]]) -> str | None:
    """Return why an item can be neither read nor entered, or None; remembers the folders it lets through."""
    if not item.name.isprintable() and _readable(item.name) != item.name:
        return "the file name is not valid UTF-8"
    try:
        if item.is_dir():
            identity = _identity(Path(item.path))
            if identity in seen:
                return "a link to a folder that was read already"
            seen.add(identity)
            return None
        if item.is_file():
            return None
    except OSError as error:  # a link to itself, or into a folder nobody may enter
        return f"cannot be followed: {(error.strerror or 'unknown reason').lower()}"
    return "a broken link" if item.is_symlink() else "not a regular file"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _readable(path: str) -> str:
    """Return a path with the bytes that are not UTF-8 replaced, fit to be written into a table."""
    return os.fsencode(path).decode("utf-8", "replace")
