"""The shelf's contract: which layout is taken, and what is said when none fits."""

from pathlib import Path

import pytest

from medimg_cli.dataset.layouts import LAYOUTS, find_layout, name_sources
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.settings import IngestSettings


def test_every_layout_says_what_it_is() -> None:
    assert LAYOUTS.names() == ("csv", "dicom", "folders", "inner-folders", "names", "npz")
    assert all(LAYOUTS.get(name).summary for name in LAYOUTS.names())


def test_images_without_classes_are_refused_with_both_ways_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="fits no layout") as caught:
        find_layout(name_sources([tmp_path]), IngestSettings())
    assert "folders: files, but no class folders" in caught.value.what
    assert "--labels" in caught.value.hint
    assert "folder of its own" in caught.value.hint


def test_a_named_layout_that_does_not_fit_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"npz: not an \.npz archive"):
        find_layout(name_sources([tmp_path]), IngestSettings(layout="npz"))


def test_an_unknown_layout_proposes_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        find_layout(name_sources([tmp_path]), IngestSettings(layout="folder"))
    assert caught.value.hint == "did you mean 'folders'?"


def test_several_sources_are_told_apart_by_their_names(tmp_path: Path) -> None:
    paths = [tmp_path / "x" / "raw", tmp_path / "y" / "raw", tmp_path / "z"]
    for path in paths:
        path.mkdir(parents=True)
    assert [source.prefix for source in name_sources(paths)] == ["raw/", "raw-2/", "z/"]
    assert name_sources(paths[:1])[0].prefix == ""


def test_a_source_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist"):
        name_sources([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match="no source"):
        name_sources([])
