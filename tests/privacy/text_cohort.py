"""Pictures with text burned in, drawn for the proofs: what was written where, and how well it can be seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Kind = Literal["clean", "marker", "identity"]
Tone = Literal["", "white", "mid grey"]
Grey = NDArray[np.uint8]

# Invented people and numbers; each family is what a modality or an archive burns in.
IDENTITIES = (
    "DOE^JANE",
    "Jane Doe",
    "MUELLER, HANS",
    "Anna Kowalski",
    "PEREZ^MARIA^LUISA",
    "O. Hansen 1975-11-30",
    "Name: Svensson",
    "MRN 4829173",
    "ID: 00483920",
    "83920174",
    "ACC 20219481",
    "DOB 03.02.1980",
    "1980-02-03",
    "14/03/2021 10:22:31",
    "12-Mar-2021",
    "20210314",
    "Dr. A. Keller",
    "MERCY HOSPITAL",
    "St. Olav Hospital",
    "+1 555 010 4477",
)
MARKERS = (
    "R",
    "L",
    "RT",
    "LT",
    "AP",
    "PA",
    "LAT",
    "R LAT",
    "CC",
    "RMLO",
    "PORTABLE",
    "ERECT",
    "SUPINE",
    "A-P",
    "80 kV",
    "2.5 mAs",
    "SEMI ERECT",
)
TEXT_HEIGHTS_PX = (12, 14, 18, 24, 32, 48)
SIDES_PX = (512, 768, 1024)
MID_GREY_CONTRAST = 70
_MARGIN_PX = 6
_DARK_ENOUGH = 170  # white text on a white shoulder is seen by nobody
_EVEN_ENOUGH = 20  # nor is all of one grey over lung and bone; levels, standard deviation
_HERSHEY = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX)


@dataclass(frozen=True)
class Drawn:
    """One picture of the proof.

    Args:
        kind: what was drawn: nothing, a marker, or an identity.
        tone: of the text; mid grey is 70 levels above or below the mean around it.
        text: what stands there, "" where nothing does.
        height_px: the size of the font asked for, 0 where nothing stands; smaller where no place for it was found.
        box: x, y, w, h of the text, in pixels.
        pixels: (H, W, 1) uint8.
    """

    kind: Kind
    tone: Tone
    text: str
    height_px: int
    box: tuple[int, int, int, int]
    pixels: Grey


def draw_cohort(
    backgrounds: Sequence[Grey], *, seed: int, clean: int = 30, markers: int = 30, identities: int = 110
) -> Iterator[Drawn]:
    """Yield the pictures over square pieces of `backgrounds` (H, W): clean, markers, identities.

    Markers and identities take turns in tone, sizes and fonts, so each combination is there about as often.
    """
    generator = np.random.default_rng(seed)
    order = [*["clean"] * clean, *["marker"] * markers, *["identity"] * identities]
    for number, kind in enumerate(order):
        side_px = SIDES_PX[number % len(SIDES_PX)]
        ground = _ground(backgrounds[number % len(backgrounds)], side_px)
        if kind == "clean":
            yield Drawn("clean", "", "", 0, (0, 0, 0, 0), ground[..., None])
            continue
        texts = MARKERS if kind == "marker" else IDENTITIES
        text = texts[(number // 2) % len(texts)]
        height_px = int(generator.choice(TEXT_HEIGHTS_PX))
        tone: Tone = "white" if number % 2 else "mid grey"
        pixels, box = write_text(ground, text, height_px, tone, generator)
        yield Drawn(
            "marker" if kind == "marker" else "identity", tone, text, height_px, box, pixels[..., None]
        )


def write_text(
    ground: Grey, text: str, height_px: int, tone: Tone, generator: Generator
) -> tuple[Grey, tuple[int, int, int, int]]:
    """Return (H, W) with `text` at a random place where it can be seen, and its box (x, y, w, h)."""
    ink = _ink(text, height_px, generator)
    height, width = ink.shape
    rows, columns = ground.shape
    if width + 2 * _MARGIN_PX > columns:  # a long line in a small picture is written smaller
        return write_text(ground, text, height_px * columns // (width + 4 * _MARGIN_PX), tone, generator)
    for _ in range(200):
        y = int(generator.integers(_MARGIN_PX, rows - height - _MARGIN_PX + 1))
        x = int(generator.integers(_MARGIN_PX, columns - width - _MARGIN_PX + 1))
        under = ground[y : y + height, x : x + width]
        level = _level(float(under.mean()), tone, generator)
        if _can_be_seen(under, tone):
            break
    else:
        if height_px > min(TEXT_HEIGHTS_PX):  # a place for smaller writing is found sooner
            return write_text(ground, text, max(min(TEXT_HEIGHTS_PX), height_px * 3 // 4), tone, generator)
    written = ground.copy()
    mixed = under + (level - under.astype(np.float64)) * ink
    written[y : y + height, x : x + width] = np.clip(mixed + 0.5, 0, 255).astype(np.uint8)
    return written, (x, y, width, height)


def _can_be_seen(under: Grey, tone: Tone) -> bool:
    if tone == "white":
        return float(np.percentile(under, 95)) <= _DARK_ENOUGH
    return float(under.std()) <= _EVEN_ENOUGH


def _level(mean: float, tone: Tone, generator: Generator) -> float:
    """Return the grey of the text: white, or the contrast of mid grey on the side that has room for it."""
    if tone == "white":
        return 255.0
    lighter = mean < MID_GREY_CONTRAST or (mean <= 255 - MID_GREY_CONTRAST and bool(generator.integers(2)))
    return mean + MID_GREY_CONTRAST if lighter else mean - MID_GREY_CONTRAST


def _ink(text: str, height_px: int, generator: Generator) -> NDArray[np.float64]:
    """Return how much ink covers each pixel (h, w), 0..1, in a font drawn at random."""
    if generator.integers(3) == 0:
        return _hershey(text, height_px, _HERSHEY[int(generator.integers(len(_HERSHEY)))])
    # The DejaVu fonts are on most machines; Pillow's own stands in, and on all others.
    try:
        font = (
            ImageFont.truetype("DejaVuSans.ttf", height_px) if generator.integers(2) else _pillow(height_px)
        )
    except OSError:
        font = _pillow(height_px)
    left, top, right, bottom = (int(side) for side in font.getbbox(text))
    canvas = Image.new("L", (right - left + 2, bottom - top + 2))
    ImageDraw.Draw(canvas).text((1 - left, 1 - top), text, fill=255, font=font)
    return np.asarray(canvas, dtype=np.float64) / 255


def _pillow(height_px: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(height_px)
    assert isinstance(font, ImageFont.FreeTypeFont), "this Pillow was built without FreeType"
    return font


def _hershey(text: str, height_px: int, face: int) -> NDArray[np.float64]:
    thickness = max(1, height_px // 12)
    scale = height_px / 30.0  # a capital of these fonts is about 22 px high at scale 1
    (width, height), below = cv2.getTextSize(text, face, scale, thickness)
    canvas = np.zeros((height + below + 2 * thickness, width + 2 * thickness), dtype=np.uint8)
    cv2.putText(canvas, text, (thickness, height + thickness), face, scale, 255, thickness, cv2.LINE_AA)
    return canvas.astype(np.float64) / 255


def _ground(picture: Grey, side_px: int) -> Grey:
    """Return the middle square of a picture at the side asked for."""
    side = min(picture.shape)
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    square = picture[top : top + side, left : left + side]
    method = cv2.INTER_AREA if side > side_px else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(square, (side_px, side_px), interpolation=method), dtype=np.uint8)
