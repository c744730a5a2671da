"""The recipe: how a decoded image becomes the pixels a network sees. It travels inside the model."""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, Field, model_validator

from medimg_cli.images.image import DecodedImage, ReadOptions
from medimg_cli.workspace.files import sha256_of_text

LARGEST_SHARE = 0.25
"""At most this share of a side is cut at each end: a mostly black picture is no frame."""

_TOLERANCE = 10 / 255  # what lossy compression leaves of a black or white frame
_ROUNDS = 2  # a white frame around a black one


@dataclass(frozen=True)
class Border:
    """How many pixels are cut at each side."""

    left: int = 0
    top: int = 0
    right: int = 0
    bottom: int = 0

    def __bool__(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))

    def shares(self, width: int, height: int) -> str:
        """Return what is cut as shares of the picture's sides, "left,top,right,bottom"; "" for nothing."""
        if not self:
            return ""
        cut = (self.left / width, self.top / height, self.right / width, self.bottom / height)
        return ",".join(f"{share:.4f}" for share in cut)


def find_border(pixels: NDArray[np.uint8] | NDArray[np.uint16]) -> Border:
    """Return the frame of a picture (H, W, C): outer rows and columns that are black or white all along.

    Never more than `LARGEST_SHARE` of a side, and nothing of a picture that has no content at all.
    """
    height, width = pixels.shape[:2]
    left, top, right, bottom = 0, 0, 0, 0
    most_rows, most_columns = int(height * LARGEST_SHARE), int(width * LARGEST_SHARE)
    for _ in range(_ROUNDS):
        inside = pixels[top : height - bottom, left : width - right]
        first, last = _uniform_ends(inside, axis=1)
        top, bottom = min(top + first, most_rows), min(bottom + last, most_rows)
        inside = pixels[top : height - bottom, left : width - right]
        first, last = _uniform_ends(inside, axis=0)
        left, right = min(left + first, most_columns), min(right + last, most_columns)
    return Border(left, top, right, bottom)


