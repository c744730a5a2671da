"""An exported file as a program without medimg runs it: ONNX Runtime, Pillow and NumPy, by what its metadata say.

Nothing of medimg's own preprocessing is used here, for this is what it is compared with (`medimg export --verify`);
`examples/run_onnx.py` is the same in a few lines.
"""

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from medimg_cli.inference.onnx_network import PIXELS, session_of

PROBABILITIES = "probabilities"
_PLAIN_MODES = ("L", "RGB", "P", "1", "LA", "RGBA", "CMYK", "YCbCr")
_PLAIN_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_GREY = 1
_EXIF_ORIENTATION, _TURNED_ASIDE = 0x0112, (5, 6, 7, 8)  # Exif 2.32, 4.6.4


class Alone:
    """An exported file, in use.

    Args:
        path: of the file.

    Raises:
        RunError: it cannot be run.
    """

    def __init__(self, path: Path) -> None:
        self._session = session_of(path)
        texts = self._session.get_modelmeta().custom_metadata_map
        self.about: dict[str, Any] = {name: json.loads(text) for name, text in texts.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return what the graph gives."""
        return tuple(output.name for output in self._session.get_outputs())

    @property
    def makes_pixels(self) -> bool:
        """Return whether its recipe is one that a few lines of Pillow follow."""
        recipe = self.about["recipe"]
        return recipe["bits"] == 8 and not recipe["clahe"] and not recipe["border_crop"]

    def of_pixels(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (N, C) of (N, H, W, C) pixels in 0..255 that the recipe has made."""
        answer: NDArray[np.float32] = self._session.run([PROBABILITIES], {PIXELS: pixels})[0]
        return answer

    def of_file(self, path: str) -> NDArray[np.float32] | None:
        """Return the probabilities (C,) of an 8-bit JPEG, PNG, BMP or WebP; None of any other file."""
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
                if picture.format not in _PLAIN_FORMATS or picture.mode not in _PLAIN_MODES:
                    return None
                return self.of_picture(picture)
        except Exception:  # Pillow raises anything of a damaged file: medimg reads it, or says why it cannot
            return None

    def of_picture(self, picture: Image.Image) -> NDArray[np.float32]:
        """Return the probabilities (C,) of a picture that was opened and, of a JPEG, not yet decoded."""
        one: NDArray[np.float32] = self.of_pixels(self.pixels_of(picture))[0]
        return one

    def pixels_of(self, picture: Image.Image) -> NDArray[np.float32]:
        """Return the pixels (1, H, W, C) that the metadata ask for; argument as of `of_picture`."""
        recipe = self.about["recipe"]
        wide, high = _draft(picture, recipe["size_px"], recipe["resize_mode"])
        upright = ImageOps.exif_transpose(picture)
        if picture.getexif().get(_EXIF_ORIENTATION, 1) in _TURNED_ASIDE:
            wide, high = high, wide
        shown = _on_black(upright).convert("L" if recipe["channels"] == _GREY else "RGB")
        square = _resized(shown, wide, high, recipe)
        return np.asarray(square, np.float32).reshape(self._shape)

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        recipe = self.about["recipe"]
        return 1, recipe["size_px"], recipe["size_px"], recipe["channels"]


def _draft(picture: Image.Image, side: int, mode: str) -> tuple[float, float]:
    """Have a large JPEG decoded at 1/2, 1/4 or 1/8; return the width and height that the picture then covers."""
    wide, high = picture.size
    enough = max(wide, high) if mode == "pad" else min(wide, high)
    fitting = [scale for scale in (2, 4, 8) if enough >= side * scale and min(wide, high) >= scale]
    scale = max(fitting, default=1)
    drafted = picture.draft(picture.mode, (wide // scale, high // scale)) if scale > 1 else None
    return (drafted[1][2], drafted[1][3]) if drafted else (wide, high)


def _on_black(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    return Image.alpha_composite(Image.new("RGBA", picture.size, "black"), picture.convert("RGBA"))


def _resized(picture: Image.Image, wide: float, high: float, recipe: dict[str, Any]) -> Image.Image:
    """Return the square that the network sees."""
    side, mode = recipe["size_px"], recipe["resize_mode"]
    cubic = recipe["interpolation"].startswith("bicubic")
    way = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    if mode == "crop":
        edge = min(wide, high)
        left, top = (wide - edge) / 2, (high - edge) / 2
        return picture.resize((side, side), way, (left, top, left + edge, top + edge))
    inner = (side, side)
    if mode == "pad" and wide != high:
        scale = side / max(wide, high)
        inner = max(1, round(wide * scale)), max(1, round(high * scale))
    square = Image.new(picture.mode, (side, side))
    place = ((side - inner[0]) // 2, (side - inner[1]) // 2)
    square.paste(picture.resize(inner, way, (0, 0, wide, high)), place)
    return square
