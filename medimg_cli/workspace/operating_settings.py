"""The settings of `evaluate` that say where probabilities become decisions, and at which prevalences they are judged."""

from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from medimg_cli.workspace.section import Chance, Fraction, Section, Several, setting
from medimg_cli.workspace.threshold_rule import ThresholdRule

_RULES = ("target_recall", "target_specificity", "youden", "miss_cost")


class OperatingSettings(Section):
    target_recall: Fraction | None = setting(
        None, "choose on validation the highest threshold with this recall", unset="as trained"
    )
    lower_bound: bool = setting(
        False, "the lower end of the recall's 95 % interval has to reach --target-recall"
    )
    assurance: Chance | None = setting(
        None, "the recall to come has to reach --target-recall with this probability", metavar="P"
    )
    target_specificity: Fraction | None = setting(
        None, "choose on validation the lowest threshold with this specificity"
    )
    youden: bool = setting(False, "choose on validation the threshold with the highest recall + specificity")
    miss_cost: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = setting(
        None, "choose on validation at the least cost, where a miss counts as C false alarms", metavar="C"
    )
    keep_threshold: bool = setting(False, "write the chosen threshold into the model")
    prevalence: Several[Annotated[float, Field(gt=0, lt=1)]] = setting(
        (), "give predictive values at these prevalences too", unset="as observed", metavar="P,…"
    )

    @property
    def rule(self) -> ThresholdRule | None:
        """Return how a threshold is to be chosen on validation; None leaves the model's own in force."""
        if self.target_recall is not None:
            if self.assurance is not None:
                return ThresholdRule("recall_assured", self.target_recall, self.assurance)
            return ThresholdRule("recall_bound" if self.lower_bound else "recall", self.target_recall)
        if self.target_specificity is not None:
            return ThresholdRule("specificity", self.target_specificity)
        if self.miss_cost is not None:
            return ThresholdRule("miss_cost", self.miss_cost)
        return ThresholdRule("youden") if self.youden else None

    @field_validator("target_specificity", "youden", "miss_cost")
    @classmethod
    def _check_one_rule(cls, value: Any, info: ValidationInfo) -> Any:
        others = _said(info)
        if value and others:
            raise ValueError(f"one rule chooses the threshold: leave out this one or {' and '.join(others)}")
        return value

    @field_validator("assurance")
    @classmethod
    def _check_assurance(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and info.data.get("target_recall") is None:
            raise ValueError("say which recall it is of: --target-recall")
        if value is not None and info.data.get("lower_bound"):
            raise ValueError("one rule chooses the threshold: leave out this one or --lower-bound")
        return value

    @field_validator("lower_bound", "keep_threshold")
    @classmethod
    def _check_there_is_a_rule(cls, value: bool, info: ValidationInfo) -> bool:
        # `lower_bound` is read before all rules but --target-recall, which alone it belongs to.
        if value and not _said(info):
            rules = "--target-recall" if info.field_name == "lower_bound" else ", ".join(map(_option, _RULES))
            raise ValueError(f"say by which rule a threshold is chosen: {rules}")
        return value


def _said(info: ValidationInfo) -> list[str]:
    """Return the options of the rules that were set before the field that is being read."""
    return [_option(name) for name in _RULES if name != info.field_name and info.data.get(name)]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
