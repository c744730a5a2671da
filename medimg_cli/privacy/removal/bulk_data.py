"""Pixels and tables of a DICOM file cut to what its header says they hold; frames are not encoded anew."""

import re
import struct
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.datadict import dictionary_has_tag, dictionary_VM, keyword_for_tag
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.tag import BaseTag
from pydicom.uid import UID

from medimg_cli.privacy.dicom.header_texts import (
    DOUBLE_PIXELS,
    FLOAT_PIXELS,
    PIXEL_DATA,
    PIXELS,
    element_vr,
    put,
)
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata, reads_like_text
from medimg_cli.privacy.removal.codestreams import (
    bare_jpeg,
    bare_jpeg2000,
    bare_rle,
    rle_planes,
)
from medimg_cli.privacy.removal.colour_profile import clean_profile
from medimg_cli.privacy.removal.last_samples import jpeg2000_without_slack, jpeg_samples, jpeg_without_slack
from medimg_cli.privacy.removal.lookup_tables import PALETTES, clear_unused_colours, entry_bytes, jumps
from medimg_cli.privacy.removal.profile import CannotDeidentify

_ICC_PROFILE, _LUT_DATA, _LUT_DESCRIPTOR, _WAVEFORM = 0x00282000, 0x00283006, 0x00283002, 0x54001010
_OFFSETS, _LENGTHS, _TOTAL = 0x7FE00001, 0x7FE00002, 0x7FE00003
_SEGMENTED = frozenset([0x00281221, 0x00281222, 0x00281223, 0x00281224])
_TABLES = frozenset([_LUT_DATA, _OFFSETS, _LENGTHS, *PALETTES])
_BYTES = frozenset(["OB", "OD", "OF", "OL", "OV", "OW", "UN"])
_NUMBERS = {
    "AT": "u2", "FD": "f8", "FL": "f4", "SL": "i4", "SS": "i2", "SV": "i8", "UL": "u4", "US": "u2", "UV": "u8",
}  # fmt: skip
"""Value representation → its numbers as numpy names them."""
# Four letters of 8 bits make an integer above the first, two of 16 bits one above the second; eight make a fraction
# whose exponent leaves the range of anything measured.
_MOST_ALONE, _MOST_COUNTED = 1 << 28, 1 << 21
_SMALLEST, _LARGEST = 1e-28, 1e12
_ITEM, _END = 0xFFFEE000, 0xFFFEE0DD
# PS3.5 annex A, transfer syntaxes below 1.2.840.10008.1.2.
_JPEG = frozenset(f"4.{number}" for number in (*range(50, 67), 70, 80, 81))
_JPEG_2000 = frozenset(f"4.{number}" for number in (90, 91, 92, 93, 201, 202, 203))
_RLE, _UNCOMPRESSED = "5", "1.98"
_STARTS = (b"\xff\xd8", b"\xff\x4f", b"\0\0\0\x0cjP  ")


def cut_bulk_data(dataset: Dataset, syntax: UID) -> None:
    """Cut every binary value of a data set to its content, in place.

    Native pixels end with their last sample, and hold nothing in bits that are no sample's. Compressed frames lose comments, application segments, and what stands
    behind their end; fragments of no frame go, offset tables are made anew. Tables have their declared entries, and
    colour profiles say only colours.

    Raises:
        CannotDeidentify: parts cannot be told apart, or text stands where numbers belong.
    """
    try:
        _cut_pixels(dataset, syntax)
    except (UnreadableMetadata, struct.error, IndexError) as error:
        reason = str(error) if isinstance(error, UnreadableMetadata) else "a compressed picture is damaged"
        raise CannotDeidentify(f"its frames cannot be cleaned: {reason}") from error
    clear_unused_colours(dataset)
    _cut_tables(dataset, has_pixels=any(tag in dataset for tag in PIXELS))


def _cut_tables(dataset: Dataset, *, has_pixels: bool, nested: bool = False) -> None:
    for tag in list(dataset.keys()):
        element = dataset.get_item(tag)
        vr = _vr(tag, element)
        if vr == "SQ":
            for item in dataset[tag].value or ():
                _cut_tables(item, has_pixels=has_pixels, nested=True)
        elif tag in PIXELS:
            if nested:
                del dataset[tag]  # a small second picture
        elif tag == _ICC_PROFILE:
            _cut_profile(dataset, bytes(element.value or b""))
        elif int(tag) in _TABLES or vr in _BYTES:
            if isinstance(element.value, bytes) and element.value.strip(b"\0"):
                _cut_table(dataset, tag, vr, element.value, has_pixels=has_pixels)
        elif vr in _NUMBERS and element.value not in (None, b""):
            _cut_numbers(dataset, tag, vr)


