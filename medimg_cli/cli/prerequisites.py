"""What a command needs before its own stage: built when lacking, left alone when up to date."""

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medimg_cli.audit.findings import Embedder
    from medimg_cli.cli.options import Session
    from medimg_cli.preprocessing.probe_images import Shown
    from medimg_cli.runs.run import Run
    from medimg_cli.stages.evaluate import EvaluateResult
    from medimg_cli.stages.preprocess import PreprocessResult
    from medimg_cli.workspace.settings import LabelAuditSettings, Settings

LAST = "last"
IN_WORKSPACE = "workspace"


def pixels_for_training(session: "Session", settings: "Settings") -> "PreprocessResult":
    """Return the pixels of train and val at the size the network prefers; test stays undecoded."""
    from medimg_cli.dataset.manifest import read_dataset
    from medimg_cli.preprocessing.plan_recipe import plan_recipe
    from medimg_cli.runs.losses_for_labels import loss_for
    from medimg_cli.stages.preprocess import preprocess
    from medimg_cli.training.networks.input_sizes import check_size

    dataset = read_dataset(session.workspace)
    loss_for(settings.train, dataset.labels)  # before hours of decoding, and so is the size
    arch = network_of(session, settings)
    recipe = plan_recipe(dataset, settings.preprocess, arch=arch)
    check_size(arch, recipe.size_px, channels=recipe.channels, stem=settings.train.stem)
    return preprocess(
        session.workspace,
        settings.preprocess,
        arch=arch,
        splits=("train", "val"),
        progress=session.progress,
    )


def network_of(session: "Session", settings: "Settings") -> str:
    """Return the network that training would take, which is only looked for where none is named."""
    if settings.train.arch != "auto":
        return settings.train.arch
    from medimg_cli.dataset.manifest import read_dataset
    from medimg_cli.training.device import choose_device
    from medimg_cli.training.fitting.automatic_plan import named

    device = choose_device(settings.train.device)
    return named(settings, read_dataset(session.workspace), device).train.arch


def unfinished_run(session: "Session", named: str) -> "tuple[Run, Settings]":
    """Return the run to go on with and its own settings.

    Args:
        named: a run's name or folder; `LAST` for the one begun last.

    Raises:
        UsageError: an option would change the training.
        RunError: there is no such run, or its training is over.
    """
    from medimg_cli.errors import UsageError
    from medimg_cli.runs.run_folders import find_unfinished
    from medimg_cli.workspace.config import read_settings

    if given := [name.replace("_", "-") for name in session.options["train"]]:
        raise UsageError(
            f"--resume goes on with the run's own settings, so --{given[0]} cannot be heeded",
            "leave it out, or train anew",
        )
    run = find_unfinished(session.workspace, None if named == LAST else named)
    return run, read_settings(run.config_path)


def evaluation_of_run(session: "Session", run: "Run", settings: "Settings") -> "EvaluateResult":
    """Return the run's evaluation on the chosen split, with the model's own recipe."""
    from medimg_cli.stages.evaluate import evaluate
    from medimg_cli.stages.preprocess import preprocess_with

    recipe = run.read_card().recipe
    prepared = preprocess_with(
        session.workspace,
        recipe,
        splits=(settings.evaluate.split, *(("val",) if settings.evaluate.tta else ())),
        workers=settings.preprocess.workers,
        progress=session.progress,
    )
    return evaluate(session.workspace, run, prepared.cache, settings.evaluate, session.progress)


def compared_run(session: "Session", settings: "Settings") -> None:
    """Let the run that another is compared with answer the split as it would alone, where it did not yet.

    What was said of this evaluation, a threshold for one, is not said of the other.
    """
    from medimg_cli.evaluation.compared_model import is_table
    from medimg_cli.runs.run_folders import find_run

    evaluate = settings.evaluate
    if evaluate.compare is None or is_table(evaluate.compare):
        return
    own = replace(session, options={}).settings(
        evaluate={"split": evaluate.split, "allow_leak": evaluate.allow_leak}
    )
    plain = own.evaluate.model_copy(
        update={"compare": None, "require": (), "keep_threshold": False, "robustness": False}
    )
    other = find_run(session.workspace, evaluate.compare)
    evaluation_of_run(session, other, own.model_copy(update={"evaluate": plain}))


def copies_of_run(session: "Session", run: "Run", shown: "Shown") -> None:
    """Write the ONNX copies that a run of an earlier version, or one whose copies were deleted, lacks."""
    from medimg_cli.inference.ensemble_members import without_copy

    if not without_copy(run, run.read_card()):
        return
    from medimg_cli.training.onnx.missing import write_missing_copies

    write_missing_copies(run, shown.pixels, session.progress)


def said_of_model(session: "Session", settings: "Settings") -> dict[str, str]:
    """Return fact → answer of `report.yaml`, those that somebody gave."""
    from medimg_cli.reporting.study_facts import read_facts

    path = settings.report.facts or session.workspace.facts_path
    if settings.report.facts is None and not path.is_file():
        return {}
    return {name: answer for name, answer in read_facts(path).answers.items() if answer is not None}


def model_card_of(session: "Session", run: "Run", settings: "Settings") -> str | None:
    """Return the model card of an evaluated run as Markdown; None of one that was not evaluated on test."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from medimg_cli.errors import MedimgError

    if not run.metrics_path("test").is_file():
        return None
    from medimg_cli.stages.report import report

    with TemporaryDirectory(prefix="medimg-") as folder:
        path = Path(folder) / "card.md"
        try:
            report(session.workspace, run, [], settings.report, session.progress, card=path)
        except MedimgError as error:
            session.progress.note(f"no model card: {error.what}")
            return None
        return path.read_text(encoding="utf-8")


def embedder(session: "Session", settings: "LabelAuditSettings") -> "Embedder | None":
    """Return what turns images into a network's features, None where no weights are at hand or wanted.

    `--weights auto` takes a file from the folder where torch.hub keeps what it fetched; nothing is fetched.
    Without weights torch is not imported.
    """
    from pathlib import Path

    from medimg_cli.runs.pretrained_weights import checkpoints_folder, weights_at_hand

    if settings.weights == "none":
        return None
    auto = settings.weights == "auto"
    weights = weights_at_hand(checkpoints_folder()) if auto else Path(settings.weights)
    if weights is None:
        return None
    from medimg_cli.images.image import ReadOptions
    from medimg_cli.images.readers import read_image
    from medimg_cli.training.networks.embedding import SIDE_PX, Embedding

    options = ReadOptions(enough_px=SIDE_PX)
    return Embedding(weights, lambda path: read_image(path, options), progress=session.progress)
