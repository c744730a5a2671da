"""Images much larger, much smaller, or of another side ratio than those the model learnt from."""

from medimg_cli.inference.flags import FLAGS, Evidence, Flag
from medimg_cli.inference.image_features import Measured
from medimg_cli.runs.ood_limits import Limits, Range

SIZE_FACTOR = 2.0
RATIO_FACTOR = 1.1
"""How far beyond the training's range a side, or the side ratio, may lie."""


def is_raised(evidence: Evidence) -> bool:
    """Return whether a side or the side ratio lies far outside the training's range."""
    comparison = evidence.comparison
    return comparison is not None and comparison.references.most(
        lambda reference: is_unlike(reference.limits, comparison.measured)
    )


def is_unlike(limits: Limits, measured: Measured) -> bool:
    """Return whether an image's size is unlike that of the images one network learnt from."""
    width, height = measured.width_px, measured.height_px
    return not (
        _within(width, limits.width_px, SIZE_FACTOR)
        and _within(height, limits.height_px, SIZE_FACTOR)
        and _within(width / height, limits.ratio, RATIO_FACTOR)
    )


def _within(value: float, ordinary: Range, factor: float) -> bool:
    low, high = ordinary
    return low / factor <= value <= high * factor


FLAGS.register("size-unlike-training")(
    Flag(
        "The image is less than half or more than twice as large as the training images, or of another side ratio.",
        is_raised,
    )
)
