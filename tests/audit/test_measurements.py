"""Measuring images: once per content, and never a stale figure."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.audit.measurements import measurements
from medimg_cli.audit.measurements.image_statistics import look_at
from medimg_cli.audit.measurements.measurements import MEASUREMENT_COLUMNS, measure_images, measurements_path
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace

Reader = Callable[[str], DecodedImage]


def _picture(*values: int) -> DecodedImage:
    return DecodedImage(np.array(values, dtype=np.uint8).reshape(1, -1, 1), 8)


def _files(folder: Path, **contents: bytes) -> pd.DataFrame:
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return pd.DataFrame({"image_id": list(contents), "path": list(contents)})


def _read(path: str) -> DecodedImage:
    """Stand in for a reader: the file's bytes are the pixels."""
    content = Path(path).read_bytes()
    if not content:
        raise UnreadableImage("the file is empty")
    return _picture(*content)


def _refuse(path: str) -> DecodedImage:
    raise AssertionError(f"{path} was decoded again")


def _read_as(value: int) -> Reader:
    """Return a reader to whom every file is one pixel of `value`."""

    def read(path: str) -> DecodedImage:
        assert Path(path).is_absolute()
        return _picture(value)

    return read


def _measured(folder: Path, rows: pd.DataFrame, read: Reader = _read) -> pd.DataFrame:
    return measure_images(Workspace(folder), rows, read, SilentProgress(), workers=2).table


def test_the_figures_stand_in_zero_to_one_of_the_type() -> None:
    figures = look_at(_picture(0, 255))
    assert (figures.mean, figures.std, figures.minimum, figures.maximum) == (0.5, 0.5, 0.0, 1.0)
    deep = look_at(DecodedImage(np.array([[[65535]], [[0]]], dtype=np.uint16), 16))
    assert (deep.mean, deep.std, deep.minimum, deep.maximum) == (0.5, 0.5, 0.0, 1.0)


def test_every_image_gets_a_row_in_order(tmp_path: Path) -> None:
    rows = _files(tmp_path, b=b"\x00\xff", a=b"\x07", broken=b"")
    table = _measured(tmp_path, pd.concat([rows, pd.DataFrame({"image_id": ["gone"], "path": ["gone"]})]))
    assert list(table.index) == ["b", "a", "broken", "gone"]
    assert list(table.columns) == list(MEASUREMENT_COLUMNS)
    assert list(table["readable"]) == [True, True, False, False]
    assert list(table["reason"])[2:] == ["the file is empty", "the file is gone or cannot be opened"]
    assert table.loc["a", "sha256"] == sha256_of_file(tmp_path / "a")
    assert table.loc["gone", "sha256"] == ""


def test_a_second_measuring_decodes_nothing_and_says_the_same(tmp_path: Path) -> None:
    rows = _files(tmp_path, a=b"\x00\x01\xff", b=b"\x07\x08")
    first = _measured(tmp_path, rows)
    pd.testing.assert_frame_equal(_measured(tmp_path, rows, _refuse), first, check_exact=True)


def test_a_changed_file_is_measured_anew(tmp_path: Path) -> None:
    rows = _files(tmp_path, a=b"\x00\xff", b=b"\x07")
    before = _measured(tmp_path, rows)["pixel_sha256"].to_dict()
    (tmp_path / "b").write_bytes(b"\x09")
    after = _measured(tmp_path, rows)
    pixels = after["pixel_sha256"].to_dict()
    assert (pixels["a"] == before["a"], pixels["b"] == before["b"]) == (True, False)
    assert after.loc["b", "sha256"] == sha256_of_file(tmp_path / "b")


def test_an_unreadable_file_is_tried_again(tmp_path: Path) -> None:
    rows = _files(tmp_path, a=b"")
    assert not _measured(tmp_path, rows).loc["a", "readable"]
    assert _measured(tmp_path, rows, _read_as(1)).loc["a", "readable"]


def test_figures_of_another_version_are_not_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = _files(tmp_path, a=b"\x00")
    _measured(tmp_path, rows)
    monkeypatch.setattr(measurements, "__version__", "another")
    assert _measured(tmp_path, rows, _read_as(255)).loc["a", "maximum"] == 1.0


@pytest.mark.parametrize("content", [b"PK\x03\x04 of another", b"", None])
def test_kept_figures_that_were_damaged_are_measured_again(content: bytes | None, tmp_path: Path) -> None:
    rows = _files(tmp_path, a=b"\x00\xff")
    first = _measured(tmp_path, rows)
    path = measurements_path(Workspace(tmp_path))
    half = np.float64(0.5).tobytes()
    assert half in path.read_bytes()
    path.write_bytes(
        path.read_bytes().replace(half, np.float64(0.25).tobytes()) if content is None else content
    )
    pd.testing.assert_frame_equal(_measured(tmp_path, rows), first)


def test_what_was_measured_before_an_interruption_is_kept(tmp_path: Path) -> None:
    rows = _files(tmp_path, **{f"{number:02d}": bytes([number]) for number in range(40)})

    def interrupted(path: str) -> DecodedImage:
        if path.endswith("30"):
            raise KeyboardInterrupt
        return _read(path)

    with pytest.raises(KeyboardInterrupt):
        _measured(tmp_path, rows, interrupted)
    assert len(np.load(measurements_path(Workspace(tmp_path)))["thumbnail"]) == 30


def test_members_of_an_array_file_are_kept_by_the_content_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "set.npz").write_bytes(b"first")
    rows = pd.DataFrame({"image_id": ["train/0", "train/1"], "path": ["set.npz#train/0", "set.npz#train/1"]})
    first = _measured(tmp_path, rows, lambda path: _picture(int(path[-1])))
    assert list(first["sha256"]) == list(first["pixel_sha256"])
    pd.testing.assert_frame_equal(_measured(tmp_path, rows, _refuse), first)
    (tmp_path / "set.npz").write_bytes(b"second")
    changed = _measured(tmp_path, rows, _read_as(9))
    assert list(changed["sha256"]) != list(first["sha256"])


def test_a_file_with_a_hash_sign_in_its_name_is_a_file(tmp_path: Path) -> None:
    rows = _files(tmp_path, **{"set.npz#1": b"\x07"})
    assert _measured(tmp_path, rows).loc["set.npz#1", "sha256"] == sha256_of_file(tmp_path / "set.npz#1")


def test_only_what_is_asked_for_is_measured_and_the_rest_later(tmp_path: Path) -> None:
    rows, workspace, decoded = _files(tmp_path, a=b"\x07", b=b"\x07\x09"), Workspace(tmp_path), []

    def read(path: str) -> DecodedImage:
        decoded.append(path)
        return _read(path)

    def measured(looks: bool, text: bool) -> pd.DataFrame:
        find_text = (lambda image: f"{image.width} wide") if text else None
        return measure_images(
            workspace, rows, read, SilentProgress(), find_text=find_text, statistics=looks
        ).table

    bare = measured(looks=False, text=False)
    assert bare["mean"].isna().all() and bare["pixel_sha256"].ne("").all()
    assert measured(looks=True, text=False)["mean"].notna().all()
    whole = measured(looks=True, text=True)
    assert whole["text_regions"].tolist() == ["1 wide", "2 wide"]
    assert len(decoded) == 6
    pd.testing.assert_frame_equal(measured(looks=True, text=True), whole)
    again = measured(looks=False, text=False)
    assert again["text_regions"].tolist() == ["1 wide", "2 wide"], "what is known stays known"
    assert len(decoded) == 6
    assert (tmp_path / "audit" / "thumbnails.u8").stat().st_size == 2 * 96 * 96
