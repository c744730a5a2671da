"""What every reader needs around somebody else's decoder: silence, one kind of error, a limit on size."""

from collections.abc import Iterator
from contextlib import contextmanager

from medimg_cli.errors import MachineError
from medimg_cli.images.image import TooManyPixels, UnreadableImage
from medimg_cli.images.quiet_decoding import own_terms

LIMIT_PIXELS = 500_000_000
"""Larger images are refused by their header: a few bytes can claim to hold terabytes."""

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
    with own_terms():
        try:
            yield
        except (UnreadableImage, MachineError):  # a library that is missing is no fault of the image
            raise
        except Exception as error:
            raise UnreadableImage(_reason(error)) from error


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
