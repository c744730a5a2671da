"""An upload as a picture for the viewer: its pixels and nothing else of the file."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.images.image import DecodedImage
from medimg_cli.images.pictures import as_png, shrunk
from medimg_cli.privacy.pixels.text_policy import boxes_to_blank, covered
from medimg_cli.privacy.pixels.text_regions import Box
from medimg_cli.web.serving.engine import Engine
from medimg_cli.web.serving.refusals import Refusal
from medimg_cli.web.serving.uploads import Form, Upload

DEFAULT_PX, MOST_PX, _LEAST_PX = 1024, 4096, 16
_LARGEST, _LEAST_WIDTH = 1e9, 1e-6
_MODALITY = re.compile(r"[A-Z0-9]{2,16}")  # CS of PS3.5 6.2, and no room for a name in small letters
_NUMBER = r"(-?[0-9.]+(?:e[+-]?[0-9]+)?)"
_CENTRE_AND_WIDTH = re.compile(rf"center {_NUMBER}, width {_NUMBER}")
_GIVEN = re.compile(rf"{_NUMBER},{_NUMBER} \(given\)")
_RANGE = re.compile(rf": {_NUMBER}\.\.{_NUMBER}")
_BITS = re.compile(r"none: all ([0-9]+) bits")


@dataclass(frozen=True)
class Asked:
    """How an image is to be shown.

    Args:
        frame: from 0; None = the one that is read where nobody says which.
        window: centre and width, in the file's own values (Hounsfield for CT) for DICOM, else in shown levels.
        invert: black and white exchanged.
        side_px: of its longer side, at most.
        text: whether rows of text in the picture are shown; else they are covered.
    """

    frame: int | None = None
    window: tuple[float, float] | None = None
    invert: bool = False
    side_px: int = DEFAULT_PX
    text: bool = False


def asked_of(form: Form) -> Asked:
    """Return what a form asks for; raises `Refusal` where it makes no sense."""
    fields = form.fields
    centre, width = _figure(fields, "centre"), _figure(fields, "width")
    if (centre is None) != (width is None) or (width is not None and width < _LEAST_WIDTH):
        raise Refusal(400, "bad_request", "centre and width come together, and width is above 0.")
    side_px = _count(fields, "max_px")
    return Asked(
        frame=_count(fields, "frame"),
        window=None if centre is None or width is None else (centre, width),
        invert=fields.get("invert", "").lower() in ("1", "true", "on", "yes"),
        side_px=DEFAULT_PX if side_px is None else min(MOST_PX, max(_LEAST_PX, side_px)),
        text=fields.get("text", "").lower() == "show",
    )


def draw(engine: Engine, upload: Upload, asked: Asked) -> tuple[bytes, dict[str, str]]:
    """Return a PNG and the headers that tell the viewer what it shows.

    Headers: X-Frames; X-Frame, from 0, of several; X-Grey, 1 or 0; X-Window-Centre and X-Window-Width of a grey
    picture where there is a window; X-Modality of DICOM; X-Covered, how many rows of text are covered.

    Raises:
        UnreadableImage: it is no image.
        Refusal: there is no such frame.
    """
    frames = engine.frames(upload)
    member = asked_member(upload, frames, asked.frame)
    is_dicom = upload.image_format == "dicom"
    image = engine.read(upload, member)
    boxes = [] if asked.text else rows_of_text(image)
    if is_dicom and asked.window is not None:
        image = engine.read(upload, member, asked.window)
        boxes += [] if asked.text else rows_of_text(image)  # a window may show what another hides
    image = covered(image, boxes)
    is_grey = image.channels == 1
    headers = {"X-Frames": str(frames), "X-Grey": str(int(is_grey)), "X-Covered": str(len(boxes))}
    if frames > 1:
        headers["X-Frame"] = str(int(image.facts.get("frame", "1").split()[0]) - 1)
    if _MODALITY.fullmatch(image.facts.get("modality", "")):
        headers["X-Modality"] = image.facts["modality"]
    window = _window_of(image, is_dicom) if is_grey else None
    if is_grey and asked.window is not None and not is_dicom:
        image, window = _windowed(image, *asked.window), asked.window
    if window is not None:
        headers |= {"X-Window-Centre": f"{window[0]:.10g}", "X-Window-Width": f"{window[1]:.10g}"}
    if not asked.invert:
        return as_png(image, asked.side_px), headers
    return png_of(shrunk(image, asked.side_px).point(_negative)), headers


def rows_of_text(image: DecodedImage) -> list[Box]:
    """Return where signs stand in rows, which may name a patient; found without reading them, so others are too."""
    return boxes_to_blank(image.as_uint8(), None)


def member_of(upload: Upload, frames: int, frame: int) -> str | None:
    """Return what a reader calls a frame of an upload; None where there is one only."""
    if frames == 1:
        return None
    return f"page/{frame}" if upload.image_format == "tiff" else f"frame/{frame}"


def asked_member(upload: Upload, frames: int, frame: int | None) -> str | None:
    """Return what a reader calls the frame that is asked for; None where none is: the reader chooses, as in `predict`."""
    if frame is None:
        return None
    if frame >= frames:
        raise Refusal(400, "bad_request", f"The file has {frames} frames, counted from 0.")
    return member_of(upload, frames, frame)


def frame_of(form: Form) -> int | None:
    """Return the frame a form names; raises `Refusal` where that is no number."""
    return _count(form.fields, "frame")


def _window_of(image: DecodedImage, is_dicom: bool) -> tuple[float, float] | None:
    """Return centre and width that are in force, None where a table is, or nothing is known."""
    words = image.facts.get("window", "")
    if not is_dicom:
        most = float(np.iinfo(image.pixels.dtype).max)
        return most / 2, most
    if found := _CENTRE_AND_WIDTH.search(words) or _GIVEN.search(words):
        return float(found[1]), float(found[2])
    if found := _RANGE.search(words):
        low, high = float(found[1]), float(found[2])
        return ((low + high) / 2, high - low) if high > low else None
    if found := _BITS.search(words):
        most = float((1 << int(found[1])) - 1)
        return most / 2, most
    return None


def _windowed(image: DecodedImage, centre: float, width: float) -> DecodedImage:
    values: NDArray[np.float32] = image.pixels.astype(np.float32)
    shown = np.clip((values - np.float32(centre - width / 2)) / np.float32(width), 0, 1)
    pixels = np.rint(shown * np.float32(255)).astype(np.uint8)
    return replace(image, pixels=pixels, bit_depth=8)


def _negative(level: int) -> int:
    return 255 - level


def _figure(fields: Mapping[str, str], name: str) -> float | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) <= _LARGEST:
        raise Refusal(400, "bad_request", f"{name} is no number that can be used.")
    return value


def _count(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name, "").strip()
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise Refusal(400, "bad_request", f"{name} is no whole number of 0 or more.")
    return int(text)


def png_of(picture: Image.Image) -> bytes:
    """Return a picture as a PNG file."""
    buffer = BytesIO()
    picture.save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
