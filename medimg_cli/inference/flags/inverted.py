"""Negatives: black where the training images are white."""

from medimg_cli.inference.flags import FLAGS, Evidence, Flag
from medimg_cli.inference.image_features import Measured
from medimg_cli.inference.ood_reference import LAYOUT, Reference


def is_raised(evidence: Evidence) -> bool:
    """Return whether the image's negative would be ordinary, and much more so than the image."""
    comparison = evidence.comparison
    return comparison is not None and comparison.references.most(
        lambda reference: is_negative(reference, comparison.measured)
    )


def is_negative(reference: Reference, measured: Measured) -> bool:
    """Return whether an image looks like a negative of what one network learnt from."""
    least = reference.limits.negative
    if least is None:
        return False
    scores = {LAYOUT: reference.known.layout(measured.negative)}
    ordinary = reference.comparable(scores)[LAYOUT] <= 1
    return ordinary and gain(reference, measured) > least


def gain(reference: Reference, measured: Measured) -> float:
    """Return how much less far out the negative lies than the image; above 0 where it does."""
    return reference.known.layout(measured.thumbnail) - reference.known.layout(measured.negative)


FLAGS.register("inverted?")(
    Flag(
        "Black and white seem exchanged: the negative of the image would be like those the model learnt from.",
        is_raised,
    )
)
