"""What decisions mean in use: what the threshold promised, trade-offs, other prevalences, whole patients."""

from typing import Literal

from pydantic import BaseModel

from medimg_cli.statistics.estimate import Estimate


class TradeOff(BaseModel, frozen=True):
    """Sensitivity where specificity is fixed, or the reverse, read off the curve of this split: to describe, not to use.

    Args:
        fixed: which of the two was asked for.
        wanted: at least this much of it.
        threshold: that gives it; None where none does.
        recall, specificity: at that threshold; the fixed one, which the threshold was chosen for, has no interval.
    """

    fixed: Literal["recall", "specificity"]
    wanted: float
    threshold: float | None
    recall: Estimate
    specificity: Estimate


class AtPrevalence(BaseModel, frozen=True):
    """Predictive values where another share of the patients has the disease (Bayes).

    Args:
        prevalence: in 0..1.
        observed: it is that of the split itself.
        estimand: what the predictive values are of.
        precision, npv: at the observed prevalence those of the metrics; else their intervals come from those of recall
            and specificity.
        alarms_per_100: false alarms among 100 patients.
        number_needed_to_read: positive answers for each true one, 1 / precision; None where precision is 0.
    """

    prevalence: float
    observed: bool = False
    estimand: str = ""
    precision: Estimate
    npv: Estimate
    alarms_per_100: Estimate
    number_needed_to_read: float | None


class Operating(BaseModel, frozen=True):
    """Of one class (or label) against the rest."""

    trade_offs: tuple[TradeOff, ...] = ()
    at_prevalences: tuple[AtPrevalence, ...] = ()


class OperatingPoints(BaseModel, frozen=True):
    """Class → what its decisions mean in use."""

    by_class: dict[str, Operating]


class PatientLevel(BaseModel, frozen=True):
    """A patient is positive when the highest, or mean, probability of their images reaches the threshold.

    Args:
        rule: "max" or "mean" over a patient's images.
        n: patients.
        positives: patients with at least one positive image.
        metrics: recall, specificity, precision, npv, auroc by patient.
        missed: ids of patients with the disease that were not called, the most confident misses first.
    """

    rule: Literal["max", "mean"]
    n: int
    positives: int
    metrics: dict[str, Estimate]
    missed: tuple[str, ...]


class PatientLevels(BaseModel, frozen=True):
    """Results by patient, beside those by image."""

    positive: str
    levels: tuple[PatientLevel, ...]


class Histogram(BaseModel, frozen=True):
    """Images by the probability of one class.

    Args:
        bins: of equal width in 0..1; a probability on an edge belongs to the bin below it.
        counts: group of images by their reference standard → images in each bin.
    """

    bins: int
    counts: dict[str, tuple[int, ...]]


class Histograms(BaseModel, frozen=True):
    """Class → histograms of its probability."""

    by_class: dict[str, Histogram]


class LabelSet(BaseModel, frozen=True):
    """What only several labels an image have.

    Args:
        cardinality: labels an image, mean, where all of them were judged: reference standard and called.
        exact_match: share of the fully judged images whose labels were all called rightly.
        together: (C, C) images that carry both labels of the reference standard, in the order of the classes.
    """

    cardinality: tuple[float, float]
    exact_match: Estimate
    together: tuple[tuple[int, ...], ...]


class Protocol(BaseModel, frozen=True):
    """Two figures by the definitions of a benchmark's own evaluator.

    Args:
        name: of the benchmark: "medmnist".
        auc: area under the ROC curve; None where a class is shown only with or only without.
        acc: share of right answers, at 0.5 or of the most probable class, whatever threshold is in force.
        definition: what exactly the two are.
        reason: why one of them is None, "" where neither is.
    """

    name: str
    auc: float | None
    acc: float | None
    definition: str
    reason: str = ""


class DecisionCurve(BaseModel, frozen=True):
    """Net benefit by threshold probability (Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574).

    Args:
        thresholds: at which one would act; at t a false alarm weighs t / (1 - t) of a missed case.
        model: net benefit of acting where the probability reaches the threshold, per image.
        low, high: 95 % interval of `model` at each threshold, empty where there is none: `no_interval` says why.
        treat_all: net benefit of acting on every image; that of acting on none is 0.
        useful_from, useful_to: widest range of thresholds over which the model is above both; None where it never is.
        prevalence: share of the class in this split, on which all of it rests.
    """

    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    no_interval: str = ""
    treat_all: tuple[float, ...]
    useful_from: float | None
    useful_to: float | None
    prevalence: float


class DecisionCurves(BaseModel, frozen=True):
    """Class → its decision curve."""

    by_class: dict[str, DecisionCurve]


class Difference(BaseModel, frozen=True):
    """One figure of both, and how they differ.

    Args:
        name: "recall", "specificity", "accuracy", "auroc", …
        first, second: of this run and of the other one.
        difference: first − second, with its paired interval.
        test: that gives `p`: "McNemar, exact", "DeLong, paired", …
        p: two-sided; None where there is nothing to test.
        p_adjusted: by Holm (Scand J Stat 1979;6:65-70) over the tests of this comparison.
        only_first, only_second: images that only one of the two decided rightly; None where that is no question.
    """

    name: str
    first: float | None
    second: float | None
    difference: Estimate
    test: str = ""
    p: float | None = None
    p_adjusted: float | None = None
    only_first: int | None = None
    only_second: int | None = None


class Comparison(BaseModel, frozen=True):
    """This run against another one, image by image.

    Args:
        against: name of the other.
        rule: under which both decide, in words.
        n, patients: images and patients that both answered.
        same_images: SHA-256 over image ids and reference standard, equal for both.
        predictions_sha256: of the other's predictions file.
    """

    against: str
    rule: str = ""
    n: int
    patients: int
    same_images: str
    predictions_sha256: str
    differences: tuple[Difference, ...]


class Expected(BaseModel, frozen=True):
    """An interval of the recall to come, 0..1."""

    low: float
    high: float


class Change(BaseModel, frozen=True):
    """One figure from validation to here.

    Args:
        val, here: both with their intervals; recall on validation with that of the recall to come.
        difference: here − val, with its interval.
        beyond_chance: that interval excludes 0; None where there is none.
    """

    val: Estimate
    here: Estimate
    difference: Estimate
    beyond_chance: bool | None


class Contract(BaseModel, frozen=True):
    """The recall that was aimed at, how far validation could promise it, and whether it was kept.

    Args:
        positive: the class, or classes, whose recall it is.
        target: recall that the threshold aims at; None where its rule aims at something else.
        positives, patients: that it was chosen on.
        expected: interval of the recall to come; None where the threshold was not chosen on validation.
        reaches: probability that the recall to come reaches the target.
        least_for_bound: positives below which no lower end of a 95 % interval can reach the target.
        verdict: by the interval of recall here; "" without a target or a positive image.
        change: recall, specificity, auroc → from validation to here; none without answers to validation.
        promise, outcome: both in one sentence; "" where there is nothing to say.
    """

    positive: str
    target: float | None
    positives: int | None = None
    patients: int | None = None
    expected: Expected | None = None
    reaches: float | None = None
    least_for_bound: int | None = None
    verdict: Literal["met", "missed", "cannot be told", ""] = ""
    change: dict[str, Change] = {}
    promise: str = ""
    outcome: str = ""
