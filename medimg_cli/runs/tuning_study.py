"""A search for settings: one folder `tune/<name>` with its study, its table of trials and the best settings."""

from pathlib import Path

from medimg_cli.errors import RunError
from medimg_cli.registry import did_you_mean
from medimg_cli.runs.run import Run
from medimg_cli.workspace.workspace import Workspace, new_named_folder


class Search:
    """The folder `tune/<name>` and the paths inside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def config_path(self) -> Path:
        """Return where the settings stand that the search began with."""
        return self.folder / "config.yaml"

    @property
    def study_path(self) -> Path:
        """Return where every suggestion and figure is kept as it comes, one JSON object a line."""
        return self.folder / "study.log"

    @property
    def trials_path(self) -> Path:
        return self.folder / "trials.csv"

    @property
    def best_path(self) -> Path:
        """Return the settings of the best trial, as `train --config` takes them."""
        return self.folder / "best.yaml"

    @property
    def lock_path(self) -> Path:
        return self.folder / ".lock"

    def trial(self, number: int) -> Run:
        """Return the run of one trial, counted from 1; its folder need not be there."""
        return Run(self.folder / "trials" / f"{number:03d}")


def new_search(workspace: Workspace, name: str | None) -> Search:
    """Create the folder of a new search, called `name` or `search` and the next free number.

    Raises:
        UsageError: the name is taken or is not a plain file name.
    """
    taken = f"choose another --name, or go on with --resume {name}"
    return Search(new_named_folder(workspace.tune_dir, name, word="search", kind="search", taken=taken))


def find_search(workspace: Workspace, name: str | None) -> Search:
    """Return the search called `name`, or the one worked on last when None.

    Raises:
        RunError: there is none.
    """
    folders = sorted(workspace.tune_dir.iterdir()) if workspace.tune_dir.is_dir() else []
    found = [Search(folder) for folder in folders if (folder / "config.yaml").is_file()]
    if name is None and found:
        return max(found, key=lambda search: (_changed(search), search.name))
    named = [search for search in found if search.name == name]
    if named:
        return named[0]
    if name is None:
        raise RunError(f"no search to go on with in {workspace.tune_dir}", "run `medimg tune` first")
    raise RunError(
        f"no search '{name}' in {workspace.tune_dir}", did_you_mean(name, [search.name for search in found])
    )


def _changed(search: Search) -> float:
    path = search.study_path if search.study_path.is_file() else search.config_path
    return path.stat().st_mtime
