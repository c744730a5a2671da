"""What every reader needs around somebody else's decoder: silence, one kind of error, a limit on size."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from medimg_cli.core.image import UnreadableImage

LIMIT_PIXELS = 500_000_000
"""Larger images are refused by their header: a few bytes can claim to hold terabytes."""

_REASON_CHARACTERS = 200
_PLAIN = (OSError, ValueError, SyntaxError, RuntimeError, NotImplementedError)  # their text says enough


class _Silence:
    """Ignores warnings while at least one thread is inside.

    `warnings.catch_warnings` alone is not safe in threads: it saves and restores one list for the whole
    process, so two threads that overlap may leave the wrong list behind. Here the first one in saves it and
    the last one out restores it.
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

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._stack.close()


_SILENCE = _Silence()


@contextmanager
def foreign_decoder() -> Iterator[None]:
    """Run somebody else's decoder on bytes nobody vouches for.

    Warnings are swallowed (a row in the quarantine says more than a line on stderr), and whatever the decoder
    raises becomes one kind of error: damaged files make decoders raise nearly anything.

    Raises:
        UnreadableImage: the block raised; the text is one line without the file's path.
    """
    with _SILENCE:
        try:
            yield
        except UnreadableImage:
            raise
        except Exception as error:
            raise UnreadableImage(_reason(error)) from error


def refuse_huge(width_px: int, height_px: int) -> None:
    """Refuse an image before its pixels are decoded.

    Raises:
        UnreadableImage: a side is not positive, or the image has more than `LIMIT_PIXELS` pixels.
    """
    if width_px < 1 or height_px < 1:
        raise UnreadableImage(f"the header says {width_px}x{height_px} pixels")
    if width_px * height_px > LIMIT_PIXELS:
        raise UnreadableImage(
            f"the header says {width_px}x{height_px} pixels, more than the limit of {LIMIT_PIXELS:,}"
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
