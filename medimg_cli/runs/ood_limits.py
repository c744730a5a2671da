"""How far an image may lie from what a model learnt from, as it travels inside the model card."""

from typing import Annotated

from pydantic import BaseModel, Field

Range = tuple[float, float]
_Positive = Annotated[float, Field(gt=0)]


class Sets(BaseModel, frozen=True, allow_inf_nan=False):
    """Least probabilities that put classes into a prediction set, see `statistics.conformal`.

    Args:
        alpha: chance of missing the right class that is accepted.
        least: class → probability, 0 where there were too few images of it.
        counts: class → images it rests on.
        split: the images' split; "out-of-fold" as in `Threshold`.
    """

    alpha: Annotated[float, Field(gt=0, lt=1)]
    least: dict[str, Annotated[float, Field(ge=0, le=1)]]
    counts: dict[str, int]
    split: str


class Limits(BaseModel, frozen=True, allow_inf_nan=False):
    """Where the flags of one network begin; what they are measured against is in `reference.safetensors`.

    Args:
        false_alarms: share of ordinary images that may be called unlike the training: what was asked for, or 1 / (n + 1)
            where n validation images are too few for it.
        train_images, val_images: how many images the reference and the limits rest on.
        middles, spans: detector → median of validation, and from there to the quantile of 0.9: a score less the middle,
            over the span, is comparable between detectors.
        unlike: the largest such figure of an image is above this in a share of `false_alarms` of validation.
        grey: whether every training image was without colour.
        negative: how much more likely its negative has to be before an image may be one; None where validation
            shows that negatives cannot be told.
        width_px, height_px, ratio: of training images, without the outermost hundredth; ratio is width / height.
        quality: figure → lowest and highest value that is still ordinary; an end that does not matter is 0 or 1.
    """

    false_alarms: Annotated[float, Field(gt=0, le=1)]
    train_images: int
    val_images: int
    middles: dict[str, float]
    spans: dict[str, _Positive]
    unlike: _Positive
    grey: bool
    negative: float | None
    width_px: tuple[_Positive, _Positive]
    height_px: tuple[_Positive, _Positive]
    ratio: tuple[_Positive, _Positive]
    quality: dict[str, Range]
