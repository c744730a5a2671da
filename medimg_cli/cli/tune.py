"""medimg tune: search settings of train."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import LAST, Session, fields_of
from medimg_cli.cli.setting_options import takes
from medimg_cli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.preprocessing.cache import PixelCache
    from medimg_cli.runs.run_folders import Search
    from medimg_cli.stages.tune import TuneResult
    from medimg_cli.training.tuning.tuning import Tried
    from medimg_cli.workspace.settings import Settings

_SHOWN = 5

_Resume = Annotated[
    str | None,
    typer.Option(metavar="[NAME]", help="Go on with a search that is not over: the last one, or this one."),
]


@takes("tune")
def tune(session: Session, resume: _Resume = None) -> None:
    """Search the settings of `train` that do best on validation, with Optuna; the test split is never looked at.

    The first trial has the settings as they stand (`medimg.yaml`, `--set train.…`), hopeless trials are stopped
    early. `trials.csv` lists them all, and `medimg train --config tune/NAME/best.yaml` trains with the best.

    Example: `medimg tune --trials 20 --time-limit 30m --metric auroc`
    """
    from medimg_cli.stages.tune import tune as run_stage

    search, settings = (None, session.settings()) if resume is None else _begun(session, resume)

    def pixels(wanted: "Settings") -> "PixelCache":
        from medimg_cli.api.prerequisites import pixels_for_training

        return pixels_for_training(session.workspace, wanted, session.progress).cache

    result = run_stage(session.workspace, settings, pixels, session.progress, resume=search)
    session.show(_payload(session, result), lambda console: _draw(console, session, result))
    if result.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _begun(session: Session, named: str) -> "tuple[Search, Settings]":
    """Return the search to go on with and its settings, with the trials and the time limit given now."""
    from medimg_cli.runs.run_folders import find_search
    from medimg_cli.stages.tune import settings_to_resume

    options = session.options["tune"]
    trials, time_limit = options.get("trials"), options.get("time_limit")
    others = [name for name in options if name not in ("trials", "time_limit")]
    if others:
        raise UsageError(
            f"--resume goes on with the search's own settings, so --{others[0].replace('_', '-')} cannot be heeded",
            "leave it out, or begin a new search",
        )
    search = find_search(session.workspace, None if named == LAST else named)
    return search, settings_to_resume(search, trials=trials, time_limit=time_limit)


def _payload(session: Session, result: "TuneResult") -> dict[str, Any]:
    states = [tried.state for tried in result.trials]
    return fields_of(
        result,
        search=session.workspace.relative(result.search.folder),
        trials={state: states.count(state) for state in ("complete", "pruned", "failed", "stopped")},
        best=result.best[0] if result.best else None,
        ranking=result.best[:_SHOWN],
        best_settings=session.workspace.relative(result.search.best_path) if result.best else None,
    )


def _draw(console: "Console", session: Session, result: "TuneResult") -> None:
    from medimg_cli.cli.views.render import plain_table

    if result.best:
        varied = list(result.best[0].settings)
        table = plain_table(
            "trial", f">{result.metric}", ">epoch", ">seconds", *(f">{name}" for name in varied)
        )
        for tried in result.best[:_SHOWN]:
            table.add_row(*_cells(tried))
        console.print(table)
    states = [tried.state for tried in result.trials]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    ended = "; interrupted, go on with --resume" if result.interrupted else ""
    ended = "; the time limit is over, go on with --resume" if result.out_of_time else ended
    console.print(f"\n{result.search.name}: {counts or 'no trial'}{ended}", markup=False)
    if result.best:
        best = session.workspace.relative(result.search.best_path)
        console.print(f"train with the best: medimg train --config {best}", markup=False, soft_wrap=True)
        console.print("its figure flatters: it is the best of several on the same validation images")


def _cells(tried: "Tried") -> list[str]:
    settings = (
        f"{value:.3g}" if isinstance(value, float) else str(value) for value in tried.settings.values()
    )
    value = "" if tried.value is None else f"{tried.value:.4f}"
    return [str(tried.number), value, str(tried.best_epoch or ""), f"{tried.seconds:.0f}", *settings]
