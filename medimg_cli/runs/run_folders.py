"""The folders of runs: which there are, which is meant, and where a new one goes."""

from collections.abc import Callable
from pathlib import Path

from medimg_cli.errors import RunError
from medimg_cli.registry import did_you_mean
from medimg_cli.runs.run import Run
from medimg_cli.workspace.workspace import Workspace, new_named_folder


def list_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that hold a model, oldest first; those with a damaged record come before all others."""
    folders = workspace.runs_dir.iterdir() if workspace.runs_dir.is_dir() else []
    runs = [Run(folder) for folder in folders if (folder / "model.json").is_file()]
    return sorted(runs, key=_began)


def find_run(workspace: Workspace, name: str | None) -> Run:
    """Return the run called `name` (or the folder of that path), or the newest one when None.

    Raises:
        RunError: there is none.
    """
    # Looked up before the others are read: a damaged run beside it is no reason to refuse this one.
    for folder in () if name is None else (Path(name), workspace.runs_dir / name):
        if (folder / "model.json").is_file():
            return Run(folder.absolute())
    if name is not None and Path(name).is_dir():
        raise RunError(
            f"{name} is a folder without model.json: no run, and no bundle",
            "name a run, or the .zip file that `medimg bundle` writes",
        )
    if name is not None and name.endswith(".zip") and not Path(name).exists():
        raise RunError(f"{name} is not there", "`medimg bundle` writes one; or name a run")
    runs = list_runs(workspace)
    if name is None:
        if not runs:
            raise RunError(f"no trained run in {workspace.runs_dir}", "run `medimg train` first")
        return runs[-1]
    raise RunError(f"no run '{name}' in {workspace.runs_dir}", did_you_mean(name, [run.name for run in runs]))


def find_unfinished(workspace: Workspace, name: str | None) -> Run:
    """Return the run called `name`, or the one begun last among those whose training is not over.

    Raises:
        RunError: there is none.
    """
    folders = sorted(workspace.runs_dir.iterdir()) if workspace.runs_dir.is_dir() else []
    runs = [Run(folder) for folder in folders if (folder / "run.json").is_file()]
    if name is not None:
        if (Path(name) / "run.json").is_file():
            return Run(Path(name).absolute())
        named = [run for run in runs if run.name == name]
        if not named:
            raise RunError(
                f"no run '{name}' in {workspace.runs_dir}", did_you_mean(name, [run.name for run in runs])
            )
        return named[0]
    unfinished = [run for run in runs if run.is_unfinished()]
    if not unfinished:
        raise RunError(
            f"no training to go on with in {workspace.runs_dir}",
            "a training can be resumed from its beginning until it is complete",
        )
    return max(unfinished, key=_began)


def new_run(
    workspace: Workspace, *, arch: str, name: str | None, fill: Callable[[Run], object] = lambda _: None
) -> Run:
    """Create the folder of a new run, called `name` or the architecture and the next free number.

    Args:
        fill: writes what the run begins with, see `new_named_folder`.

    Raises:
        UsageError: the name is taken or is not a plain file name.
    """
    folder = new_named_folder(
        workspace.runs_dir,
        name,
        word=arch.rpartition("/")[2],
        kind="run",
        taken="choose another --name",
        fill=lambda made: fill(Run(made)),
    )
    return Run(folder)


def _began(run: Run) -> tuple[str, str]:
    """Return what sorts runs by when they began."""
    try:
        return run.read_record().started, run.name
    except RunError:
        return "", run.name


class Search:
    """The folder `tune/<name>` and the paths inside it.

    Attributes:
        config_path: the settings that the search began with.
        study_path: every suggestion and figure as it comes, one JSON object a line.
        best_path: the settings of the best trial, as `train --config` takes them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.name = folder, folder.name
        self.config_path, self.best_path = folder / "config.yaml", folder / "best.yaml"
        self.study_path, self.trials_path = folder / "study.log", folder / "trials.csv"
        self.lock_path = folder / ".lock"

    def trial(self, number: int) -> Run:
        """Return the run of one trial, counted from 1; its folder need not be there."""
        return Run(self.folder / "trials" / f"{number:03d}")


def new_search(
    workspace: Workspace, name: str | None, fill: Callable[[Search], object] = lambda _: None
) -> Search:
    """Create the folder of a new search, called `name` or `search` and the next free number.

    Args:
        fill: writes what the search begins with, see `new_named_folder`.

    Raises:
        UsageError: the name is taken or is not a plain file name.
    """
    taken = f"choose another --name, or go on with --resume {name}"
    return Search(
        new_named_folder(
            workspace.tune_dir,
            name,
            word="search",
            kind="search",
            taken=taken,
            fill=lambda made: fill(Search(made)),
        )
    )


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
