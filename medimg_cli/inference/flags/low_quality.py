"""Blurred, flat, noisy or clipped images, beside those the model learnt from."""

from medimg_cli.inference.flags import FLAGS, Evidence, Flag
from medimg_cli.inference.image_features import BEST_HIGH, BEST_LOW, Measured, figure_names
from medimg_cli.runs.ood_limits import Limits


def is_raised(evidence: Evidence) -> bool:
    """Return whether a figure of quality lies outside the training's range."""
    comparison = evidence.comparison
    return comparison is not None and comparison.references.most(
        lambda reference: is_low(reference.limits, comparison.measured)
    )


def is_low(limits: Limits, measured: Measured) -> bool:
    """Return whether an image is worse in one respect than nearly all images one network learnt from."""
    found = quality_of(measured)
    return not all(low <= found[name] <= high for name, (low, high) in limits.quality.items())


def quality_of(measured: Measured) -> dict[str, float]:
    """Return the figures of quality; what a letterbox adds is no black of the picture."""
    place = {name: number for number, name in enumerate(figure_names(3))}
    found = {name: float(measured.figures[place[name]]) for name in (*BEST_HIGH, *BEST_LOW)}
    bars = 1 - measured.covered
    return found | {"black": max(0.0, found["black"] - bars) / measured.covered}


FLAGS.register("low-quality")(
    Flag(
        "The image is blurrier, flatter, noisier, or more clipped to black or white than the training images.",
        is_raised,
    )
)
