"""medimg train: cache to run."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import LAST, OURS, Session, fields_of
from medimg_cli.cli.setting_options import takes
from medimg_cli.errors import ExitCode, UsageError
from medimg_cli.workspace.plain_text import plural

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.runs.run import Run
    from medimg_cli.stages.train import TrainResult
    from medimg_cli.training.candidates import Chosen
    from medimg_cli.workspace.settings import Settings


_Plan = Annotated[
    bool, typer.Option("--plan", help="Write what would be chosen, and why, to plan.yaml; train nothing.")
]
_Nproc = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Processes on this machine that share each batch; torchrun and srun are joined by themselves.",
        show_default="1",
    ),
]
_Resume = Annotated[
    str | None,
    typer.Option(metavar="[RUN]", help="Go on with a training that is not over: the last one, or this run."),
]
_ListArchs = Annotated[
    str | None,
    typer.Option(
        metavar="[timm[:PATTERN]]",
        help="List networks, their size and time here, or timm's of a pattern; train nothing.",
    ),
]


@takes("train", {"preprocess.size": "side of the images in pixels, as in `preprocess`"})
def train(
    session: Session,
    nproc: _Nproc = None,
    resume: _Resume = None,
    plan: _Plan = False,
    list_archs: _ListArchs = None,
) -> None:
    """Train a network; choose its best epoch and its operating threshold on validation.

    The run's folder holds the model (safetensors and JSON), settings, history and log. Ctrl-C keeps the best
    epoch so far; `--resume` goes on from there, to the same model as if nothing had happened.

    Example: `medimg train --arch small-cnn --seed 1`
    """
    if list_archs:
        _show_architectures(session, list_archs)
        return
    if plan:
        _plan_ahead(session)
        return
    _train(session, nproc=nproc, resume=resume)


def _train(session: Session, *, nproc: int | None, resume: str | None) -> None:
    """Train here, in processes started for it, or together with the processes this one was started with."""
    began = time.perf_counter()
    from medimg_cli.api.prerequisites import pixels_for_training
    from medimg_cli.stages.train import train as run_stage
    from medimg_cli.training.distributed.join import is_to_be_launched, joined, launch

    if is_to_be_launched(nproc):
        launch(nproc or 1)
        return
    session = session.of_one_voice()

    if resume is None:
        run, settings = None, session.settings()
    else:
        run, settings = _unfinished_run(session, resume)
    with joined(settings.train.device) as world:
        from medimg_cli.api.prerequisites import keep_choice, network_chosen

        settings, choice = network_chosen(session.workspace, settings, session.progress)
        prepared = world.in_turn(lambda: pixels_for_training(session.workspace, settings, session.progress))
        result = run_stage(
            session.workspace, settings, prepared.cache, session.progress, resume=run, began=began
        )
        if world.leads:
            keep_choice(result.run, choice)
            _show(session, result, choice)
        if result.interrupted:
            raise typer.Exit(ExitCode.INTERRUPTED)


def _unfinished_run(session: "Session", named: str) -> "tuple[Run, Settings]":
    """Return the run to go on with and its own settings.

    Args:
        named: a run's name or folder; `LAST` for the one begun last.

    Raises:
        UsageError: an option would change the training.
        RunError: there is no such run, or its training is over.
    """
    from medimg_cli.runs.run_folders import find_unfinished
    from medimg_cli.workspace.config import read_settings

    given = [name.replace("_", "-") for part in ("train", "preprocess") for name in session.options[part]]
    if given:
        raise UsageError(
            f"--resume goes on with the run's own settings, so --{given[0]} cannot be heeded",
            "leave it out, or train anew",
        )
    run = find_unfinished(session.workspace, None if named == LAST else named)
    return run, read_settings(run.config_path)


def _show(session: Session, result: "TrainResult", choice: "Chosen | None") -> None:
    from medimg_cli.cli.views.train import draw_choice

    left_out = () if result.folds else ("folds",)
    payload = fields_of(result, *left_out, run=session.workspace.relative(result.run.folder))
    if choice is not None:
        payload["candidates"] = choice.as_json()

    def draw(console: "Console") -> None:
        if choice is not None:
            draw_choice(console, choice)
        _draw(console, result)

    session.show(payload, draw)


def _plan_ahead(session: Session) -> None:
    from medimg_cli.cli.views.train import draw_plan
    from medimg_cli.stages.train import plan as run_stage

    found = run_stage(session.workspace, session.settings(planned=False), session.progress)
    payload = {
        "plan": session.workspace.relative(found.path),
        "data": found.about,
        "choices": [vars(choice) for choice in found.choices],
    }
    session.show(payload, lambda console: draw_plan(console, found))


def _show_architectures(session: Session, which: str) -> None:
    from medimg_cli.cli.views.train import draw_architectures
    from medimg_cli.training.networks.arch_listing import list_architectures, list_timm

    library, _, pattern = which.partition(":")
    if library not in (OURS, "timm"):
        raise UsageError(f"--list-archs {which}: no such library", "give none, timm, or timm:PATTERN")
    found = list_timm(pattern or "*") if library == "timm" else list_architectures()
    payload = {"architectures": [vars(facts) for facts in found]}
    session.show(payload, lambda console: draw_architectures(console, found))


def _draw(console: "Console", result: "TrainResult") -> None:
    from medimg_cli.cli.views.render import plain_table
    from medimg_cli.predictions.exam_answers import rule_text
    from medimg_cli.predictions.threshold_choice import promise_of

    spread = (">mean of folds", "range") if result.folds else ()
    table = plain_table("out of fold" if result.folds else "validation", ">value", *spread)
    for name, value in result.val.items():
        shown = "not defined" if value is None else f"{value:.4f}"
        table.add_row(name.replace("_", " "), shown, *_spread(result, name))
    console.print(table)
    if result.threshold is not None:
        where = {"val": "validation"}.get(result.threshold.split, result.threshold.split)
        console.print(
            f"\nthreshold {result.threshold.value:.4f}: {result.threshold.rule} on {where}", markup=False
        )
        console.print(promise_of(result.threshold), markup=False)
    _draw_thresholds(console, result)
    if result.exams is not None:
        console.print(f"{rule_text(result.exams)}; {result.exams.why}", markup=False)
    console.print(
        f"{result.run.name}: {_kept(result)}, "
        f"{result.parameters:,} parameters, {result.seconds:.0f} s on {result.device}"
    )
    console.print(f"run: {result.run.folder}", markup=False)


def _draw_thresholds(console: "Console", result: "TrainResult") -> None:
    """Show the operating point of each label, where an image may carry several."""
    from rich.markup import escape

    from medimg_cli.cli.views.render import plain_table

    if not result.thresholds:
        return
    table = plain_table("label", ">threshold", ">recall", ">specificity")
    for name, point in result.thresholds.items():
        there = (point.achieved_recall, point.achieved_specificity)
        figures = ("not defined" if known is None else f"{known:.4f}" for known in there)
        table.add_row(escape(name), f"{point.value:.4f}", *figures)
    console.print()
    console.print(table)


def _kept(result: "TrainResult") -> str:
    if result.best_epoch is None:
        stopped = " (interrupted: those that were trained to their end)" if result.interrupted else ""
        return f"{plural(result.members, 'network')}{stopped}, {plural(result.epochs_run, 'epoch')} together"
    stopped = " (interrupted: best epoch so far kept)" if result.interrupted else ""
    return f"epoch {result.best_epoch} of {result.epochs_run} kept{stopped}"


def _spread(result: "TrainResult", name: str) -> list[str]:
    """Return the mean of a figure over the folds and its range, where there are folds."""
    if not result.folds:
        return []
    values = [value for fold in result.folds if (value := fold.get(name)) is not None]
    if not values:
        return ["", ""]
    return [f"{sum(values) / len(values):.4f}", f"{min(values):.4f} to {max(values):.4f}"]
