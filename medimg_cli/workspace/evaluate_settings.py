"""The section `evaluate` of the settings: what is measured, and how."""

from typing import Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from medimg_cli.workspace.operating_settings import OperatingSettings
from medimg_cli.workspace.section import Chance, PositiveInt, ProbabilityRange, listed

_SHAPES_NOTHING = {"keep_threshold", "require", "allow_leak", "near_duplicates", "batch_size"}


class EvaluateSettings(OperatingSettings):
    split: Literal["train", "val", "test"] = Field("test", description="which split")
    ci: Literal["wilson", "exact"] = Field("wilson", description="intervals of independent proportions")
    require: tuple[str, ...] = Field((), description="requirements such as recall>=0.9")
    allow_leak: bool = Field(False, description="evaluate a leaky split; the report says so")
    tta: bool = Field(False, description="the mean over several views of each image")
    alpha: Chance = Field(0.1, description="chance that a conformal set may miss the right class")
    decision_range: ProbabilityRange = Field(
        (0.01, 0.5), description="probabilities at which one might act, of the decision curve"
    )
    subgroups: tuple[str, ...] = Field(
        (), description="columns whose levels are measured; empty = sex, age, site and the like"
    )
    intersections: bool = Field(False, description="two of these columns at once as well")
    min_positives: PositiveInt = Field(10, description="fewer positive images of a subgroup: counts only")
    compare: str | None = Field(
        None, description="another run, or a table of predictions, on the same images"
    )
    robustness: bool = Field(False, description="recall under blur, noise, brightness, contrast and JPEG")
    near_duplicates: bool = Field(
        False, description="search other splits for near duplicates if no audit did"
    )
    positive: str | None = Field(
        None, description="the disease class of a predictions table of other software"
    )
    threshold: Chance | None = Field(None, description="its threshold, fixed before anybody saw the answers")
    protocol: Literal["medmnist"] | None = Field(
        None, description="also AUC and ACC as MedMNIST defines them"
    )
    batch_size: PositiveInt = Field(128, description="images a step")

    @field_validator("threshold")
    @classmethod
    def _check_no_rule(cls, value: float | None, info: ValidationInfo) -> float | None:
        rules = ("target_recall", "target_specificity", "youden", "miss_cost")
        said = [f"--{name.replace('_', '-')}" for name in rules if info.data.get(name)]
        if value is not None and said:
            raise ValueError(f"a threshold is given or chosen: leave out this one or {said[0]}")
        return value

    @field_validator("subgroups", mode="before")
    @classmethod
    def _split_columns(cls, value: Any) -> Any:
        return listed(value)

    def shaping(self) -> dict[str, Any]:
        """Return the settings that shape the numbers, for the record and to know them again."""
        return self.model_dump(mode="json", exclude=_SHAPES_NOTHING)
