"""Reading what is burned into pixels, by RapidOCR: the extra `ocr`. Its networks come in its wheel; nothing is fetched."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from medimg_cli.privacy.pixels.text_regions import MOST_REGIONS, Box, Pixels, bounding, overlap

Colour = NDArray[np.uint8]

TILE_PX = 1024
_TILES_SHARE_PX = 96  # a line cut by the edge of one tile stands whole in the next
_LINE_PX = 30  # signs of this height are found and read well: the second network works on lines of 48
_MOST_ENLARGED = 3.0
_SMALL_PX, _LARGE_PX = 512, 2048  # a whole picture is read at twice its size below, reduced above
# Around a row of signs, in heights of it: a first letter or a second line it missed stands there.
_BESIDE, _ABOVE = 3.0, 1.0


_LOADING = Lock()


class ReadingUnavailable(Exception):  # noqa: N818 -- not a failure of the command: it becomes a finding
    """Raised where the extra is missing or came without its networks; its text says what to do, one line."""


@dataclass(frozen=True)
class TextLine:
    """One line as it was read.

    Args:
        text: an identity may stand in it: mask it before it is shown.
        confidence: 0..1, in the reader's own opinion.
        box: in pixels of the full picture.
    """

    text: str
    confidence: float
    box: Box


class LineReader(Protocol):
    """Finds and reads the lines of a picture (H, W, 3) uint8; boxes in its pixels. Safe in many threads."""

    def __call__(self, picture: Colour) -> list[TextLine]: ...


def can_read() -> bool:
    """Return whether the extra `ocr` is installed."""
    return find_spec("rapidocr") is not None and find_spec("onnxruntime") is not None


def line_reader() -> LineReader:
    """Return the reader, loaded once. Each call works on one core; callers bring their own threads.

    Raises:
        ReadingUnavailable: see there.
    """
    with _LOADING:
        return _load()


@lru_cache(maxsize=1)
def _load() -> LineReader:
    if not can_read():
        raise ReadingUnavailable("install medimg[ocr] to have it read")
    # Not at the top of the file: an optional extra of 100 MB that nothing else wants.
    import rapidocr

    networks = Path(rapidocr.__file__).parent / "models"
    settings = {
        "Det.model_path": _network(networks, "det"),  # a path that is given is never fetched
        "Rec.model_path": _network(networks, "rec"),
        "Global.use_cls": False,  # it turns lines that stand upside down, and would be a third network
        "Global.log_level": "critical",
        "EngineConfig.onnxruntime.intra_op_num_threads": 1,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "Det.limit_type": "max",  # as large as it is given; by default what is below 736 px is enlarged
        "Det.limit_side_len": 2 * TILE_PX,
    }
    engine = rapidocr.RapidOCR(params=settings)

    def read(picture: Colour) -> list[TextLine]:
        return _as_lines(engine(picture))

    read(np.zeros((64, 64, 3), dtype=np.uint8))  # loads the first network, in one thread
    return read


def read_regions(pixels: Pixels, regions: Sequence[Box], reader: LineReader) -> list[TextLine]:
    """Return the lines in and around `regions` of (H, W, C) pixels, from top to bottom.

    Regions close to each other are read together, enlarged or reduced so that signs are as high as the reader
    likes them. Where the first pass came to its limit there may be more: then the whole picture is read.
    """
    if len(regions) >= MOST_REGIONS:
        return read_whole(pixels, reader)
    lines: list[TextLine] = []
    for crop, height in _crops(regions, pixels.shape[1], pixels.shape[0]):
        scale = float(np.clip(_LINE_PX / height, 1 / 16, _MOST_ENLARGED))
        piece = pixels[crop.y : crop.y + crop.h, crop.x : crop.x + crop.w]
        lines += _read_piece(_stretched(_as_colour(piece)), crop, scale, reader)
    return _once(lines)


def read_whole(pixels: Pixels, reader: LineReader) -> list[TextLine]:
    """Return the lines of (H, W, C) pixels, read in tiles of `TILE_PX` at most, from top to bottom."""
    height, width = pixels.shape[:2]
    longest = max(height, width)
    scale = 2.0 if longest < _SMALL_PX else min(1.0, _LARGE_PX / longest)
    lines: list[TextLine] = []
    for tile in _tiles(width, height, scale):
        piece = pixels[tile.y : tile.y + tile.h, tile.x : tile.x + tile.w]
        lines += _read_piece(_as_colour(piece), tile, scale, reader)
    return _once(lines)


def _network(folder: Path, part: str) -> str:
    """Return the file of a network: for finding lines (`det`) or for reading them (`rec`)."""
    files = sorted(folder.glob(f"*_{part}_*.onnx"))
    if not files:
        raise ReadingUnavailable("this rapidocr came without its networks: install one of 3.10 or later")
    return str(files[-1])


def _as_lines(answer: Any) -> list[TextLine]:
    """Return what RapidOCR answered: corner points (N, 4, 2), texts and scores, all None when it saw nothing."""
    if answer.boxes is None:
        return []
    lines = []
    for corners, text, score in zip(answer.boxes, answer.txts, answer.scores, strict=True):
        x, y = (int(value) for value in np.floor(np.min(corners, axis=0)))
        right, bottom = (int(value) for value in np.ceil(np.max(corners, axis=0)))
        lines.append(TextLine(str(text), float(score), Box(x, y, right - x, bottom - y)))
    return lines


def _crops(regions: Sequence[Box], width: int, height: int) -> Iterator[tuple[Box, int]]:
    """Yield rectangles around regions, those that meet made one, with the height of the lowest line in each."""
    crops: list[tuple[Box, int]] = []
    for region in regions:
        crop, lowest = _with_margin(region, width, height), region.h
        while meeting := [other for other in crops if overlap(crop, other[0]) > 0]:
            for other in meeting:
                crops.remove(other)
                crop, lowest = bounding(crop, other[0]), min(lowest, other[1])
        crops.append((crop, lowest))
    yield from crops


def _with_margin(region: Box, width: int, height: int) -> Box:
    beside, above = round(_BESIDE * region.h), round(_ABOVE * region.h)
    x, y = max(0, region.x - beside), max(0, region.y - above)
    right = min(width, region.x + region.w + beside)
    bottom = min(height, region.y + region.h + above)
    return Box(x, y, max(1, right - x), max(1, bottom - y))


def _tiles(width: int, height: int, scale: float) -> Iterator[Box]:
    """Yield rectangles that cover the picture, each sharing a border with the next; `TILE_PX` once scaled."""
    side, shared = int(TILE_PX / scale), int(_TILES_SHARE_PX / scale)
    for y in range(0, max(1, height - shared), side - shared):
        for x in range(0, max(1, width - shared), side - shared):
            yield Box(x, y, min(side, width - x), min(side, height - y))


def _read_piece(piece: Colour, place: Box, scale: float, reader: LineReader) -> list[TextLine]:
    """Return the lines of a piece of the picture that stands at `place`, read at `scale` times its size."""
    longest = max(piece.shape[:2])
    scale = min(scale, 2 * TILE_PX / longest)
    size = (max(8, round(piece.shape[1] * scale)), max(8, round(piece.shape[0] * scale)))
    method = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    shown = piece if scale == 1 else np.asarray(cv2.resize(piece, size, interpolation=method), np.uint8)
    return [TextLine(line.text, line.confidence, _placed(line.box, place, scale)) for line in reader(shown)]


def _placed(box: Box, place: Box, scale: float) -> Box:
    """Return the box in pixels of the full picture, rounded outwards and kept inside the piece."""
    left, top = int(max(0, box.x) / scale), int(max(0, box.y) / scale)
    right = min(place.w, int(np.ceil((box.x + box.w) / scale)))
    bottom = min(place.h, int(np.ceil((box.y + box.h) / scale)))
    return Box(place.x + left, place.y + top, max(1, right - left), max(1, bottom - top))


def _as_colour(pixels: Pixels) -> Colour:
    """Return (H, W, 3) uint8 of (H, W, C); the order of the channels does not matter to the reader."""
    eight = pixels if pixels.dtype == np.uint8 else pixels >> 8
    colour = eight if eight.shape[2] == 3 else np.repeat(eight, 3, axis=2)
    return np.ascontiguousarray(colour, dtype=np.uint8)


def _stretched(picture: Colour) -> Colour:
    """Return the picture with its darkest and lightest hundredth at black and white: pale text stands out."""
    low, high = (float(level) for level in np.percentile(picture, (1, 99)))
    return cv2.convertScaleAbs(np.clip(picture, low, high) - low, alpha=255 / max(high - low, 1.0)).astype(
        np.uint8, copy=False
    )


def _once(lines: Sequence[TextLine]) -> list[TextLine]:
    """Return the lines without those another one covers: pieces share their borders."""
    kept: list[TextLine] = []
    for line in sorted(lines, key=lambda line: (-line.box.w * line.box.h, -line.confidence)):
        if all(overlap(line.box, other.box) <= 0.6 for other in kept):
            kept.append(line)
    return sorted(kept, key=lambda line: (line.box.y, line.box.x))
