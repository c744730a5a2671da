"""DICOM files that hold more than an image: found before anything is unpacked, and while it is read."""

import zlib
from io import SEEK_END
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.uid import DeflatedExplicitVRLittleEndian

from medimg_cli.images.decoding import LIMIT_PIXELS, refuse_huge
from medimg_cli.images.image import UnreadableImage

_PREAMBLE_BYTES = 132  # PS3.10 7.1
_LONG_FORMS = frozenset(
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"]
)  # PS3.5 7.1.2
_MOST_META_ELEMENTS = 64
_HARMLESS_BYTES = 64 << 20
_BYTES_A_PIXEL = 8  # three colours of 16 bits, and a header
_LIMIT_RATIO = 20  # images deflate to a half or a third, blank ones to a thousandth
_MOST_ELEMENTS = 100_000  # the longest headers have some thousand, nested ones apart
_PIXEL_DATA = frozenset([0x7FE00008, 0x7FE00009, 0x7FE00010])
_CHUNK_BYTES = 1 << 20
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # T.81 B.1.1.3; T.87 C.1.1
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])


class Elements:
    """What pydicom asks of every element whether to stop at it: at one too many it is no header any more.

    Millions of empty elements are a few megabytes, and minutes to read.

    Args:
        before_pixels: stop where the pixels begin.
    """

    def __init__(self, *, before_pixels: bool = False) -> None:
        self._before_pixels = before_pixels
        self._count = 0

    def __call__(self, tag: int, _representation: str | None, _length: int) -> bool:
        """Return whether to stop; raises `UnreadableImage` at one element too many."""
        self._count += 1
        if self._count > _MOST_ELEMENTS:
            raise UnreadableImage(f"the header has more than {_MOST_ELEMENTS:,} elements")
        return self._before_pixels and tag in _PIXEL_DATA


def refuse_inflated(stream: BinaryIO, most_pixels: int | None) -> None:
    """Refuse a deflated data set (PS3.5 A.5) that unpacks to far more than it holds, or than an image would be.

    Args:
        stream: a whole file; stands at its beginning before and after.

    Raises:
        UnreadableImage: it does.
    """
    start = _start_of_deflated(stream)
    if start is None:
        stream.seek(0)
        return
    ratio = _LIMIT_RATIO * stream.seek(0, SEEK_END)
    most = max(_HARMLESS_BYTES, min(ratio, (most_pixels or LIMIT_PIXELS) * _BYTES_A_PIXEL))
    stream.seek(start)
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    data = stream.read(_CHUNK_BYTES)
    while data and not inflater.eof:
        total += len(inflater.decompress(data, _CHUNK_BYTES))
        if total > most:
            raise UnreadableImage(f"the deflated file unpacks to more than {most:,} bytes")
        data = inflater.unconsumed_tail or stream.read(_CHUNK_BYTES)
    stream.seek(0)


def refuse_larger_than_said(dataset: Dataset, frame: int, frames: int, most_pixels: int | None) -> None:
    """Refuse compressed pixels whose own header claims more than the data set's rows and columns would be let.

    Raises:
        TooManyPixels: it does.
    """
    try:
        data = get_frame(bytes(dataset.PixelData), frame, number_of_frames=frames)
    except Exception:  # what is wrong with the fragments is for the decoder to say
        return
    size = codestream_size(data)
    if size is not None and min(size) > 0:
        refuse_huge(*size, most_pixels)


def codestream_size(data: bytes) -> tuple[int, int] | None:
    """Return (width, height) that a JPEG, JPEG-LS or JPEG 2000 codestream claims, None where there is neither."""
    place = data.find(
        b"\xff\x4f\xff\x51", 0, 4096
    )  # SOC and SIZ, T.800 A.4.1 and A.5.1; before it boxes of JP2
    if place >= 0:
        numbers = [int.from_bytes(data[place + n : place + n + 4], "big") for n in (8, 12, 16, 20)]
        return numbers[0] - numbers[2], numbers[1] - numbers[3]
    return _size_of_jpeg(data) if data[:2] == b"\xff\xd8" else None


def _size_of_jpeg(data: bytes) -> tuple[int, int] | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in _STANDALONE:  # fill bytes, or a marker without a length
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _START_OF_FRAME:
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            return int.from_bytes(data[place + 7 : place + 9], "big"), height
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def _start_of_deflated(stream: BinaryIO) -> int | None:
    """Return where the deflated data set begins: after the file meta information, which never is; else None."""
    head = stream.read(_PREAMBLE_BYTES)
    place = _PREAMBLE_BYTES if head[128:] == b"DICM" else 0
    deflated = False
    for _ in range(_MOST_META_ELEMENTS):
        stream.seek(place)
        tag = stream.read(8)
        if len(tag) < 8 or tag[:2] != b"\x02\x00":
            return place if deflated else None
        header = 8
        length = int.from_bytes(tag[6:8], "little")
        if tag[4:6] in _LONG_FORMS:
            length, header = int.from_bytes(stream.read(4), "little"), 12
        if tag[2:4] == b"\x10\x00":  # (0002,0010) Transfer Syntax UID
            deflated = stream.read(min(length, 64)).strip(b"\0 ").decode("ascii", "replace") == (
                DeflatedExplicitVRLittleEndian
            )
        place += header + length
    return place if deflated else None
