"""What one class's decisions mean in use: fixed trade-offs, other prevalences, whole patients."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from medimg_cli.core.results.estimate import Estimate


class TradeOff(BaseModel):
    """Sensitivity where specificity is fixed, or the reverse, read off the curve of this split: to describe, not to use.

    Args:
        fixed: which of the two was asked for.
        wanted: at least this much of it.
        threshold: that gives it; None where none does.
        recall, specificity: at that threshold; the fixed one, which the threshold was chosen for, has no interval.
    """

    model_config = ConfigDict(frozen=True)

    fixed: Literal["recall", "specificity"]
    wanted: float
    threshold: float | None
    recall: Estimate
    specificity: Estimate


class AtPrevalence(BaseModel):
    """Predictive values where another share of the patients has the disease (Bayes).

    Args:
        prevalence: in 0..1.
        observed: it is that of the split itself.
        precision, npv: with intervals that come from those of recall and specificity.
        alarms_per_100: false alarms among 100 patients.
        number_needed_to_read: positive answers for each true one, 1 / precision; None where precision is 0.
    """

    model_config = ConfigDict(frozen=True)

    prevalence: float
    observed: bool = False
    precision: Estimate
    npv: Estimate
    alarms_per_100: Estimate
    number_needed_to_read: float | None


class Operating(BaseModel):
    """Of one class (or label) against the rest."""

    model_config = ConfigDict(frozen=True)

    trade_offs: tuple[TradeOff, ...] = ()
    at_prevalences: tuple[AtPrevalence, ...] = ()


class OperatingPoints(BaseModel):
    """Class → what its decisions mean in use."""

    model_config = ConfigDict(frozen=True)

    by_class: dict[str, Operating]


class PatientLevel(BaseModel):
    """A patient is positive when the highest, or mean, probability of their images reaches the threshold.

    Args:
        rule: "max" or "mean" over a patient's images.
        n: patients.
        positives: patients with at least one positive image.
        metrics: recall, specificity, precision, npv, auroc by patient.
        missed: ids of patients with the disease that were not called, the most confident misses first.
    """

    model_config = ConfigDict(frozen=True)

    rule: Literal["max", "mean"]
    n: int
    positives: int
    metrics: dict[str, Estimate]
    missed: tuple[str, ...]


class PatientLevels(BaseModel):
    """Results by patient, beside those by image."""

    model_config = ConfigDict(frozen=True)

    positive: str
    levels: tuple[PatientLevel, ...]
