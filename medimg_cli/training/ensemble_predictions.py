"""What the members of an ensemble answer together: its predictions, operating point, figures and card."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.dataset.splits import FOLD, OUT_OF_FOLD
from medimg_cli.errors import RunError
from medimg_cli.predictions.exams import exams_chosen
from medimg_cli.predictions.operating_point import OperatingPoint, usual_point
from medimg_cli.predictions.predictions import (
    predictions_of,
    probabilities_of,
    read_predictions,
    write_predictions,
)
from medimg_cli.runs.run import Fingerprint, Member, ModelCard, Normalisation, Run, RunRecord
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.training.fit import Material
from medimg_cli.training.fitting.scoring import SHOWN, watched_figures
from medimg_cli.training.ood.references import with_sets
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.settings import TrainSettings
from medimg_cli.workspace.tables import read_table, write_table


@dataclass(frozen=True)
class Whole:
    """A member that was trained to its end, and what its run's folder holds."""

    run: Run
    material: Material
    card: ModelCard
    record: RunRecord


def write_ensemble(
    run: Run, members: Sequence[Whole], chosen: TrainSettings, record: RunRecord, *, interrupted: bool
) -> tuple[ModelCard, RunRecord]:
    """Write an ensemble's predictions, card, history and record, and return card and record.

    Args:
        members: at least one; with folds, images that none of them held out have no prediction yet.
        record: of the ensemble as it began.

    Raises:
        RunError: a member's predictions are not of the images it should have held out.
    """
    dataset = members[0].material.dataset
    rows, probabilities = _together(members)
    split, known = "val" if chosen.folds is None else OUT_OF_FOLD, dataset.info.patients_known
    choose = partial(usual_point, dataset.labels, chosen, split)
    point = choose(dataset.targets(rows), probabilities, sampling_of(rows, known=known))
    table = predictions_of(dataset, rows, probabilities, point)
    exams = exams_chosen(table, dataset.labels, dataset.info.exams_from, split, choose, known=known)
    if chosen.folds is not None:
        table[FOLD] = rows[FOLD].to_numpy()
    write_predictions(run.predictions_path("val"), table)
    write_table(run.history_path, _mean_history(members))
    card = with_sets(
        _card(run, members, chosen, point, held_out=len(rows)),
        probabilities,
        dataset.targets(rows),
        split,
    ).model_copy(update={"exams": exams})
    run.write_card(card)
    update = _sums(members) | {
        "status": "interrupted" if interrupted else "complete",
        "finished": now(),
        "val": _figures(dataset, rows, probabilities, chosen) | point.figures(),
        "folds": _of_folds(dataset, rows, probabilities, chosen) if chosen.folds is not None else (),
    }
    record = record.model_copy(update=update)
    run.write_record(record)
    return card, record


def _together(members: Sequence[Whole]) -> tuple[pd.DataFrame, NDArray[np.float64]]:
    """Return the rows that some member held out, and the mean (N, C) of what those members answered."""
    rows = pd.concat([member.material.val for member in members])
    rows = rows[~rows["image_id"].duplicated()].sort_index()
    place = {image: number for number, image in enumerate(rows["image_id"])}
    total = np.zeros((len(rows), len(members[0].card.classes)))
    answers = np.zeros((len(rows), 1))
    for member in members:
        path = member.run.predictions_path("val")
        table = read_predictions(path)
        if sorted(table["image_id"]) != sorted(member.material.val["image_id"]):
            raise RunError(
                f"{path} is not of the images that this member holds out",
                "were folds dealt anew since? Train anew without --resume",
            )
        places = [place[image] for image in table["image_id"]]
        total[places] += probabilities_of(table)
        answers[places] += 1
    return rows, total / answers


def _figures(
    dataset: Dataset, rows: pd.DataFrame, probabilities: NDArray[np.float64], chosen: TrainSettings
) -> dict[str, float | None]:
    positive = [dataset.labels.classes.index(name) for name in dataset.labels.positives]
    watched = watched_figures(
        probabilities, dataset.targets(rows), positive, target_recall=chosen.target_recall
    )
    return {name: getattr(watched, name) for name in SHOWN}


def _of_folds(
    dataset: Dataset, rows: pd.DataFrame, probabilities: NDArray[np.float64], chosen: TrainSettings
) -> tuple[dict[str, int | float | None], ...]:
    """Return the figures of each fold by the members that held it out, with its number and count of images."""
    found: list[dict[str, int | float | None]] = []
    for fold in sorted(set(rows[FOLD]), key=int):
        held = (rows[FOLD] == fold).to_numpy()
        figures = _figures(dataset, rows[held], probabilities[held], chosen)
        found.append({"fold": int(fold), "n": int(held.sum())} | figures)
    return tuple(found)


def _mean_history(members: Sequence[Whole]) -> pd.DataFrame:
    """Return the mean of the members' histories, epoch by epoch, over those that ran it; `networks` counts them."""
    every = pd.concat([read_table(member.run.history_path) for member in members])
    numbers = every.apply(pd.to_numeric, errors="coerce")
    numbers["networks"] = 1.0
    epochs = numbers.groupby("epoch")
    mean: pd.DataFrame = epochs.mean().assign(networks=epochs["networks"].sum()).reset_index()
    return mean


def _card(
    run: Run, members: Sequence[Whole], chosen: TrainSettings, point: OperatingPoint, *, held_out: int
) -> ModelCard:
    dataset = members[0].material.dataset
    learnt = pd.concat([member.material.train for member in members])
    learnt = learnt[~learnt["image_id"].duplicated()]
    made_of = tuple(
        Member(
            folder=member.run.folder.relative_to(run.folder).as_posix(),
            weights_sha256=member.card.weights_sha256,
        )
        for member in members
    )
    fingerprint = Fingerprint(
        dataset_hash=dataset.content_hash(),
        train_images=len(learnt),
        train_patients=int(learnt["patient_id"].nunique()),
        val_images=held_out,
        class_counts=dataset.counts(learnt),
    )
    return members[0].card.model_copy(
        update={
            "normalisation": _mean_normalisation([member.card.normalisation for member in members]),
            "threshold": point.threshold,
            "thresholds": dict(point.thresholds),
            "fingerprint": fingerprint,
            "weights_sha256": sha256_of_text("\n".join(member.weights_sha256 for member in made_of)),
            "temperature": 1.0,
            "members": made_of,
            "folds": chosen.folds,
            "onnx_sha256": None,
            "reference_sha256": None,
            "limits": None,
        }
    )


def _mean_normalisation(found: Sequence[Normalisation]) -> Normalisation:
    mean, std = (
        np.mean([getattr(each, name) for each in found], axis=0).tolist() for name in ("mean", "std")
    )
    return Normalisation(mean=tuple(mean), std=tuple(std))


def _sums(members: Sequence[Whole]) -> dict[str, object]:
    """Return how many members there are, and what they took and hold together."""
    records = [member.record for member in members]
    seconds = sum(record.seconds or 0.0 for record in records)
    images = sum((record.seconds or 0.0) * (record.images_per_second or 0.0) for record in records)
    return {
        "members": len(records),
        "seconds": seconds,
        "epochs_run": sum(record.epochs_run for record in records),
        "best_epoch": None,
        "parameters": sum(record.parameters for record in records),
        "images_per_second": images / seconds if seconds else None,
    }
