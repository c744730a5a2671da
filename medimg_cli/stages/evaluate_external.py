"""evaluate --data: a run's model on images from elsewhere (external testing)."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.shortcuts.column_traits import training_rows
from medimg_cli.dataset.manifest import Dataset, read_dataset
from medimg_cli.errors import UsageError
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.compared_model import find_rival, read_rival
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.evaluate import evaluation_of
from medimg_cli.evaluation.evaluation import Evaluation, write_evaluation
from medimg_cli.evaluation.external import PREFIX, as_the_model_has_it, leakage_from
from medimg_cli.evaluation.requirements import parse_requirements, unmet_of
from medimg_cli.evaluation.subgroup_levels import asked_columns
from medimg_cli.evaluation.threshold_in_force import (
    exams_in_force,
    place_of,
    point_in_force,
)
from medimg_cli.inference.predictor import Answering
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.out_of_fold import how_answered
from medimg_cli.predictions.predictions import predictions_of, read_predictions
from medimg_cli.predictions.recorded import keep_predictions
from medimg_cli.preprocessing.cache import PixelCache, open_cache
from medimg_cli.preprocessing.intensities import Intensities, intensities_of
from medimg_cli.runs.ledger import Looks, looks_before, record_look, refuse_sample
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.training.view_predictions import val_over_views
from medimg_cli.workspace.operating_settings import EvaluateSettings
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.workspace import Workspace

_NOT_DISTURBED = "asked of a run's own split, not of images from elsewhere"


@dataclass(frozen=True)
class ExternalResult:
    """What testing on images from elsewhere did.

    Args:
        evaluation: as the file holds it.
        unmet: requirements that are not met, as text.
        path: of the file, in the run's folder.
        looks: at the same images before.
    """

    evaluation: Evaluation
    unmet: tuple[str, ...]
    path: Path
    looks: Looks | None = None


def evaluate_external(
    workspace: Workspace,
    run: Run,
    model: Answering,
    place: Workspace,
    cache: PixelCache,
    settings: EvaluateSettings,
    progress: Progress = SilentProgress(),
    *,
    name: str,
) -> ExternalResult:
    """Have a run's model answer all usable images of another data set, with the model's own threshold.

    Args:
        workspace: where the model was trained; its data set tells what it learnt from.
        run: takes the predictions and metrics.
        model: of the run; answers.
        place: holds the other data set.
        cache: its pixels, made by the model's own recipe.
        settings: threshold, requirements.
        progress: told of every image.
        name: of the other data set.

    Raises:
        UsageError: it is the data set of the training; a column of `subgroups` is not there.
        DataError: a class that the model does not know, no usable image, or answers to compare with of other images.
        GateError: files were trained on, and neither `allow_leak` nor `without_leaked` is on.
        RunError: the run cannot be used.
    """
    if place.root.resolve() == workspace.root.resolve():
        raise UsageError(f"{place.root} is the workspace of the run itself", "name images from elsewhere")
    requirements = parse_requirements(settings.require)
    card, split = run.read_card(), f"{PREFIX}{name}"
    external = as_the_model_has_it(read_dataset(place), card, split)
    asked_columns(settings.subgroups, external.rows.columns)
    refuse_sample(run, external.rows, allowed=settings.allow_leak)
    rival = find_rival(workspace, settings.compare, split) if settings.compare else None
    trained_on = _trained_on(workspace, card)
    leakage, external = leakage_from(
        trained_on, external, allowed=settings.allow_leak, without_leaked=settings.without_leaked
    )
    own_pixels = open_cache(workspace, card.recipe) if settings.tta and trained_on is not None else None
    on_val = val_over_views(run, model, card, trained_on, own_pixels, settings)
    known, exact = trained_on is not None and trained_on.info.patients_known, settings.ci == "exact"
    point = point_in_force(run, card, settings.rule, patients_known=known, exact=exact, answers=on_val)
    exams = exams_in_force(run, card, settings.rule, patients_known=known, exact=exact, answers=on_val)
    written = place_of(run, card, point, settings)
    probabilities = _answers(model, external, cache, settings, progress, name)
    table = predictions_of(external, external.rows, probabilities, point)
    recorded = keep_predictions(run, card, external, split, table, place=written.folder)
    here = _answered(external, table, point, settings, known=external.info.patients_known)
    subject = _subject(workspace, run, card, external, trained_on, here, cache, settings, on_val)
    subject = replace(subject, exams=exams, rival=read_rival(rival, here) if rival is not None else None)
    remarks = how_answered(card, model.views, held_out=False, alike=on_val is not None)
    record_look(workspace, run.name, card, external, external.rows, point.every, model.views)
    evaluation = evaluation_of(
        subject,
        recorded=recorded,
        leakage=leakage,
        views=model.views,
        remarks=remarks,
        exploration=written.remark,
    )
    write_evaluation(written.folder.metrics_path(split), evaluation)
    unmet = unmet_of(requirements, evaluation.decided.metrics, evaluation.decided.per_class)
    looks = looks_before(workspace, external.rows)
    return ExternalResult(evaluation, unmet, written.folder.metrics_path(split), looks)


def _subject(
    workspace: Workspace,
    run: Run,
    card: ModelCard,
    external: Dataset,
    trained_on: Dataset | None,
    here: Answered,
    cache: PixelCache,
    settings: EvaluateSettings,
    on_val: pd.DataFrame | None,
) -> Subject:
    """Return the answers with what is known around them: validation, training, the manifest's columns."""
    tuning = None
    if on_val is None and run.tuning_path.is_file():
        on_val = read_predictions(run.tuning_path)
    if on_val is not None:
        known = trained_on is not None and trained_on.info.patients_known
        tuning = _answered(external, on_val, here.point, settings, known=known)
    return Subject(
        here=here,
        settings=settings,
        tuning=tuning,
        metadata=external.rows,
        training=None if trained_on is None else training_rows(trained_on),
        intensities=_intensities(workspace, card, trained_on, cache, external),
        temperature=None if card.members or card.recalibration else card.temperature,
        answers=card.answers,
        ordinal=card.answers == "ordinal",
        disturbed=_NOT_DISTURBED,
    )


