"""The recipe that the training images and the settings ask for."""

from dataclasses import dataclass

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import DataError
from medimg_cli.preprocessing.automatic_choices import (
    DataFacts,
    channels_for,
    data_facts,
    preferred_size_px,
    side_for,
)
from medimg_cli.preprocessing.recipe import Interpolation, Recipe
from medimg_cli.workspace.settings import PreprocessSettings, TrainSettings


@dataclass(frozen=True)
class WantedImages:
    """What images a network works best at: their side in pixels, and how they are resized to it."""

    size_px: int
    interpolation: Interpolation = "bilinear, antialiased"


def plan_recipe(
    dataset: Dataset,
    settings: PreprocessSettings,
    *,
    train: TrainSettings,
    wanted: WantedImages | None = None,
) -> Recipe:
    """Return the recipe: sizes above the images' own are not used, grey sets stay one channel.

    16 bits are kept only where an image has more than 8. Only training images decide.

    Args:
        train: whose network prefers a size; a frozen one wants small images enlarged.
        wanted: what that network wants, of one that only the torch wing knows.

    Raises:
        DataError: there is no training image.
    """
    facts = facts_of_training(dataset)
    size, channels = settings.size, settings.channels
    wanted = wanted or WantedImages(preferred_size_px(train.arch))
    preferred = side_for(wanted.size_px, facts, frozen=train.freeze != "none")
    return Recipe(
        size_px=preferred.value if size == "auto" else size,
        channels=channels_for(facts).value if channels == "auto" else channels,
        resize_mode=settings.resize_mode,
        interpolation=wanted.interpolation,
        window=None if settings.window == "auto" else settings.window,
        bits=16 if settings.bits == 16 and facts.bit_depth > 8 else 8,
        clahe=settings.clahe,
        border_crop=settings.border_crop,
    )


def facts_of_training(dataset: Dataset) -> DataFacts:
    if dataset.of_split("train").empty:
        raise DataError("no image in the training split", "ingest again with another --split")
    return data_facts(dataset)
