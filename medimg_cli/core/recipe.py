"""The recipe: how a decoded image becomes the pixels a network sees. It travels inside the model."""

import json
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict

from medimg_cli.core.files import sha256_of_text
from medimg_cli.core.image import DecodedImage

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601, as JPEG and Pillow use it


class Recipe(BaseModel):
    """One preprocessing for training, evaluation and prediction.

    Args:
        size_px: side of the square the network sees.
        channels: 1 grey, 3 colour.
        resize_mode: pad keeps the side ratio and fills with black (letterbox), stretch does not keep it,
            crop keeps it and cuts the longer side's ends.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = 1
    size_px: int
    channels: Literal[1, 3]
    resize_mode: Literal["pad", "stretch", "crop"] = "pad"
    interpolation: Literal["bilinear, antialiased"] = "bilinear, antialiased"

    def key(self) -> str:
        """Return 16 hex digits that name this recipe's cache folder."""
        return sha256_of_text(json.dumps(self.model_dump(), sort_keys=True))[:16]

    def apply(self, image: DecodedImage) -> NDArray[np.uint8]:
        """Return `image` as (size_px, size_px, channels) uint8."""
        pixels = _with_channels(image.as_uint8(), self.channels)
        picture = Image.fromarray(pixels[..., 0] if self.channels == 1 else pixels)
        resized: NDArray[np.uint8] = np.asarray(self._resize(picture), dtype=np.uint8)
        return resized.reshape(self.size_px, self.size_px, self.channels)

    def _resize(self, picture: Image.Image) -> Image.Image:
        side = self.size_px
        width, height = picture.size
        if self.resize_mode == "stretch" or width == height:
            return picture.resize((side, side), Image.Resampling.BILINEAR)
        if self.resize_mode == "crop":
            edge = min(width, height)
            left, top = (width - edge) / 2, (height - edge) / 2
            box = (left, top, left + edge, top + edge)
            return picture.resize((side, side), Image.Resampling.BILINEAR, box=box)
        scale = side / max(width, height)
        inner = (max(1, round(width * scale)), max(1, round(height * scale)))
        canvas = Image.new(picture.mode, (side, side))
        canvas.paste(
            picture.resize(inner, Image.Resampling.BILINEAR), ((side - inner[0]) // 2, (side - inner[1]) // 2)
        )
        return canvas


def _with_channels(pixels: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """Return (H, W, channels): colour is reduced by luma, grey is repeated."""
    if pixels.shape[2] == channels:
        return pixels
    if channels == 1:
        grey: NDArray[np.uint8] = np.rint(pixels.astype(np.float32) @ _LUMA).astype(np.uint8)
        return grey[..., None]
    return np.repeat(pixels, 3, axis=2)
