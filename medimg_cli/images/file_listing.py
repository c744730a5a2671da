"""What a folder holds: every file once, in one order on every machine, and no link leads round in circles."""

import os
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medimg_cli.images.archives import is_hidden_picture, is_litter


@dataclass(frozen=True, slots=True)
class Found:
    """One thing in a folder.

    Args:
        relative: posix path relative to the folder walked; fit to be written into a table where it is rejected.
        kind: rejected is what is neither file nor folder: a broken link, a link that leads back, a name that is no text;
            hidden a file called as a picture but for a dot before its name.
        reason: why it is rejected.
    """

    relative: str
    kind: Literal["file", "folder", "hidden", "rejected"]
    reason: str = ""


def walk(root: Path, ignored: frozenset[Path] = frozenset()) -> Iterator[Found]:
    """Yield everything in a folder but what systems leave behind (hidden files, Thumbs.db, …).

    A folder stands before what it holds, and each folder's items are in the order of their names. Links are followed,
    those to folders last of all, and a folder that was seen already, which a link may lead back to, is not read twice.
    Nothing is held but the names in the folders on the way.

    Args:
        root: the folder; one that cannot be entered is rejected as "".
        ignored: paths that are left out, as `root / relative`.
    """
    seen: set[tuple[int, int]] = set()
    _remember(root, seen)
    links: deque[str] = deque()
    waiting = [_items(root, "", ignored, links)]
    while waiting or links:
        if not waiting:
            link, before = links.popleft(), len(seen)
            _remember(root / link, seen)
            found = Found(link, "folder")
            if len(seen) == before:
                found = Found(link, "rejected", "a link to a folder that was read already")
        else:
            following = next(waiting[-1], None)
            if following is None:
                waiting.pop()
                continue
            found = following
            if found.kind == "folder":
                _remember(root / found.relative, seen)
        yield found
        if found.kind == "folder":
            waiting.append(_items(root, f"{found.relative}/", ignored, links))


def readable(path: str) -> str:
    """Return a path with the bytes that are not UTF-8 replaced, fit to be written into a table."""
    return os.fsencode(path).decode("utf-8", "replace")


def _items(root: Path, folder: str, ignored: frozenset[Path], links: deque[str]) -> Iterator[Found]:
    """Yield what one folder holds; links to folders are put on `links`."""
    names: list[str] = []
    hidden: list[str] = []
    odd: dict[str, os.DirEntry[str]] = {}  # of plain files, which may be a million, only the names are kept
    try:
        with os.scandir(root / folder) as items:
            for item in items:
                if is_litter(item.name) or (ignored and Path(item.path) in ignored):
                    hidden += [item.name] if is_hidden_picture(item.name) else []
                    continue
                names.append(item.name)
                if not (item.name.isprintable() and item.is_file(follow_symlinks=False)):
                    odd[item.name] = item
    except OSError as error:
        reason = f"folder: {(error.strerror or 'cannot be read').lower()}"
        yield Found(folder.rstrip("/"), "rejected", reason)
    yield from (Found(f"{folder}{name}", "hidden") for name in sorted(hidden) if readable(name) == name)
    for name in sorted(names):
        relative = f"{folder}{name}"
        if name not in odd:
            yield Found(relative, "file")
        elif (misfit := _misfit(odd[name])) is not None:
            yield Found(readable(relative), "rejected", misfit)
        elif not odd[name].is_dir():
            yield Found(relative, "file")
        elif odd[name].is_symlink():
            links.append(relative)
        else:
            yield Found(relative, "folder")


def _misfit(item: "os.DirEntry[str]") -> str | None:
    """Return why an item can be neither read nor entered, or None."""
    if not item.name.isprintable() and readable(item.name) != item.name:
        return "the file name is not valid UTF-8"
    try:
        if item.is_dir() or item.is_file():
            return None
    except OSError as error:  # a link to itself, or into a folder nobody may enter
        return f"cannot be followed: {(error.strerror or 'unknown reason').lower()}"
    return "a broken link" if item.is_symlink() else "not a regular file"


def _remember(folder: Path, seen: set[tuple[int, int]]) -> None:
    with suppress(OSError):  # gone since it was listed: entering it says so
        status = folder.stat()
        seen.add((status.st_dev, status.st_ino))
