"""A new folder for what a command makes: called as the user says, or by a word and the next free number."""

import re
from pathlib import Path

from medimg_cli.errors import UsageError


def new_named_folder(parent: Path, name: str | None, *, word: str, kind: str, taken: str) -> Path:
    """Create and return the folder `name` below `parent`, or `word-1`, `word-2`, … where None.

    Args:
        kind: what it holds, for the error: run, search.
        taken: what to do where the name is taken.

    Raises:
        UsageError: the name is taken or is not a plain file name.
    """
    if name is None:
        number = 1
        while (parent / f"{word}-{number}").exists():
            number += 1
        name = f"{word}-{number}"
    if not re.fullmatch(r"[\w][\w.-]*", name):
        raise UsageError(f"--name {name!r} is not a plain name", "use letters, digits, '-', '_' and '.'")
    folder = parent / name
    if folder.exists():
        raise UsageError(f"{kind} '{name}' exists already", taken)
    folder.mkdir(parents=True)
    return folder
