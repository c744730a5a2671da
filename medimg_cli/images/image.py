"""One decoded image, and how files are told apart by their content."""

import hashlib
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from medimg_cli.registry import Registry

# The shortest file part: `set.zip#scans.zip/1.png` and `set.zip#a #3.png` are members of `set.zip`.
_MEMBER = re.compile(
    r"^(?P<file>.+?\.(?:npz|npy|zip|tar|tar\.gz|tgz))#(?P<member>.+)$", re.IGNORECASE | re.DOTALL
)
_FRAME = re.compile(r"^(?P<file>.+)#(?P<member>(?:frame|page)/[0-9]+)$", re.DOTALL)
HEAD_BYTES = 1024  # NIfTI's mark is at byte 344, and may lie in a gzip
# What office programs begin their zips with (ECMA-376 part 2; OpenDocument 1.3 part 2, 3.3): documents, no archives of images.
_OFFICE = re.compile(
    rb"PK\x03\x04.{26}(?:\[Content_Types\]\.xml|_rels/\.rels|docProps/\w+\.xml|(?:xl|word|ppt)/[\w/]+\.xml"
    rb"|mimetypeapplication/)",
    re.DOTALL,
)
Samples = TypeVar("Samples", bound=np.generic)
# A data set without preamble (written before 1998, or cut out of a message) starts with an element of group 0002
# or 0008: a low element number, then a value representation (explicit) or a short length (implicit). PS3.5 §7.1.
_BARE_DICOM = re.compile(
    rb"[\x02\x08]\x00[\x00-\x18]\x00(?:[A-Z]{2}|[\x00-\x40]\x00\x00\x00)"
    rb"|\x00[\x02\x08]\x00[\x00-\x18][A-Z]{2}",
    re.DOTALL,
)
_WEBP = re.compile(rb"RIFF.{4}WEBP", re.DOTALL)
SIGNATURES: Registry[re.Pattern[bytes]] = Registry("signature", "medimg_cli.images.readers")
"""Format → how its files begin, where its reader says so; what `sniff_format` itself knows is told first."""
_AVIF, _HEIC = frozenset(b"avif avis".split()), frozenset(b"heic heix heim heis hevc mif1".split())
# A local file header (APPNOTE 4.3.7) whose file name, at byte 30, is that of an array and stands in no folder.
_FIRST_ARRAY = re.compile(rb"PK\x03\x04.{26}[^/\x00]{1,200}?\.npy", re.DOTALL)


class UnreadableImage(Exception):  # noqa: N818 -- not a failure of the command: it becomes a quarantine row
    """Raised by a reader for a file it cannot turn into pixels; its text is the reason, one line."""


class TooManyPixels(UnreadableImage):
    """Raised by a reader for an image that its header says is larger than the caller takes."""


@dataclass(frozen=True)
class ReadOptions:
    """What a caller wants of a reader; the recipe of a model carries it, so that every stage wants the same.

    Args:
        window: centre and width in modality values, over whatever a DICOM file says; None = as the file says.
        bits: 16 asks for uint16 where a grey file holds more than 8 bits a sample; with 8, DICOM comes as
            uint8, and what other formats hold in 16 bits stays so for `DecodedImage.as_uint8` to round.
        enough_px: the caller resizes to a square of this side: a format that can may decode smaller than the
            file is, while one side stays at least this long; None = decode whole.
        enough_side: which of its sides that is; a letterbox needs the longer one only.
        most_pixels: an image of more is refused by its header; None = as many as any reader takes.
    """

    window: tuple[float, float] | None = None
    bits: Literal[8, 16] = 8
    enough_px: int | None = None
    enough_side: Literal["shorter", "longer"] = "shorter"
    most_pixels: int | None = None


@dataclass(frozen=True)
class DecodedImage:
    """Pixels as they are shown, before any recipe.

    Args:
        pixels: (H, W, C), C 1 or 3, uint8 or uint16, using the full range of the type: black 0, white
            255 or 65535. Grey files saved as colour are one channel.
        bit_depth: bits a sample had in the file.
        facts: what the reader applied and found (window, inverted, transfer_syntax, patient_id …).
        extent: width and height of the picture in these pixels where it was decoded smaller than it is: a side
            of 1215 at 1/2 is 608 pixels, of which the picture covers 607.5. None: it covers them all.
    """

    pixels: NDArray[np.uint8] | NDArray[np.uint16]
    bit_depth: int
    facts: Mapping[str, str] = field(default_factory=dict)
    extent: tuple[float, float] | None = None

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


def collapse_grey(pixels: NDArray[Samples]) -> NDArray[Samples]:
    """Return (H, W, 1) when the three channels of (H, W, 3) are equal everywhere, else `pixels`."""
    if pixels.shape[2] != 3:
        return pixels
    if not _is_grey(pixels[::16]):  # colour shows in a few rows, and most pictures are spared the rest
        return pixels
    return pixels[..., :1] if _is_grey(pixels) else pixels