def _cut_profile(dataset: Dataset, value: bytes) -> None:
    profile = clean_profile(value)
    if profile is None:
        del dataset[_ICC_PROFILE]
    else:
        put(dataset, _ICC_PROFILE, "OB", profile + bytes(len(profile) % 2))


def _cut_table(dataset: Dataset, tag: BaseTag, vr: str, value: bytes, *, has_pixels: bool) -> None:
    """Cut a table to what is declared; bytes that no pixel needs (waveforms, signatures, maps) go."""
    if int(tag) in _SEGMENTED:
        raise CannotDeidentify("a segmented palette, whose parts medimg cannot take apart")
    if int(tag) not in _TABLES:
        if not has_pixels:
            raise CannotDeidentify(
                f"{keyword_for_tag(tag) or tag}, whose bytes may hold anything, and no pixels"
            )
        del dataset[tag]
        return
    size = _declared_bytes(dataset, tag, len(value))
    if size is None and int(tag) in (_LUT_DATA, *PALETTES):
        del dataset[tag]  # of no descriptor
        return
    if size is not None and size < len(value):
        value = value[:size] + bytes(size % 2)
        put(dataset, tag, vr, value)
    if reads_like_text(value) or (tag == _LUT_DATA and jumps(value)):
        raise CannotDeidentify(f"text among the numbers of {keyword_for_tag(tag) or tag}")


