"""The section `evaluate` of the settings: what is measured, and how."""

from typing import Any, Literal

from pydantic import ValidationInfo, field_validator

from medimg_cli.workspace.operating_settings import OperatingSettings
from medimg_cli.workspace.section import Chance, PositiveInt, ProbabilityRange, Several, setting

_RULES = {"target_recall", "assurance", "lower_bound", "target_specificity", "youden", "miss_cost"}
_SHAPES_NOTHING = {"keep_threshold", "require", "allow_leak", "near_duplicates", "batch_size"} | _RULES


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
        rules = ("target_recall", "target_specificity", "youden", "miss_cost")
        said = [f"--{name.replace('_', '-')}" for name in rules if info.data.get(name)]
        if value is not None and said:
            raise ValueError(f"a threshold is given or chosen: leave out this one or {said[0]}")
        return value

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape the numbers, for the record and to know them again."""
        return self.model_dump(mode="json", exclude=_SHAPES_NOTHING)
