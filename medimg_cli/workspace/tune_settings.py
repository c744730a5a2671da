"""The section `tune` of the settings: what is searched, how long, and by which figure."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from medimg_cli.workspace.duration import Seconds
from medimg_cli.workspace.section import PositiveInt, Section, listed

Searched = Literal[
    "lr", "weight_decay", "label_smoothing", "mixup", "augment", "loss", "batch_size", "arch", "size"
]
"""A setting that `tune` can vary."""


class TuneSettings(Section):
    trials: PositiveInt = Field(20, description="trainings at most, with those before a --resume")
    time_limit: Seconds | None = Field(None, description="such as 30m: no training begins after it")
    metric: Literal["auroc", "recall", "f1", "f2", "specificity", "loss"] | None = Field(
        None, description="validation figure to improve; empty = the monitor of train"
    )
    space: tuple[Searched, ...] = Field(
        ("lr", "weight_decay", "label_smoothing", "mixup", "augment"),
        description="what is varied; also loss, batch_size, and what is listed below",
    )
    arch: tuple[str, ...] = Field((), description="networks to choose from; empty = that of train")
    size: tuple[Annotated[int, Field(ge=8, le=4096)], ...] = Field(
        (), description="sides in pixels to choose from; empty = that of preprocess"
    )
    batch_size: tuple[PositiveInt, ...] = Field((), description="images a step to choose from")
    augment: tuple[str, ...] = Field(
        (), description="presets to choose from; empty = none, light and that of train"
    )
    pruner: Literal["median", "hyperband", "none"] = Field(
        "median", description="stops trials early: below the median of the others, or by rounds"
    )
    epochs: PositiveInt | None = Field(None, description="passes of a trial; empty = as train would")
    seed: int = Field(0, ge=0, description="seed of what is tried; trainings have the seed of train")
    keep: bool = Field(False, description="keep the folder of every trial")
    name: str | None = Field(None, description="name of the search's folder")

    @field_validator("space", "arch", "size", "batch_size", "augment", mode="before")
    @classmethod
    def _split_lists(cls, value: Any) -> Any:
        return listed(value)
