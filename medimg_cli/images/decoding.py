"""What every reader needs around somebody else's decoder: silence, one kind of error, a limit on size."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import UnsupportedOperation
from typing import BinaryIO, cast

from medimg_cli.errors import MachineError
from medimg_cli.images.image import TooManyPixels, UnreadableImage
from medimg_cli.images.quiet_decoding import own_terms

LIMIT_PIXELS = 500_000_000
"""Larger images are refused by their header: a few bytes can claim to hold terabytes."""

MOST_READS = 1_000_000
"""A file that is asked for more pieces is no image any more: its parser walks through rubbish, for minutes or for ever."""

MOST_BYTES = 8 << 30
"""As many may be read of one file; a sparse one of terabytes has no size of its own."""

_REASON_CHARACTERS = 200
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
        with own_terms():
            yield
    except (UnreadableImage, MachineError):  # a library that is missing is no fault of the image
        raise
    except Exception as error:
        raise UnreadableImage(_reason(error)) from error


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
    text = " ".join(lines[0].split())[:_REASON_CHARACTERS].rstrip(" :") if lines else ""
    if isinstance(error, _PLAIN) and text:
        return text
    return f"the decoder failed ({type(error).__name__}{': ' + text if text else ''})"
