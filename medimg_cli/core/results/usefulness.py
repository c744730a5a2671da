"""Whether acting on the answers does more good than treating everyone or no one."""

from pydantic import BaseModel, ConfigDict


class DecisionCurve(BaseModel):
    """Net benefit by threshold probability (Vickers AJ, Elkin EB. Med Decis Making 2006;26:565-574).

    Args:
        thresholds: at which one would act; at t a false alarm weighs t / (1 - t) of a missed case.
        model: net benefit of acting where the probability reaches the threshold, per image.
        low, high: 95 % interval of `model`, empty where none is computed.
        treat_all: net benefit of acting on every image; that of acting on none is 0.
        useful_from, useful_to: widest range of thresholds over which the model is above both; None where it never is.
        prevalence: share of the class in this split, on which all of it rests.
    """

    model_config = ConfigDict(frozen=True)

    thresholds: tuple[float, ...]
    model: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    treat_all: tuple[float, ...]
    useful_from: float | None
    useful_to: float | None
    prevalence: float


class DecisionCurves(BaseModel):
    """Class → its decision curve."""

    model_config = ConfigDict(frozen=True)

    by_class: dict[str, DecisionCurve]
