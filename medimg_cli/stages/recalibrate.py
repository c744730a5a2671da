"""recalibrate: a run and some labelled cases of another place → a run of its own for that place; the network stays."""

import os
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import EXAM, Dataset, read_dataset
from medimg_cli.errors import DataError, RunError
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.external import as_the_model_has_it, leakage_from, left_unsaid
from medimg_cli.evaluation.remarks import remarks_on_decisions
from medimg_cli.inference.predictor import Predictor
from medimg_cli.predictions.exams import exams_at
from medimg_cli.predictions.operating_point import OperatingPoint, usual_point
from medimg_cli.predictions.predictions import digest_of, predictions_of, read_predictions, write_predictions
from medimg_cli.predictions.threshold_choice import promise_of
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.ledger import note_sample
from medimg_cli.runs.ood_limits import Sets
from medimg_cli.runs.run import LOCAL, Exams, ModelCard, Recalibration, Run
from medimg_cli.runs.run_folders import new_run
from medimg_cli.statistics.conformal import least_probabilities
from medimg_cli.statistics.recalibration import Adapted, adapt
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.training.networks.torch_network import predictor_of
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.provenance import command_line, now
from medimg_cli.workspace.settings import RecalibrateSettings, TrainSettings
from medimg_cli.workspace.workspace import Workspace

_NOT_SHARED = (
    "external", "explorations", "metrics-*", "predictions-*", "report*", "log.txt", "*.ckpt", ".*", "run.json",
    "model.json",
)  # fmt: skip
_BATCH = 64


@dataclass(frozen=True)
class RecalibrateResult:
    """What recalibrating did.

    Args:
        run: the new one.
        parent: name of the run that it was made from.
        images, patients: of the local sample; as many where patients are not known.
        adapted: what was done to the probabilities, and why.
        before: the parent's operating point.
        point: the new one, chosen on the local sample.
        promise: what the sample says of the recall to come, in words.
    """

    run: Run
    parent: str
    images: int
    patients: int
    adapted: Adapted
    before: OperatingPoint
    point: OperatingPoint
    promise: str


def recalibrate(
    workspace: Workspace,
    parent: Run,
    place: Workspace,
    cache: PixelCache,
    settings: RecalibrateSettings,
    progress: Progress = SilentProgress(),
) -> RecalibrateResult:
    """Write a run whose calibration and threshold are those of another place.

    Args:
        workspace: takes the new run; its data set tells what the model learnt from.
        parent: its networks answer, and are shared.
        place: holds the labelled cases.
        cache: their pixels, made by the model's own recipe.
        settings: target and assurance of the threshold, name.

    Raises:
        DataError: no usable image, a class that the model does not know, or none of the disease.
        GateError: the cases were trained on.
        RunError: the run cannot be used.
    """
    card = parent.read_card()
    local = as_the_model_has_it(read_dataset(place), card, LOCAL)
    trained_on = _trained_on(workspace, card)
    leakage_from(trained_on, local, allowed=False, hint="take them out: they would tell nothing of the place")
    rows, targets = local.rows, local.targets(local.rows)
    for words in left_unsaid(place, rows):
        progress.warn(words)
    _check_positives(local)
    sampling = sampling_of(rows, known=local.info.patients_known)
    predictor = predictor_of(parent)
    answers = _answers(predictor, cache, rows["image_id"].tolist(), progress)
    adapted = adapt(answers, targets, effective=sampling.units / sampling.n)
    change = _composed(card, adapted)
    changed = Predictor(card.model_copy(update={"recalibration": change}), predictor.networks)
    probabilities = _answers(changed, cache, rows["image_id"].tolist(), SilentProgress())
    before = OperatingPoint(card.threshold, card.thresholds)
    target = settings.target_recall or next((each.target_recall for each in before.every), None) or 0.95
    aim = TrainSettings(target_recall=target, assurance=settings.assurance)
    choose = partial(usual_point, card.labels, aim, LOCAL)
    point, exams = choose(targets, probabilities, sampling), None
    answered = predictions_of(local, rows, probabilities, point)
    for words in remarks_on_decisions(ScoredPredictions(answered, card.labels, point, sampling)):
        progress.warn(f"on the local cases, {words}")
    if card.exams is not None and EXAM in rows:
        exams = exams_at(card.exams, answered, card.labels, choose, known=local.info.patients_known)
    elif card.exams is not None:
        progress.warn("the cases name no exams (ingest --exam-col): the new run answers images alone")
    own = _card(card, point, change, exams, _sets(card, probabilities, targets))

    def fill(made: Run) -> None:
        _share(parent, made)
        _write(made, parent, own, local, answered, adapted, before, point)
        note_sample(made, local)

    run = new_run(workspace, arch=f"{parent.name}-local", name=settings.name, fill=fill)
    promise = "" if point.threshold is None else promise_of(point.threshold)
    return RecalibrateResult(run, parent.name, sampling.n, sampling.units, adapted, before, point, promise)


