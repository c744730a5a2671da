"""preprocess: decoded once, by the model's recipe, never more than asked for."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.core.config import PreprocessSettings
from medimg_cli.core.manifest import read_dataset
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError
from medimg_cli.readers import read_image
from medimg_cli.stages.preprocess import preprocess
from tests.conftest import SIDE_PX, draw_cohort, medimg

SETTINGS = PreprocessSettings(size=16)


@pytest.fixture
def workspace(cohort: Path, tmp_path: Path) -> Workspace:
    assert (
        medimg(tmp_path, "ingest", str(cohort), "--positive", "SPOT", "--patient-regex", r"(patient\d+)") == 0
    )
    return Workspace(tmp_path)


def test_cached_pixels_are_the_recipe_applied_to_the_file(workspace: Workspace) -> None:
    cache = preprocess(workspace, SETTINGS).cache
    row = read_dataset(workspace).usable.iloc[5]
    image = read_image(workspace.absolute(row["path"]))
    assert np.array_equal(cache.pixels[cache.positions([row["image_id"]])[0]], cache.recipe.apply(image))


def test_a_second_call_decodes_nothing(workspace: Workspace) -> None:
    first, second = preprocess(workspace, SETTINGS), preprocess(workspace, SETTINGS)
    assert (first.reused, first.decoded) == (False, 60)
    assert (second.reused, second.decoded) == (True, 0)


def test_training_leaves_test_images_undecoded(workspace: Workspace) -> None:
    dataset = read_dataset(workspace)
    test_rows = dataset.of_split("test")
    for path in test_rows["path"]:
        Path(workspace.absolute(path)).unlink()
    result = preprocess(workspace, SETTINGS, splits=("train", "val"))
    assert result.images == 60 - len(test_rows)


def test_further_splits_join_without_decoding_the_first_again(workspace: Workspace) -> None:
    before = preprocess(workspace, SETTINGS, splits=("train",))
    after = preprocess(workspace, SETTINGS)
    assert after.decoded == 60 - before.images
    again = Workspace(workspace.root)
    shutil.rmtree(workspace.cache_dir)
    assert np.array_equal(preprocess(again, SETTINGS).cache.pixels, after.cache.pixels)


def test_auto_takes_the_images_own_size_and_one_channel(workspace: Workspace) -> None:
    recipe = preprocess(workspace, PreprocessSettings()).cache.recipe
    assert (recipe.size_px, recipe.channels, recipe.resize_mode) == (SIDE_PX, 1, "pad")


def test_an_image_that_broke_since_ingest_is_named(workspace: Workspace) -> None:
    row = read_dataset(workspace).of_split("train").iloc[0]
    Path(workspace.absolute(row["path"])).write_bytes(b"")
    with pytest.raises(DataError, match=str(row["image_id"])):
        preprocess(workspace, SETTINGS)


def test_new_images_are_added_to_the_cache(workspace: Workspace, cohort: Path, tmp_path: Path) -> None:
    preprocess(workspace, SETTINGS)
    draw_cohort(cohort, patients=32)
    medimg(tmp_path, "ingest", str(cohort), "--positive", "SPOT", "--patient-regex", r"(patient\d+)")
    assert preprocess(workspace, SETTINGS).decoded == 4
