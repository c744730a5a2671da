"""Calibration of one class against the rest."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import METRICS, OneVsRest, rate, unvaried
from medimg_cli.evaluation.metrics.probability import BINS, ece_over, equal_mass, equal_width
from medimg_cli.evaluation.results.calibration import ClassCalibration, ReliabilityBin
from medimg_cli.statistics.calibration_slope import Fitted, intercept_of, slope_of
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import quantile_of


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
