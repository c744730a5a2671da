"""Images of another kind than the model learnt from."""

from collections.abc import Mapping

from medimg_cli.inference.flags import FLAGS, Evidence, Flag

NAME = "out-of-distribution"


def is_raised(evidence: Evidence) -> bool:
    """Return whether one way of looking finds the image more unlike the training than the limit."""
    comparison = evidence.comparison
    return comparison is not None and bool(exceeded(comparison.unlikeness))


def exceeded(unlikeness: Mapping[str, float]) -> tuple[str, ...]:
    """Return the detectors whose limit an image passes; a figure that is no number counts as beyond every limit."""
    return tuple(name for name, value in unlikeness.items() if not value <= 1)


FLAGS.register(NAME)(
    Flag("The image is unlike those the model learnt from, so the model gives no answer to it.", is_raised)
)
