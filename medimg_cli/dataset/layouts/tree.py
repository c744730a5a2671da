"""What a source holds: every file once, in one order on every machine."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from medimg_cli.dataset.listing import Rejected, Source
from medimg_cli.errors import DataError
from medimg_cli.images import file_listing as walking
from medimg_cli.images.archives import is_hidden_picture, list_members
from medimg_cli.images.image import HEAD_BYTES, UnreadableImage, sniff_format

_HIDDEN = "a hidden file: its name begins with a dot"
_ARCHIVES = ("zip", "tar", "gzip")


@dataclass(frozen=True)
class Tree:
    """What a source holds, as posix paths relative to it, sorted.

    Args:
        base: what stands before such a path to make one that `images.readers.read_image` opens: `folder/`, `set.zip#`.
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


_listed: ContextVar[dict[Source, Tree] | None] = ContextVar("_listed", default=None)


@contextmanager
def listing_once() -> Iterator[None]:
    """List every source once however often it is asked for: a dry run tries each layout on it."""
    token = _listed.set({})
    try:
        yield
    finally:
        _listed.reset(token)


def contents(source: Source) -> Tree:
    """Return everything in a folder, an archive or a stack of images.

    Raises:
        DataError: the archive or stack is damaged, or the source is a single file.
    """
    known = _listed.get()
    if known is None:
        return _contents(source)
    if source not in known:
        known[source] = _contents(source)
    return known[source]


def _contents(source: Source) -> Tree:
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
        hidden = sorted(list_members(source.path, is_hidden_picture))
    except UnreadableImage as error:
        raise DataError(
            f"{source.path} cannot be read: {error}", "copy or download the archive again"
        ) from error
    folders = {folder.as_posix() for member in members for folder in PurePosixPath(member).parents}
    rejected = tuple(Rejected(f"{base}{member}", _HIDDEN) for member in hidden)
    return Tree(base, tuple(sorted(members)), tuple(sorted(folders - {".", "/"})), rejected)


def _stack_length(path: Path) -> int:
    """Return how many images a stack (N, H, W[, C]) holds, by its header alone."""
    try:
        return int(np.load(path, mmap_mode="r", allow_pickle=False).shape[0])
    except (OSError, ValueError, IndexError) as error:
        raise DataError(
            f"{path} is no array of images: {error}", "save it with numpy.save, (N, H, W)"
        ) from error


def walk(source: Source) -> Tree:
    """Return everything in a source's folder but what systems leave behind, see `images.file_listing`."""
    files: list[str] = []
    folders: list[str] = []
    rejected: list[Rejected] = []
    for found in walking.walk(source.path, source.ignored):
        if found.kind == "rejected":
            path = source.path / found.relative
            rejected.append(Rejected(walking.readable(path.as_posix()), found.reason))
        elif found.kind == "hidden":
            path = source.path / found.relative
            rejected.append(Rejected(path.as_posix(), _HIDDEN))
        else:
            (folders if found.kind == "folder" else files).append(found.relative)
    return Tree(
        f"{source.path.as_posix().rstrip('/')}/",
        tuple(sorted(files)),
        tuple(sorted(folders)),
        tuple(sorted(rejected, key=lambda row: row.path)),
    )
