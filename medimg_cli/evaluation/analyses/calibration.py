"""How far probabilities can be taken at their word, and how often each was answered."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS, OneVsRest, rate, unvaried
from medimg_cli.evaluation.metrics.probability import (
    BINS,
    ECE_BINS,
    ONE_OF_TWO,
    SUMMED,
    ece_over,
    equal_mass,
    equal_width,
    in_bins,
    label_log_losses,
    log_losses,
    squared_gaps,
)
from medimg_cli.evaluation.results.calibration import Calibration, ClassCalibration, ReliabilityBin
from medimg_cli.evaluation.results.decisions import Histogram, Histograms
from medimg_cli.statistics.calibration_slope import Fitted, intercept_of, slope_of
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import quantile_of
from medimg_cli.statistics.recalibration import without_temperature


@ANALYSES.register("calibration")
def calibration(subject: Subject) -> Calibration | str:
    """Return reliability, errors, slopes, and what the temperature made of them."""
    here = subject.here
    if not here.n:
        return "no image"
    asked = here.questions if len(here.classes) == 2 else here.views
    by_class = {name: class_calibration(view) for name, view in asked.items()}
    figures = _figures(here, here.probabilities)
    errors = [found.ece.value for found in by_class.values() if found.ece.value is not None]
    uncalibrated, remark = _uncalibrated(subject)
    definition = ONE_OF_TWO if here.labels.several or len(here.classes) == 2 else SUMMED
    if here.labels.several and here.labels.positive is None:
        definition = ""  # there is no Brier score
    return Calibration(
        by_class=by_class,
        brier=figures.get("brier"),
        log_loss=figures.get("log_loss"),
        ece=figures.get("ece"),
        class_wise_ece=float(np.mean(errors)) if errors else None,
        bins=BINS,
        bin_rule=ECE_BINS,
        definition=definition,
        temperature=subject.temperature,
        uncalibrated=uncalibrated,
        remark=remark,
    )


def _figures(here: ScoredPredictions, probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Return Brier score, log loss and calibration error of probabilities (N, C) for the images of `here`."""
    figures = _of_labels(here, probabilities) if here.labels.several else _of_one(here, probabilities)
    return {name: value for name, value in figures.items() if value is not None}


def _of_one(here: ScoredPredictions, probabilities: NDArray[np.float64]) -> Mapping[str, float | None]:
    """Return the figures of one label an image; those of two classes are the positive one's, as among the metrics."""
    positive = here.labels.positive
    figures: dict[str, float | None] = {
        "brier": float(squared_gaps(probabilities, here.truth).mean()),
        "log_loss": float(log_losses(probabilities, here.truth).mean()),
        "ece": top_label_error(probabilities, here.truth),
    }
    if positive is None:
        return figures
    of_positive = _of_view(here, positive, probabilities)
    return of_positive if len(here.classes) == 2 else figures | {"ece": of_positive["ece"]}


def _of_labels(here: ScoredPredictions, probabilities: NDArray[np.float64]) -> Mapping[str, float | None]:
    """Return the figures of several labels an image: Brier score and calibration error of the positive one only."""
    positive = here.labels.positive
    figures = {} if positive is None else _of_view(here, positive, probabilities)
    losses, judged = label_log_losses(probabilities, here.marks)
    return {**figures, "log_loss": float(losses.sum() / judged.sum()) if judged.any() else None}


def _of_view(
    here: ScoredPredictions, name: str, probabilities: NDArray[np.float64]
) -> dict[str, float | None]:
    """Return the figures of one class against the rest, among the images in which it was judged."""
    truth = here.view_of(name).truth
    column = probabilities[:, here.classes.index(name)] if name in here.classes else None
    score = (here.labels.positive_score(probabilities) if column is None else column)[here.rows_of(name)]
    if not len(truth):
        return {}
    against_rest, ill = np.stack([1 - score, score], axis=1), truth.astype(np.int64)
    return {
        "brier": float(squared_gaps(against_rest, ill).mean()),
        "log_loss": float(log_losses(against_rest, ill).mean()),
        "ece": _error(score, truth, BINS),
    }


def top_label_error(probabilities: NDArray[np.float64], truth: NDArray[np.int64], bins: int = BINS) -> float:
    """Return the mean gap of the highest probability and how often its class is right, over equal-width bins.

    Guo C et al. ICML 2017, arXiv:1706.04599.

    Args:
        probabilities: (N, C).
        truth: (N,) class indices.
    """
    highest = probabilities.max(axis=1)
    return _error(highest, probabilities.argmax(axis=1) == truth, bins)


