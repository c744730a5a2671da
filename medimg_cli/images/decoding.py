"""What every reader needs around somebody else's decoder: silence, one kind of error, limits, what a codestream claims."""

import os
import re
import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from io import BytesIO, UnsupportedOperation
from pathlib import Path
from typing import Any, BinaryIO, Generic, TypeVar, cast

from numpy.typing import NDArray
from PIL import ImageFile, JpegImagePlugin

from medimg_cli.errors import MachineError
from medimg_cli.images.image import TooManyPixels, UnreadableImage

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC} | {0xF7}  # T.81 B.1.1.3; T.87 C.1.1
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])
_LOSSLESS = frozenset([0xC3, 0xC7, 0xCB, 0xCF, 0xF7])
_MARKER = re.compile(rb"\xff[\x02-\xcf\xd9-\xfe]")
_SCANS_MISSING = "the scans of its finest detail or of its colour are missing: cut off, or never written"


def codestream_claims(data: bytes) -> tuple[int, int, int] | None:
    """Return (width, height, bits a sample) that a JPEG, JPEG-LS or JPEG 2000 codestream claims, None where it is none."""
    place = data.find(
        b"\xff\x4f\xff\x51", 0, 4096
    )  # SOC and SIZ, T.800 A.4.1 and A.5.1; before it boxes of JP2
    if place >= 0:
        numbers = [int.from_bytes(data[place + n : place + n + 4], "big") for n in (8, 12, 16, 20)]
        bits = (data[place + 42] & 0x7F) + 1 if place + 42 < len(data) else 0  # Ssiz of the first component
        return numbers[0] - numbers[2], numbers[1] - numbers[3], bits
    return _size_of_jpeg(data) if data[:2] == b"\xff\xd8" else None


def _size_of_jpeg(data: bytes) -> tuple[int, int, int] | None:
    place = 2
    while place + 9 <= len(data) and data[place] == 0xFF:
        marker = data[place + 1]
        if marker == 0xFF or marker in _STANDALONE:  # fill bytes, or a marker without a length
            place += 1 if marker == 0xFF else 2
            continue
        if marker in _START_OF_FRAME:
            height = int.from_bytes(data[place + 5 : place + 7], "big")
            return int.from_bytes(data[place + 7 : place + 9], "big"), height, data[place + 4]
        place += 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


class _OwnTerms:
    """While at least one thread is inside, warnings are ignored and Pillow refuses truncated files.

    Both are switches of the whole process: `warnings.catch_warnings` alone is not safe in threads, and other
    libraries (WeasyPrint, when it is imported) tell Pillow to fill with grey what a file lacks. Here the first
    thread in saves the switches and the last one out restores them.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._stack = ExitStack()

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._stack.enter_context(warnings.catch_warnings())
                warnings.simplefilter("ignore")
                self._stack.callback(_fill_truncated, ImageFile.LOAD_TRUNCATED_IMAGES)
                _fill_truncated(False)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._stack.close()


def _fill_truncated(wanted: bool) -> None:
    ImageFile.LOAD_TRUNCATED_IMAGES = wanted


_OWN_TERMS = _OwnTerms()


@contextmanager
def quiet_decoding() -> Iterator[None]:
    """Run foreign code on a file: what is wrong with it becomes a reason, not a line on stderr; safe in threads.

    A panic of a decoder written in Rust, which is no `Exception` to Python, becomes a `RuntimeError`.
    """
    with _OWN_TERMS:
        try:
            yield
        except BaseException as error:
            if type(error).__module__ == "pyo3_runtime":
                raise RuntimeError(f"the decoder failed: {error}") from error
            raise


LIMIT_PIXELS = 500_000_000
"""Larger images are refused by their header: a few bytes can claim to hold terabytes."""

MOST_READS = 1_000_000
"""A file that is asked for more pieces is no image any more: its parser walks through rubbish, for minutes or for ever."""

MOST_BYTES = 8 << 30
"""As many may be read of one file; a sparse one of terabytes has no size of its own."""

_REASON_CHARACTERS = 200
_TAIL_BYTES = 24
_INTERVAL = b"\xff\xdd\x00\x04"
_MORE_SAMPLES = bytes(range(37, 237, 3))
Opened = TypeVar("Opened")
_PLAIN = (OSError, ValueError, SyntaxError, RuntimeError, NotImplementedError)  # their text says enough


@contextmanager
def foreign_decoder() -> Iterator[None]:
    """Run somebody else's decoder on bytes nobody vouches for.

    Warnings are swallowed (a row in the quarantine says more than a line on stderr), and whatever the decoder
    raises becomes one kind of error: damaged files make decoders raise nearly anything.

    Raises:
        UnreadableImage: the block raised; the text is one line without the file's path.
    """
    try:
        with quiet_decoding():
            yield
    except (UnreadableImage, MachineError):  # a library that is missing is no fault of the image
        raise
    except Exception as error:
        raise UnreadableImage(_reason(error)) from error


class RecentFiles(Generic[Opened]):
    """What was made of the files last used, as they are on disk now; made once, however many threads ask for it.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int, str], Opened] = OrderedDict()

    def get(self, path: Path, make: Callable[[], Opened], part: str = "") -> Opened:
        """Return what `make` made of a file, or of a part of it."""
        status = path.stat()
        key = (str(path.absolute()), status.st_mtime_ns, status.st_size, part)
        with self._lock:  # held while making: the other threads want the same
            if key not in self._kept:
                self._kept[key] = make()
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                # Only let go of: a thread may be reading it, and the last one to do so closes it.
                self._kept.popitem(last=False)
            return self._kept[key]