def _is_grey(pixels: NDArray[Any]) -> bool:
    first, second, third = pixels[..., 0], pixels[..., 1], pixels[..., 2]
    return np.array_equal(first, second) and np.array_equal(second, third)


def split_member(path: str) -> tuple[str, str | None]:
    """Return (file, member) of a manifest path, by its text alone; a plain file's name may look so too.

    `set.npz#train/12` names image 12 of an array file, `set.zip#folder/a.png` a file in an archive,
    `scan.dcm#frame/3` (from 0) a frame of a file and `set.zip#scan.dcm#frame/3` one of an archive's.
    """
    match = _MEMBER.match(path) or _FRAME.match(path)
    return (match["file"], match["member"]) if match else (path, None)


def split_frame(member: str) -> tuple[str, int | None]:
    """Return (name, number) of `NAME#frame/NUMBER` or `NAME#page/NUMBER`; (member, None) of anything else."""
    match = _FRAME.match(member)
    return (match["file"], frame_number(match["member"])) if match else (member, None)


def frame_number(member: str) -> int | None:
    """Return the number, from 0, of a member `frame/NUMBER` or `page/NUMBER`, None of any other."""
    kind, _, number = member.partition("/")
    return int(number) if kind in ("frame", "page") and re.fullmatch(r"[0-9]{1,9}", number) else None


def sniff_format(head: bytes) -> str | None:
    """Return the format the first bytes say, or None.

    That is one of `jpeg png gif tiff bmp netpbm webp jp2 avif heic dicom nifti npz npy zip tar gzip`, or of `SIGNATURES`; a NIfTI file in a gzip is one.

    Args:
        head: the first `HEAD_BYTES` bytes of the file. DICOM is recognised by its preamble (PS3.10 §7.1) or, where
            that is missing, by its first element; NumPy's .npz by the name of the first array in the zip.
    """
    if head[128:132] == b"DICM":
        return "dicom"
    if head[257:262] == b"ustar":  # POSIX.1-2001, pax; asked first, for it begins with the name of any file
        return "tar"
    signatures = (
        (b"\xff\xd8\xff", "jpeg"),
        (b"\x89PNG\r\n\x1a\n", "png"),
        (b"II*\x00", "tiff"),
        (b"MM\x00*", "tiff"),
        (b"II+\x00", "tiff"),  # BigTIFF
        (b"MM\x00+", "tiff"),
        (b"BM", "bmp"),
        (b"GIF87a", "gif"),
        (b"GIF89a", "gif"),
        (b"PK\x05\x06", "zip"),  # an empty one
        (b"\x93NUMPY", "npy"),
        (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "jp2"),  # T.800 I.5.1
        (b"\xff\x4f\xff\x51", "jp2"),  # a bare codestream
    )
    known = [name for signature, name in signatures if head.startswith(signature)]
    if known or _WEBP.match(head):
        return known[0] if known else "webp"
    if head.startswith(b"PK\x03\x04") and not _OFFICE.match(head):
        return "npz" if _FIRST_ARRAY.match(head) else "zip"
    if head[4:8] == b"ftyp":  # ISO/IEC 23008-12: the brands, first the major one
        brands = [
            head[place : place + 4] for place in (8, *range(16, min(int.from_bytes(head[:4], "big"), 80), 4))
        ]
        return next((name for name, own in (("avif", _AVIF), ("heic", _HEIC)) if own & set(brands)), None)
    if head.startswith(b"\x1f\x8b\x08"):
        unzipped = b""
        with suppress(zlib.error):
            unzipped = zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(head, 352)
        return "nifti" if _is_nifti(unzipped) else "gzip"
    if _is_nifti(head):
        return "nifti"
    if _BARE_DICOM.match(head):
        return "dicom"
    return next((name for name in SIGNATURES.names() if SIGNATURES.get(name).match(head)), None)


def _is_nifti(head: bytes) -> bool:
    """Return whether a file begins as NIfTI-1 or -2 in one file: the header's size and the mark behind it."""
    first = head[:4] in (b"\x5c\x01\0\0", b"\0\0\x01\x5c") and head[344:348] == b"n+1\0"
    return first or (head[:4] in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") and head[4:8] == b"n+2\0")


TURNED_ASIDE = (5, 6, 7, 8)


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return (H, W, C) turned as an orientation says, which corner of the picture the first sample is.

    Args:
        orientation: 1 to 8, Exif 2.32, 4.6.4 = TIFF 6.0, section 8; others mean nothing.
    """
    if orientation in TURNED_ASIDE:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
