"""evaluate: run → predictions and metrics with intervals on one split."""

from dataclasses import dataclass

import pandas as pd

from medimg_cli.core.cache import PixelCache
from medimg_cli.core.evaluation import Evaluation, Leakage, read_evaluation, write_evaluation
from medimg_cli.core.files import sha256_of_file
from medimg_cli.core.findings import marks_of
from medimg_cli.core.held_out import held_out_predictions, how_answered, is_held_out
from medimg_cli.core.labels import LabelSpace
from medimg_cli.core.manifest import Dataset, read_dataset
from medimg_cli.core.operating_point import OperatingPoint, operating_point
from medimg_cli.core.predictions import (
    predictions_of,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from medimg_cli.core.progress import Progress, SilentProgress
from medimg_cli.core.requirements import parse_requirements
from medimg_cli.core.run import ModelCard, Run
from medimg_cli.core.sampling import sampling_of
from medimg_cli.core.settings import EvaluateSettings
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError, GateError, RunError, UsageError
from medimg_cli.learning.augmentation.views import views_of
from medimg_cli.learning.predictor import Predictor
from medimg_cli.metrics.analyses import Subject
from medimg_cli.metrics.answered import Answered
from medimg_cli.metrics.evaluation import Recorded, evaluation_of


@dataclass(frozen=True)
class EvaluateResult:
    """What evaluating did.

    Args:
        evaluation: as `metrics-<split>.json` holds it.
        unmet: requirements that are not met, as text.
        reused: nothing had changed since it was written.
    """

    evaluation: Evaluation
    unmet: tuple[str, ...]
    reused: bool


def evaluate(
    workspace: Workspace,
    run: Run,
    cache: PixelCache,
    settings: EvaluateSettings,
    progress: Progress = SilentProgress(),
) -> EvaluateResult:
    """Predict a split with a run's model and write predictions and metrics into the run's folder.

    Args:
        workspace: holds the data set the run was trained on.
        run: its model answers.
        cache: pixels of the split, made by the model's own recipe.
        settings: split, threshold, requirements.
        progress: told of every image.

    Raises:
        GateError: the split shares patients or files with another one, and `allow_leak` is off.
        RunError: the data set changed since training, or the run cannot be used.
        DataError: the split is empty.
    """
    requirements = parse_requirements(settings.require)
    dataset, card = read_dataset(workspace), run.read_card()
    _check_same_dataset(dataset, card, settings)
    held_out = is_held_out(card, settings.split, tta=settings.tta)
    views = len(views_of(card.augment)) if settings.tta else 1
    leakage = _leakage(dataset, settings, ("train", "val") if held_out else (settings.split,))
    point = _operating_point(run, card, settings)
    evaluation = _up_to_date(run, card, dataset, point, leakage, settings, views)
    reused = evaluation is not None
    if evaluation is None:
        if held_out:
            table = held_out_predictions(run, card, dataset, point)
        else:
            table = _predict(run, dataset, cache, point, settings, progress)
        path = run.predictions_path(settings.split)
        write_predictions(path, table)
        recorded = Recorded(
            run=run.name,
            split=settings.split,
            dataset_hash=dataset.content_hash(),
            predictions_sha256=sha256_of_file(path),
            weights_sha256=card.weights_sha256,
        )
        subject = _subject(run, card, dataset, table, point, settings)
        evaluation = evaluation_of(subject, recorded=recorded, leakage=leakage)
        warnings = (*evaluation.warnings, *how_answered(card, views, held_out=held_out))
        evaluation = evaluation.model_copy(update={"views": views, "warnings": warnings})
        write_evaluation(run.metrics_path(settings.split), evaluation)
    unmet = tuple(str(wanted) for wanted in requirements if not wanted.is_met(evaluation.metrics))
    return EvaluateResult(evaluation, unmet, reused)


def _subject(
    run: Run,
    card: ModelCard,
    dataset: Dataset,
    table: pd.DataFrame,
    point: OperatingPoint,
    settings: EvaluateSettings,
) -> Subject:
    """Return the answers with what is known around them: validation, training, the manifest's columns."""
    rows = dataset.rows.set_index("image_id", drop=False)
    metadata = rows.loc[table["image_id"]].reset_index(drop=True)
    known, exact = dataset.info.patients_known, settings.ci == "exact"
    tuning = None
    if settings.split == "test" and run.predictions_path("val").is_file():
        on_val = read_predictions(run.predictions_path("val"))
        tuning = Answered(on_val, dataset.labels, point, sampling_of(on_val, known=known, exact=exact))
    return Subject(
        here=Answered(table, dataset.labels, point, sampling_of(table, known=known, exact=exact)),
        settings=settings,
        tuning=tuning,
        metadata=metadata,
        training=dataset.of_split("train").reset_index(drop=True),
        temperature=None if card.members else card.temperature,
        answers=card.answers,
        ordinal=card.answers == "ordinal",
    )


def _check_same_dataset(dataset: Dataset, card: ModelCard, settings: EvaluateSettings) -> None:
    if card.fingerprint.dataset_hash == dataset.content_hash() or settings.allow_leak:
        return
    raise RunError(
        "the data set changed since this run was trained: its test images may have been trained on",
        "run `medimg train` again, or --allow-leak if you know better",
    )


def _leakage(dataset: Dataset, settings: EvaluateSettings, splits: tuple[str, ...]) -> Leakage:
    """Return what the splits share with the others; refuse when it is something, unless allowed."""
    here = dataset.of_split(*splits)
    if here.empty:
        raise DataError(f"no image in the {settings.split} split", "ingest again with another --split")
    usable = dataset.usable
    others = usable[~usable["split"].isin(splits)]
    known = dataset.info.patients_known
    patients = set(here["patient_id"]) & set(others["patient_id"]) if known else set()
    files = set(here["sha256"]) & set(others["sha256"])
    certain = dataset.info.patients_certain
    if ((patients and certain) or files) and not settings.allow_leak:
        raise GateError(
            f"the {settings.split} split shares {len(patients)} patients and {len(files)} files with other splits",
            "`medimg label-audit` names them; --allow-leak evaluates all the same and says so in the report",
        )
    return Leakage(
        patients_known=known,
        patients_certain=certain,
        shared_patients=len(patients),
        shared_files=len(files),
        allowed=settings.allow_leak,
    )


def _operating_point(run: Run, card: ModelCard, settings: EvaluateSettings) -> OperatingPoint:
    """Return the model's thresholds, or others for the wanted recall from its predictions of validation."""
    wanted, chosen = settings.target_recall, OperatingPoint(card.threshold, card.thresholds)
    known = chosen.every
    if wanted is None or (known and all(each.target_recall == wanted for each in known)):
        return chosen
    if not known:
        raise UsageError(
            "--target-recall needs two classes and a positive one", "ingest with --positive CLASS"
        )
    table = read_predictions(run.predictions_path("val"))
    labels = LabelSpace(card.classes, card.positive, card.answers == "sigmoid")
    return operating_point(
        labels,
        marks_of(table, labels.classes) if labels.several else labels.encode(table["y_true"].tolist()),
        probabilities_of(table),
        target_recall=wanted,
        split=known[0].split,
    )


def _up_to_date(
    run: Run,
    card: ModelCard,
    dataset: Dataset,
    point: OperatingPoint,
    leakage: Leakage,
    settings: EvaluateSettings,
    views: int,
) -> Evaluation | None:
    """Return the evaluation on disk when data, weights, threshold and its own predictions are the same."""
    before = read_evaluation(run, settings.split)
    predictions = run.predictions_path(settings.split)
    if before is None or not predictions.is_file():
        return None
    same = (
        before.dataset_hash == dataset.content_hash()
        and before.weights_sha256 == card.weights_sha256
        and before.threshold == point.threshold
        and before.thresholds == point.thresholds
        and before.leakage == leakage
        and before.views == views
        and before.asked == settings.shaping()
        and before.predictions_sha256 == sha256_of_file(predictions)
    )
    return before if same else None


def _predict(
    run: Run,
    dataset: Dataset,
    cache: PixelCache,
    point: OperatingPoint,
    settings: EvaluateSettings,
    progress: Progress,
) -> pd.DataFrame:
    predictor = Predictor(run, tta=settings.tta)
    rows = dataset.of_split(settings.split)
    progress.start(f"evaluate on {settings.split}", len(rows))
    try:
        probabilities = predictor.of_cache(
            cache, rows["image_id"].tolist(), batch_size=settings.batch_size, advance=progress.advance
        )
    finally:
        progress.finish()
    return predictions_of(dataset, rows, probabilities, point)