def _answered(
    external: Dataset, table: pd.DataFrame, point: OperatingPoint, settings: EvaluateSettings, *, known: bool
) -> Answered:
    sampling = sampling_of(table, known=known, exact=settings.ci == "exact")
    return Answered(table, external.labels, point, sampling)


def _trained_on(workspace: Workspace, card: ModelCard) -> Dataset | None:
    """Return the data set that the model learnt from, None where the workspace has none or another one."""
    if not workspace.manifest_path.is_file():
        return None
    dataset = read_dataset(workspace)
    return dataset if dataset.content_hash() == card.fingerprint.dataset_hash else None


def _answers(
    model: Answering,
    external: Dataset,
    cache: PixelCache,
    settings: EvaluateSettings,
    progress: Progress,
    name: str,
) -> NDArray[np.float64]:
    """Return the probabilities (N, C) of all images."""
    predictor = model.opened()
    image_ids = external.rows["image_id"].tolist()
    progress.start(f"evaluate on {name}", len(image_ids))
    try:
        return predictor.of_rows(
            cache.pixels, cache.positions(image_ids), batch_size=settings.batch_size, advance=progress.advance
        )
    finally:
        progress.finish()


def _intensities(
    workspace: Workspace,
    card: ModelCard,
    trained_on: Dataset | None,
    cache: PixelCache,
    external: Dataset,
) -> tuple[Intensities, Intensities] | None:
    """Return how bright both sets are, None where the pixels of the training are not cached."""
    kept = open_cache(workspace, card.recipe) if trained_on is not None else None
    if kept is None or trained_on is None:
        return None
    before = intensities_of(kept, trained_on.of_split("train")["image_id"].tolist())
    now = intensities_of(cache, external.rows["image_id"].tolist())
    return None if before is None or now is None else (before, now)
