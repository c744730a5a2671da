"""What every reader needs around somebody else's decoder: silence, one kind of error, a limit on size."""

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from PIL import ImageFile

from medimg_cli.core.image import UnreadableImage

LIMIT_PIXELS = 500_000_000
"""Larger images are refused by their header: a few bytes can claim to hold terabytes."""

_REASON_CHARACTERS = 200
_PLAIN = (OSError, ValueError, SyntaxError, RuntimeError, NotImplementedError)  # their text says enough


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
def foreign_decoder() -> Iterator[None]:
    """Run somebody else's decoder on bytes nobody vouches for.

    Warnings are swallowed (a row in the quarantine says more than a line on stderr), and whatever the decoder
    raises becomes one kind of error: damaged files make decoders raise nearly anything.

    Raises:
        UnreadableImage: the block raised; the text is one line without the file's path.
    """
    with _OWN_TERMS:
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
