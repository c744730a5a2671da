"""Walking a folder: every file once, in one order on every machine, and no link leads round in circles."""

import os
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.core.listing import Rejected, Source

_LITTER = frozenset(["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini"])


@dataclass(frozen=True)
class Tree:
    """What a folder holds, as posix paths relative to it, sorted.

    Args:
        files: regular files.
        folders: folders at any depth, also empty ones.
        rejected: what is neither: broken links, links that lead back, names that are no text.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]
    rejected: tuple[Rejected, ...]


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
            if _is_litter(item.name) or Path(item.path) in source.ignored:
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
        tuple(sorted(files)), tuple(sorted(folders)), tuple(sorted(rejected, key=lambda row: row.path))
    )


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in _LITTER


def _misfit(item: "os.DirEntry[str]", seen: set[tuple[int, int]]) -> str | None:
    """Return why an item can be neither read nor entered, or None; remembers the folders it lets through."""
    if not item.name.isprintable() and _readable(item.name) != item.name:
        return "the file name is not valid UTF-8"
    if item.is_dir():
        identity = _identity(Path(item.path))
        if identity in seen:
            return "a link to a folder that was read already"
        seen.add(identity)
        return None
    if item.is_file():
        return None
    return "a broken link" if item.is_symlink() else "not a regular file"


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _readable(path: str) -> str:
    """Return a path with the bytes that are not UTF-8 replaced, fit to be written into a table."""
    return os.fsencode(path).decode("utf-8", "replace")
