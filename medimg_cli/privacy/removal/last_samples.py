"""Compressed samples without what stands behind the last of them: only a decoder tells them from what it passes over.

Nothing is encoded anew: bytes are put for the last ones, and where what is decoded stays the same none of them is a sample.
"""

import re
import struct
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
from numpy.typing import NDArray
from PIL import JpegImagePlugin

from medimg_cli.privacy.metadata.containers import SOF_LS, SOS, jpeg_segments
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata

Decode = Callable[[bytes], object]
_OTHER_SAMPLES = bytes(range(37, 237, 3)) * 2  # no FF, which begins a marker
_FEWEST = 3
"""Bytes behind the last sample that are looked for: fewer say nothing, and the last ones of whole samples may be any."""
_MOST_MORE = 8
_UNREAD = "compressed samples that no decoder here reads, so that their end cannot be told"
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")
_DHT, _DQT, _DRI = 0xC4, 0xDB, 0xDD
_SEQUENTIAL, _LOSSLESS = (0xC0, 0xC1), 0xC3
_LARGEST_SIDE = 65_500
_SOT, _SOD = 0xFF90, 0xFF93
_ROOM = bytes(64)
"""Behind a JPEG-LS codestream: of one cut off within its last bytes CharLS (2.4.3) walks through foreign memory."""


