"""An evaluation: `metrics-<split>.json`, the only source of the numbers in a report."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from medimg_cli.core.files import read_json, write_json
from medimg_cli.core.run import Run, Threshold
from medimg_cli.errors import RunError


class Estimate(BaseModel):
    """One number with its 95 % interval.

    Args:
        value: None when undefined; `reason` says why.
        low, high: the interval, None where none is computed.
        method: of the interval ("Wilson", "DeLong, logit scale", …), or "" without one.
        n: what the number is a share or mean of: its denominator, or the number of images.
        count: the numerator of a proportion.
    """

    model_config = ConfigDict(frozen=True)

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    n: int
    count: int | None = None
    reason: str | None = None


class Confusion(BaseModel):
    """Rows are the reference standard, columns the prediction, both in the order of `labels`."""

    model_config = ConfigDict(frozen=True)

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


class Missed(BaseModel):
    """The false negatives of the positive class at the operating threshold: `count` of `of`."""

    model_config = ConfigDict(frozen=True)

    count: int
    of: int
    ids: tuple[str, ...]


class Curve(BaseModel):
    """A curve, thinned for drawing; x and y have the same length.

    Args:
        name: class the curve is for.
        x, y: ROC: false positive rate, recall; precision-recall: recall, precision.
        operating_point: (x, y) at the threshold, None without one.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    operating_point: tuple[float, float] | None = None


class Leakage(BaseModel):
    """What stands in this split and in another one.

    Args:
        patients_certain: False where patients are names read from files of a published split, which may
            start again in each of its folders.
    """

    model_config = ConfigDict(frozen=True)

    patients_known: bool
    patients_certain: bool = True
    shared_patients: int
    shared_files: int
    allowed: bool = False


class Evaluation(BaseModel):
    """All results of one run on one split.

    Args:
        metrics: by the names of design: recall, specificity, precision, npv, f1, accuracy,
            balanced_accuracy, mcc, kappa, auroc, average_precision, brier, log_loss, ece; with `macro_`,
            `micro_`, `weighted_` prefixes for several classes.
        per_class: class → metric → estimate (precision, recall, f1, specificity, auroc,
            average_precision), `support` stands in the estimate of recall as `n`.
        confusion: by the decision in force: at the threshold for two classes with a positive one, else
            at the most probable class.
        confusion_absent: why there is no `confusion`.
        thresholds: of several labels an image, class → its own; a class without one is called at 0.5.
        several_labels: an image may carry several of the classes, or none.
        unknown_labels: of several labels, class → images of which nobody judged it; they are in none of its figures.
        confusion_at_argmax: at the most probable class, where `confusion` is at the threshold.
        views: of each image whose answers were averaged: 1, or more with `--tta`.
        warnings: what a reader must know: few positives, no positive class stated …
    """

    model_config = ConfigDict(frozen=True)

    version: int = 1
    run: str
    split: str
    n: int
    patients: int
    classes: tuple[str, ...]
    class_counts: dict[str, int]
    positive: str | None
    threshold: Threshold | None
    thresholds: dict[str, Threshold] = {}
    several_labels: bool = False
    unknown_labels: dict[str, int] = {}
    metrics: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    confusion: Confusion | None
    confusion_absent: str | None = None
    confusion_at_argmax: Confusion | None = None
    missed: Missed | None = None
    calibration: dict[str, Any] = {}
    leakage: Leakage
    roc: tuple[Curve, ...] = ()
    precision_recall: tuple[Curve, ...] = ()
    views: int = 1
    warnings: tuple[str, ...] = ()
    dataset_hash: str
    predictions_sha256: str
    weights_sha256: str


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write the evaluation atomically."""
    write_json(path, evaluation.model_dump())


def read_evaluation(run: Run, split: str) -> Evaluation | None:
    """Return a run's evaluation on `split`, or None when there is none.

    Raises:
        RunError: the file is not an evaluation.
    """
    path = run.metrics_path(split)
    if not path.is_file():
        return None
    try:
        return Evaluation.model_validate(read_json(path))
    except ValueError as error:
        raise RunError(f"{path} cannot be read", "run `medimg evaluate` again") from error
