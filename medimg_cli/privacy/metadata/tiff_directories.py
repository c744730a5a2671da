"""The directories of TIFF, BigTIFF and EXIF blocks (TIFF 6.0 §2): what reads texts and what removes them share it."""

import struct
from dataclasses import dataclass
from functools import cached_property

from medimg_cli.privacy.metadata.metadata_text import Bytes, UnreadableMetadata

ENTRIES_LIMIT = 4096
BYTE, ASCII, UNDEFINED = 1, 2, 7
# Type → bytes of one value, and its code for `struct`; fractions are two numbers.
VALUE_BYTES = {
    1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8,
}  # fmt: skip
_CODES = {
    1: "B", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I", 16: "Q", 17: "q",
    18: "Q",
}  # fmt: skip
FRACTIONS = (5, 10)


@dataclass(frozen=True)
class Entry:
    """One entry of a directory: type and number of its values, where they start, and how many bytes they take."""

    code: int
    count: int
    start: int
    size: int


@dataclass(frozen=True)
class Tiff:
    """A TIFF file or EXIF block; offsets count from the byte order mark it begins with.

    Args:
        form: "TIFF" or "EXIF", as errors and places name it.
    """

    data: Bytes
    form: str

    @cached_property
    def order(self) -> str:
        """Return "<" or ">".

        Raises:
            UnreadableMetadata: it has no byte order mark.
        """
        found = {b"II": "<", b"MM": ">"}.get(bytes(self.data[:2]))
        if found is None or len(self.data) < 8:
            raise UnreadableMetadata(f"the {self.form} block has no byte order mark")
        return found

    @cached_property
    def big(self) -> bool:
        """Return whether it is a BigTIFF, with offsets of 64 bits."""
        return self.number("H", 2) == 43

    @property
    def pointer(self) -> str:
        return "Q" if self.big else "I"

    @property
    def count_code(self) -> str:
        return "Q" if self.big else "H"

    @property
    def room(self) -> int:
        """Bytes of a value that stands in its entry."""
        return 8 if self.big else 4

    @property
    def link(self) -> int:
        """Where the offset of the first directory stands."""
        return 8 if self.big else 4

    def number(self, code: str, at: int) -> int:
        """Return one number.

        Raises:
            UnreadableMetadata: the block breaks off.
        """
        size = struct.calcsize("<" + code)
        held = bytes(self.data[at : at + size])
        if len(held) < size:
            raise UnreadableMetadata(f"the {self.form} block breaks off")
        return int(struct.unpack(self.order + code, held)[0])

    def directory(self, offset: int) -> tuple[dict[int, Entry], int]:
        """Return tag → entry of a directory, and the offset of the next one, 0 after the last.

        Raises:
            UnreadableMetadata: it breaks off, or has more than 4,096 entries.
        """
        count = self.number(self.count_code, offset)
        if count > ENTRIES_LIMIT:
            raise UnreadableMetadata(f"a directory of the {self.form} block has {count:,} entries")
        at = offset + struct.calcsize("<" + self.count_code)
        entries: dict[int, Entry] = {}
        for _ in range(count):
            tag, code = self.number("H", at), self.number("H", at + 2)
            values = self.number(self.pointer, at + 4)
            size = values * VALUE_BYTES.get(code, 0)
            place = at + 4 + self.room
            if size:
                start = place if size <= self.room else self.number(self.pointer, place)
                entries[tag] = Entry(code, values, start, size)
            at = place + self.room
        # Many writers leave the last offset out; then nothing follows.
        following = self.number(self.pointer, at) if at + self.room <= len(self.data) else 0
        return entries, following

    def numbers(self, entry: Entry, held: bytes) -> list[float]:
        """Return what bytes of an entry say as numbers, fractions as quotients; nothing for texts."""
        letter = _CODES.get(entry.code)
        if letter is None:
            return []
        count = len(held) // struct.calcsize("<" + letter)
        values = struct.unpack_from(f"{self.order}{count}{letter}", held)
        if entry.code in FRACTIONS:
            return [a / b if b else 0.0 for a, b in zip(values[::2], values[1::2], strict=False)]
        return list(values)