def to_last_sample(held: bytes, decoded: Decode, *, same_length: bool = False) -> bytes:
    """Return compressed samples to the last one.

    Args:
        decoded: returns what samples decode to, to be compared.
        same_length: put zeros for what stands behind the last sample, instead of cutting it off.

    Raises:
        UnreadableMetadata: they cannot be decoded.
    """
    whole = _decoded(held, decoded)

    def is_whole(samples: bytes) -> bool:
        try:
            return bool(decoded(samples) == whole)
        except Exception:  # decoders raise what they like
            return False

    def ends_before(at: int) -> bool:
        room = len(held) - at if same_length else len(_OTHER_SAMPLES)
        return is_whole(held[:at] + (_OTHER_SAMPLES * (room // len(_OTHER_SAMPLES) + 1))[:room])

    high, step = len(held) - _FEWEST, _FEWEST
    if high <= 0 or not ends_before(high):
        return held
    while (low := max(0, high - step)) and ends_before(low):
        high, step = low, 2 * step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if ends_before(middle) else (middle, high)
    # The last bits may be as in the other samples by chance, and some decoders want to look a few bytes further.
    for more in range(_MOST_MORE):
        for room in [len(held) - high - more] if same_length else [0, 1, 2, 4, 8, 16]:
            if is_whole(held[: high + more] + bytes(room)):
                return held[: high + more] + bytes(room)
    raise UnreadableMetadata("something behind the samples of a compressed picture")


def _decoded(held: bytes, decoded: Decode) -> object:
    try:
        return decoded(held)
    except Exception as error:  # decoders raise what they like
        raise UnreadableMetadata(_UNREAD) from error


def jpeg_samples(frame: bytes) -> bytes:
    """Return the samples of a JPEG; raises what decoders do."""
    try:
        pixels: bytes = JpegImagePlugin.JpegImageFile(BytesIO(frame)).tobytes()
    except (SyntaxError, OSError):  # Pillow knows lossy ones of 8 bits
        pixels = bytes(imagecodecs.jpeg_decode(frame))
    return pixels


def jpeg_without_slack(content: bytes, decoded: Decode) -> bytes:
    """Return a JPEG whose scans and restart intervals end with their last sample; of a JPEG-LS make sure of it.

    Args:
        decoded: returns the samples of a JPEG, to be compared.

    Raises:
        UnreadableMetadata: nothing at hand decodes it.
    """
    segments = list(jpeg_segments(content))
    if any(segment.kind == SOF_LS for segment in segments):
        try:
            imagecodecs.jpegls_decode(content + _ROOM)  # CharLS takes no byte behind the last sample
        except Exception as error:
            raise UnreadableMetadata("a JPEG-LS with bytes behind its samples, or a damaged one") from error
        return content
    for number in range(len(segments) - 1, -1, -1):
        kind, start, end = segments[number]
        if kind == SOS:
            before, behind = content[:start], content[end:]
            scan = to_last_sample(content[start:end], around(before, behind, decoded))
            content = before + _restarts_without_slack(before, scan, behind, decoded) + behind
    return content


def around(before: bytes, behind: bytes, decoded: Decode) -> Decode:
    """Return what decodes samples with `before` and `behind` around them."""
    return lambda held: decoded(before + held + behind)


def _restarts_without_slack(before: bytes, scan: bytes, behind: bytes, decoded: Decode) -> bytes:
    """Return a scan whose restart intervals (T.81 B.2.1) but the last one end with their last sample."""
    (size,) = struct.unpack(">H", before[-2:])
    header = scan[: size - 2]
    ends = [match.start() for match in _RESTART.finditer(scan, size - 2)]
    starts = [size - 2, *(end + 2 for end in ends)]
    alone = _interval_alone(before, header) if ends else None
    for start, end in list(zip(starts, ends, strict=False))[::-1]:
        held = scan[start:end]
        in_scan = around(before + scan[:start], scan[end:] + behind, decoded)
        try:
            kept = to_last_sample(held, around(*alone, decoded) if alone else in_scan)
        except UnreadableMetadata:
            kept = to_last_sample(held, in_scan)
        scan = scan[:start] + kept + scan[end:]
    return scan


def _interval_alone(before: bytes, header: bytes) -> tuple[bytes, bytes] | None:
    """Return what to put around one restart interval to make a picture of it; None where it is none by itself.

    The units of an interval stand beside each other there, those of a lossless picture in its rows.
    """
    segments = list(jpeg_segments(before[:-4] + b"\xff\xd9"))
    kinds = {kind: before[start:end] for kind, start, end in segments}
    frame = next((kind for kind in (*_SEQUENTIAL, _LOSSLESS) if kind in kinds), None)
    if frame is None or _DRI not in kinds:
        return None
    held, units = kinds[frame], int.from_bytes(kinds[_DRI][:2], "big")
    named = header[1 : 1 + 2 * header[0] : 2]
    parts = [held[at : at + 3] for at in range(6, 6 + 3 * held[5], 3) if held[at] in named]
    if len(parts) == 1:  # T.81 A.2.2: units of one component are single blocks
        parts = [parts[0][:1] + b"\x11" + parts[0][2:]]
    across, down = max(part[1] >> 4 for part in parts), max(part[1] & 15 for part in parts)
    columns = int.from_bytes(held[3:5], "big")
    width, height = (
        (8 * across * units, 8 * down) if frame != _LOSSLESS else (columns, units // columns * down)
    )
    if width > _LARGEST_SIDE or not height or (frame == _LOSSLESS and (across > 1 or units % columns)):
        return None
    size = struct.pack(">BHHB", held[0], height, width, len(parts)) + b"".join(parts)
    tables = b"".join(before[start - 4 : end] for kind, start, end in segments if kind in (_DHT, _DQT))
    start = b"\xff\xd8" + tables + bytes([0xFF, frame]) + struct.pack(">H", len(size) + 2) + size
    return start + before[-4:] + header, b"\xff\xd9"


def jpeg2000_without_slack(content: bytes) -> bytes:
    """Return a JPEG 2000 or HTJ2K codestream with zeros for what stands behind the last packet of its tiles.

    Raises:
        UnreadableMetadata: nothing at hand decodes it.
    """
    last = {tile: (start, end) for tile, start, end in _tile_parts(content)}
    whole = _picture(content)
    for tile in sorted(last) if len(last) == 1 else _tiles_that_stay(content, last, whole):
        start, end = last[tile]
        before, behind = content[:start], content[end:]

        def is_same(held: bytes, before: bytes = before, behind: bytes = behind) -> object:
            return np.array_equal(imagecodecs.jpeg2k_decode(before + held + behind), whole)

        content = before + to_last_sample(content[start:end], is_same, same_length=True) + behind
    return content


def _picture(content: bytes) -> NDArray[Any]:
    try:
        return np.asarray(imagecodecs.jpeg2k_decode(content))
    except Exception as error:  # decoders raise what they like
        raise UnreadableMetadata(_UNREAD) from error


def _tile_parts(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (tile, start of its packets, end) of the parts of a codestream that `bare_jpeg2000` made (T.800 A.4.2)."""
    at = _header_end(content, 2, _SOT)
    while content[at : at + 2] == b"\xff\x90":
        tile, size = struct.unpack_from(">HI", content, at + 4)
        yield tile, _header_end(content, at + 12, _SOD) + 2, at + size
        at += size


def _header_end(content: bytes, at: int, until: int) -> int:
    while struct.unpack_from(">H", content, at)[0] != until:
        at += 2 + int(struct.unpack_from(">H", content, at + 2)[0])
    return at


def _tiles_that_stay(content: bytes, last: dict[int, tuple[int, int]], whole: NDArray[Any]) -> list[int]:
    """Return the tiles whose samples stay when the last bytes of all give way to others: something stands there."""
    changed = bytearray(content)
    for start, end in last.values():
        few = min(_FEWEST, end - start)
        changed[end - few : end] = _OTHER_SAMPLES[:few]
    try:
        other = _picture(bytes(changed))
    except UnreadableMetadata:
        return sorted(last)
    right, _, left, top, width, height, tile_left, tile_top = struct.unpack_from(">8I", content, 8)
    columns = -(-(right - tile_left) // width)
    stay = []
    for tile in last:
        x, y = tile_left + tile % columns * width, tile_top + tile // columns * height
        rows, across = (
            slice(max(y, top) - top, y + height - top),
            slice(max(x, left) - left, x + width - left),
        )
        if other.shape != whole.shape or np.array_equal(other[rows, across], whole[rows, across]):
            stay.append(tile)
    return stay


_VP8_HEADER, _VP8_BITS = 10, 64


def vp8_partitions(held: bytes) -> list[tuple[int, int]]:
    """Return start and end of the partitions of a VP8 key frame (RFC 6386 section 9).

    Raises:
        UnreadableMetadata: it breaks off.
    """
    first = _VP8_HEADER + (int.from_bytes(held[:3], "little") >> 5)
    count = 1 << _partitions_coded(_Bits(held[_VP8_HEADER : min(first, _VP8_BITS)]))
    at = first + 3 * (count - 1)
    found = [(_VP8_HEADER, first)]
    for number in range(count - 1):
        size = int.from_bytes(held[first + 3 * number :][:3], "little")
        found.append((at, at + size))
        at += size
    if at > len(held):
        raise UnreadableMetadata("a VP8 frame that breaks off")
    return [*found, (at, len(held))]


class _Bits:
    """The boolean decoder (RFC 6386 section 7) for bits that are as often 0 as 1."""

    def __init__(self, held: bytes) -> None:
        self._value, self._range, self._bits = int.from_bytes(held, "big"), 255, 8 * len(held)

    def take(self, count: int) -> int:
        number = 0
        for _ in range(count):
            split = 1 + ((self._range - 1) * 128 >> 8)
            place = split << max(0, self._bits - 8)
            bit = self._value >= place
            self._value, self._range = (
                (self._value - place, self._range - split) if bit else (self._value, split)
            )
            while self._range < 128:
                self._range, self._bits = self._range << 1, self._bits - 1
            number = number << 1 | bit
        return number


def _partitions_coded(bits: _Bits) -> int:
    """Return the logarithm of the number of partitions, reading over what stands before it (section 9.2 to 9.6)."""
    bits.take(2)
    if bits.take(1):  # segments
        own_map, values = bits.take(1), bits.take(1)
        if values:
            bits.take(1)
        for width in ([7] * 4 + [6] * 4) * values:
            if bits.take(1):
                bits.take(width + 1)
        for _ in range(3 * own_map):
            if bits.take(1):
                bits.take(8)
    bits.take(10)
    if bits.take(1) and bits.take(1):  # filter levels
        for _ in range(8):
            if bits.take(1):
                bits.take(7)
    return bits.take(2)
