"""One decoded image, and how files are told apart by their content."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

_MEMBER = re.compile(r"^(?P<file>.+\.(?:npz|npy|zip|tar|tar\.gz|tgz))#(?P<member>.+)$", re.IGNORECASE)
HEAD_BYTES = 132
# A data set without preamble (written before 1998, or cut out of a message) starts with an element of group 0002
# or 0008: a low element number, then a value representation (explicit) or a short length (implicit). PS3.5 §7.1.
_BARE_DICOM = re.compile(
    rb"[\x02\x08]\x00[\x00-\x18]\x00(?:[A-Z]{2}|[\x00-\x40]\x00\x00\x00)"
    rb"|\x00[\x02\x08]\x00[\x00-\x18][A-Z]{2}",
    re.DOTALL,
)


class UnreadableImage(Exception):  # noqa: N818 -- not a failure of the command: it becomes a quarantine row
    """Raised by a reader for a file it cannot turn into pixels; its text is the reason, one line."""


@dataclass(frozen=True)
class ReadOptions:
    """What a caller wants of a reader; the recipe of a model carries it, so that every stage wants the same.

    Args:
        window: centre and width in modality values, over whatever a DICOM file says; None = as the file says.
        bits: 8, or 16 where the file holds more than 8.
        enough_px: the caller resizes to a square of this side: a format that can may decode smaller than the
            file is, while the shorter side stays at least twice this long; None = decode whole.
    """

    window: tuple[float, float] | None = None
    bits: Literal[8, 16] = 8
    enough_px: int | None = None


@dataclass(frozen=True)
class DecodedImage:
    """Pixels as they are shown, before any recipe.

    Args:
        pixels: (H, W, C), C 1 or 3, uint8 or uint16, using the full range of the type: black 0, white
            255 or 65535. Grey files saved as colour are one channel.
        bit_depth: bits a sample had in the file.
        facts: what the reader applied and found (window, inverted, transfer_syntax, patient_id …).
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bit_depth: int
    facts: Mapping[str, str] = field(default_factory=dict)

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])

    @property
    def channels(self) -> int:
        return int(self.pixels.shape[2])

    def pixel_sha256(self) -> str:
        """Return a hash of what is seen: shape, type and samples; a blank 1x2 is not a blank 2x1."""
        digest = hashlib.sha256(f"{self.pixels.shape} {self.pixels.dtype}".encode())
        digest.update(np.ascontiguousarray(self.pixels).data)
        return digest.hexdigest()

    def as_uint8(self) -> NDArray[np.uint8]:
        """Return the pixels (H, W, C) in 0..255, 16 bits rounded to 8."""
        if self.pixels.dtype == np.uint8:
            return self.pixels.astype(np.uint8, copy=False)
        return ((self.pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)


def collapse_grey(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W, 1) when the three channels of (H, W, 3) are equal everywhere, else `pixels`."""
    if pixels.shape[2] != 3:
        return pixels
    first, second, third = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return pixels[..., :1] if np.array_equal(first, second) and np.array_equal(second, third) else pixels


def split_member(path: str) -> tuple[str, str | None]:
    """Return (file, member) of a manifest path; `set.npz#train/12` names image 12 of an array file."""
    match = _MEMBER.match(path)
    return (match["file"], match["member"]) if match else (path, None)


def sniff_format(head: bytes) -> str | None:
    """Return the format the first bytes say (`jpeg png tiff bmp webp dicom zip`), or None.

    Args:
        head: the first `HEAD_BYTES` bytes of the file. DICOM is told by its preamble (PS3.10 §7.1) or, where
            that is missing, by its first element.
    """
    if head[128:132] == b"DICM":
        return "dicom"
    signatures = (
        (b"\xff\xd8\xff", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"II*\x00", "tiff"),
        (b"MM\x00*", "tiff"),
        (b"II+\x00", "tiff"),  # BigTIFF
        (b"MM\x00+", "tiff"),
        (b"BM", "bmp"),
        (b"PK\x03\x04", "zip"),
    )
    for signature, name in signatures:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return "dicom" if _BARE_DICOM.match(head) else None
