"""Header values as numbers and look-up tables (modality, VOI, palette colour), however they were written.

Descriptor (entries, first value mapped, bits) and data: PS3.3 C.11.1.1.1, C.11.2.1.1 and C.7.6.3.1.5-6.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import dictionary_description
from pydicom.dataset import Dataset

_LONGEST_SHOWN = 30


class Unusable(Exception):  # noqa: N818 -- no failure: what depends on the value is skipped, and the text says why
    """Raised for an attribute or table that cannot be applied; its text is the reason, a part of a line."""


def value_of(holder: Dataset, keyword: str) -> Any:
    """Return an attribute's value, None where it is absent, empty or cannot be decoded at all."""
    try:
        return holder.get(keyword)
    except Exception:  # damaged bytes make pydicom raise anything
        return None


def numbers(holder: Dataset, keyword: str) -> tuple[float, ...]:
    """Return an attribute's numbers, () where it is absent or empty, NaN for an empty one among several.

    Raises:
        Unusable: one of them is no finite number.
    """
    try:
        value = holder.get(keyword)
    except Exception as error:  # a value pydicom cannot convert
        raise Unusable(f"{dictionary_description(keyword)} is no number") from error
    several = value if hasattr(value, "__iter__") and not isinstance(value, str | bytes) else [value]
    found = []
    for one in several:
        if one is None or one == "" or one == b"":
            found.append(math.nan)
            continue
        try:
            number = float(one)
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise Unusable(f"{dictionary_description(keyword)} {shown(one)} is no number")
        found.append(number)
    return () if all(map(math.isnan, found)) else tuple(found)


def one_number(holder: Dataset, keyword: str) -> float | None:
    """Return an attribute's one number, None where it is absent or empty.

    Raises:
        Unusable: it is no finite number, or there are several that differ.
    """
    found = [number for number in numbers(holder, keyword) if not math.isnan(number)]
    if len(set(found)) > 1:
        raise Unusable(f"{dictionary_description(keyword)} has {len(found)} values, where one belongs")
    return found[0] if found else None


def word(holder: Dataset, keyword: str) -> str:
    """Return a code string in capitals, without blanks around it (PS3.5 6.2), "" where there is none.

    Of several values it is the first.
    """
    value = value_of(holder, keyword)
    if value is not None and not isinstance(value, str) and hasattr(value, "__getitem__"):
        value = value[0] if len(value) else ""
    return str(value if value is not None else "").strip(" \0").upper()


def shown(value: Any) -> str:
    """Return a value as a short quoted text without control characters."""
    text = "".join(character if character.isprintable() else "?" for character in str(value))
    return f"'{text[:_LONGEST_SHOWN]}{'…' if len(text) > _LONGEST_SHOWN else ''}'"


_MOST_ENTRIES = 1 << 16
_COLOURS = ("Red", "Green", "Blue")


