"""evaluate: run → predictions and metrics with intervals, on one split or on images from elsewhere (`--data`)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import pandas as pd

from medimg_cli.audit.duplicates.across_splits import across_splits, known_across_splits, known_leak
from medimg_cli.audit.measurements.measurements import measure_images
from medimg_cli.audit.shortcuts.column_traits import training_rows
from medimg_cli.dataset.manifest import Dataset, read_dataset, warn_of_edits
from medimg_cli.errors import DataError, GateError, RunError, UsageError
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.comparison import find_compared, read_compared
from medimg_cli.evaluation.analyses.robustness import HELD_OUT
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluate import evaluation_of
from medimg_cli.evaluation.evaluation import Evaluation, Leakage, read_evaluation, write_evaluation
from medimg_cli.evaluation.external import PREFIX, as_the_model_has_it, leakage_from, left_unsaid
from medimg_cli.evaluation.requirements import parse_requirements, unmet_of
from medimg_cli.evaluation.subgroup_levels import asked_columns
from medimg_cli.evaluation.threshold_in_force import exams_in_force, keep_point, place_of, point_in_force
from medimg_cli.images.readers import read_image
from medimg_cli.inference.corrupted_predictions import MOST_IMAGES, answers_to_disturbed
from medimg_cli.inference.predictor import Answering
from medimg_cli.predictions.predictions import (
    held_out_predictions,
    how_answered,
    is_held_out,
    keep_predictions,
    predictions_of,
    read_tuning,
)
from medimg_cli.preprocessing.cache import PixelCache, open_cache
from medimg_cli.preprocessing.corruptions import drawn_evenly
from medimg_cli.preprocessing.intensities import compared_intensities, intensities_of
from medimg_cli.runs.ledger import EarlierEvaluations, looks_before, record_look, refuse_sample
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.training.view_predictions import val_over_views
from medimg_cli.workspace.operating_settings import EvaluateSettings
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.tables import table_sha256
from medimg_cli.workspace.workspace import Workspace

_NOT_DISTURBED = "asked of a run's own split, not of images from elsewhere"


@dataclass(frozen=True)
class EvaluateResult:
    """What evaluating did.

    Args:
        evaluation: as `metrics-<split>.json` holds it.
        unmet: requirements that are not met, as text.
        reused: nothing had changed since it was written.
        path: of the file of an exploration, or of images from elsewhere; None where it is the run's own.
        looks: at the same images before; None of training and validation.
    """

    evaluation: Evaluation
    unmet: tuple[str, ...]
    reused: bool = False
    path: Path | None = None
    looks: EarlierEvaluations | None = None


class _Task:
    """A run's model, the operating point in force, and where the results go.

    Args:
        split: that is evaluated.
        trained_on: the data set of the training; None where it is not known.
        val_pixels: hold validation, for a threshold over several views of each image.
    """

    def __init__(
        self,
        workspace: Workspace,
        run: Run,
        model: Answering,
        settings: EvaluateSettings,
        progress: Progress,
        split: str,
        trained_on: Dataset | None,
        val_pixels: PixelCache | None,
    ) -> None:
        self.workspace, self.run, self.model, self.settings = workspace, run, model, settings
        self.progress, self.split, self.trained_on = progress, split, trained_on
        self.card, self.exact = run.read_card(), settings.ci == "exact"
        self.known = trained_on is not None and trained_on.info.patients_known
        self.on_val = val_over_views(run, model, self.card, trained_on, val_pixels, settings)
        rule: dict[str, Any] = {"patients_known": self.known, "exact": self.exact, "answers": self.on_val}
        self.point = point_in_force(run, self.card, settings.rule, **rule)
        self.exams = exams_in_force(run, self.card, settings.rule, **rule)
        self.place = place_of(run, self.card, self.point, settings)
        self.other_model = find_compared(workspace, settings.compare, split) if settings.compare else None

    def predictions(self, dataset: Dataset, rows: pd.DataFrame, cache: PixelCache, name: str) -> pd.DataFrame:
        """Return the model's answers to rows of a data set as a table of predictions."""
        predictor, image_ids = self.model.opened(), rows["image_id"].tolist()
        self.progress.start(f"evaluate on {name}", len(rows))
        try:
            probabilities = predictor.of_rows(
                cache.pixels,
                cache.positions(image_ids),
                batch_size=self.settings.batch_size,
                advance=self.progress.advance,
            )
        finally:
            self.progress.finish()
        return predictions_of(dataset, rows, probabilities, self.point)

    def subject(
        self, dataset: Dataset, table: pd.DataFrame, metadata: pd.DataFrame, *, known: bool, **more: Any
    ) -> Subject:
        """Return the answers with what is known around them: validation, training, the manifest's columns.

        Args:
            known: whether the patients of `table` are.
        """

        def scored(answers: pd.DataFrame, *, known: bool) -> ScoredPredictions:
            sampling = sampling_of(answers, known=known, exact=self.exact)
            return ScoredPredictions(answers, dataset.labels, self.point, sampling)

        card, here, on_val = self.card, scored(table, known=known), self.on_val
        if on_val is None and self.run.tuning_path.is_file():
            on_val = read_tuning(self.run, self.card)
        tuned = on_val is not None and (self.split == "test" or self.split.startswith(PREFIX))
        return Subject(
            here=here,
            settings=self.settings,
            tuning=scored(on_val, known=self.known) if tuned and on_val is not None else None,
            metadata=metadata,
            training=None if self.trained_on is None else training_rows(self.trained_on),
            temperature=None if card.members or card.recalibration else card.temperature,
            answers=card.answers,
            ordinal=card.answers == "ordinal",
            exams=self.exams,
            other_model=read_compared(self.other_model, here) if self.other_model is not None else None,
            **more,
        )

    def write(
        self,
        dataset: Dataset,
        subject: Subject,
        leakage: Leakage,
        *,
        held_out: bool = False,
        more: Sequence[str] = (),
    ) -> Evaluation:
        """Keep the predictions, work out all numbers, and write them."""
        table, split = subject.here.table, self.split
        recorded = keep_predictions(self.run, self.card, dataset, split, table, place=self.place.folder)
        views = self.model.views
        remarks = how_answered(self.card, views, held_out=held_out, alike=self.on_val is not None)
        if split == "test" or split.startswith(PREFIX):
            rows = dataset.of_split("test") if split == "test" else dataset.rows
            record_look(self.workspace, self.run.name, self.card, dataset, rows, self.point.every, views)
        evaluation = evaluation_of(
            subject,
            recorded=recorded,
            leakage=leakage,
            views=views,
            remarks=(*more, *remarks),
            exploration=self.place.remark,
        )
        write_evaluation(self.place.folder.metrics_path(split), evaluation)
        return evaluation


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
        progress: notified of every image.

    Raises:
        GateError: the split shares patients or files with another one, and neither `allow_leak` nor
            `without_leaked` is on.
        UsageError: a column of `subgroups` is not there, or a rule for a threshold is given and the model has none.
        RunError: the data set changed since training, or the run cannot be used.
        DataError: the split is empty, or validation has no threshold that the rule asks for.
    """
    requirements, split = parse_requirements(settings.require), settings.split
    dataset, card = read_dataset(workspace), run.read_card()
    warn_of_edits(dataset.edited, progress, rows=dataset.rows)
    run.note_seal(card, progress)
    _check_same_dataset(dataset, card, settings)
    refuse_sample(run, dataset, dataset.of_split(split), allowed=settings.allow_leak)
    asked_columns(settings.subgroups, dataset.rows.columns)  # before minutes of predicting
    held_out = is_held_out(card, split, tta=settings.tta)
    splits = ("train", "val") if held_out else (split,)
    leakage, leaked = _leakage(workspace, dataset, settings, splits, progress)
    task = _Task(workspace, run, model, settings, progress, split, dataset, cache)
    evaluation = _up_to_date(task, dataset, leakage)
    reused = evaluation is not None
    if evaluation is None:
        subject = _answers(task, dataset, cache, leaked, held_out=held_out)
        evaluation = task.write(dataset, subject, leakage, held_out=held_out)
    if settings.keep_threshold or (task.on_val is not None and settings.rule is None):
        keep_point(run, card, task.point, task.exams, over_views=task.on_val is not None)
    unmet = unmet_of(requirements, evaluation.decided.metrics, evaluation.decided.per_class)
    path = task.place.folder.metrics_path(split) if task.place.remark else None
    return EvaluateResult(evaluation, unmet, reused, path, looks_before(workspace, dataset.of_split(split)))


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
) -> EvaluateResult:
    """Have a run's model answer all usable images of another data set, with the model's own threshold.

    Args:
        workspace: where the model was trained; its data set tells what it learnt from.
        run: takes the predictions and metrics.
        model: of the run; answers.
        place: holds the other data set.
        cache: its pixels, made by the model's own recipe.
        settings: threshold, requirements.
        progress: notified of every image.
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
    run.note_seal(card, progress)
    external = as_the_model_has_it(read_dataset(place), card, split)
    asked_columns(settings.subgroups, external.rows.columns)
    refuse_sample(run, external, external.rows, allowed=settings.allow_leak)
    trained_on = _trained_on(workspace, card)
    leakage, external = leakage_from(
        trained_on, external, allowed=settings.allow_leak, without_leaked=settings.without_leaked
    )
    own_pixels = None if trained_on is None else open_cache(workspace, card.recipe)
    task = _Task(workspace, run, model, settings, progress, split, trained_on, own_pixels)
    table = task.predictions(external, external.rows, cache, name)
    intensities = None
    if trained_on is not None and own_pixels is not None:
        before = intensities_of(own_pixels, trained_on.of_split("train")["image_id"].tolist())
        now = intensities_of(cache, external.rows["image_id"].tolist())
        intensities = None if before is None or now is None else (before, now)
    more = {"intensities": intensities, "disturbed": _NOT_DISTURBED}
    known = external.info.patients_known
    subject = task.subject(external, table, external.rows, known=known, **more)
    evaluation = task.write(external, subject, leakage, more=left_unsaid(place, external.rows))
    unmet = unmet_of(requirements, evaluation.decided.metrics, evaluation.decided.per_class)
    path, looks = task.place.folder.metrics_path(split), looks_before(workspace, external.rows)
    return EvaluateResult(evaluation, unmet, path=path, looks=looks)


