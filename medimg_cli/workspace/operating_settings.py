"""The settings of `evaluate` that say where probabilities become decisions, and at which prevalences they are judged."""

import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from medimg_cli.workspace.section import (
    Chance,
    Fraction,
    PositiveInt,
    ProbabilityRange,
    Section,
    Several,
    setting,
)

RuleName = Literal["recall", "recall_assured", "recall_bound", "specificity", "youden", "miss_cost"]


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is chosen.

    Args:
        name: recall: the highest that reaches it. recall_assured: the highest at which the recall to come reaches it with
            a probability. recall_bound: the highest at which the lower end of its 95 % interval reaches it.
            specificity: the lowest that reaches it. youden: the highest recall + specificity (Youden WJ. Cancer
            1950;3:32-35). miss_cost: the least cost of misses and false alarms. Of equals the lowest threshold is taken
            by the last two: it misses fewer.
        wanted: recall or specificity, above 0, at most 1; for miss_cost how many false alarms a miss counts as, above
            0; unused by youden.
        assurance: that probability, in 0..1; unused by the others.
    """

    name: RuleName
    wanted: float = 0.0
    assurance: float = 0.0

    @property
    def words(self) -> str:
        """Return the rule for people."""
        return _WORDS[self.name].format(wanted=f"{self.wanted:g}", assurance=f"{self.assurance:g}")

    @property
    def target_recall(self) -> float | None:
        return self.wanted if self.name.startswith("recall") else None

    @property
    def target_specificity(self) -> float | None:
        return self.wanted if self.name == "specificity" else None


_WORDS: dict[RuleName, str] = {
    "recall": "highest threshold with recall ≥ {wanted}",
    "recall_assured": "highest threshold whose recall reaches {wanted} with probability {assurance}",
    "recall_bound": "highest threshold whose recall's lower 95 % bound is ≥ {wanted}",
    "specificity": "lowest threshold with specificity ≥ {wanted}",
    "youden": "highest recall + specificity (Youden)",
    "miss_cost": "least cost where a miss counts as {wanted} false alarms",
}


def rule_in_words(words: str) -> ThresholdRule | None:
    """Return the rule that a threshold says it was chosen by, None where it was given or another version chose it.

    >>> rule_in_words("highest threshold with recall ≥ 0.95")
    ThresholdRule(name='recall', wanted=0.95, assurance=0.0)
    """
    for name, template in _WORDS.items():
        pattern = re.escape(template)
        for blank in ("wanted", "assurance"):
            pattern = pattern.replace(re.escape("{" + blank + "}"), rf"(?P<{blank}>\d[\d.e+-]*)")
        found = re.fullmatch(pattern, words)
        if found is not None:
            return ThresholdRule(name, **{blank: float(value) for blank, value in found.groupdict().items()})
    return None


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
        others = _rules_given(info)
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
        if value and not _rules_given(info):
            rules = "--target-recall" if info.field_name == "lower_bound" else ", ".join(map(_option, _RULES))
            raise ValueError(f"say by which rule a threshold is chosen: {rules}")
        return value


def _rules_given(info: ValidationInfo) -> list[str]:
    """Return the options of the rules that were set before the field that is being read."""
    return [_option(name) for name in _RULES if name != info.field_name and info.data.get(name)]


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")


_SHAPES_NOTHING = {"keep_threshold", "require", "allow_leak", "near_duplicates", "batch_size"}
_SHAPES_NOTHING |= {*_RULES, "assurance", "lower_bound"}


class EvaluateSettings(OperatingSettings):
    split: Literal["train", "val", "test"] = setting("test", "which split")
    ci: Literal["wilson", "exact"] = setting("wilson", "intervals of proportions of independent images")
    require: tuple[str, ...] = setting(
        (), "exit with 1 unless met, such as recall>=0.9", metavar="METRIC>=X", repeated=True
    )
    tta: bool = setting(False, "answer with the mean over mirrored, turned or enlarged views of each image")
    alpha: Chance = setting(0.1, "chance that a conformal set may miss the right class")
    decision_range: ProbabilityRange = setting(
        (0.01, 0.5), "probabilities at which one might act, of the decision curve", metavar="LOW,HIGH"
    )
    subgroups: Several[str] = setting(
        (), "columns whose levels are measured", unset="sex, age, site and the like", metavar="COLUMN,…"
    )
    intersections: bool = setting(False, "two of these columns at once as well")
    min_positives: PositiveInt = setting(
        10, "fewer positive images of a subgroup: counts only", option=False, unit="images"
    )
    compare: str | None = setting(
        None,
        "another model's answers to the same images, to compare with: a run, or a table of predictions",
        metavar="RUN|FILE.csv",
    )
    robustness: bool = setting(False, "answer again under blur, noise, brightness, contrast and JPEG")
    near_duplicates: bool = setting(False, "search other splits for near duplicates, if no audit did")
    allow_leak: bool = setting(False, "evaluate a leaky split; the report says so")
    without_leaked: bool = setting(
        False, "measure on the images without a known counterpart in another split"
    )
    positive: str | None = setting(
        None,
        "the disease class of a table of predictions (--predictions)",
        unset="the one not called healthy",
        metavar="CLASS",
    )
    threshold: Chance | None = setting(
        None, "the threshold of that table, fixed before anybody saw the answers"
    )
    protocol: Literal["medmnist"] | None = setting(None, "also AUC and ACC by its definitions")
    batch_size: PositiveInt = setting(128, "images a step", option=False, unit="images")

    @field_validator("threshold")
    @classmethod
    def _check_no_rule(cls, value: float | None, info: ValidationInfo) -> float | None:
        if value is not None and (rules := _rules_given(info)):
            raise ValueError(f"a threshold is given or chosen: leave out this one or {rules[0]}")
        return value

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape the numbers, for the record and to know them again."""
        return self.model_dump(mode="json", exclude=_SHAPES_NOTHING)
