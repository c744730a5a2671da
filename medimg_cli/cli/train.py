"""medimg train: cache to run."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import Session
from medimg_cli.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.train import TrainResult


def train(
    session: Session,
    arch: Annotated[
        str | None, typer.Option(help="small-cnn, or a torchvision classifier.", show_default="small-cnn")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="none|imagenet|FILE", help="Weights to start from.", show_default="none"),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(help="Passes at most.", show_default="by network and images")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.", show_default="32")] = None,
    lr: Annotated[
        float | None, typer.Option(help="Highest learning rate.", show_default="by network")
    ] = None,
    class_weights: Annotated[
        str | None, typer.Option(help="balanced or none.", show_default="balanced")
    ] = None,
    augment: Annotated[str | None, typer.Option(help="light or none.", show_default="light")] = None,
    monitor: Annotated[
        str | None, typer.Option(help="Picks the best epoch: auroc, recall, f1, loss.", show_default="auroc")
    ] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without a better one before stopping.", show_default="a third of them"),
    ] = None,
    target_recall: Annotated[
        float | None, typer.Option(help="Recall the threshold aims at, on val.", show_default="0.95")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", show_default="0")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto")] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run's folder.", show_default="arch and a number")
    ] = None,
) -> None:
    """Train a network; choose its best epoch and its operating threshold on validation.

    The run's folder holds the model (safetensors and JSON), settings, history and log. Ctrl-C keeps the best
    epoch so far.

    Example: `medimg train --arch small-cnn --seed 1`
    """
    from medimg_cli.cli.prerequisites import pixels_for_training
    from medimg_cli.stages.train import train as run_stage

    options: dict[str, Any] = {
        "arch": arch,
        "weights": weights,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "class_weights": class_weights,
        "augment": augment,
        "monitor": monitor,
        "patience": patience,
        "target_recall": target_recall,
        "seed": seed,
        "device": device,
        "name": name,
    }
    settings = session.settings(train=options)
    prepared = pixels_for_training(session, settings)
    result = run_stage(session.workspace, settings, prepared.cache, session.progress)
    payload = {
        "run": session.workspace.relative(result.run.folder),
        "arch": result.arch,
        "epochs_run": result.epochs_run,
        "best_epoch": result.best_epoch,
        "val": result.val,
        "threshold": result.threshold.model_dump() if result.threshold else None,
        "seconds": result.seconds,
        "images_per_second": result.images_per_second,
        "parameters": result.parameters,
        "device": result.device,
        "interrupted": result.interrupted,
    }
    session.show(payload, lambda console: _draw(console, result))
    if result.interrupted:
        raise typer.Exit(ExitCode.INTERRUPTED)


def _draw(console: "Console", result: "TrainResult") -> None:
    from medimg_cli.cli.render import plain_table

    table = plain_table("validation", ">value")
    for name, value in result.val.items():
        table.add_row(name.replace("_", " "), "not defined" if value is None else f"{value:.4f}")
    console.print(table)
    if result.threshold is not None:
        console.print(f"\nthreshold {result.threshold.value:.4f}: {result.threshold.rule} on validation")
    stopped = " (interrupted: best epoch so far kept)" if result.interrupted else ""
    console.print(
        f"{result.run.name}: epoch {result.best_epoch} of {result.epochs_run} kept{stopped}, "
        f"{result.parameters:,} parameters, {result.seconds:.0f} s on {result.device}"
    )
    console.print(f"run: {result.run.folder}", markup=False)
