"""How often each probability was answered, by what the images show."""

from pydantic import BaseModel, ConfigDict


class Histogram(BaseModel):
    """Images by the probability of one class.

    Args:
        bins: of equal width in 0..1; a probability on an edge belongs to the bin below it.
        counts: group of images by their reference standard → images in each bin.
    """

    model_config = ConfigDict(frozen=True)

    bins: int
    counts: dict[str, tuple[int, ...]]


class Histograms(BaseModel):
    """Class → histograms of its probability."""

    model_config = ConfigDict(frozen=True)

    by_class: dict[str, Histogram]
