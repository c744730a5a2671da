"""An evaluation: `metrics-<split>.json`, the only source of the numbers in a report."""

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field

from medimg_cli.dataset.leakage import Leak
from medimg_cli.errors import DataError, RunError
from medimg_cli.evaluation.results.calibration import Abstention, Calibration, Conformal
from medimg_cli.evaluation.results.decisions import (
    Comparison,
    Contract,
    DecisionCurves,
    Histograms,
    LabelSet,
    OperatingPoints,
    PatientLevels,
    Protocol,
)
from medimg_cli.evaluation.results.surroundings import Baselines, Robustness, Shift, Subgroups
from medimg_cli.runs.run import Exams, ModelCard, Run, Threshold
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.files import check_seal, read_json, sealed, write_json


class Confusion(BaseModel, frozen=True):
    """Rows are the reference standard, columns the prediction, both in the order of `labels`."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


class Missed(BaseModel, frozen=True):
    """The false negatives of the positive class at the operating threshold: `count` of `of`."""

    count: int
    of: int
    ids: tuple[str, ...]


class ExamFigures(BaseModel, frozen=True):
    """The figures of exams, each of which is decided on as a whole.

    Args:
        n: exams; images: that they are of.
        source, pooling, threshold, thresholds: what an exam is and how it is decided on, as `runs.run.Exams` has it.
        class_counts: class → exams.
        metrics, per_class, confusion, missed, contract: as of images; `missed.ids` are exams.
    """

    n: int
    images: int
    patients: int
    source: str
    pooling: str
    why: str
    threshold: Threshold | None
    thresholds: dict[str, Threshold] = {}
    class_counts: dict[str, int]
    metrics: dict[str, Estimate]
    per_class: dict[str, dict[str, Estimate]]
    confusion: Confusion | None
    missed: Missed | None
    contract: Contract | None = None

    def is_by(self, exams: Exams) -> bool:
        """Return whether exams were decided on in this way."""
        own = self.pooling, self.threshold, self.thresholds
        return own == (exams.pooling, exams.threshold, exams.thresholds)


class Curve(BaseModel, frozen=True):
    """A curve, thinned for drawing; x and y have the same length.

    Args:
        name: class the curve is for.
        x, y: ROC: false positive rate, recall; precision-recall: recall, precision.
        low, high: 95 % interval of y at each x, empty where none is computed; each x stands for itself.
        operating_point: (x, y) at the threshold, None without one.
    """

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    operating_point: tuple[float, float] | None = None


class Leakage(BaseModel, frozen=True):
    """What stands in this split and in another one.

    Args:
        nameless: images that name no patient where others do; each counts as a patient of its own.
        patients_certain: False where patients are names read from files of a published split, which may
            start again in each of its folders.
        near_duplicates: images here that look like an image elsewhere and are not the same file; None = not searched.
        leak: the one number for all of this, images with a counterpart elsewhere; None where there is no data set.
        left_out: images with a counterpart that were left out of the measurement (`--without-leaked`).
        not_compared: what of this could not be looked at and why, one clause; the counts say nothing of it.
    """

    patients_known: bool
    nameless: int = 0
    patients_certain: bool = True
    shared_patients: int
    shared_files: int
    near_duplicates: int | None = None
    allowed: bool = False
    leak: Leak | None = None
    left_out: int = 0
    not_compared: str = ""


class Evaluation(BaseModel, frozen=True):
    """All results of one run on one split.

    Args:
        metrics: by the names of design: recall, specificity, precision, npv, f1, accuracy,
            balanced_accuracy, mcc, kappa, auroc, average_precision, brier, log_loss, ece; with `macro_`,
            `micro_`, `weighted_` prefixes for several classes, and weighted_kappa for grades.
        per_class: class → metric → estimate (precision, recall, f1, specificity, auroc,
            average_precision), `support` stands in the estimate of recall as `n`.
        confusion: by the decision in force: at the threshold for two classes with a positive one, else
            at the most probable class.
        confusion_absent: why there is no `confusion`.
        thresholds: of several labels an image, class → its own; a class without one is called at 0.5.
        several_labels: an image may carry several of the classes, or none.
        unknown_labels: of several labels, class → images of which nobody judged it; they are in none of its figures.
        confusion_at_argmax: at the most probable class, where `confusion` is at the threshold.
        resampled: what intervals draw again: "patient" where some have several images, else "image".
        views: of each image whose answers were averaged: 1, or more with `--tta`.
        warnings: what a reader must know: few positives, no positive class stated …
        metadata_hash: of the manifest's further columns, which subgroups and shift are of; "" without a manifest.
        asked: the settings that shaped these numbers.
        not_run: analysis (a field below) → why it has no result.
        protocol: figures by a benchmark's own definitions, where they were asked for.
        exploration: that another threshold than the model's decides here, in words; "" where the model's does.
        exams: where the model decides per exam, its headline.
        contract: what the threshold promised on validation, and what came of it.
    """

    version: Literal[1] = 1
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
    leakage: Leakage
    roc: tuple[Curve, ...] = ()
    precision_recall: tuple[Curve, ...] = ()
    resampled: Literal["image", "patient"] = "image"
    views: int = 1
    warnings: tuple[str, ...] = ()
    dataset_hash: str
    predictions_sha256: str
    weights_sha256: str
    metadata_hash: str = ""
    operating: OperatingPoints | None = None
    patient_level: PatientLevels | None = None
    calibration: Calibration | None = None
    decision_curves: DecisionCurves | None = None
    abstention: Abstention | None = None
    conformal: Conformal | None = None
    comparison: Comparison | None = None
    subgroups: Subgroups | None = None
    shift: Shift | None = None
    robustness: Robustness | None = None
    baselines: Baselines | None = None
    label_set: LabelSet | None = None
    histograms: Histograms | None = None
    protocol: Protocol | None = None
    exploration: str = ""
    contract: Contract | None = None
    exams: ExamFigures | None = None
    not_run: dict[str, str] = {}
    asked: dict[str, Any] = {}
    seal: str = Field("", exclude=True)

    @property
    def decided(self) -> "Evaluation | ExamFigures":
        """Return the figures of what the model decides on: of exams where it does, else of images."""
        return self.exams or self


_AGAIN = "run `medimg evaluate` again"


def write_evaluation(path: Path, evaluation: Evaluation) -> None:
    """Write the evaluation atomically."""
    write_json(path, sealed(evaluation.model_dump()))


def read_evaluation(run: Run, split: str) -> Evaluation | None:
    """Return a run's evaluation on `split`, or None when there is none.

    Raises:
        RunError: the file is not an evaluation, or not as it was written.
    """
    path = run.metrics_path(split)
    if not path.is_file():
        return None
    try:
        return Evaluation.model_validate(check_seal(path, read_json(path)))
    except DataError as error:
        raise RunError(error.what, _AGAIN) from error
    except (ValueError, OverflowError) as error:
        raise RunError(f"{path} cannot be read", _AGAIN) from error


def is_of_model(evaluation: Evaluation, card: ModelCard) -> bool:
    """Return whether an evaluation is of a model as it is now: its weights, deciding at its own threshold."""
    return (
        evaluation.weights_sha256 == card.weights_sha256
        and evaluation.threshold == card.threshold
        and evaluation.thresholds == card.thresholds
        and evaluation.views == 1
    )


def evaluation_in_force(run: Run, split: str) -> Evaluation | None:
    """Return a run's evaluation on `split` where it is of the model as it is now, else None; errors as `read_evaluation`."""
    found = read_evaluation(run, split)
    return found if found is not None and is_of_model(found, run.read_card()) else None
