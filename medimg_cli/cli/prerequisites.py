"""What a command needs before its own stage: built when lacking, left alone when up to date."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medimg_cli.cli.options import Session
    from medimg_cli.core.run import Run
    from medimg_cli.core.settings import Settings
    from medimg_cli.stages.evaluate import EvaluateResult
    from medimg_cli.stages.preprocess import PreprocessResult


def pixels_for_training(session: "Session", settings: "Settings") -> "PreprocessResult":
    """Return the pixels of train and val at the size the network prefers; test stays undecoded."""
    from medimg_cli.core.manifest import read_info, require_single_label
    from medimg_cli.stages.preprocess import preprocess

    require_single_label(read_info(session.workspace))  # before hours of decoding
    return preprocess(
        session.workspace,
        settings.preprocess,
        arch=settings.train.arch,
        splits=("train", "val"),
        progress=session.progress,
    )


def evaluation_of_run(session: "Session", run: "Run", settings: "Settings") -> "EvaluateResult":
    """Return the run's evaluation on the chosen split, with the model's own recipe."""
    from medimg_cli.stages.evaluate import evaluate
    from medimg_cli.stages.preprocess import preprocess_with

    recipe = run.read_card().recipe
    prepared = preprocess_with(
        session.workspace,
        recipe,
        splits=(settings.evaluate.split,),
        workers=settings.preprocess.workers,
        progress=session.progress,
    )
    return evaluate(session.workspace, run, prepared.cache, settings.evaluate, session.progress)