class BoundedStream:
    """A stream that gives out so many pieces and bytes and no more, and never allocates what it does not hold.

    Args:
        stream: seekable.
        reads: how often it may be read.
        size: how many bytes may be read altogether.
        what: what is read, for the reason.
    """

    def __init__(
        self, stream: BinaryIO, reads: int = MOST_READS, size: int = MOST_BYTES, what: str = "the file"
    ) -> None:
        self._stream, self.reads_left, self._left, self._what = stream, reads, size, what
        here = stream.tell()
        self._end = stream.seek(0, os.SEEK_END)
        stream.seek(here)
        self.seek, self.tell, self.close = stream.seek, stream.tell, stream.close

    def read(self, size: int | None = -1) -> bytes:
        """Return the next bytes; raises `UnreadableImage` at a piece or byte too many."""
        self.reads_left -= 1
        most = max(0, self._end - self.tell())
        wanted = most if size is None or size < 0 else min(size, most)
        self._left -= wanted
        if self.reads_left < 0 or self._left < 0:
            raise UnreadableImage(f"{self._what} goes on without end: rubbish, or no image")
        return self._stream.read(wanted)

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a buffer with the next bytes, as `read`; return how many there were."""
        data = self.read(len(memoryview(buffer).cast("B")))
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)

    def write(self, _data: bytes) -> int:
        """Refuse; nibabel takes for a stream only what has this method."""
        raise UnsupportedOperation("not writable")

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    @classmethod
    def around(cls, stream: BinaryIO) -> BinaryIO:
        """Return a stream within the bounds of any file; one that is bounded already as it is."""
        return stream if isinstance(stream, cls) else cast(BinaryIO, cls(stream))


def jpeg_scans(data: bytes) -> tuple[int, str]:
    """Return (scans that a JPEG has, what to say where they lack bits of a component's samples, else "").

    A progressive JPEG that was cut between two scans shows the whole picture, less sharp or without colour. Decoders
    take it, and so may its maker have meant it (T.81 G.1.1.1).
    """
    place, scans, coarseness, lossless = 2, 0, dict[tuple[int, int], int](), False
    while (found := _MARKER.search(data, place)) is not None and (marker := found[0][-1]) != 0xD9:
        place = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
        segment = data[found.end() + 2 : place]
        if marker in _START_OF_FRAME:
            lossless = marker in _LOSSLESS
            coarseness = {(number, n): 1 for number in segment[6::3] for n in range(64)}
        elif marker == 0xDA and segment:
            scans += 1
            parts, (first, last, bits) = segment[1 : 1 + 2 * segment[0] : 2], (*segment[-3:], 0, 0, 0)[:3]
            if lossless:  # there they are a predictor and a shift
                first, last, bits = 0, 63, 0
            coarseness |= {(number, n): bits & 15 for number in parts for n in range(first, last + 1)}
            if not any(coarseness.values()):
                return scans, ""
    return scans, _SCANS_MISSING if coarseness else ""


def refuse_cut_jpeg(
    read: Callable[[], bytes], pixels: NDArray[Any] | None, decode: Callable[[bytes], bytes] | None = None
) -> None:
    """Refuse a JPEG whose samples end early with an end marker behind them: libjpeg fills the rest and says nothing.

    The last corner (of pixels (H, W, ...) as stored) is flat then. Where it is black, as the ground of most films, only
    one whose last row is flat is looked into: else no more than a part of the last row of blocks is lost. Bytes put
    before the marker change nothing where all
    samples are there, as decoders pass over them. The flat ground of a whole picture has codes that repeat.

    Args:
        read: returns the file.
        pixels: None looks into the file whatever its corner: of a progressive one earlier scans have filled it.
        decode: makes samples of a file that Pillow does not read.

    Raises:
        UnreadableImage: it ends early.
    """
    if pixels is not None:
        part = pixels[-4:, -4:] if pixels[-1, -1].any() else pixels[-1:]
        if not (part == pixels[-1, -1]).all():
            return
    data = read()
    end = data.rfind(b"\xff\xd9")
    tail = data[max(0, end - _TAIL_BYTES) : end]
    if end < 0 or any(tail[n:] == tail[:-n] for n in range(1, _TAIL_BYTES // 2)):
        return
    more = _MORE_SAMPLES
    if _INTERVAL in data[:end]:  # more belong behind the next of eight restart markers, T.81 E.1.4
        last = max((7, *range(7)), key=lambda number: data.rfind(b"\xff%c" % (0xD0 + number), 0, end))
        more += b"".join(b"\xff%c%b" % (0xD0 + (last + n) % 8, _MORE_SAMPLES) for n in range(1, 9))
    decode = decode or partial(_shrunk, 4 if pixels is None else 8)
    seen = [decode(content + b"\xff\xd9") for content in (data[:end], data[:end] + more)]
    if seen[0] != seen[1]:
        raise UnreadableImage("the file is truncated: its samples end before the picture does")


def _shrunk(divisor: int, data: bytes) -> bytes:
    """Return samples of a JPEG; at 1/8 they are the means of its blocks."""
    picture = JpegImagePlugin.JpegImageFile(BytesIO(data))
    picture.draft(None, (max(1, picture.width // divisor), max(1, picture.height // divisor)))
    return picture.tobytes()


def refuse_huge_file(path: Path) -> None:
    """Refuse a file that no archive is and that has more bytes than may be read of one.

    Raises:
        UnreadableImage: it has.
        OSError: it is not there.
    """
    if (size := path.stat().st_size) > MOST_BYTES:
        raise UnreadableImage(f"{size:,} bytes, more than the limit of {MOST_BYTES:,}")


def refuse_huge(width_px: int, height_px: int, most_pixels: int | None = None) -> None:
    """Refuse an image before its pixels are decoded.

    Raises:
        UnreadableImage: a side is not positive.
        TooManyPixels: the image has more than `most_pixels`, or than `LIMIT_PIXELS`.
    """
    if width_px < 1 or height_px < 1:
        raise UnreadableImage(f"the header says {width_px}x{height_px} pixels")
    limit = LIMIT_PIXELS if most_pixels is None else min(most_pixels, LIMIT_PIXELS)
    if width_px * height_px > limit:
        raise TooManyPixels(
            f"the header says {width_px}x{height_px} pixels, more than the limit of {limit:,}"
        )


_OBJECT = re.compile(r"<[^>]* (?:object at 0x|name=)[^>]*>")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "file not found"
    if isinstance(error, PermissionError):
        return "permission denied"
    if isinstance(error, MemoryError):
        return "needs more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    lines = str(error).strip().splitlines()
    # What Python calls a stream goes: its path, or a place in memory.
    named = _OBJECT.sub("", lines[0]) if lines else ""
    text = " ".join(named.split())[:_REASON_CHARACTERS].rstrip(" :")
    if isinstance(error, _PLAIN) and text:
        return text
    return f"the decoder failed ({type(error).__name__}{': ' + text if text else ''})"