def _cut_numbers(dataset: Dataset, tag: BaseTag, vr: str) -> None:
    """Cut an attribute of numbers to as many as it may have (PS3.6); one with numbers that letters make goes."""
    element = dataset.get_item(tag)
    numbers = np.atleast_1d(np.asarray(element.value))
    whole = True
    if isinstance(element.value, bytes):
        order = "<" if getattr(element, "is_little_endian", True) else ">"
        kind = np.dtype((order + _NUMBERS[vr], 2) if vr == "AT" else order + _NUMBERS[vr])
        numbers = np.frombuffer(element.value[: len(element.value) // kind.itemsize * kind.itemsize], kind)
        whole = len(numbers) * kind.itemsize == len(element.value)
        if vr == "AT":  # two numbers each
            numbers = numbers.astype(np.int64) @ (1 << 16, 1)
    most = dictionary_VM(tag).split("-")[-1]
    kept = numbers[: int(most)] if most.isdigit() else numbers
    if not _are_numbers(kept, vr):
        del dataset[tag]
    elif len(kept) < len(numbers) or not whole:
        put(dataset, tag, vr, kept.tolist())


def _are_numbers(numbers: NDArray[Any], vr: str) -> bool:
    """Return whether these may be measured or counted, or name attributes: bytes of letters give others."""
    if vr == "AT":
        return all(dictionary_has_tag(int(tag)) for tag in numbers)
    if vr in ("US", "SS"):
        return not reads_like_text(numbers.tobytes())
    sizes = np.abs(numbers[np.isfinite(numbers)].astype(float))
    if vr in ("FL", "FD"):
        largest = float(np.finfo(numbers.dtype).max)  # stands for "none"
        return bool(np.all((sizes == 0) | ((sizes > _SMALLEST) & (sizes < _LARGEST)) | (sizes == largest)))
    return bool(np.all(sizes < (_MOST_COUNTED if len(numbers) > 1 else _MOST_ALONE)))


def _declared_bytes(dataset: Dataset, tag: BaseTag, length: int) -> int | None:
    """Return how long the header says a table is, None where it says nothing."""
    if tag == _WAVEFORM:
        parts = ("NumberOfWaveformChannels", "NumberOfWaveformSamples", "WaveformBitsAllocated")
        channels, samples, bits = (_number(dataset, keyword) for keyword in parts)
        return channels * samples * bits // 8
    descriptor = _LUT_DESCRIPTOR if tag == _LUT_DATA else PALETTES.get(int(tag))
    if descriptor is None or descriptor not in dataset:
        return None
    held = dataset[descriptor].value
    entries = int(held[0]) % (1 << 16) or 1 << 16
    return entries * entry_bytes(entries, length)


def _cut_pixels(dataset: Dataset, syntax: UID) -> None:
    compressed = syntax.is_encapsulated
    for tag, bits in (
        (FLOAT_PIXELS, 32),
        (DOUBLE_PIXELS, 64),
        (PIXEL_DATA, _number(dataset, "BitsAllocated")),
    ):
        element = dataset.get_item(tag) if tag in dataset else None
        if element is None or not element.value:
            continue
        if tag == PIXEL_DATA and compressed:
            _cut_frames(dataset, element.value, syntax)
            return
        count = max(1, _number(dataset, "NumberOfFrames", 1))
        size = (_frame_bits(dataset, bits, len(element.value) // count) * count + 7) // 8
        if not size:
            raise CannotDeidentify("a header that does not say how many pixels there are")
        if len(element.value) > size:
            # Samples of 8 bits in words of the other byte order: the last one stands behind its padding.
            swapped = size % 2 and not dataset.original_encoding[1] and _vr(tag, element) == "OW"
            kept = (
                bytes(1) + element.value[size : size + 1]
                if swapped
                else element.value[size - size % 2 : size]
            )
            put(
                dataset,
                tag,
                _vr(tag, element),
                element.value[: size - size % 2] + kept.ljust(2 * (size % 2), b"\0"),
            )
        if tag == PIXEL_DATA:
            _clear_unused_bits(dataset, _vr(tag, element))


def _clear_unused_bits(dataset: Dataset, vr: str) -> None:
    """Clear the bits of native pixels that are no sample's: overlays of old stood there (PS3.5-2004 8.1.2)."""
    size = _number(dataset, "BitsAllocated") // 8
    if size not in (1, 2, 4):
        return
    value = dataset[PIXEL_DATA].value
    order = "<" if dataset.original_encoding[1] else ">"
    cells = np.frombuffer(value[: len(value) // size * size], f"{order}u{size}")
    cleared = _samples_alone(dataset, cells)
    if not np.array_equal(cleared, cells):
        kept = cleared.astype(cells.dtype).tobytes()
        put(dataset, PIXEL_DATA, vr, kept + value[len(kept) :])


def _check_planes(dataset: Dataset, planes: list[NDArray[np.uint8]]) -> None:
    """Raise `UnreadableMetadata` where bits of a frame, in planes of bytes from the highest on, are no sample's."""
    size = _number(dataset, "BitsAllocated") // 8
    for first in range(0, len(planes), size) if size in (1, 2, 4) else ():
        cells = np.stack(planes[first : first + size], 1).view(f">u{size}")[:, 0]
        if not np.array_equal(_samples_alone(dataset, cells), cells):
            raise UnreadableMetadata("something in the bits of RLE frames that are no sample's")


def _samples_alone(dataset: Dataset, cells: NDArray[Any]) -> NDArray[Any]:
    """Return cells without the bits that are no sample's; above High Bit copies of the sign stay."""
    allocated, stored = _number(dataset, "BitsAllocated"), _number(dataset, "BitsStored")
    high = _number(dataset, "HighBit", stored - 1)
    if not 0 < stored <= high + 1 <= allocated or stored == allocated:
        return cells
    below, every = (1 << (high + 1)) - 1, (1 << allocated) - 1
    cleared = cells & (below >> (high + 1 - stored) << (high + 1 - stored))
    if _number(dataset, "PixelRepresentation"):
        negative = ((cells >> high) & 1 == 1) & (cells & (every - below) == every - below)
        cleared = np.where(negative, cleared | (every - below), cleared)
    return cleared


def _frame_bits(dataset: Dataset, bits: int, length: int = 0) -> int:
    """Return how many bits one frame takes; `length` bytes tell where a halved colour is halved in name alone."""
    pixels, samples = (
        _number(dataset, "Rows") * _number(dataset, "Columns"),
        _number(dataset, "SamplesPerPixel", 1),
    )
    halved = str(dataset.get("PhotometricInterpretation", "")).strip() in ("YBR_FULL_422", "YBR_PARTIAL_422")
    return pixels * bits * (2 if halved and length * 8 < pixels * samples * bits else samples)


def _cut_frames(dataset: Dataset, value: bytes, syntax: UID) -> None:
    frames_wanted = max(1, _number(dataset, "NumberOfFrames", 1))
    frames = list(_frames(dataset, value, frames_wanted))
    cleaned = [_bare_frame(frame, dataset, syntax) for frame in frames]
    if _OFFSETS in dataset:
        pixels, offsets, lengths = encapsulate_extended(cleaned)
        put(dataset, _OFFSETS, "OV", offsets)
        put(dataset, _LENGTHS, "OV", lengths)
    else:
        pixels = encapsulate(cleaned, has_bot=sum(map(len, cleaned)) < 1 << 31)
    if _TOTAL in dataset:
        put(dataset, _TOTAL, "UV", sum(map(len, cleaned)))
    put(dataset, PIXEL_DATA, "OB", pixels)
    dataset[PIXEL_DATA].is_undefined_length = True


def _bare_frame(frame: bytes, dataset: Dataset, syntax: UID) -> bytes:
    kind = str(syntax).removeprefix("1.2.840.10008.1.2.")
    pixels, bits = _number(dataset, "Rows") * _number(dataset, "Columns"), _number(dataset, "BitsAllocated")
    size = (_frame_bits(dataset, bits) + 7) // 8
    if kind in _JPEG:
        if frame[:2] != b"\xff\xd8":
            raise UnreadableMetadata("a frame that is no JPEG")
        return jpeg_without_slack(bare_jpeg(frame), jpeg_samples)
    if kind in _JPEG_2000:
        return jpeg2000_without_slack(bare_jpeg2000(frame))
    if kind == _RLE:
        planes = _number(dataset, "SamplesPerPixel", 1) * ((bits + 7) // 8)
        bare = bare_rle(frame, pixels, planes)
        _check_planes(dataset, [np.frombuffer(one, np.uint8)[:pixels] for one in rle_planes(bare)])
        return bare
    if kind == _UNCOMPRESSED and len(frame) >= size:
        return frame[:size]
    raise UnreadableMetadata(f"{syntax.name} is compressed in a way that medimg cannot take apart")


def _frames(dataset: Dataset, value: bytes, wanted: int) -> Iterator[bytes]:
    """Yield the frames in the fragments of encapsulated pixels (PS3.5 A.4): by a table of offsets where one fits
    them, else by how frames begin; fragments of none are left out of all but the one they follow."""
    fragments = list(_fragments(value))
    table = bytes(fragments.pop(0)[1]) if fragments else b""
    extended = dataset.get_item(_OFFSETS) if _OFFSETS in dataset else None
    starts = [0] if wanted == 1 else list(range(len(fragments))) if len(fragments) == wanted else None
    places = {place: number for number, (place, _) in enumerate(fragments)}
    for code, held in ((8, getattr(extended, "value", None) or b""), (4, table)):
        offsets = [int.from_bytes(held[at : at + code], "little") for at in range(0, wanted * code, code)]
        found = [places[offset] for offset in offsets if offset in places]
        if starts is None and len(found) == wanted and found == sorted(set(found)) and found[0] == 0:
            starts = found
    if starts is None:
        starts = [number for number, (_, held) in enumerate(fragments) if held.startswith(_STARTS)]
        starts = starts or list(range(len(fragments)))  # RLE: one fragment a frame (PS3.5 A.4.2)
    if len(starts) < wanted or not fragments:
        raise UnreadableMetadata(f"{len(starts) if fragments else 0} frames where {wanted} belong")
    for start, end in pairwise([*starts, len(fragments)][: wanted + 1]):
        yield b"".join(held for _, held in fragments[start:end])


def _fragments(value: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (offset behind the first item, content) of the items; the first one is the Basic Offset Table."""
    at, base = 0, None
    while at + 8 <= len(value):
        group, element, size = struct.unpack_from("<HHI", value, at)
        if group << 16 | element == _END:
            return
        if group << 16 | element != _ITEM or at + 8 + size > len(value):
            raise UnreadableMetadata("fragments of pixels that break off")
        yield (at - base if base is not None else 0), value[at + 8 : at + 8 + size]
        at += 8 + size
        base = at if base is None else base


def _vr(tag: BaseTag | int, element: DataElement | RawDataElement) -> str:
    return element_vr(tag, element).split(" or ")[-1]


def _number(dataset: Dataset, keyword: str, missing: int = 0) -> int:
    """Return a number of the header, of an ill-formed one the digits it begins with.

    Raises:
        CannotDeidentify: it is none.
    """
    value = dataset.get(keyword)
    match = re.match(r"\s*(\d+)", str(value))
    if value not in (None, "") and match is None:
        raise CannotDeidentify(f"a {keyword} that is no number")
    return missing if match is None else int(match[1])
