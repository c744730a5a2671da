"""medimg train: cache to run."""

from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session, said
from medimg_cli.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.learning.arch_listing import ArchitectureFacts
    from medimg_cli.stages.train import TrainResult


_Arch = Annotated[
    str | None, typer.Option(help="small-cnn, or a torchvision classifier.", show_default="small-cnn")
]
_Weights = Annotated[
    str | None,
    typer.Option(metavar="none|imagenet|FILE", help="Weights to start from.", show_default="none"),
]
_Epochs = Annotated[int | None, typer.Option(help="Passes at most.", show_default="by network and images")]
_BatchSize = Annotated[int | None, typer.Option(help="Images a step.", show_default="32")]
_Lr = Annotated[float | None, typer.Option(help="Highest learning rate.", show_default="by network")]
_Freeze = Annotated[
    str | None,
    typer.Option(help="backbone: its features are computed once, the head is trained.", show_default="none"),
]
_Loss = Annotated[str | None, typer.Option(help="ce or focal.", show_default="ce")]
_Sampler = Annotated[
    str | None, typer.Option(help="weighted: each class is drawn equally often.", show_default="none")
]
_ClassWeights = Annotated[str | None, typer.Option(help="balanced or none.", show_default="balanced")]
_Augment = Annotated[
    str | None, typer.Option(help="none, light, cxr, derm, fundus, histo, us.", show_default="light")
]
_Monitor = Annotated[
    str | None,
    typer.Option(
        help="Picks the best epoch: auroc, recall, f1, f2, specificity (at the target recall), loss.",
        show_default="auroc",
    ),
]
_Patience = Annotated[
    int | None,
    typer.Option(help="Epochs without a better one before stopping.", show_default="a third of them"),
]
_TargetRecall = Annotated[
    float | None, typer.Option(help="Recall the threshold aims at, on val.", show_default="0.95")
]
_Seed = Annotated[int | None, typer.Option(help="Seed of everything random.", show_default="0")]
_Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", show_default="auto")]
_Resume = Annotated[
    str | None,
    typer.Option(metavar="[RUN]", help="Go on with a training that is not over: the last one, or this run."),
]
_ListArchs = Annotated[
    bool, typer.Option("--list-archs", help="List networks, their size and time here; train nothing.")
]
_Name = Annotated[
    str | None, typer.Option(help="Name of the run's folder.", show_default="arch and a number")
]


def train(
    session: Session,
    arch: _Arch = None,
    weights: _Weights = None,
    epochs: _Epochs = None,
    batch_size: _BatchSize = None,
    lr: _Lr = None,
    freeze: _Freeze = None,
    loss: _Loss = None,
    class_weights: _ClassWeights = None,
    sampler: _Sampler = None,
    augment: _Augment = None,
    monitor: _Monitor = None,
    patience: _Patience = None,
    target_recall: _TargetRecall = None,
    seed: _Seed = None,
    device: _Device = None,
    name: _Name = None,
    resume: _Resume = None,
    list_archs: _ListArchs = False,
) -> None:
    """Train a network; choose its best epoch and its operating threshold on validation.

    The run's folder holds the model (safetensors and JSON), settings, history and log. Ctrl-C keeps the best
    epoch so far; `--resume` goes on from there, to the same model as if nothing had happened.

    Example: `medimg train --arch small-cnn --seed 1`
    """
    options = said(locals(), "resume", "list_archs")
    if list_archs:
        _show_architectures(session)
        return
    from medimg_cli.cli.prerequisites import pixels_for_training, unfinished_run
    from medimg_cli.stages.train import train as run_stage

    if resume is None:
        run, settings = None, session.settings(train=options)
    else:
        run, settings = unfinished_run(session, resume, options)
    prepared = pixels_for_training(session, settings)
    result = run_stage(session.workspace, settings, prepared.cache, session.progress, resume=run)
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


def _show_architectures(session: Session) -> None:
    from medimg_cli.learning.arch_listing import list_architectures

    found = list_architectures()
    payload = {"architectures": [vars(facts) for facts in found]}
    session.show(payload, lambda console: _draw_architectures(console, found))


def _draw_architectures(console: "Console", found: "list[ArchitectureFacts]") -> None:
    from medimg_cli.cli.render import plain_table

    table = plain_table("network", ">px", ">parameters", ">GMAC an image", ">s per 1,000 images", "weights")
    for facts in found:
        table.add_row(
            facts.name,
            str(facts.size_px),
            f"{facts.parameters:,}",
            "" if facts.gmacs is None else f"{facts.gmacs:.2f}",
            "" if facts.seconds_per_1000 is None else f"{facts.seconds_per_1000:,.0f}",
            "imagenet" if facts.imagenet else "",
        )
    console.print(table)
    console.print("\nseconds: one epoch of training on this processor, estimated to a factor of about two")


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
