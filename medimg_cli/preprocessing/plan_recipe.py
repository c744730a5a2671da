"""The recipe that the training images and the settings ask for."""

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import DataError
from medimg_cli.preprocessing.automatic_choices import (
    DataFacts,
    channels_for,
    data_facts,
    preferred_size_px,
    side_for,
)
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.workspace.settings import PreprocessSettings


def plan_recipe(dataset: Dataset, settings: PreprocessSettings, *, arch: str) -> Recipe:
    """Return the recipe: sizes above the images' own are not used, grey sets stay one channel.

    16 bits are kept only where an image has more than 8. Only training images decide.

    Raises:
        DataError: there is no training image.
    """
    facts = facts_of_training(dataset)
    size, channels = settings.size, settings.channels
    return Recipe(
        size_px=side_for(preferred_size_px(arch), facts).value if size == "auto" else size,
        channels=channels_for(facts).value if channels == "auto" else channels,
        resize_mode=settings.resize_mode,
        window=None if settings.window == "auto" else settings.window,
        bits=16 if settings.bits == 16 and facts.bit_depth > 8 else 8,
        clahe=settings.clahe,
        border_crop=settings.border_crop,
    )


def facts_of_training(dataset: Dataset) -> DataFacts:
    if dataset.of_split("train").empty:
        raise DataError("no image in the training split", "ingest again with another --split")
    return data_facts(dataset)
