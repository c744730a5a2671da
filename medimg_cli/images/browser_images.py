"""Decoded images as pictures a browser shows."""

import base64
from io import BytesIO

import numpy as np
from PIL import Image

from medimg_cli.images.image import DecodedImage

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
    buffer = BytesIO()
    shrunk(image, side_px).save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