def _error(score: NDArray[np.float64], outcome: NDArray[np.bool_], bins: int) -> float:
    gaps = in_bins(score - outcome, equal_width(score, bins), bins).sum(axis=0)
    return float(np.abs(gaps).sum() / len(outcome))


def _uncalibrated(subject: Subject) -> tuple[dict[str, float], str]:
    """Return the figures without the temperature, or none and the reason."""
    if subject.answers is None:
        return {}, "how probabilities were made of a network's answers is not known"
    if subject.temperature is None:
        return (
            {},
            "each network of the ensemble has a temperature of its own, and only their mean answer is kept",
        )
    if subject.settings.tta:
        return {}, "the mean over several views of an image cannot be taken back to each view's own logits"
    before = without_temperature(subject.here.probabilities, subject.temperature, subject.answers)
    return _figures(subject.here, before), ""


def class_calibration(view: OneVsRest) -> ClassCalibration:
    """Return bins, errors, Brier score, slope and intercept of one class against the rest."""
    if view.n == 0:
        nothing = Estimate(value=None, n=0, reason="no image")
        return ClassCalibration(
            bins=(), ece=nothing, ece_equal_mass=nothing, brier=nothing, slope=nothing, intercept=nothing
        )
    bin_of = equal_width(view.score)
    unit_of = view.sampling.unit_of if view.sampling.clustered else None
    return ClassCalibration(
        bins=_bins(view, bin_of),
        ece=ece_over(view, bin_of, BINS),
        ece_equal_mass=ece_over(view, equal_mass(view.score), BINS),
        brier=METRICS.get("brier")(view),
        slope=_wald(slope_of(view.truth, view.score, unit_of), view),
        intercept=_wald(intercept_of(view.truth, view.score, unit_of), view),
    )


def _bins(view: OneVsRest, bin_of: NDArray[np.int64]) -> tuple[ReliabilityBin, ...]:
    """Return the bins that hold an image."""
    return tuple(
        ReliabilityBin(
            low=index / BINS,
            high=(index + 1) / BINS,
            mean=float(view.score[bin_of == index].mean()),
            observed=rate(view.truth, view.sampling, among=bin_of == index, undefined="no image"),
        )
        for index in np.unique(bin_of)
    )


def _wald(fitted: Fitted | str, view: OneVsRest) -> Estimate:
    """Return a coefficient with its interval, or why there is none."""
    if isinstance(fitted, str):
        return Estimate(value=None, n=view.n, reason=fitted)
    sampling = view.sampling
    why = sampling.nothing_from(sampling.units) or unvaried(fitted.cautious, sampling)
    if why:
        return Estimate(value=fitted.value, n=view.n, reason=why)
    half = quantile_of(sampling.units if sampling.clustered else None) * float(np.sqrt(fitted.cautious))
    return Estimate(
        value=fitted.value,
        low=fitted.value - half,
        high=fitted.value + half,
        method=f"Wald, sandwich variance by {sampling.unit}",
        n=view.n,
        design_effect=fitted.design_effect,
    )


HISTOGRAM_BINS = 20


@ANALYSES.register("histograms")
def histograms(subject: Subject) -> Histograms | str:
    """Return a histogram for each class that is asked about: by true class, or of the class and of all others."""
    here = subject.here
    if not here.n:
        return "no image"
    by_class = {}
    for name, view in here.questions.items():
        groups = {name: view.truth, f"not {name}": ~view.truth}
        if here.labels.positive and not here.labels.several:
            groups = _true_classes(here)
        bins = equal_width(view.score, HISTOGRAM_BINS)
        counted = {group: np.bincount(bins[rows], minlength=HISTOGRAM_BINS) for group, rows in groups.items()}
        by_class[name] = Histogram(
            bins=HISTOGRAM_BINS, counts={group: tuple(counts.tolist()) for group, counts in counted.items()}
        )
    return Histograms(by_class=by_class)


def _true_classes(here: ScoredPredictions) -> dict[str, NDArray[np.bool_]]:
    """Return class → its images (N,), the positive one first."""
    order = sorted(range(len(here.classes)), key=lambda index: not here.labels.is_positive[index])
    return {here.classes[index]: here.truth == index for index in order}
