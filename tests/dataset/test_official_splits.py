"""The split a source gave, read from where an image stands."""

from pathlib import Path

import pytest

from medimg_cli.dataset.manifest import DatasetInfo, Origin, read_dataset
from medimg_cli.dataset.official_splits import official_splits
from medimg_cli.stages.ingest import ingest
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort


def _info(*origins: tuple[str, str], splits_given: bool = True) -> DatasetInfo:
    return DatasetInfo(
        classes=("a", "b"),
        positive=None,
        seed=0,
        layout="folders",
        sources=("raw",),
        patients_known=False,
        splits_given=splits_given,
        split_origin="official",
        origins=tuple(Origin(path=p, prefix=p, reading={"layout": layout}) for p, layout in origins),
    )


FOLDERS = _info(("", "folders"))


@pytest.mark.parametrize(
    ("images", "splits"),
    [
        (["train/a/1", "Testing/b/2", "valid/a/3"], ["train", "test", "val"]),
        (["set/images/train/a/1", "set/images/test/b/2"], ["train", "test"]),
        (["train/a/test/1", "test/b/train/2"], ["train", "test"]),
        (["train/a/1", "test/b/2", "licences/b/3"], ["train", "test", None]),
        (["a/train/1", "a/test/2", "b/test/1", "b/val/2", "b/3"], ["train", "test", "test", "val", None]),
        (["train/a/s.dcm#frame/0", "test/b/t.dcm#frame/0"], ["train", "test"]),
    ],
    ids=["spellings", "wrapped", "the outermost counts", "a foreign folder", "below the classes", "frames"],
)
def test_folders_tell_the_split(images: list[str], splits: list[str | None]) -> None:
    assert official_splits(images, FOLDERS) == splits


@pytest.mark.parametrize(
    "images",
    [["test/1", "healthy/2"], ["train/a/1", "train/b/2"], ["a/train/1", "b/test/2"], ["1", "2"], []],
    ids=["a class called test", "one split", "splits below classes", "no folder", "no image"],
)
def test_names_that_are_no_splits_tell_nothing(images: list[str]) -> None:
    assert official_splits(images, FOLDERS) == [None] * len(images)


def test_a_table_and_a_split_that_was_drawn_tell_nothing() -> None:
    images = ["train/a/1", "test/b/2"]
    assert official_splits(images, _info(("", "csv"))) == [None, None]
    assert official_splits(images, _info(("", "folders"), splits_given=False)) == [None, None]


def test_each_source_is_read_for_itself() -> None:
    info = _info(("one/", "folders"), ("two/", "npz"), ("three/", "csv"))
    images = ["one/train/a/1", "one/test/a/1", "two/val/7", "two/train/7", "three/train/a", "three/test/a"]
    assert official_splits(images, info) == ["train", "test", "val", "train", None, None]


def test_what_ingest_took_over_is_what_the_ids_tell(tmp_path: Path) -> None:
    for seed, split in enumerate(("train", "validation", "test")):
        draw_cohort(tmp_path / "raw" / split, patients=6, seed=seed)
    ingest(Workspace(tmp_path), [tmp_path / "raw"], IngestSettings())
    dataset = read_dataset(Workspace(tmp_path))
    told = official_splits([str(image) for image in dataset.rows["image_id"]], dataset.info)
    assert told == list(dataset.rows["split"])
    assert set(told) == {"train", "val", "test"}
