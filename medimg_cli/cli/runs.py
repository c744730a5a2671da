"""medimg runs: what was trained so far."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session
from medimg_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.runs import Comparison, Removed

_Sort = Annotated[
    str | None, typer.Option(metavar="METRIC", help="The best first: auroc, recall, … of --split.")
]
_Best = Annotated[
    str | None, typer.Option(metavar="METRIC", help="Print the best run's name alone, for scripts.")
]
_Split = Annotated[
    str | None, typer.Option(help="Whose figures --sort and --best take: val or test.", show_default="val")
]
_Diff = Annotated[
    tuple[str, str] | None, typer.Option(metavar="RUN RUN", help="Show what sets two runs apart.")
]
_Remove = Annotated[
    list[str] | None, typer.Option(metavar="RUN", help="Delete a run and its files; may be repeated.")
]
_Yes = Annotated[bool, typer.Option("--yes", help="Remove without asking.")]


def runs(
    session: Session,
    sort: _Sort = None,
    best: _Best = None,
    split: _Split = None,
    diff: _Diff = None,
    remove: _Remove = None,
    yes: _Yes = False,
) -> None:
    """List the runs of this workspace, oldest first, with their validation and test figures; compare and remove.

    Unfinished and damaged runs are listed too, and say so.

    Example: `medimg runs --sort auroc`
    """
    _refuse_contradictions(
        {"--sort": sort, "--best": best, "--diff": diff, "--remove": remove}, split=split, yes=yes
    )
    if diff is not None:
        _show_difference(session, *diff)
    elif remove:
        _remove(session, remove, yes=yes)
    elif best is not None:
        _show_best(session, best, split or "val")
    else:
        _show_table(session, sort, split or "val")


def _refuse_contradictions(wishes: dict[str, object], *, split: str | None, yes: bool) -> None:
    given = [name for name, value in wishes.items() if value]
    if len(given) > 1:
        raise UsageError(
            f"{given[0]} and {given[1]} contradict each other", f"leave out {given[0]} or {given[1]}"
        )
    if split is not None and given not in (["--sort"], ["--best"]):
        raise UsageError("--split says whose figures --sort and --best take", "add --sort METRIC")
    if yes and given != ["--remove"]:
        raise UsageError("--yes answers what --remove asks", "leave it out, or add --remove RUN")


def _show_table(session: Session, metric: str | None, split: str) -> None:
    from medimg_cli.cli.views.runs import draw_runs
    from medimg_cli.stages.runs import ranked, warnings_of
    from medimg_cli.stages.runs import runs as run_stage

    rows = run_stage(session.workspace) if metric is None else ranked(session.workspace, metric, split)
    warnings = warnings_of(rows, "test" if metric is None else split)
    session.show(
        {"runs": rows, "warnings": warnings}, lambda console: draw_runs(console, rows, metric, split)
    )
    _warn(session, warnings)


def _show_best(session: Session, metric: str, split: str) -> None:
    from medimg_cli.stages.runs import best, ranked, warnings_of

    rows = ranked(session.workspace, metric, split)
    name = best(rows, metric, split)
    warnings = warnings_of(rows, split, chosen=True)
    session.show(
        {"runs": rows, "best": name, "warnings": warnings},
        lambda console: console.print(name, markup=False, soft_wrap=True),
    )
    _warn(session, warnings)


def _show_difference(session: Session, first: str, second: str) -> None:
    from medimg_cli.cli.views.runs import draw_difference
    from medimg_cli.stages.runs import compare

    found: Comparison = compare(session.workspace, first, second)
    payload = {"runs": found.rows, "diff": found.diff, "warnings": found.warnings}
    session.show(payload, lambda console: draw_difference(console, found.diff))
    _warn(session, found.warnings)


def _remove(session: Session, names: Sequence[str], *, yes: bool) -> None:
    from medimg_cli.stages.runs import check_removable, remove, runs

    removed: Sequence[Removed] = ()
    sizes = check_removable(session.workspace, names)
    if yes or _agreed(session, sizes):
        removed = remove(session.workspace, names)
    payload = {
        "runs": runs(session.workspace),
        "removed": removed,
        "bytes": sum(one.bytes for one in removed),
    }
    session.show(payload, lambda console: _draw_removed(console, removed))


def _agreed(session: Session, sizes: dict[str, int]) -> bool:
    """Ask, on a terminal; anywhere else nobody could answer."""
    from medimg_cli.cli.views.runs import size

    if session.json or not sys.stdin.isatty():
        raise UsageError("--remove deletes for good, and there is nobody to ask", "add --yes")
    what = ", ".join(f"{name} ({size(count)})" for name, count in sizes.items())
    return typer.confirm(f"Delete {what} for good?", err=True)


def _draw_removed(console: "Console", removed: "Sequence[Removed]") -> None:
    from medimg_cli.cli.views.runs import size

    for one in removed:
        console.print(f"removed {one.run}: {size(one.bytes)} freed", markup=False)
    if not removed:
        console.print("nothing was removed")


def _warn(session: Session, warnings: Sequence[str]) -> None:
    for warning in warnings:
        session.progress.warn(warning)