@dataclass(frozen=True)
class Table:
    """A look-up table.

    Args:
        entries: what each value becomes, unsigned.
        first: the value that becomes `entries[0]`; lesser ones do too, and greater than the last become the last.
        bits: the output range is 0 to 2^bits - 1: what the descriptor says, or what the entries need where they
            contradict it.
        said_bits: what the descriptor says.
    """

    entries: NDArray[Any]
    first: int
    bits: int
    said_bits: int

    def __call__(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return mapped values of the same shape.

        Raises:
            Unusable: different values all become one.
        """
        positions = np.rint(values) if values.dtype.kind == "f" else values.astype(np.int64)
        positions = np.clip(positions - self.first, 0, len(self.entries) - 1).astype(np.int64)
        mapped: NDArray[Any] = self.entries[positions]
        if mapped.size and mapped.min() == mapped.max() and values.min() != values.max():
            raise Unusable("maps every sample to one value")
        return mapped

    def words(self) -> str:
        """Return "" or, where the descriptor is contradicted, how many bits are in use."""
        return "" if self.bits == self.said_bits else f" ({self.bits} bits in use, {self.said_bits} said)"


def table_of(item: Dataset, low: float, high: float) -> Table | None:
    """Return the table in an item of a modality or VOI LUT sequence, None where it is empty.

    Args:
        low, high: the least and greatest value that it may be applied to: they tell the sign of the first value.

    Raises:
        Unusable: it cannot be applied.
    """
    try:
        descriptor, data = item.get("LUTDescriptor"), item.get("LUTData")
        representation = str(item["LUTData"].VR) if data is not None else ""
    except Exception as error:  # pydicom on damaged bytes
        raise Unusable("cannot be decoded") from error
    if _is_empty(descriptor) or _is_empty(data):
        return None
    big_endian = not bool(item.original_encoding[1]) if item.original_encoding[1] is not None else False
    count, first, said_bits = _descriptor(descriptor, low, high)
    packed = said_bits <= 8  # two entries a word
    entries = _entries(data, count, big_endian, representation, packed=packed)
    largest = int(entries.max())
    # Agfa and others write the size an entry is stored in, or another; the entries themselves tell the range.
    contradicted = not 1 <= said_bits <= 16 or not (1 << said_bits) // 2 <= largest < 1 << said_bits
    return Table(entries, first, max(1, largest.bit_length()) if contradicted else said_bits, said_bits)


def palette_colours(stored: NDArray[Any], dataset: Dataset, low: int, high: int) -> tuple[NDArray[Any], int]:
    """Return (colours (H, W, 3), bits of their range) of indices (H, W) into a palette.

    Raises:
        Unusable: the palette is missing, damaged, or lies beyond every index.
    """
    big_endian = not bool(dataset.original_encoding[1]) if dataset.original_encoding[1] is not None else False
    planes, bits = [], 8
    for colour in _COLOURS:
        name = f"{colour}PaletteColorLookupTable"
        try:
            descriptor = dataset.get(f"{name}Descriptor")
            plain, segmented = dataset.get(f"{name}Data"), dataset.get(f"Segmented{name}Data")
            representation = str(dataset[f"{name}Data"].VR) if plain is not None else ""
        except Exception as error:  # pydicom on damaged bytes
            raise Unusable(f"the {colour.lower()} palette cannot be decoded") from error
        if _is_empty(descriptor) or (_is_empty(plain) and _is_empty(segmented)):
            raise Unusable(f"the {colour.lower()} palette is missing")
        count, first, said_bits = _descriptor(descriptor, low, high)
        if _is_empty(plain):
            entries = _enough(_segments(segmented, said_bits, big_endian), count)
        else:
            entries = _entries(plain, count, big_endian, representation)
        table = Table(entries, first, said_bits, said_bits)
        positions = np.clip(stored.astype(np.int64) - table.first, 0, len(entries) - 1)
        planes.append(entries[positions])
        largest = int(entries.max())
        # 16 bits said may hold 8 or 12, as an entry's size was written; 8 said may hold 16.
        bits = max(bits, 8 if largest < 1 << 8 else 12 if largest < 1 << 12 else 16)
    colours = np.stack(planes, axis=-1)
    if stored.size and stored.min() != stored.max() and (colours == colours[:1, :1]).all():
        raise Unusable("the palette maps every sample to one colour")
    return colours, bits


def _is_empty(value: Any) -> bool:
    return value is None or (hasattr(value, "__len__") and len(value) == 0)


def _descriptor(descriptor: Any, low: float, high: float) -> tuple[int, int, int]:
    """Return (entries, first value mapped, bits) of a LUT Descriptor; raises `Unusable`."""
    if isinstance(descriptor, bytes):
        descriptor = np.frombuffer(descriptor[: len(descriptor) // 2 * 2], dtype="<u2").tolist()
    if not hasattr(descriptor, "__len__") or len(descriptor) != 3:
        raise Unusable("its descriptor has not three values")
    try:
        count, written, bits = (int(number) for number in descriptor)
    except (TypeError, ValueError) as error:
        raise Unusable("its descriptor is no number") from error
    count = count & 0xFFFF or _MOST_ENTRIES  # PS3.3 C.11.1.1: 0 stands for 65536
    # The second value has the sign of what the table is applied to (C.11.2.1.1), whatever its VR says; files break
    # that, so of the readings the first is taken in whose range any value can lie.
    unsigned = written & 0xFFFF
    signed = unsigned - (1 << 16) if unsigned >= 1 << 15 else unsigned
    readings = (signed, unsigned) if low < 0 or written < 0 else (unsigned, signed)
    for first in readings:
        if first <= high and first + count - 1 >= low:
            return count, first, bits & 0xFFFF
    raise Unusable("lies beyond every value")


def _entries(
    data: Any, count: int, big_endian: bool, representation: str, *, packed: bool = True
) -> NDArray[np.int64]:
    """Return a table's entries: numbers (VR US), or bytes (VR OW) with one entry a word, or two where there may be."""
    if not isinstance(data, bytes | bytearray):
        try:
            found = np.atleast_1d(np.asarray(data, dtype=np.int64)) & 0xFFFF
        except (TypeError, ValueError) as error:
            raise Unusable("its data are no numbers") from error
        if not packed or len(found) >= count or len(found) != (count + 1) // 2:
            return _enough(found, count)
        data, big_endian = found.astype("<u2").tobytes(), False  # two entries a word after all
    if packed and count > 1 and len(data) in (count, count + 1):
        single = np.frombuffer(data, dtype=np.uint8)
        if (
            big_endian and representation == "OW" and len(single) % 2 == 0
        ):  # the first entry is the low byte, PS3.5 7.3
            single = single.reshape(-1, 2)[:, ::-1].ravel()
        return _enough(single.astype(np.int64), count)
    words = np.frombuffer(data[: len(data) // 2 * 2], dtype=">u2" if big_endian else "<u2")
    return _enough(words.astype(np.int64), count)


def _enough(entries: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    if len(entries) < count:
        raise Unusable(f"holds {len(entries)} of {count} entries")
    return entries[:count]


def _segments(data: Any, bits: int, big_endian: bool) -> NDArray[np.int64]:
    """Return the entries of a segmented palette (PS3.3 C.7.9.2)."""
    if not isinstance(data, bytes | bytearray):
        data, big_endian = np.atleast_1d(np.asarray(data, dtype=np.uint16)).astype("<u2").tobytes(), False
    kind = "u1" if bits <= 8 else ">u2" if big_endian else "<u2"
    size = np.dtype(kind).itemsize
    words = np.frombuffer(data[: len(data) // size * size], dtype=kind).tolist()
    try:
        found = _expanded(words, 0, len(words), size)
    except (IndexError, RecursionError) as error:
        raise Unusable("its segments run off their end") from error
    return np.asarray(found, dtype=np.int64)


def _expanded(words: list[int], place: int, segments: int, size: int, last: int | None = None) -> list[int]:
    """Return what at most `segments` segments from `place` on expand to: discrete, linear, or indirect ones."""
    found: list[int] = []
    while place + 1 < len(words) and segments > 0:
        kind, length = words[place], words[place + 1]
        place, segments = place + 2, segments - 1
        before = found[-1] if found else last
        if kind == 0:
            found += words[place : place + length]
            place += length
        elif kind == 1 and before is not None:
            found += np.rint(np.linspace(before, words[place], length + 1)[1:]).astype(int).tolist()
            place += 1
        elif kind == 2 and before is not None and last is None:  # copies of indirect ones are not allowed
            if size == 1:
                offset = int.from_bytes(bytes(words[place : place + 4]), "little")
            else:
                offset = (words[place + 1] << 16 | words[place]) // size
            place += 4 // size
            found += _expanded(words, offset, length, size, before)
        else:
            raise Unusable("its segments are damaged")
        if len(found) > _MOST_ENTRIES:
            raise Unusable(f"its segments unpack to more than {_MOST_ENTRIES:,} entries")
    if not found:
        raise Unusable("its segments are damaged")
    return found
