"""The thresholds that decide in an evaluation: the model's own, or others chosen from its answers on validation."""

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import EXAM
from medimg_cli.errors import UsageError
from medimg_cli.predictions.exams import Targets, exams_at
from medimg_cli.predictions.operating_point import OperatingPoint, point_by
from medimg_cli.predictions.predictions import (
    decided_table,
    marks_of,
    probabilities_of,
    read_tuning,
    write_predictions,
)
from medimg_cli.runs.run import Exams, ModelCard, OverViews, Run
from medimg_cli.statistics.sampling import Sampling, sampling_of
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.operating_settings import EvaluateSettings, ThresholdRule, rule_in_words


def point_in_force(
    run: Run,
    card: ModelCard,
    rule: ThresholdRule | None,
    *,
    patients_known: bool,
    exact: bool = False,
    answers: pd.DataFrame | None = None,
) -> OperatingPoint:
    """Return the model's thresholds, or those a rule takes from the run's predictions of validation.

    Of several labels, one for which validation has no threshold that the rule asks for keeps the model's own; the
    point's `unmet` says why.

    Args:
        patients_known: some of validation's images may be of one patient, which a bound of recall has to know.
        exact: such a bound is Clopper and Pearson's where each image is of another patient, instead of Wilson's.
        answers: to validation in another way than the model's own, such as over several views: the threshold is chosen
            anew on them, without a rule by the model's own.

    Raises:
        UsageError: a rule is given, and the model has no threshold.
        DataError: validation has no threshold that the rule asks for.
    """
    chosen = OperatingPoint(card.threshold, card.thresholds)
    if answers is not None and chosen.every:
        rule = rule or rule_in_words(chosen.every[0].rule)
    if rule is None or (answers is None and chosen.every and _is_by(chosen, rule)):
        return chosen
    if not chosen.every:
        raise UsageError("a threshold needs a positive class", "ingest with --positive CLASS, or choose none")
    table = read_tuning(run, card) if answers is None else answers
    labels = card.labels
    point = point_by(
        rule,
        labels,
        marks_of(table, labels.classes) if labels.several else labels.encode(table["y_true"].tolist()),
        probabilities_of(table),
        split=chosen.every[0].split or "val",
        sampling=sampling_of(table, known=patients_known, exact=exact),
    )
    there = {**card.thresholds, **point.thresholds}
    thresholds = {name: there[name] for name in card.classes if name in there}
    return OperatingPoint(point.threshold, thresholds, point.unmet)


def exams_in_force(
    run: Run,
    card: ModelCard,
    rule: ThresholdRule | None,
    *,
    patients_known: bool,
    exact: bool = False,
    answers: pd.DataFrame | None = None,
) -> Exams | None:
    """Return how exams are decided on: as the model says, or by a rule on its pooled answers; as `point_in_force`."""
    own = card.exams
    if own is None or (rule is None and answers is None):
        return own
    chosen = OperatingPoint(own.threshold, own.thresholds)
    rule = rule or (rule_in_words(chosen.every[0].rule) if chosen.every else None)
    table = read_tuning(run, card) if answers is None else answers
    if rule is None or EXAM not in table:
        return own
    split, by = chosen.every[0].split if chosen.every else "val", rule

    def choose(targets: Targets, probabilities: NDArray[np.float64], sampling: Sampling) -> OperatingPoint:
        return point_by(by, card.labels, targets, probabilities, split=split, sampling=sampling)

    return exams_at(own, table, card.labels, choose, known=patients_known, exact=exact)


def keep_point(
    run: Run, card: ModelCard, point: OperatingPoint, exams: Exams | None = None, *, over_views: bool = False
) -> None:
    """Write thresholds into the run's model, so that `predict` uses them, and what follows into its records.

    Args:
        over_views: they are for answers over several views, beside those of the plain ones.
    """
    if over_views:
        own = OverViews(threshold=point.threshold, thresholds=dict(point.thresholds))
        if own != card.over_views:
            with locked(run.lock_path, doing=f"training run '{run.name}'"):
                run.write_card(run.read_card().model_copy(update={"over_views": own}))
        return
    kept = {"threshold": point.threshold, "thresholds": dict(point.thresholds), "exams": exams or card.exams}
    if all(getattr(card, name) == value for name, value in kept.items()):
        return
    with locked(run.lock_path, doing=f"training run '{run.name}'"):
        card = run.read_card().model_copy(update=kept)
        run.write_card(card)
        record = run.read_record()
        run.write_record(record.model_copy(update={"val": record.val | point.figures()}))
        path = run.tuning_path
        if path.is_file():
            write_predictions(path, decided_table(read_tuning(run, card), card.labels, point))


def _is_by(point: OperatingPoint, rule: ThresholdRule) -> bool:
    """Return whether thresholds are what a rule would choose again: those of a recall depend on nothing else."""
    return rule.name == "recall" and all(
        each.rule == rule.words and each.target_recall == rule.target_recall for each in point.every
    )


@dataclass(frozen=True)
class Place:
    """Where an evaluation and its predictions are written.

    Args:
        folder: the run's own, or one below its `explorations/`.
        remark: of an exploration, what the model does instead and how to change it; "" else.
    """

    folder: Run
    remark: str = ""


def place_of(run: Run, card: ModelCard, point: OperatingPoint, settings: EvaluateSettings) -> Place:
    """Return where an evaluation at some thresholds belongs."""
    same = point.threshold == card.threshold and dict(point.thresholds) == card.thresholds
    if (same or settings.keep_threshold) and not settings.tta:
        return Place(run)
    rule = settings.rule.words if settings.rule else ""
    words = re.sub(r"[^a-z0-9.]+", "-", rule.replace("≥", "").lower()).strip("-")
    name = "-".join(filter(None, [words, "tta" if settings.tta else ""]))
    folder = run.folder / "explorations" / name
    own = (
        "several of its own"
        if card.thresholds
        else f"{card.threshold.value:.4f}"
        if card.threshold
        else "none"
    )
    remark = f"an exploration: the model's own threshold ({own}) still decides in predict, serve and report"
    if settings.rule is not None and not settings.keep_threshold:
        remark += "; the same command with --keep-threshold puts this one into the model"
        remark += " for --tta" if settings.tta else ""
    return Place(Run(folder), remark)
