"""One number of an evaluation."""

from pydantic import BaseModel


class Estimate(BaseModel, frozen=True):
    """One number with its 95 % interval.

    Args:
        value: None when undefined; `reason` says why.
        low, high: the interval, None where none is computed.
        method: of the interval ("Wilson", "DeLong, logit scale", …), or "" without one.
        n: what the number is a share or mean of: its denominator, or the number of images.
        count: the numerator of a proportion.
        design_effect: variance with patients resampled over that of as many independent images; None where images
            count as independent. Above 1, images of one patient are alike and say less than their number.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    method: str = ""
    n: int
    count: int | None = None
    reason: str | None = None
    design_effect: float | None = None
