"""Contact sheets: every picture in its place, fitted, and never a file half written."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.errors import UsageError
from medimg_cli.images.pictures import SheetGroup, SheetRow, draw_sheet, write_sheet

RED, BLUE = (200, 0, 0), (0, 0, 200)


def row(*colours: tuple[int, int, int], size: tuple[int, int] = (40, 40)) -> SheetRow:
    pictures = tuple(Image.new("RGB", size, colour) for colour in colours)
    return SheetRow(pictures, tuple(f"{colour}" for colour in colours))


def area(sheet: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((np.asarray(sheet) == colour).all(axis=2).sum())


def test_pictures_stand_side_by_side_in_the_order_given() -> None:
    sheet = draw_sheet("title", ["one", "two"], [SheetGroup("class", (row(RED, BLUE),))])
    pixels = np.asarray(sheet)
    reds, blues = ((pixels == colour).all(axis=2).nonzero()[1] for colour in (RED, BLUE))
    assert reds.max() < blues.min()
    assert area(sheet, RED) == area(sheet, BLUE) == 168 * 168


def test_a_wide_picture_keeps_its_side_ratio() -> None:
    sheet = draw_sheet("title", ["one"], [SheetGroup("class", (row(RED, size=(400, 100)),))])
    assert area(sheet, RED) == 168 * 42


def test_every_row_and_group_makes_the_sheet_longer() -> None:
    heights = [
        draw_sheet("t", ["one"], [SheetGroup("a", (row(RED),) * rows)] * groups).height
        for rows, groups in ((1, 1), (2, 1), (2, 2))
    ]
    assert heights == sorted(set(heights))


def test_long_words_do_not_run_into_the_next_column() -> None:
    long = SheetRow((Image.new("L", (9, 9)), Image.new("L", (9, 9))), ("w" * 300, ""))
    pixels = np.asarray(draw_sheet("t", ["one", "two"], [SheetGroup("a", (long,))]))
    words = pixels[-(28 + 22 + 22 + 4) : -28, 28 + 168 + 8 :]
    assert (words == pixels[0, 0]).all()


@pytest.mark.parametrize("name", ["sheet.png", "sheet.JPG", "sheet.webp"])
def test_the_suffix_decides_the_format(tmp_path: Path, name: str) -> None:
    write_sheet(draw_sheet("t", ["one"], [SheetGroup("a", (row(RED),))]), tmp_path / name)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == {"png": "PNG", "jpg": "JPEG", "webp": "WEBP"}[name.split(".")[1].lower()]


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no name of a picture"):
        write_sheet(Image.new("RGB", (4, 4)), tmp_path / "sheet.pdf")
