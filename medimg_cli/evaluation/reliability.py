"""Calibration of one class against the rest, all of it from one set of replicates."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from medimg_cli.evaluation.metrics import OneVsRest, divided, drawn_proportion, with_bootstrap
from medimg_cli.evaluation.metrics.probability import BINS, ece_of_sums, equal_mass, equal_width, in_bins
from medimg_cli.evaluation.results.calibration import ClassCalibration, ReliabilityBin
from medimg_cli.statistics.calibration_slope import Fitted, intercept_of, slope_of
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import LEVEL

_Z = float(norm.ppf(0.5 + LEVEL / 2))


def class_calibration(view: OneVsRest) -> ClassCalibration:
    """Return bins, errors, Brier score, slope and intercept of one class against the rest."""
    if view.n == 0:
        nothing = Estimate(value=None, n=0, reason="no image")
        return ClassCalibration(
            bins=(), ece=nothing, ece_equal_mass=nothing, brier=nothing, slope=nothing, intercept=nothing
        )
    gap, bin_of, ones = view.score - view.truth, equal_width(view.score), np.ones(view.n)
    parts = {
        "width": in_bins(gap, bin_of, BINS),
        "mass": in_bins(gap, equal_mass(view.score), BINS),
        "square": (gap**2)[:, None],
        "image": ones[:, None],
    }
    if view.sampling.clustered:
        parts |= {"ill": in_bins(view.truth * ones, bin_of, BINS), "inside": in_bins(ones, bin_of, BINS)}
    drawn = _drawn(view, parts)
    images = drawn["image"][:, 0]
    squares = divided(drawn["square"][:, 0], images)
    unit_of = view.sampling.unit_of if view.sampling.clustered else None
    return ClassCalibration(
        bins=_bins(view, bin_of, drawn),
        ece=ece_of_sums(parts["width"].sum(axis=0), drawn["width"], images, view),
        ece_equal_mass=ece_of_sums(parts["mass"].sum(axis=0), drawn["mass"], images, view),
        brier=with_bootstrap(float((gap**2).mean()), squares, unit=view.sampling.unit, n=view.n),
        slope=_wald(slope_of(view.truth, view.score, unit_of), view),
        intercept=_wald(intercept_of(view.truth, view.score, unit_of), view),
    )


def _drawn(view: OneVsRest, parts: dict[str, NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Return the sums of some columns (N, F) by name, replicate by replicate (B, F)."""
    sums = view.sampling.sums(np.hstack(list(parts.values())))
    ends = np.cumsum([part.shape[1] for part in parts.values()])
    return dict(zip(parts, np.split(sums, ends[:-1], axis=1), strict=True))


def _bins(
    view: OneVsRest, bin_of: NDArray[np.int64], drawn: dict[str, NDArray[np.float64]]
) -> tuple[ReliabilityBin, ...]:
    """Return the bins that hold an image."""
    counts = np.bincount(bin_of, minlength=BINS)
    ill = np.bincount(bin_of, weights=view.truth, minlength=BINS)
    total = np.bincount(bin_of, weights=view.score, minlength=BINS)
    found = []
    for index in np.flatnonzero(counts):
        shares = divided(drawn["ill"][:, index], drawn["inside"][:, index]) if "ill" in drawn else None
        observed = drawn_proportion(
            int(ill[index]), int(counts[index]), shares, view.sampling, bin_of == index, undefined="no image"
        )
        found.append(
            ReliabilityBin(
                low=index / BINS,
                high=(index + 1) / BINS,
                mean=float(total[index] / counts[index]),
                observed=observed,
            )
        )
    return tuple(found)


def _wald(fitted: Fitted | str, view: OneVsRest) -> Estimate:
    """Return a coefficient with its interval, or why there is none."""
    if isinstance(fitted, str):
        return Estimate(value=None, n=view.n, reason=fitted)
    half = _Z * float(np.sqrt(fitted.variance))
    return Estimate(
        value=fitted.value,
        low=fitted.value - half,
        high=fitted.value + half,
        method="Wald, sandwich variance by patient" if view.sampling.clustered else "Wald",
        n=view.n,
        design_effect=fitted.design_effect,
    )
