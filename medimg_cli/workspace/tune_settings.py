"""The section `tune` of the settings: what is searched, how long, and by which figure."""

from typing import Annotated, Literal

from pydantic import Field

from medimg_cli.workspace.section import PositiveInt, Seconds, Section, Several, setting

Searched = Literal[
    "lr", "weight_decay", "label_smoothing", "mixup", "augment", "loss", "batch_size", "arch", "size"
]
"""A setting that `tune` can vary."""


class TuneSettings(Section):
    trials: PositiveInt = setting(20, "trainings at most, with those before a --resume")
    time_limit: Seconds | None = setting(
        None,
        "such as 30m or 2h: the training then at work ends, no other begins",
        unset="none",
        metavar="30m|2h",
        unit="seconds",
    )
    metric: Literal["auroc", "recall", "f1", "f2", "specificity", "loss"] | None = setting(
        None, "validation figure to improve", unset="the monitor of train"
    )
    space: Several[Searched] = setting(
        ("lr", "weight_decay", "label_smoothing", "mixup", "augment"), "what is varied"
    )
    arch: Several[str] = setting((), "networks to choose from", unset="that of train")
    size: Several[Annotated[int, Field(ge=8, le=4096)]] = setting(
        (), "sides to choose from", unset="that of preprocess", unit="px", metavar="96,128"
    )
    batch_size: Several[PositiveInt] = setting(
        (), "images a step to choose from", unset="that of train", unit="images", metavar="16,32"
    )
    augment: Several[str] = setting((), "presets to choose from", unset="none, light and that of train")
    pruner: Literal["median", "hyperband", "none"] = setting(
        "median", "stops hopeless trials early: below the median of the others, or by rounds"
    )
    epochs: PositiveInt | None = setting(None, "passes of a trial", unset="as train would", unit="epochs")
    seed: int = setting(0, "seed of what is tried; trainings have the seed of train", ge=0)
    keep: bool = setting(False, "keep the folder of every trial")
    name: str | None = setting(None, "name of the search's folder below tune/", unset="search and a number")
