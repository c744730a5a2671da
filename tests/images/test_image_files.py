"""Rows of a manifest and the files behind them."""

import zipfile
from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.image_files import ImageFile, image_files
from medimg_cli.workspace.workspace import Workspace


def _files(root: Path, *paths: str) -> dict[ImageFile, list[str]]:
    rows = pd.DataFrame({"image_id": [f"i{n}" for n in range(len(paths))], "path": list(paths)})
    return image_files(Workspace(root), rows)


def test_frames_of_a_file_are_one_file(tmp_path: Path) -> None:
    found = _files(tmp_path, "a.dcm#frame/0", "a.dcm#frame/1", "b.tif#page/2", "c.png")
    assert found == {
        ImageFile(tmp_path / "a.dcm"): ["i0", "i1"],
        ImageFile(tmp_path / "b.tif"): ["i2"],
        ImageFile(tmp_path / "c.png"): ["i3"],
    }


def test_members_of_an_archive_are_files_and_arrays_are_none(tmp_path: Path) -> None:
    found = _files(tmp_path, "a.zip#x/1.png", "a.zip#x/2.dcm#frame/3", "set.npz#train/4", "set.npy#4")
    assert list(found) == [ImageFile(tmp_path / "a.zip", "x/1.png"), ImageFile(tmp_path / "a.zip", "x/2.dcm")]


def test_a_plain_file_may_have_a_hash_sign_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.dcm#frame").mkdir()
    (tmp_path / "a.dcm#frame" / "3").write_bytes(b"x")
    assert list(_files(tmp_path, "a.dcm#frame/3")) == [ImageFile(tmp_path / "a.dcm#frame" / "3")]


def test_a_member_comes_as_bytes_and_a_file_as_its_place(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.png", b"content")
    assert ImageFile(tmp_path / "a.zip", "1.png").content() == b"content"
    assert ImageFile(tmp_path / "1.png").content() == tmp_path / "1.png"
    with pytest.raises(UnreadableImage):
        ImageFile(tmp_path / "a.zip", "2.png").content()
