"""The shelf of flags: what a reader should know of one image before the answer to it is used."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from medimg_cli.inference.image_features import Measured
from medimg_cli.inference.ood_reference import References
from medimg_cli.registry import Registry


@dataclass(frozen=True)
class Comparison:
    """Where an image stands to the training images.

    Args:
        measured: of the image.
        unlikeness: detector → how unlike the training it is, above 1 more than the limit.
        references: what it was held against.
    """

    measured: Measured
    unlikeness: Mapping[str, float]
    references: References


@dataclass(frozen=True)
class Evidence:
    """What flags are raised on.

    Args:
        prediction_set: the classes probable enough to be named, None where the model has no such sets.
        comparison: None where the model has no reference.
    """

    prediction_set: tuple[str, ...] | None
    comparison: Comparison | None


@dataclass(frozen=True)
class Flag:
    """One thing a reader should know.

    Args:
        meaning: one sentence.
        is_raised: whether it holds of an image.
    """

    meaning: str
    is_raised: Callable[[Evidence], bool]


FLAGS: Registry[Flag] = Registry("flag", __name__)


def raised(evidence: Evidence) -> tuple[str, ...]:
    """Return the names of the flags that hold, sorted."""
    return tuple(name for name in FLAGS.names() if FLAGS.get(name).is_raised(evidence))