def cut(
    pixels: NDArray[np.uint8] | NDArray[np.uint16], border: Border
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return the picture (H, W, C) without its border, contiguous."""
    height, width = pixels.shape[:2]
    rows, columns = slice(border.top, height - border.bottom), slice(border.left, width - border.right)
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels[rows, columns], dtype=np.uint8)
    return np.ascontiguousarray(pixels[rows, columns], dtype=np.uint16)


def _uniform_ends(pixels: NDArray[np.uint8] | NDArray[np.uint16], axis: int) -> tuple[int, int]:
    """Return how many lines at the beginning and at the end are uniform; (0, 0) when all of them are."""
    white = int(np.iinfo(pixels.dtype).max)
    limit = round(white * _TOLERANCE)
    along = (axis, 2)
    uniform = (pixels.max(axis=along) <= limit) | (pixels.min(axis=along) >= white - limit)
    if uniform.all():
        return 0, 0
    return int(np.argmin(uniform)), int(np.argmin(uniform[::-1]))


TILES = 8
CLIP = 2.0
_LEVELS = 256


def equalise_adaptively(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a grey picture (H, W) uint8 with its local contrast evened out, same shape and type.

    Zuiderveld K. Contrast limited adaptive histogram equalization. Graphics Gems IV, 1994, 474-485: an 8x8 grid
    of tiles; each tile's histogram is cut at twice its mean height, and what was cut off is spread over all grey
    levels; its cumulative sum maps grey levels, and a pixel takes the maps of the four nearest tile centres,
    weighted bilinearly. Sides that the grid does not divide are continued by reflection for the histograms. A
    side shorter than the grid has one tile per pixel.
    """
    height, width = pixels.shape
    rows, columns = min(TILES, height), min(TILES, width)
    tall, wide = -(-height // rows), -(-width // columns)
    maps = _tile_maps(pixels, rows, columns, tall, wide)
    above, below, down = _neighbours(height, tall, rows)
    left, right, across = _neighbours(width, wide, columns)
    result = np.empty_like(pixels)
    # Rows between the same two tile centres share their maps: in bands, no picture-sized table is needed.
    edges = [0, *(np.flatnonzero(np.diff(above) | np.diff(below)) + 1).tolist(), height]
    for start, stop in pairwise(edges):
        band = pixels[start:stop]
        upper, lower = (
            maps[tile, left, band] * (1 - across) + maps[tile, right, band] * across
            for tile in (above[start], below[start])
        )
        weight = down[start:stop, None]
        result[start:stop] = np.rint(upper * (1 - weight) + lower * weight).astype(np.uint8)
    return result


def _tile_maps(
    pixels: NDArray[np.uint8], rows: int, columns: int, tall: int, wide: int
) -> NDArray[np.float32]:
    """Return each tile's map from grey level to 0..255, (rows, columns, 256)."""
    height, width = pixels.shape
    whole = np.pad(pixels, ((0, rows * tall - height), (0, columns * wide - width)), mode="reflect")
    tiles = whole.reshape(rows, tall, columns, wide).transpose(0, 2, 1, 3).reshape(rows * columns, -1)
    counts = np.stack([np.bincount(tile, minlength=_LEVELS) for tile in tiles]).astype(np.float32)
    limit = CLIP * tall * wide / _LEVELS
    excess = np.maximum(counts - limit, 0).sum(axis=1, keepdims=True)
    evened = np.minimum(counts, limit) + excess / _LEVELS
    cumulated: NDArray[np.float32] = evened.cumsum(axis=1) * ((_LEVELS - 1) / (tall * wide))
    return cumulated.clip(0, _LEVELS - 1).reshape(rows, columns, _LEVELS).astype(np.float32)


def _neighbours(
    length: int, tile: int, tiles: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return, per position, the two nearest tiles and the weight of the second; beyond the last centres one."""
    place = (np.arange(length) + 0.5) / tile - 0.5
    before = np.floor(place).astype(np.int64)
    weight = (place - before).astype(np.float32)
    return before.clip(0, tiles - 1), (before + 1).clip(0, tiles - 1), weight


Pixels: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]

Interpolation = Literal["bilinear, antialiased", "bicubic, antialiased"]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as JPEG and Pillow use it
_LATER_FIELDS = ("window", "bits", "clahe", "border_crop")


class Recipe(BaseModel, frozen=True, extra="forbid", allow_inf_nan=False):
    """One preprocessing for training, evaluation and prediction.

    In this order: read (window and bits are the reader's part), 16 bits rounded to 8 where 8 are wanted, channels,
    border crop, CLAHE, resize. Resizing is antialiased (Pillow's, whose support grows with the
    reduction), bilinear unless a network's weights were trained with bicubic images.

    Args:
        size_px: side of the square the network sees.
        channels: 1 grey, 3 colour; colour becomes grey by its luma (BT.601), grey is repeated.
        resize_mode: pad keeps the side ratio and fills with black (letterbox), stretch does not keep it,
            crop keeps it and cuts the longer side's ends.
        window: centre and width in modality values (HU for CT), over what a DICOM file says; None = the file's.
        bits: 8, or 16: pixels are uint16 over the full range 0..65535.
        clahe: even out local contrast, see `preprocessing.recipe`; of colour only the luma. 8 bits only.
        border_crop: cut a black or white frame first, see `preprocessing.recipe`.
    """

    version: Literal[1] = 1
    size_px: Annotated[int, Field(ge=1, le=4096)]
    channels: Literal[1, 3]
    resize_mode: Literal["pad", "stretch", "crop"] = "pad"
    interpolation: Interpolation = "bilinear, antialiased"
    window: tuple[float, float] | None = None
    bits: Literal[8, 16] = 8
    clahe: bool = False
    border_crop: bool = False

    @model_validator(mode="after")
    def _check_depth(self) -> Self:
        if self.clahe and self.bits == 16:
            raise ValueError("CLAHE works on 8 bits")
        if self.window is not None and not self.window[1] > 0:
            raise ValueError("a window's width is above 0")
        return self

    @property
    def read_options(self) -> ReadOptions:
        """Return what a reader has to know; a border may take half of a side, so twice the size is enough then."""
        enough_px = self.size_px * 2 if self.border_crop else self.size_px
        return ReadOptions(
            window=self.window,
            bits=self.bits,
            enough_px=enough_px,
            enough_side="longer" if self.resize_mode == "pad" else "shorter",
        )

    @property
    def dtype(self) -> "np.dtype[np.uint8] | np.dtype[np.uint16]":
        """Return the type of the pixels `apply` makes."""
        return np.dtype(np.uint8) if self.bits == 8 else np.dtype(np.uint16)

    def key(self) -> str:
        """Return 16 hex digits that name this recipe's cache folder.

        Fields that came later count only where they are set, so that a recipe keeps the name it was born with.
        """
        fields = self.model_dump()
        unset = [name for name in _LATER_FIELDS if fields[name] == type(self).model_fields[name].default]
        counted = {name: value for name, value in fields.items() if name not in unset}
        return sha256_of_text(json.dumps(counted, sort_keys=True))[:16]

    def in_words(self) -> str:
        """Return the recipe as one line for people.

        >>> Recipe(size_px=224, channels=1, window=(40, 400)).in_words()
        '224 x 224, grey, pad, window 40,400'
        """
        words = [
            f"{self.size_px} x {self.size_px}",
            "grey" if self.channels == 1 else "colour",
            "16 bits" if self.bits == 16 else "",
            self.resize_mode,
            "bicubic" if self.interpolation.startswith("bicubic") else "",
            f"window {self.window[0]:g},{self.window[1]:g}" if self.window else "",
            "border crop" if self.border_crop else "",
            "CLAHE" if self.clahe else "",
        ]
        return ", ".join(word for word in words if word)

    def apply(self, image: DecodedImage) -> Pixels:
        """Return `image` as (size_px, size_px, channels), uint8 or, of 16 bits, uint16."""
        return self.apply_telling_border(image)[0]

    def apply_telling_border(self, image: DecodedImage) -> tuple[Pixels, str]:
        """Return the pixels and what was cut of each side, see `Border.shares`; "" when nothing was."""
        pixels = with_channels(image.as_uint8() if self.bits == 8 else _as_uint16(image), self.channels)
        border = find_border(pixels) if self.border_crop else Border()
        shares = border.shares(image.width, image.height)
        inside = cut(pixels, border) if border else pixels
        extent = None if border else image.extent
        if inside.dtype == np.uint16:
            return self._resized_wide(inside, extent), shares
        picture = Image.fromarray(inside[..., 0] if self.channels == 1 else inside)
        if self.clahe:
            picture = _with_even_contrast(picture)
        return np.asarray(self._resize(picture, extent), dtype=np.uint8).reshape(self._shape), shares

    @property
    def _resampling(self) -> Image.Resampling:
        return Image.Resampling["BICUBIC" if self.interpolation.startswith("bicubic") else "BILINEAR"]

    @property
    def _shape(self) -> tuple[int, int, int]:
        return self.size_px, self.size_px, self.channels

    def _resized_wide(self, pixels: Pixels, extent: tuple[float, float] | None) -> NDArray[np.uint16]:
        """Return 16-bit pixels resized, a channel at a time, in Pillow's floating-point mode."""
        layers = [
            np.asarray(self._resize(Image.fromarray(pixels[..., layer].astype(np.float32)), extent))
            for layer in range(self.channels)
        ]
        wide: NDArray[np.uint16] = np.rint(np.stack(layers, axis=-1)).clip(0, 65535).astype(np.uint16)
        return wide

    def _resize(self, picture: Image.Image, extent: tuple[float, float] | None) -> Image.Image:
        """Return `picture` as the square; `extent` as in `DecodedImage`."""
        side = self.size_px
        width, height = extent or picture.size
        whole = (0.0, 0.0, float(width), float(height))
        if self.resize_mode == "stretch" or width == height:
            return picture.resize((side, side), self._resampling, box=whole)
        if self.resize_mode == "crop":
            edge = min(width, height)
            left, top = (width - edge) / 2, (height - edge) / 2
            box = (left, top, left + edge, top + edge)
            return picture.resize((side, side), self._resampling, box=box)
        scale = side / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = Image.new(picture.mode, (side, side))
        canvas.paste(
            picture.resize(inner, self._resampling, box=whole),
            ((side - inner[0]) // 2, (side - inner[1]) // 2),
        )
        return canvas


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """Return (H, W, channels) of the same type: colour is reduced by luma, grey is repeated."""
    if pixels.shape[2] == channels:
        return pixels
    grey = np.rint(pixels.astype(np.float32) @ _LUMA)[..., None] if channels == 1 else pixels
    shown: NDArray[Any] = np.repeat(grey, channels, axis=2)
    return (
        shown.astype(np.uint8, copy=False)
        if pixels.dtype == np.uint8
        else shown.astype(np.uint16, copy=False)
    )


def _as_uint16(image: DecodedImage) -> NDArray[np.uint16]:
    """Return the pixels over 0..65535; 8-bit white becomes 65535."""
    wide = image.pixels.astype(np.uint16)
    return wide * np.uint16(257) if image.pixels.dtype == np.uint8 else wide


def _with_even_contrast(picture: Image.Image) -> Image.Image:
    """Return the picture after CLAHE; colour keeps its hue: only its luma is changed."""
    if picture.mode == "L":
        return Image.fromarray(equalise_adaptively(np.asarray(picture)))
    luma, blue, red = picture.convert("YCbCr").split()
    even = Image.fromarray(equalise_adaptively(np.asarray(luma)))
    return Image.merge("YCbCr", (even, blue, red)).convert("RGB")


_GRAINS_PX = (1, 2, 4, 8)


def noise(recipe: Recipe, count: int) -> Pixels:
    """Return (count, H, W, C) noise of four grains in turn, the same every time."""
    generator = np.random.default_rng(0)
    full = np.iinfo(recipe.dtype).max
    made = [_noise(generator, recipe, _GRAINS_PX[place % len(_GRAINS_PX)]) for place in range(count)]
    wide = np.rint(np.stack(made) * full).astype(np.uint16)
    return wide if recipe.bits == 16 else wide.astype(np.uint8)


def _noise(generator: np.random.Generator, recipe: Recipe, grain_px: int) -> NDArray[np.float64]:
    side = -(-recipe.size_px // grain_px)
    values = generator.random((side, side, recipe.channels))
    grains = values.repeat(grain_px, axis=0).repeat(grain_px, axis=1)
    return grains[: recipe.size_px, : recipe.size_px]
