"""Colour profiles (ICC.1:2010) with what colours are computed from, and no word besides."""

import struct

from medimg_cli.privacy.metadata.metadata_text import reads_like_text
from medimg_cli.privacy.removal.lookup_tables import jumps

_CLASSES = frozenset([b"scnr", b"mntr", b"prtr", b"spac", b"link", b"abst"])
_SPACES = frozenset(b"XYZ |Lab |Luv |YCbr|Yxy |RGB |GRAY|HSV |HLS |CMYK|CMY ".split(b"|"))
_TAGS = frozenset(
    b"rXYZ gXYZ bXYZ wtpt bkpt rTRC gTRC bTRC kTRC chad A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 cicp".split()
)
_D50 = bytes.fromhex("0000f6d6000100000000d32d")
_ANY_DAY = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
_HEADER_BYTES = 128
_NAME, _RIGHTS = "colour profile", "none"
_PARA_VALUES = (1, 3, 4, 5, 7)
_FIXED = {b"XYZ ": 4, b"sf32": 8, b"para": 16}
"""Type → the largest of its s15Fixed16 numbers in any profile of a screen, scanner or working space."""


def clean_profile(profile: bytes) -> bytes | None:
    """Return a profile of the same colours that names nobody; None where it is damaged or holds text among numbers.

    Description and copyright, which every profile must have (section 8.2), say the same in all.
    """
    try:
        return _clean(profile)
    except (struct.error, IndexError):
        return None


def _clean(profile: bytes) -> bytes | None:
    version = profile[8]
    kind, space, connection, signature = profile[12:16], profile[16:20], profile[20:24], profile[36:40]
    if signature != b"acsp" or kind not in _CLASSES or not {space, connection} <= _SPACES:
        return None
    (count,) = struct.unpack_from(">I", profile, _HEADER_BYTES)
    elements: dict[bytes, bytes] = {
        b"desc": _description(_NAME, version),
        b"cprt": _multilingual(_RIGHTS) if version >= 4 else b"text\0\0\0\0" + _RIGHTS.encode() + b"\0",
    }
    for number in range(min(count, 100)):
        tag, start, size = struct.unpack_from(">4sII", profile, _HEADER_BYTES + 4 + 12 * number)
        if tag in _TAGS:
            held = profile[start : start + size]
            needed = _needed(held)
            if needed is None or len(held) < needed or not _are_colours(held[:4], held[8:needed]):
                return None
            elements[tag] = held[:4] + bytes(4) + held[8:needed]
    head = bytes(8) + profile[8:10] + bytes(2) + kind + space + connection + _ANY_DAY + b"acsp" + bytes(24)
    head += struct.pack(">I", profile[67] & 3) + _D50 + bytes(48)
    return _put_together(head, elements)


def _needed(held: bytes) -> int | None:
    """Return how many bytes an element takes by its type (ICC.1:2010 section 10), None for types of no colour."""
    kind = held[:4]
    if kind == b"curv":
        return 12 + 2 * int.from_bytes(held[8:12], "big")
    if kind == b"para":
        return 12 + 4 * _PARA_VALUES[int.from_bytes(held[8:10], "big")]
    if kind in (b"mft1", b"mft2"):
        inputs, outputs, points = (int(number) for number in held[8:11])
        grid: int = points**inputs * outputs
        if kind == b"mft1":
            return 48 + 256 * inputs + grid + 256 * outputs
        before, after = struct.unpack_from(">HH", held, 48)
        return int(52 + 2 * (before * inputs + grid + after * outputs))
    return {b"XYZ ": 20, b"sf32": 44, b"cicp": 12}.get(kind)


def _are_colours(kind: bytes, numbers: bytes) -> bool:
    """Return whether the numbers of an element are some that colours have, as those of letters are not."""
    if kind == b"curv":
        return not jumps(numbers[4:])
    if kind in _FIXED:
        fixed = numbers[4:] if kind == b"para" else numbers
        values = struct.unpack(f">{len(fixed) // 4}i", fixed)
        return all(abs(value) <= _FIXED[kind] << 16 for value in values)
    if kind == b"cicp":  # H.273: codes of primaries, transfer and matrix, and whether the range is full
        return max(numbers) < 32
    return not reads_like_text(numbers)


def _put_together(head: bytes, elements: dict[bytes, bytes]) -> bytes:
    at = _HEADER_BYTES + 4 + 12 * len(elements)
    table, data, places = [], b"", dict[bytes, int]()
    for tag, held in elements.items():
        if held not in places:
            places[held] = at + len(data)
            data += held + bytes(-len(held) % 4)
        table.append(struct.pack(">4sII", tag, places[held], len(held)))
    whole = head[4:] + struct.pack(">I", len(table)) + b"".join(table) + data
    return struct.pack(">I", len(whole) + 4) + whole


def _description(text: str, version: int) -> bytes:
    if version >= 4:
        return _multilingual(text)
    plain = text.encode("ascii") + b"\0"
    return b"desc\0\0\0\0" + struct.pack(">I", len(plain)) + plain + bytes(4 + 4 + 2 + 1 + 67)


def _multilingual(text: str) -> bytes:
    held = text.encode("utf-16-be")
    return b"mluc\0\0\0\0" + struct.pack(">II4sII", 1, 12, b"enUS", len(held), 28) + held
