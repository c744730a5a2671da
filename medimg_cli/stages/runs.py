"""runs: what was trained so far, which run is best, what sets two apart, and how to be rid of one."""

import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from typing import Any

from medimg_cli.errors import MachineError, RunError, UsageError
from medimg_cli.evaluation.metrics import METRICS
from medimg_cli.evaluation.run_table import (
    VAL_FIGURES,
    difference,
    figure_of,
    folder_of,
    ranked_rows,
    row_of,
    run_rows,
    size_bytes,
    unlike_data,
)
from medimg_cli.registry import did_you_mean
from medimg_cli.runs.run import Run
from medimg_cli.workspace.lock import is_held, locked
from medimg_cli.workspace.workspace import Workspace

_SPLITS = ("val", "test")


@dataclass(frozen=True)
class Comparison:
    """Two runs beside each other.

    Args:
        rows: of both runs, as `runs` returns them.
        diff: as `evaluation.run_diff.difference` returns it.
        warnings: why the figures may not compare.
    """

    rows: list[dict[str, Any]]
    diff: dict[str, Any]
    warnings: list[str]


@dataclass(frozen=True)
class Removed:
    """A run that is gone, and the bytes its files had."""

    run: str
    bytes: int


def runs(workspace: Workspace) -> list[dict[str, Any]]:
    """Return one mapping per run, oldest first, whatever state it is in; damaged ones last.

    Keys as `evaluation.run_table.row_of` says; a figure is None where it was not measured.
    """
    return run_rows(workspace)


def ranked(workspace: Workspace, metric: str, split: str = "val") -> list[dict[str, Any]]:
    """Return the runs as `runs` does, the best by `metric` first and those without that figure last.

    Args:
        metric: a validation figure of training, or a metric of the evaluation on test; the smaller the better
            for losses and calibration errors.
        split: val or test.

    Raises:
        UsageError: there is no such metric or split.
    """
    if split not in _SPLITS:
        raise UsageError(f"--split cannot be '{split}'", "val or test")
    rows = run_rows(workspace)
    shelf = VAL_FIGURES if split == "val" else METRICS.names()
    known = {*shelf, *(name for row in rows for name in row[split])}
    if metric not in known:
        raise UsageError(f"no metric '{metric}' on {split}", did_you_mean(metric, known))
    return ranked_rows(rows, metric, split)


def best(rows: Sequence[dict[str, Any]], metric: str, split: str = "val") -> str:
    """Return the name of the first of `ranked` rows that holds a whole model; the older one of two equals.

    Raises:
        RunError: no such run has that figure.
    """
    for row in rows:
        if _has_model(row) and figure_of(row, metric, split) is not None:
            return str(row["run"])
    missing = "`medimg evaluate RUN` measures one" if split == "test" else "`medimg train` makes one"
    raise RunError(f"no run has a figure '{metric}' on {split}", missing)


def warnings_of(rows: Sequence[dict[str, Any]], split: str = "test", *, chosen: bool = False) -> list[str]:
    """Return what somebody who compares these runs by `split` must know.

    Args:
        chosen: one of them is picked by its figure, with `best`.
    """
    unlike = unlike_data(rows, split)
    found = [] if unlike is None else [unlike]
    if chosen:
        left_out = [row for row in rows if not _has_model(row)]
        found += [f"{row['run']} is left out: {row['problem'] or row['status']}" for row in left_out]
    if chosen and split == "test":
        found.append("a run picked by its test figure has a test figure that is too good: pick on val")
    return found


def compare(workspace: Workspace, first: str, second: str) -> Comparison:
    """Return what sets two runs apart.

    Raises:
        RunError: there is no such run, or its files cannot be read.
    """
    pair = [folder_of(workspace, name) for name in (first, second)]
    diff = difference(*pair)
    rows = [row_of(run) for run in pair]
    return Comparison(rows, diff, [text for split in _SPLITS for text in warnings_of(rows, split)])


def check_removable(workspace: Workspace, names: Sequence[str]) -> dict[str, int]:
    """Return run → bytes that removing it would free, each run once.

    Raises:
        RunError: there is no such run.
        MachineError: it is being trained.
    """
    found = {run.name: run for run in (folder_of(workspace, name) for name in names)}
    for run in found.values():
        if is_held(run.lock_path):
            with _untrained(run):
                pass  # free by now: its training ended between two looks
    return {name: 0 if run.folder.is_symlink() else size_bytes(run.folder) for name, run in found.items()}


def remove(workspace: Workspace, names: Sequence[str]) -> list[Removed]:
    """Delete runs with all their files; none where one of them cannot be.

    Raises:
        RunError, MachineError: as `check_removable`; or a file cannot be deleted.
    """
    sizes = check_removable(workspace, names)
    for name in sizes:
        _delete(folder_of(workspace, name))
    return [Removed(name, count) for name, count in sizes.items()]


def _has_model(row: dict[str, Any]) -> bool:
    return row["problem"] is None and row["status"] in ("complete", "interrupted")


def _untrained(run: Run) -> AbstractContextManager[None]:
    return locked(run.lock_path, doing=f"training run '{run.name}'")


def _delete(run: Run) -> None:
    """Delete a run's files while nobody can train it, its record first: a half-deleted run must not look whole."""
    try:
        if run.folder.is_symlink():
            run.folder.unlink()
            return
        with _untrained(run):
            for path in (run.record_path, run.card_path, run.state_path):
                with suppress(FileNotFoundError):
                    path.unlink()
            for path in sorted(run.folder.iterdir()):
                if path != run.lock_path:
                    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        shutil.rmtree(run.folder)
    except OSError as error:
        raise MachineError(
            f"cannot delete {run.folder}: {error.strerror or error}", "see who owns its files, then try again"
        ) from error
