"""Several labels an image: how they go together."""

from pydantic import BaseModel, ConfigDict

from medimg_cli.core.results.estimate import Estimate


class LabelSet(BaseModel):
    """What only several labels an image have.

    Args:
        cardinality: labels an image, mean, where all of them were judged: reference standard and called.
        exact_match: share of the fully judged images whose labels were all called rightly.
        together: (C, C) images that carry both labels of the reference standard, in the order of the classes.
    """

    model_config = ConfigDict(frozen=True)

    cardinality: tuple[float, float]
    exact_match: Estimate
    together: tuple[tuple[int, ...], ...]
