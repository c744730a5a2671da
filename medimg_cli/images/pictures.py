"""Decoded images as pictures for people: what a browser shows, and contact sheets, drawn by Pillow alone."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from medimg_cli.errors import UsageError
from medimg_cli.images.image import DecodedImage
from medimg_cli.workspace.files import atomic_path

_JPEG_QUALITY = 82


def shrunk(image: DecodedImage, side_px: int) -> Image.Image:
    """Return the picture, 8 bits, its longer side at most `side_px`; smaller ones stay as they are."""
    pixels = image.as_uint8()
    picture = Image.fromarray(np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels))
    picture.thumbnail((side_px, side_px), Image.Resampling.BOX)
    return picture


def as_png(image: DecodedImage, side_px: int) -> bytes:
    """Return the picture as a PNG file: pixels only, nothing of the file it came from."""
    buffer = BytesIO()
    shrunk(image, side_px).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def as_data_uri(image: DecodedImage, side_px: int) -> str:
    """Return the picture as a JPEG inside a `data:` address, for a page that loads nothing."""
    return jpeg_data_uri(shrunk(image, side_px), _JPEG_QUALITY)


def jpeg_data_uri(picture: Image.Image, quality: int) -> str:
    """Return a picture as a JPEG inside a `data:` address."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"


_CELL_PX = 168
_GAP_PX = 8
_GROUP_GAP_PX = 22
_MARGIN_PX = 28
_WORDS_PX = 22
_HEADING_PX = 40
_TITLE_PX = 34
_PAPER, _INK, _PALE, _MAT = (250, 250, 248), (32, 34, 38), (112, 116, 122), (226, 227, 224)
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


@dataclass(frozen=True)
class SheetRow:
    """One line of the sheet.

    Args:
        pictures: from left to right, any size and mode; each is fitted into its cell, never enlarged beyond it.
        captions: what stands under each of them.
    """

    pictures: tuple[Image.Image, ...]
    captions: tuple[str, ...]


@dataclass(frozen=True)
class SheetGroup:
    """Rows under one heading, such as a class."""

    heading: str
    rows: tuple[SheetRow, ...]


def check_sheet_path(path: Path) -> None:
    """Refuse a file name before any work is done for it.

    Raises:
        UsageError: the suffix names no picture format a sheet is written in.
    """
    if path.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"{path} is no name of a picture", "the suffix decides the format: " + ", ".join(_FORMATS)
        )


def draw_sheet(title: str, columns: Sequence[str], groups: Sequence[SheetGroup]) -> Image.Image:
    """Return the sheet as an RGB picture.

    Args:
        title: one line at the top.
        columns: a word over each column; as many as a row has pictures.
        groups: drawn one below the other.
    """
    row_px = _CELL_PX + _WORDS_PX + _GAP_PX
    width = 2 * _MARGIN_PX + len(columns) * (_CELL_PX + _GAP_PX) - _GAP_PX
    height = 2 * _MARGIN_PX + _TITLE_PX + _WORDS_PX
    height += sum(_HEADING_PX + len(group.rows) * row_px + _GROUP_GAP_PX for group in groups)
    sheet = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _write(pen, (_MARGIN_PX, _MARGIN_PX), title, width - 2 * _MARGIN_PX, size=17, ink=_INK)
    top = _MARGIN_PX + _TITLE_PX
    for column, words in enumerate(columns):
        _write(pen, (_left_of(column), top), words, _CELL_PX, size=13, ink=_PALE)
    top += _WORDS_PX
    for group in groups:
        pen.line((_MARGIN_PX, top + 6, width - _MARGIN_PX, top + 6), fill=_MAT, width=1)
        _write(pen, (_MARGIN_PX, top + 14), group.heading, width - 2 * _MARGIN_PX, size=15, ink=_INK)
        top += _HEADING_PX
        for row in group.rows:
            _draw_row(sheet, pen, row, top)
            top += row_px
        top += _GROUP_GAP_PX
    return sheet


def write_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a sheet atomically, in the format its name says.

    Raises:
        UsageError: the suffix names none.
        MachineError: the disk is full or the folder cannot be written.
    """
    check_sheet_path(path)
    with atomic_path(path) as temporary:
        sheet.save(temporary, _FORMATS[path.suffix.lower()])


def _left_of(column: int) -> int:
    return _MARGIN_PX + column * (_CELL_PX + _GAP_PX)


def _draw_row(sheet: Image.Image, pen: ImageDraw.ImageDraw, row: SheetRow, top: int) -> None:
    for column, (picture, caption) in enumerate(zip(row.pictures, row.captions, strict=True)):
        left = _left_of(column)
        pen.rectangle((left, top, left + _CELL_PX - 1, top + _CELL_PX - 1), fill=_MAT)
        fitted = _fit(picture)
        place = (left + (_CELL_PX - fitted.width) // 2, top + (_CELL_PX - fitted.height) // 2)
        sheet.paste(fitted, place)
        _write(pen, (left, top + _CELL_PX + 4), caption, _CELL_PX, size=12, ink=_PALE)


def _fit(picture: Image.Image) -> Image.Image:
    scale = _CELL_PX / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    # A 28-pixel image is shown as the squares it consists of, not smoothed into detail it does not have.
    how = Image.Resampling.BILINEAR if scale < 1 else Image.Resampling.NEAREST
    return picture.convert("RGB").resize(size, how)


def _write(
    pen: ImageDraw.ImageDraw,
    place: tuple[int, int],
    words: str,
    room_px: int,
    *,
    size: int,
    ink: tuple[int, int, int],
) -> None:
    """Write one line, its middle left out where it is longer than the room."""
    font = ImageFont.load_default(size)
    plain = " ".join(words.split())
    shown, kept = plain, len(plain)
    while pen.textlength(shown, font=font) > room_px and kept > 2:
        kept -= 1
        shown = plain[: kept // 2] + "..." + plain[len(plain) - (kept - kept // 2) :]
    pen.text(place, shown, font=font, fill=ink)
