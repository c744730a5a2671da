"""The shelf's contract: which layout is taken, and what is said when none fits."""

from pathlib import Path

import pytest

from medimg_cli.dataset.layouts import LAYOUTS, find_layout, name_sources
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.settings import IngestSettings

OF_NO_LAYOUT = ("flat", "one.png", "nothing")


@pytest.mark.parametrize("name", LAYOUTS.names())
def test_every_layout_says_what_it_is_and_takes_no_source_of_another(name: str, tmp_path: Path) -> None:
    layout = LAYOUTS.get(name)
    assert layout.summary
    for file in ("classes/A/1.png", "classes/B/1.png", "flat/1.png", "flat/2.png", "one.png"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    (tmp_path / "nothing").mkdir()
    for source in name_sources([tmp_path / "classes", *(tmp_path / each for each in OF_NO_LAYOUT)]):
        if (name, source.path.name) != ("folders", "classes"):
            assert layout.misfit(source, IngestSettings())


def test_images_without_classes_are_refused_with_both_ways_out(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    with pytest.raises(DataError, match="fits no layout") as caught:
        find_layout(name_sources([tmp_path]), IngestSettings())
    assert "folders: files, but no class folders" in caught.value.what
    assert "--labels" in caught.value.hint
    assert "folder of its own" in caught.value.hint


def test_a_single_file_is_told_apart_from_an_archive(tmp_path: Path) -> None:
    (tmp_path / "set.rar").write_bytes(b"Rar!\x1a\x07\x01\x00")
    with pytest.raises(DataError, match="is a single file, no folder and no archive"):
        find_layout(name_sources([tmp_path / "set.rar"]), IngestSettings())


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
