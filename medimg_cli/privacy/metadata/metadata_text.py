"""One text that travels inside an image file, and how bytes become one within limits."""

import itertools
import math
import mmap
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

TEXT_LIMIT = 1 << 20
"""Bytes of one text that are looked at, also after inflating it."""
FILE_LIMIT = 16 << 20
"""Characters of all texts of one file."""
TEXTS_LIMIT = 10_000
"""Texts of one file."""

_LETTERS_SHARE = 0.27  # of all bytes are letters, digits or what stands between them in a name
_PLACE_LIMIT = 40
_SHOWN = re.compile(rb"[\x20-\x7e\x80-\xff\t]{4,}")
_SHOWN_WIDE = re.compile(rb"(?:[\x20-\x7e]\0){4,}")


@dataclass(frozen=True)
class MetadataText:
    """A text beside the pixels.

    Args:
        place: where it stands, such as "EXIF Artist", "PNG tEXt Comment", "XMP creator", "EXIF GPSLatitude",
            "IPTC By-line", "JPEG comment", "EXIF thumbnail" or "trailing bytes".
        text: what it says; "" where the bytes hold no letters. Never to be shown unmasked.
        complete: False where a limit cut it off, so that more may stand there.
    """

    place: str
    text: str
    complete: bool = True


class UnreadableMetadata(Exception):  # noqa: N818 -- not a failure of the command: it becomes a finding
    """Raised for a file whose metadata cannot be read to its end; its text is the reason, one line."""


def plain_text(place: str, data: bytes, encoding: str = "utf-8") -> MetadataText:
    """Return bytes as text without padding: in `encoding`, else in Latin-1, where every byte is a letter."""
    head = data[:TEXT_LIMIT]
    try:
        text = head.decode(encoding)
    except UnicodeDecodeError:
        text = head.decode("latin-1")
    return MetadataText(place, text.strip(" \0\t\r\n"), len(data) <= TEXT_LIMIT)


def strings_text(place: str, data: bytes) -> MetadataText:
    """Return what can be read in bytes of unknown form: runs of four letters and more, 8 or 16 bits each."""
    head = bytes(data[:TEXT_LIMIT])
    runs = [plain_text("", run).text for run in _SHOWN.findall(head)]
    runs += [run.decode("utf-16-le") for run in _SHOWN_WIDE.findall(head)]
    # One sign over and over is padding or a table.
    readable = [run for run in runs if len(set(filter(str.isalnum, run))) > 1]
    return MetadataText(place, " ".join(readable), len(data) <= TEXT_LIMIT)


def reads_like_text(data: bytes) -> bool:
    """Return whether bytes that should be numbers hold a run of letters, of 8 or 16 bits each, as only text does.

    The run is as long as random bytes of this size would show in one of a thousand, and its letters go up and down:
    tables that rise, or repeat one value, are numbers.

    >>> reads_like_text(b"Quintrell^Zebedee"), reads_like_text(bytes(range(256)))
    (True, False)
    """
    size = len(data)
    if size < 6:
        return False
    least = max(6, math.ceil((math.log(size) + math.log(1000)) / -math.log(_LETTERS_SHARE)))
    narrow = re.compile(rb"[A-Za-z0-9 ^,.'_-]{%d,}" % least)
    wide = re.compile(rb"(?:\0[A-Za-z0-9 ^,.'_-]){%d,}|(?:[A-Za-z0-9 ^,.'_-]\0){%d,}" % (least, least))
    return any(_is_written(run) for run in narrow.findall(data)) or any(
        _is_written(run.replace(b"\0", b"")) for run in wide.findall(data)
    )


def _is_written(run: bytes) -> bool:
    """Return whether neighbouring letters rise and fall by turns, three times at least, and most are letters."""
    steps = [b > a for a, b in itertools.pairwise(run) if a != b]
    turns = sum(one != other for one, other in itertools.pairwise(steps))
    return turns >= 3 and sum(bytes([byte]).isalnum() for byte in run) * 4 >= len(run) * 3


def place_name(name: str) -> str:
    """Return the name of a field as a file gives it, fit for one line: 40 signs, those not printable as `?`."""
    return "".join(sign if sign.isprintable() else "?" for sign in name[:_PLACE_LIMIT])


def inflate(data: bytes) -> tuple[bytes, bool]:
    """Return what zlib data (RFC 1950) holds, at most `TEXT_LIMIT` bytes of it, and whether that is all.

    Raises:
        UnreadableMetadata: it is damaged.
    """
    engine = zlib.decompressobj()
    try:
        held = engine.decompress(data, TEXT_LIMIT)
    except zlib.error as error:
        raise UnreadableMetadata(f"a compressed text is damaged: {error}") from error
    return held, engine.eof


def icc_texts(profile: bytes) -> Iterator[MetadataText]:
    """Yield the texts of a colour profile: description, copyright, device (ICC.1:2010 §7.3, §9.2).

    They name makers of screens and scanners, at times the person who made the profile.
    """
    (count,) = struct.unpack_from(">I", profile, 128) if len(profile) >= 132 else (0,)
    for number in range(min(count, 100)):
        entry = profile[132 + 12 * number : 144 + 12 * number]
        if len(entry) < 12:
            return
        signature, offset, size = struct.unpack(">4sII", entry)
        if signature in _ICC_TEXTS:
            held = profile[offset : offset + min(size, TEXT_LIMIT)]
            yield strings_text(f"ICC {_ICC_TEXTS[signature]}", held[8:].replace(b"\0", b"")[:4096])


_ICC_TEXTS = {
    b"desc": "description",
    b"cprt": "copyright",
    b"dmnd": "device maker",
    b"dmdd": "device model",
    b"vued": "viewing conditions",
}


def bounded(texts: Iterator[MetadataText]) -> Iterator[MetadataText]:
    """Yield texts until a limit of the file is reached; the last one then says that more may stand there."""
    characters = 0
    for number, text in enumerate(texts):
        characters += len(text.text)
        if number >= TEXTS_LIMIT or characters > FILE_LIMIT:
            yield MetadataText("metadata beyond the limit", "", complete=False)
            return
        yield text


Bytes = bytes | mmap.mmap | memoryview
"""What can be sliced: a file mapped into memory is read only where somebody looks."""
