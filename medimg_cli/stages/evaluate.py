"""evaluate: run → predictions and metrics with intervals on one split."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pandas as pd

from medimg_cli.audit.duplicates.across_splits import (
    CountCopies,
    across_splits,
    known_across_splits,
    known_leak,
)
from medimg_cli.audit.measurements.measurements import measure_images
from medimg_cli.audit.shortcuts.column_traits import training_rows
from medimg_cli.dataset.manifest import Dataset, read_dataset, warn_of_edits
from medimg_cli.errors import DataError, GateError, RunError
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.robustness import HELD_OUT
from medimg_cli.evaluation.compared_model import RivalFile, find_rival, read_rival
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.evaluate import evaluation_of
from medimg_cli.evaluation.evaluation import Evaluation, Leakage, read_evaluation, write_evaluation
from medimg_cli.evaluation.requirements import parse_requirements, unmet_of
from medimg_cli.evaluation.subgroup_levels import asked_columns
from medimg_cli.evaluation.threshold_in_force import (
    exams_in_force,
    keep_point,
    place_of,
    point_in_force,
)
from medimg_cli.images.readers import read_image
from medimg_cli.inference.corrupted_predictions import MOST_IMAGES, answers_to_disturbed
from medimg_cli.inference.predictor import Answering
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.out_of_fold import held_out_predictions, how_answered, is_held_out
from medimg_cli.predictions.predictions import (
    predictions_of,
    read_predictions,
)
from medimg_cli.predictions.recorded import keep_predictions
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.preprocessing.corruptions import DisturbedAnswers, drawn_evenly
from medimg_cli.preprocessing.intensities import compared_intensities
from medimg_cli.runs.ledger import Looks, looks_before, record_look, refuse_sample
from medimg_cli.runs.run import Exams, ModelCard, Run
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.training.view_predictions import val_over_views
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.operating_settings import EvaluateSettings
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class EvaluateResult:
    """What evaluating did.

    Args:
        evaluation: as `metrics-<split>.json` holds it.
        unmet: requirements that are not met, as text.
        reused: nothing had changed since it was written.
        path: of an exploration's file; None where it is the run's own.
        looks: at the same images before; None of training and validation.
    """

    evaluation: Evaluation
    unmet: tuple[str, ...]
    reused: bool
    path: Path | None = None
    looks: Looks | None = None


def evaluate(
    workspace: Workspace,
    run: Run,
    model: Answering,
    cache: PixelCache,
    settings: EvaluateSettings,
    progress: Progress = SilentProgress(),
) -> EvaluateResult:
    """Predict a split with a run's model and write predictions and metrics into the run's folder.

    Args:
        workspace: holds the data set the run was trained on.
        run: takes the predictions and metrics.
        model: of the run; answers.
        cache: pixels of the split, made by the model's own recipe.
        settings: split, threshold, requirements.
        progress: told of every image.

    Raises:
        GateError: the split shares patients or files with another one, and neither `allow_leak` nor
            `without_leaked` is on.
        UsageError: a column of `subgroups` is not there, or a rule for a threshold is given and the model has none.
        RunError: the data set changed since training, or the run cannot be used.
        DataError: the split is empty, or validation has no threshold that the rule asks for.
    """
    requirements = parse_requirements(settings.require)
    dataset, card = read_dataset(workspace), run.read_card()
    warn_of_edits(dataset.edited, progress)
    _check_same_dataset(dataset, card, settings)
    refuse_sample(run, dataset.of_split(settings.split), allowed=settings.allow_leak)
    asked_columns(settings.subgroups, dataset.rows.columns)  # before minutes of predicting
    held_out = is_held_out(card, settings.split, tta=settings.tta)
    splits = ("train", "val") if held_out else (settings.split,)
    count_copies = _near_duplicates(workspace, settings, progress)
    leakage, leaked = _leakage(workspace, dataset, settings, splits, count_copies)
    known, exact = dataset.info.patients_known, settings.ci == "exact"
    on_val = val_over_views(run, model, card, dataset, cache, settings)
    point = point_in_force(run, card, settings.rule, patients_known=known, exact=exact, answers=on_val)
    exams = exams_in_force(run, card, settings.rule, patients_known=known, exact=exact, answers=on_val)
    place = place_of(run, card, point, settings)
    rival = find_rival(workspace, settings.compare, settings.split) if settings.compare else None
    evaluation = _up_to_date(
        place.folder, card, dataset, point, exams, leakage, settings, model.views, rival, progress
    )
    reused = evaluation is not None
    if evaluation is None:
        if held_out:
            table = held_out_predictions(run, card, dataset, point)
        else:
            table = _predict(model, dataset, cache, point, settings, leaked, progress)
        table = table[~table["image_id"].isin(leaked)].reset_index(drop=True)
        recorded = keep_predictions(run, card, dataset, settings.split, table, place=place.folder)
        subject = replace(_subject(run, card, dataset, table, point, settings, cache, on_val), exams=exams)
        if settings.robustness:
            disturbed = HELD_OUT if held_out else _disturbed(subject.here, model, cache, settings, progress)
            subject = replace(subject, disturbed=disturbed)
        if rival is not None:
            subject = replace(subject, rival=read_rival(rival, subject.here))
        remarks = how_answered(card, model.views, held_out=held_out, alike=on_val is not None)
        if settings.split == "test":
            record_look(
                workspace, run.name, card, dataset, dataset.of_split("test"), point.every, model.views
            )
        evaluation = evaluation_of(
            subject,
            recorded=recorded,
            leakage=leakage,
            views=model.views,
            remarks=remarks,
            exploration=place.remark,
        )
        write_evaluation(place.folder.metrics_path(settings.split), evaluation)
    if settings.keep_threshold or (on_val is not None and settings.rule is None):
        keep_point(run, card, point, exams, over_views=on_val is not None)
    unmet = unmet_of(requirements, evaluation.decided.metrics, evaluation.decided.per_class)
    path = place.folder.metrics_path(settings.split) if place.remark else None
    looks = looks_before(workspace, dataset.of_split(settings.split))
    return EvaluateResult(evaluation, unmet, reused, path, looks)


def _subject(
    run: Run,
    card: ModelCard,
    dataset: Dataset,
    table: pd.DataFrame,
    point: OperatingPoint,
    settings: EvaluateSettings,
    cache: PixelCache,
    on_val: pd.DataFrame | None,
) -> Subject:
    """Return the answers with what is known around them: validation, training, the manifest's columns."""
    rows = dataset.rows.set_index("image_id", drop=False)
    metadata = rows.loc[table["image_id"]].reset_index(drop=True)
    training = training_rows(dataset)
    known, exact = dataset.info.patients_known, settings.ci == "exact"
    tuning = None
    if settings.split == "test" and on_val is None and run.tuning_path.is_file():
        on_val = read_predictions(run.tuning_path)
    if settings.split == "test" and on_val is not None:
        tuning = Answered(on_val, dataset.labels, point, sampling_of(on_val, known=known, exact=exact))
    return Subject(
        here=Answered(table, dataset.labels, point, sampling_of(table, known=known, exact=exact)),
        settings=settings,
        tuning=tuning,
        metadata=metadata,
        training=training,
        intensities=compared_intensities(cache, [*training["image_id"]], [*table["image_id"]]),
        temperature=None if card.members or card.recalibration else card.temperature,
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


def _near_duplicates(workspace: Workspace, settings: EvaluateSettings, progress: Progress) -> CountCopies:
    """Return who counts near duplicates: from an audit's search, and if there was none by one of its own if asked."""
    if not settings.near_duplicates:
        return partial(known_across_splits, workspace)
    measure = partial(measure_images, workspace, read=read_image, progress=progress, looks=False)
    return partial(across_splits, workspace, measure=measure, progress=progress)


def _leakage(
    workspace: Workspace,
    dataset: Dataset,
    settings: EvaluateSettings,
    splits: tuple[str, ...],
    count_copies: CountCopies,
) -> tuple[Leakage, frozenset[str]]:
    """Return what the splits share with the others, and which images to leave out for it.

    Raises:
        GateError: it is patients or files, and that is neither allowed nor left out.
        DataError: there is no image, or none without a counterpart.
    """
    here = dataset.of_split(*splits)
    if here.empty:
        raise DataError(f"no image in the {settings.split} split", "ingest again with another --split")
    usable = dataset.usable
    near = count_copies(usable, splits)  # a search of its own is kept, so that the leak below knows it
    leak = known_leak(workspace, dataset, splits)
    leaked = frozenset(leak.ids if settings.without_leaked else ())
    if len(leaked) == len(here):
        raise DataError(
            leak.line(settings.split), "none is left to measure on: split anew with `medimg ingest`"
        )
    here = here[~here["image_id"].isin(leaked)]
    others = usable[~usable["split"].isin(splits)]
    known = dataset.info.patients_known
    patients = set(here["patient_id"]) & set(others["patient_id"]) if known else set()
    files = set(here["sha256"]) & set(others["sha256"])
    certain = dataset.info.patients_certain
    if ((patients and certain) or files) and not settings.allow_leak:
        raise GateError(
            f"the {settings.split} split shares {len(patients)} patients and {len(files)} files with other splits: "
            f"{leak.line(settings.split)}",
            "`medimg label-audit` names them; --without-leaked measures on the rest, --allow-leak on all and says so",
        )
    leakage = Leakage(
        patients_known=known,
        nameless=dataset.nameless(here),
        patients_certain=certain,
        shared_patients=len(patients),
        shared_files=len(files),
        near_duplicates=0 if near is not None and leaked else near,
        allowed=settings.allow_leak,
        leak=replace(leak, ids=()),
        left_out=len(leaked),
    )
    return leakage, leaked


def _up_to_date(
    run: Run,
    card: ModelCard,
    dataset: Dataset,
    point: OperatingPoint,
    exams: Exams | None,
    leakage: Leakage,
    settings: EvaluateSettings,
    views: int,
    rival: RivalFile | None,
    progress: Progress,
) -> Evaluation | None:
    """Return the evaluation on disk when data, weights, threshold and all predictions are the same."""
    try:
        before = read_evaluation(run, settings.split)
    except RunError as error:
        progress.warn(f"{error.what}: it is made again")
        return None
    predictions = run.predictions_path(settings.split)
    if before is None or not predictions.is_file():
        return None
    same = (
        before.dataset_hash == dataset.content_hash()
        and before.weights_sha256 == card.weights_sha256
        and before.metadata_hash == dataset.metadata_hash()
        and before.threshold == point.threshold
        and before.thresholds == point.thresholds
        and (before.exams is None or exams is None or before.exams.is_by(exams))
        and before.leakage == leakage
        and before.views == views
        and before.asked == settings.shaping()
        and before.predictions_sha256 == sha256_of_file(predictions)
        and (before.comparison.predictions_sha256 if before.comparison else None)
        == (rival.sha256() if rival else None)
        and (
            before.comparison is None or before.comparison.rule != ""
        )  # of a version that compared in another way
    )
    return before if same else None


def _predict(
    model: Answering,
    dataset: Dataset,
    cache: PixelCache,
    point: OperatingPoint,
    settings: EvaluateSettings,
    leaked: frozenset[str],
    progress: Progress,
) -> pd.DataFrame:
    predictor = model.opened()
    rows = dataset.of_split(settings.split)
    rows = rows[~rows["image_id"].isin(leaked)]
    progress.start(f"evaluate on {settings.split}", len(rows))
    try:
        probabilities = predictor.of_rows(
            cache.pixels,
            cache.positions(rows["image_id"].tolist()),
            batch_size=settings.batch_size,
            advance=progress.advance,
        )
    finally:
        progress.finish()
    return predictions_of(dataset, rows, probabilities, point)


def _disturbed(
    here: Answered, model: Answering, cache: PixelCache, settings: EvaluateSettings, progress: Progress
) -> DisturbedAnswers:
    """Return the answers to at most 1,000 of the images, disturbed in each way."""
    image_ids = here.table["image_id"].tolist()
    return answers_to_disturbed(
        model.opened(),
        cache,
        image_ids,
        drawn_evenly(image_ids, here.kinds, MOST_IMAGES),
        batch_size=settings.batch_size,
        progress=progress,
    )
