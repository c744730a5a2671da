"""Where each stage leaves its artefact inside one workspace folder."""

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.errors import UsageError
from medimg_cli.workspace.table_form import stored

SETTINGS_NAME = "medimg.yaml"
_STALE_SECONDS = 3600
_KEPT = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?|.*\.", re.IGNORECASE)
PLAN_NAME = "plan.yaml"
FACTS_NAME = "report.yaml"


@dataclass(frozen=True)
class Workspace:
    """The folder all commands share; see the map of files in the guide's reference.

    Args:
        root: path of the folder, made absolute; it need not exist yet.
    """

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root).absolute())

    @property
    def settings_path(self) -> Path:
        return self.root / SETTINGS_NAME

    @property
    def plan_path(self) -> Path:
        """Return what `train --plan` writes, and later trainings read below `medimg.yaml`."""
        return self.root / PLAN_NAME

    @property
    def facts_path(self) -> Path:
        """Return where the report looks for what only people know."""
        return self.root / FACTS_NAME

    @property
    def manifest_path(self) -> Path:
        return stored(self.root / "dataset" / "manifest.csv")

    @property
    def dataset_path(self) -> Path:
        return self.root / "dataset" / "dataset.json"

    @property
    def quarantine_path(self) -> Path:
        return stored(self.root / "dataset" / "quarantine.csv")

    @property
    def looks_path(self) -> Path:
        """Return the ledger of looks at test, see `runs.ledger`."""
        return self.root / "dataset" / "test-looks.csv"

    @property
    def downloads_dir(self) -> Path:
        return self.root / "downloads"

    @property
    def audit_dir(self) -> Path:
        return self.root / "audit"

    @property
    def cache_dir(self) -> Path:
        return self.root / "cache"

    @property
    def shards_dir(self) -> Path:
        return self.root / "shards"

    @property
    def artefacts(self) -> tuple[Path, ...]:
        """Return what is no input where the workspace lies in a source."""
        own = (self.audit_dir, self.cache_dir, self.runs_dir, self.shards_dir)
        return self.manifest_path.parent, *own

    @property
    def runs_dir(self) -> Path:
        return self.root / "runs"

    @property
    def tune_dir(self) -> Path:
        return self.root / "tune"

    def absolute(self, path: str) -> str:
        """Return a manifest path as an absolute one; manifest paths are posix, relative to the root."""
        return path if Path(path).is_absolute() else (self.root / path).as_posix()

    def relative(self, path: Path) -> str:
        """Return `path` posix, relative to the root when it lies inside it, else absolute."""
        absolute = path.absolute()
        if absolute.is_relative_to(self.root):
            return absolute.relative_to(self.root).as_posix()
        return absolute.as_posix()


def find_workspace(given: Path | None = None) -> Workspace:
    """Return the workspace: `given`, else MEDIMG_WORKSPACE, else the nearest folder upwards that holds
    `medimg.yaml`, else the current folder."""
    if given is None and (named := os.environ.get("MEDIMG_WORKSPACE")):
        given = Path(named)
    if given is not None:
        return Workspace(given.absolute())
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / SETTINGS_NAME).is_file():
            return Workspace(folder)
    return Workspace(here)


def is_plain_name(name: str) -> bool:
    """Return whether every system takes a text as the name of a file: Windows keeps some, and drops a dot at the end.

    >>> [is_plain_name(name) for name in ("a-1.5", "CON", "nul.txt", "con-1", "a.", "a/b", "x" * 101)]
    [True, False, False, True, False, False, False]
    """
    return re.fullmatch(r"\w[\w.-]{0,99}", name) is not None and not _KEPT.fullmatch(name)


def new_named_folder(
    parent: Path,
    name: str | None,
    *,
    word: str,
    kind: str,
    taken: str,
    fill: Callable[[Path], object] = lambda _: None,
) -> Path:
    """Create and return the folder `name` below `parent`, or `word-1`, `word-2`, … where None.

    Args:
        kind: what it holds, for the error: run, search.
        taken: what to do where the name is taken.
        fill: writes into the folder what it cannot be without; it appears with that, or, when killed, not at all.

    Raises:
        UsageError: the name is taken or is not a plain file name.
    """
    if name is None:
        number = 1
        while (parent / f"{word}-{number}").exists():
            number += 1
        name = f"{word}-{number}"
    if not is_plain_name(name):
        raise UsageError(
            f"--name {name!r} is not a plain name",
            "use letters, digits, '-', '_' and '.', at most 100, and no name that Windows keeps, as CON",
        )
    folder = parent / name
    if folder.exists():
        raise UsageError(f"{kind} '{name}' exists already", taken)
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(".new-*"):  # of a command that was killed
        if time.time() - left.stat().st_mtime > _STALE_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=parent) as made:
        (Path(made) / name).mkdir()
        fill(Path(made) / name)
        try:
            (Path(made) / name).rename(folder)
        except OSError as error:
            raise UsageError(f"{kind} '{name}' exists already", taken) from error  # another process was first
    return folder