def _trained_on(workspace: Workspace, card: ModelCard) -> Dataset | None:
    if not workspace.manifest_path.is_file():
        return None
    dataset = read_dataset(workspace)
    return dataset if dataset.content_hash() == card.fingerprint.dataset_hash else None


def _check_positives(local: Dataset) -> None:
    """Refuse cases without the disease, or without any other: no threshold could be chosen."""
    labels, counts = local.labels, local.counts(local.rows)
    if labels.several or labels.positive is None:
        if not counts:
            raise DataError("none of the cases carries a label that the model knows", "label some")
        return
    ill = sum(counts.get(name, 0) for name in labels.positives)
    if not ill or ill == len(local.rows):
        which = f"no case of {labels.positive}" if not ill else f"only cases of {labels.positive}"
        raise DataError(
            f"{which} among the {len(local.rows)} images",
            "label 30 to 200 cases as they come there, with the disease and without",
        )


def _answers(
    predictor: Predictor, cache: PixelCache, image_ids: list[str], progress: Progress
) -> NDArray[np.float64]:
    progress.start("recalibrate", len(image_ids))
    try:
        return predictor.of_rows(
            cache.pixels, cache.positions(image_ids), batch_size=_BATCH, advance=progress.advance
        )
    finally:
        progress.finish()


def _composed(card: ModelCard, adapted: Adapted) -> Recalibration | None:
    """Return the change after the one that the model has already, None where there is none."""
    if adapted.method == "none":
        return card.recalibration
    first = card.recalibration or Recalibration(shift=(0.0,) * len(card.classes))
    shift = tuple(adapted.scale * old + new for old, new in zip(first.shift, adapted.shift, strict=True))
    return Recalibration(scale=first.scale * adapted.scale, shift=shift)


def _card(
    card: ModelCard,
    point: OperatingPoint,
    change: Recalibration | None,
    exams: Exams | None,
    sets: Sets | None,
) -> ModelCard:
    """Return the model's card with another operating point and calibration."""
    own = {
        "threshold": point.threshold,
        "thresholds": {**card.thresholds, **point.thresholds},
        "over_views": None,
    }
    return card.model_copy(update=own | {"recalibration": change, "exams": exams, "sets": sets})


def _sets(
    card: ModelCard, probabilities: NDArray[np.float64], targets: NDArray[np.int64] | NDArray[np.float32]
) -> Sets | None:
    """Return the limits of the prediction sets by the local sample; a class that it shows too seldom is never left out."""
    if card.sets is None:
        return None
    least, counts = least_probabilities(probabilities, targets.astype(np.int64), card.sets.alpha)
    return Sets(
        alpha=card.sets.alpha,
        least=dict(zip(card.classes, least.tolist(), strict=True)),
        counts=dict(zip(card.classes, counts.tolist(), strict=True)),
        split=LOCAL,
    )


def _share(parent: Run, run: Run) -> None:
    """Give the new run the files of the network: the same ones on the disk where it can link, else copies.

    Every file of a run is replaced, never written into, so that a link is as safe as a copy.
    """

    def take(source: str, target: str) -> None:
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)

    try:
        shutil.copytree(
            parent.folder,
            run.folder,
            ignore=lambda folder, names: (
                shutil.ignore_patterns(*_NOT_SHARED)(folder, names)
                if Path(folder) == parent.folder
                else set()
            ),
            copy_function=take,
            dirs_exist_ok=True,
        )
    except (OSError, shutil.Error) as error:
        raise RunError(f"{parent.folder} cannot be read: {error}", "check the folder") from error


def _write(
    run: Run,
    parent: Run,
    card: ModelCard,
    local: Dataset,
    answered: pd.DataFrame,
    adapted: Adapted,
    before: OperatingPoint,
    point: OperatingPoint,
) -> None:
    """Write predictions of the local sample, record and card; the card goes last."""
    path = write_predictions(run.predictions_path(LOCAL), answered)
    card = card.model_copy(update={"tuning_sha256": digest_of(read_predictions(path))})
    record, at = parent.read_record(), now()
    facts = {
        "images": len(local.rows),
        "patients": int(local.rows["patient_id"].nunique()) if local.info.patients_known else None,
        "dataset_hash": local.content_hash(),
        "method": adapted.method,
        "p_any": adapted.p_any,
        "p_scale": adapted.p_scale,
        "log_loss": [adapted.before, adapted.after],
        "threshold_before": before.threshold.value if before.threshold else None,
        "parent_weights_sha256": card.weights_sha256,
    }
    new = {"name": run.name, "parent": parent.name, "recalibrated": facts, "started": at, "finished": at}
    rest = {"val": point.figures(), "seconds": 0.0, "command": command_line(), "folds": (), "resumed": 0}
    run.write_record(record.model_copy(update=new | rest))
    run.write_card(card)