def _trained_on(workspace: Workspace, card: ModelCard) -> Dataset | None:
    """Return the data set that the model learnt from, None where the workspace has none or another one."""
    if not workspace.manifest_path.is_file():
        return None
    dataset = read_dataset(workspace)
    return dataset if dataset.content_hash() == card.fingerprint.dataset_hash else None


def _check_same_dataset(dataset: Dataset, card: ModelCard, settings: EvaluateSettings) -> None:
    if card.fingerprint.dataset_hash == dataset.content_hash() or settings.allow_leak:
        return
    former, now = card.labels.positive, dataset.info.positive
    asked = replace(dataset, info=dataset.info.model_copy(update={"positive": former}))
    if former != now and card.fingerprint.dataset_hash == asked.content_hash():
        back = "" if former is None else f", or ingest again with --positive {quote(former)}"
        raise RunError(
            f"the positive class changed from {former or 'none'} to {now or 'none'} since this run was trained",
            f"run `medimg train` again{back}",
        )
    raise RunError(
        "the data set changed since this run was trained: its test images may have been trained on",
        "run `medimg train` again, or --allow-leak if you know better",
    )


def _leakage(
    workspace: Workspace,
    dataset: Dataset,
    settings: EvaluateSettings,
    splits: tuple[str, ...],
    progress: Progress,
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
    if settings.near_duplicates:  # the search is kept, so that the leak below knows it
        measure = partial(measure_images, workspace, read=read_image, progress=progress, statistics=False)
        near: int | None = across_splits(workspace, usable, splits, measure=measure, progress=progress)
    else:
        near = known_across_splits(workspace, usable, splits)
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
            f"the {settings.split} split shares {plural(len(patients), 'patient')} and {plural(len(files), 'file')} with other splits: "
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


def _up_to_date(task: _Task, dataset: Dataset, leakage: Leakage) -> Evaluation | None:
    """Return the evaluation on disk when data, weights, threshold and all predictions are the same."""
    try:
        before = read_evaluation(task.place.folder, task.split)
    except RunError as error:
        task.progress.warn(f"{error.what}: it is made again")
        return None
    predictions = task.place.folder.predictions_path(task.split)
    if before is None or not predictions.is_file():
        return None
    if before.predictions_sha256 != table_sha256(predictions):
        task.progress.warn(
            f"{predictions} is not as medimg wrote it: damaged, or edited by hand: it is made again"
        )
        return None
    same = (
        before.dataset_hash == dataset.content_hash()
        and before.weights_sha256 == task.card.weights_sha256
        and before.metadata_hash == dataset.metadata_hash()
        and before.threshold == task.point.threshold
        and before.thresholds == task.point.thresholds
        and (before.exams is None or task.exams is None or before.exams.is_by(task.exams))
        and before.leakage == leakage
        and before.views == task.model.views
        and before.asked == task.settings.shaping()
        and (before.comparison.predictions_sha256 if before.comparison else None)
        == (task.other_model.sha256() if task.other_model else None)
        and (
            before.comparison is None or before.comparison.rule != ""
        )  # of a version that compared in another way
    )
    return before if same else None


def _answers(
    task: _Task, dataset: Dataset, cache: PixelCache, leaked: frozenset[str], *, held_out: bool
) -> Subject:
    """Return the answers to the split, also to at most 1,000 of the images disturbed in each way where that is asked."""
    rows, settings = dataset.of_split(task.split), task.settings
    if held_out:
        table = held_out_predictions(task.run, task.card, dataset, task.point)
    else:
        table = task.predictions(dataset, rows[~rows["image_id"].isin(leaked)], cache, task.split)
    table = table[~table["image_id"].isin(leaked)].reset_index(drop=True)
    metadata = dataset.rows.set_index("image_id", drop=False).loc[table["image_id"]].reset_index(drop=True)
    image_ids = table["image_id"].tolist()
    bright = compared_intensities(cache, [*training_rows(dataset)["image_id"]], image_ids)
    subject = task.subject(dataset, table, metadata, known=dataset.info.patients_known, intensities=bright)
    if not settings.robustness:
        return subject
    if held_out:
        return replace(subject, disturbed=HELD_OUT)
    disturbed = answers_to_disturbed(
        task.model.opened(),
        cache,
        image_ids,
        drawn_evenly(image_ids, subject.here.kinds, MOST_IMAGES),
        batch_size=settings.batch_size,
        progress=task.progress,
    )
    return replace(subject, disturbed=disturbed)
