"""Compressed pictures with what their samples need and no more, nothing encoded anew: JPEG, JPEG-LS, JPEG 2000, RLE."""

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from io import BytesIO

import imagecodecs
from PIL import JpegImagePlugin

from medimg_cli.privacy.metadata.containers import SOS, Part, jpeg_segments
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata, reads_like_text

_ENDS = "a compressed picture breaks off before its end"
# ITU-T T.81 table B.1 without differential frames, T.87 table C.1; DNL and DRI have one number.
_SOF = frozenset([*range(0xC0, 0xC4), *range(0xC9, 0xCC), 0xF7])
_DHT, _DAC, _DQT, _DNL, _DRI, _LSE = 0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xF8
_APP0, _APP2, _APP8, _APP14 = 0xE0, 0xE2, 0xE8, 0xEE
_HIERARCHICAL = frozenset([0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF])
_JFIF_BYTES, _ADOBE_BYTES, _HP_BYTES = 12, 12, 5
_ICC = b"ICC_PROFILE\0"
_SCAN_END_BYTES, _TEXT_BYTES, _SHORTEST_WORD = 4096, 256, 6
_WORDS = re.compile(rb"[A-Za-z0-9 ^,.'_-]{7,}|(?:[A-Za-z0-9 ^,.'_-]\0){5,}|(?:\0[A-Za-z0-9 ^,.'_-]){5,}")
_OTHER_SAMPLES = bytes(range(37, 237, 3))  # no FF, which begins a marker
# ISO/IEC 15444-1 table A.2 and 15444-15: what decoders need in main and tile-part headers. Lengths of tile-parts (TLM)
# are counted anew; pointers to packets, registration and comments are left out, as decoders do without.
_J2K_KEPT = frozenset([0x50, 0x51, 0x52, 0x53, 0x56, 0x59, 0x5E, 0x5F, 0x60, 0x61])
_J2K_GONE = frozenset([0x55, 0x57, 0x58, 0x63, 0x64])
_QCD, _QCC = 0x5C, 0x5D  # sizes of steps: neighbours are alike, and spell what looks like words
_TLM, _SOT, _SOD = 0x55, 0x90, 0x93
_TILES_A_TLM = 10_000
_LZW_CLEAR, _LZW_END = 256, 257


def jpeg_profile(content: bytes) -> bytes:
    """Return the colour profile of a JPEG put together from its segments (ICC.1:2010 B.4), b"" without one."""
    held = [content[p.start : p.end] for p in jpeg_segments(content) if p.kind == _APP2]
    parts = sorted(
        (one[len(_ICC)], one[len(_ICC) + 2 :]) for one in held if one.startswith(_ICC) and len(one) > 14
    )
    return b"".join(part for _, part in parts)


def bare_jpeg(content: bytes, more: bytes = b"", *, all_tables: bool = False) -> bytes:
    """Return a JPEG or JPEG-LS with its coding segments and scans alone, to the end of its first picture.

    JFIF (without its thumbnail) and the colour transforms of Adobe and of HP stay, as they say how the samples are
    shown. Tables that no scan uses and bytes behind what a segment needs go.

    Args:
        more: whole segments to put before all others but JFIF.
        all_tables: keep those that no scan uses: it has no picture, only tables for others (JPEGTables of a TIFF).

    Raises:
        UnreadableMetadata: it breaks off, or is of a kind whose parts cannot be told apart.
    """
    segments = list(jpeg_segments(content))
    used = None if all_tables else _tables_used(content, segments)
    first, parts = b"", []
    for marker, start, end in segments:
        held = content[start:end]
        if marker == _APP0 and held.startswith(b"JFIF\0") and len(held) >= _JFIF_BYTES:
            first = first or jpeg_segment(_APP0, held[:_JFIF_BYTES] + b"\0\0")
        elif marker == SOS:
            (declared,) = struct.unpack_from(">H", content, start - 2)
            parts.append(jpeg_segment(SOS, _exactly(held, 4 + 2 * held[0])) + held[declared - 2 :])
        elif kept := _coding_segment(marker, held, used):
            parts.append(jpeg_segment(marker, kept))
    return b"\xff\xd8" + first + more + b"".join(parts) + b"\xff\xd9"


def jpeg_without_slack(content: bytes, decoded: Callable[[bytes], object]) -> bytes:
    """Return a JPEG whose scans end with their last sample, where something behind that reads like words.

    Args:
        decoded: returns the samples of a JPEG, to be compared.

    Raises:
        UnreadableMetadata: text stands behind the samples of a scan, and nothing at hand decodes it.
    """
    for part in [part for part in jpeg_segments(content) if part.kind == SOS][::-1]:
        before, behind = content[: part.start], content[part.end :]

        def rebuilt(samples: bytes, before: bytes = before, behind: bytes = behind) -> object:
            return decoded(before + samples + behind)

        content = before + to_last_sample(content[part.start : part.end], rebuilt) + behind
    return content


def jpeg_samples(frame: bytes) -> bytes:
    """Return the samples of a JPEG or JPEG-LS; raises what decoders do."""
    if b"\xff\xf7" in frame[:64]:  # CharLS runs away on some damage
        raise UnreadableMetadata("a JPEG-LS, which is not decoded here")
    try:
        pixels: bytes = JpegImagePlugin.JpegImageFile(BytesIO(frame)).tobytes()
    except (SyntaxError, OSError):  # Pillow knows lossy ones of 8 bits
        pixels = bytes(imagecodecs.jpeg_decode(frame))
    return pixels


def to_last_sample(held: bytes, decoded: Callable[[bytes], object]) -> bytes:
    """Return compressed samples to the last one, where something at their end reads like words; else as they are.

    Only a decoder tells samples from what it passes over: bytes put behind the last sample change nothing.

    Args:
        decoded: returns what samples decode to, to be compared.

    Raises:
        UnreadableMetadata: text stands there, and they cannot be decoded.
    """
    tail = held[-_SCAN_END_BYTES:]
    if _WORDS.search(tail) is None:
        return held
    try:
        whole = decoded(held)
    except Exception as error:  # decoders raise what they like
        if reads_like_text(tail[-_TEXT_BYTES:]):
            raise UnreadableMetadata("text behind the samples of a compressed picture") from error
        return held

    def is_whole(samples: bytes) -> bool:
        try:
            return decoded(samples) == whole
        except Exception:
            return False

    low, high = 0, len(held)
    if not is_whole(held[:-_SHORTEST_WORD] + _OTHER_SAMPLES):
        return held
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_whole(held[:middle] + _OTHER_SAMPLES) else (middle, high)
    # The last bits may be as in the other samples by chance, and some decoders want to look a few bytes further.
    enough = (held[: high + more] + bytes(room) for more in range(3) for room in (0, 1, 2, 4, 8, 16))
    return next(filter(is_whole, enough), held)


def jpeg_segment(marker: int, held: bytes) -> bytes:
    """Return a segment with its marker and length."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(held) + 2) + held


def _tables_used(content: bytes, segments: list[Part[int]]) -> set[tuple[int, int]]:
    """Return (marker of its segment, number) of every table that the frame and its scans name."""
    used: set[tuple[int, int]] = set()
    for marker, start, _ in segments:
        if marker in _SOF:
            used |= {(_DQT, content[start + 8 + 3 * i]) for i in range(content[start + 5])}
        elif marker == SOS:
            both = [content[start + 2 + 2 * i] for i in range(content[start])]
            used |= {(_DHT, one) for pair in both for one in (pair >> 4, 0x10 | pair & 15)}
    return used


def _coding_segment(marker: int, held: bytes, used: set[tuple[int, int]] | None) -> bytes:
    """Return what of a segment codes samples, b"" for one that does not."""
    if marker in _HIERARCHICAL:
        raise UnreadableMetadata("a JPEG of the hierarchical kind")
    if marker in _SOF:
        return _exactly(held, 6 + 3 * held[5])
    if marker in (_DNL, _DRI):
        return _exactly(held, 2)
    if marker in (_DQT, _DHT):
        return b"".join(_tables(marker, held, used))
    if marker == _LSE:
        if held[0] != 1:  # mapping tables hold any bytes; larger pictures than 65,535 are not in DICOM
            raise UnreadableMetadata("a JPEG-LS with a table of its own")
        return _exactly(held, 11)
    if marker == _APP14 and held.startswith(b"Adobe") and len(held) >= _ADOBE_BYTES:
        return b"Adobe\0\x64" + bytes(4) + held[_ADOBE_BYTES - 1 : _ADOBE_BYTES]  # the transform alone counts
    if marker == _APP8 and held.startswith(b"mrfx"):
        return _exactly(held, _HP_BYTES)
    return held if marker == _DAC else b""


def _tables(marker: int, held: bytes, used: set[tuple[int, int]] | None) -> Iterator[bytes]:
    at = 0
    while at < len(held):
        size = 65 + 64 * (held[at] >> 4) if marker == _DQT else 17 + sum(held[at + 1 : at + 17])
        table = held[at : at + size]
        if len(table) < size:
            return  # what is left is no table
        if used is None or (marker, table[0] & 15 if marker == _DQT else table[0]) in used:
            yield table
        at += size


def _exactly(held: bytes, size: int) -> bytes:
    if len(held) < size:
        raise UnreadableMetadata(_ENDS)
    return held[:size]


def bare_jpeg2000(content: bytes) -> bytes:
    """Return a JPEG 2000 or HTJ2K codestream without comments and pointers, to its end; a JP2 file's box unpacked.

    Raises:
        UnreadableMetadata: it breaks off, or holds a segment that nobody knows.
    """
    at = content.find(b"\xff\x4f\xff\x51") if content[4:8] == b"jP  " else 0
    if at < 0 or content[at : at + 4] != b"\xff\x4f\xff\x51":
        raise UnreadableMetadata("no JPEG 2000 codestream")
    header, at, lengths_said = _j2k_header(content, at + 2, _SOT)
    parts: list[tuple[int, bytes]] = []
    while content[at : at + 2] == b"\xff\x90":
        tile, size, number, parts_of_tile = struct.unpack_from(">HIBB", content, at + 4)
        body_header, body, _ = _j2k_header(content, at + 12, _SOD)
        # No two bytes of packets are FF90 or more (section B.10.1), so the end can be found.
        end = at + size if size else content.find(b"\xff\xd9", body)
        if end < body or end > len(content):
            raise UnreadableMetadata(_ENDS)
        whole = body_header + b"\xff\x93" + content[body + 2 : end]
        head = struct.pack(">HHHIBB", 0xFF90, 10, tile, 12 + len(whole), number, parts_of_tile)
        parts.append((tile, head + whole))
        at = end
    if not parts:
        raise UnreadableMetadata(_ENDS)
    if any(reads_like_text(part[-_TEXT_BYTES:]) for _, part in parts):
        raise UnreadableMetadata("text behind the samples of a compressed picture")
    if lengths_said:  # TLM segments (section A.7.1): tile and length of every tile-part, in 2 and 4 bytes
        for number, start in enumerate(range(0, len(parts), _TILES_A_TLM)):
            rows = [struct.pack(">HI", tile, len(part)) for tile, part in parts[start : start + _TILES_A_TLM]]
            header += struct.pack(">HHBB", 0xFF55, 4 + 6 * len(rows), number, 0x60) + b"".join(rows)
    return b"\xff\x4f" + header + b"".join(part for _, part in parts) + b"\xff\xd9"


def _j2k_header(content: bytes, at: int, until: int) -> tuple[bytes, int, bool]:
    """Return the segments to keep of a header, where the marker `until` stands, and whether there was a TLM."""
    kept: list[bytes] = []
    lengths_said = False
    while True:
        if at + 4 > len(content) or content[at] != 0xFF:
            raise UnreadableMetadata(_ENDS)
        marker = content[at + 1]
        if marker == until:
            return b"".join(kept), at, lengths_said
        (size,) = struct.unpack_from(">H", content, at + 2)
        held = content[at : at + 2 + size]
        if marker in (_QCD, _QCC) or (marker in _J2K_KEPT and not reads_like_text(held[4:])):
            kept.append(held)
        elif marker not in _J2K_GONE:
            raise UnreadableMetadata(
                f"a JPEG 2000 codestream with a segment FF{marker:02X} that may hold anything"
            )
        lengths_said |= marker == _TLM
        at += 2 + size


def bare_rle(content: bytes, plane_bytes: int, planes: int) -> bytes:
    """Return an RLE frame (PS3.5 annex G) whose segments hold `plane_bytes` each and nothing behind them.

    Raises:
        UnreadableMetadata: it breaks off, or has another number of segments.
    """
    if len(content) < 64:
        raise UnreadableMetadata(_ENDS)
    count, *offsets = struct.unpack_from("<16I", content)
    if count != planes or planes > 15:
        raise UnreadableMetadata(f"an RLE frame of {count} segments where {planes} belong")
    segments = []
    for offset in offsets[:count]:
        held, _ = bare_packbits(content, offset, plane_bytes)
        segments.append(held + bytes(len(held) % 2))
    places, at = [], 64
    for held in segments:
        places.append(at)
        at += len(held)
    return struct.pack("<16I", count, *places, *[0] * (15 - count)) + b"".join(segments)


def bare_packbits(content: bytes, at: int, size: int) -> tuple[bytes, int]:
    """Return the PackBits runs from `at` on that give `size` bytes, the last one cut there; and where they end.

    Raises:
        UnreadableMetadata: they end before.
    """
    kept, got = bytearray(), 0
    while got < size:
        if at >= len(content):
            raise UnreadableMetadata(_ENDS)
        code = content[at]
        if code < 128:
            literal = content[at + 1 : at + 1 + min(code + 1, size - got)]
            kept.append(max(0, len(literal) - 1))
            kept += literal
            got, at = got + len(literal), at + code + 2
        elif code > 128:
            times = min(257 - code, size - got)
            kept += bytes([257 - times if times > 1 else 0]) + content[at + 1 : at + 2]
            got, at = got + times, at + 2
        else:
            at += 1
    return bytes(kept), at


def bare_lzw(content: bytes, size: int) -> bytes:
    """Return the LZW codes (TIFF 6.0 section 13) that give `size` bytes, with an end behind them.

    Raises:
        UnreadableMetadata: they end before, are damaged, or are those of old libraries, which begin at the low bit.
    """
    lengths = [1] * 258
    at = held = free = got = before = 0  # `free`: bits in `held` that are not used yet
    width = 9
    while got < size:
        while free < width:
            if at >= len(content):
                raise UnreadableMetadata(_ENDS)
            held, at, free = (held << 8 | content[at]) & 0xFFFFFF, at + 1, free + 8
        free -= width
        code = held >> free & (1 << width) - 1
        if at <= 2 and code != _LZW_CLEAR:
            raise UnreadableMetadata("LZW codes of the old kind")
        if code == _LZW_CLEAR:
            del lengths[258:]
            before, width = 0, 9
            continue
        if code == _LZW_END or code > len(lengths) or (code == len(lengths) and not before):
            raise UnreadableMetadata(_ENDS if code == _LZW_END else "damaged LZW codes")
        if before and len(lengths) < 4096:
            lengths.append(before + 1)
        before = lengths[code]
        got += before
        width = min(12, (len(lengths) + 1).bit_length())
    bits = at * 8 - free + width
    codes = int.from_bytes(content[:at], "big") >> free << width | _LZW_END
    return (codes << -bits % 8).to_bytes((bits + 7) // 8, "big")


def bare_deflate(content: bytes, size: int) -> bytes:
    """Return zlib data that gives `size` bytes with nothing behind its end; coded anew where it gives more.

    Raises:
        UnreadableMetadata: it is damaged or gives less.
    """
    engine = zlib.decompressobj()
    try:
        held = engine.decompress(content, size + 1)
        if len(held) == size and not engine.eof:
            held += engine.decompress(engine.unconsumed_tail, 1)
    except zlib.error as error:
        raise UnreadableMetadata(f"damaged compressed samples: {error}") from error
    if len(held) < size:
        raise UnreadableMetadata(_ENDS)
    if len(held) == size and engine.eof:
        return content[: len(content) - len(engine.unused_data)]
    return zlib.compress(held[:size])


_CLASSES = frozenset([b"scnr", b"mntr", b"prtr", b"spac", b"link", b"abst"])
_SPACES = frozenset(b"XYZ |Lab |Luv |YCbr|Yxy |RGB |GRAY|HSV |HLS |CMYK|CMY ".split(b"|"))
_TAGS = frozenset(
    b"rXYZ gXYZ bXYZ wtpt bkpt rTRC gTRC bTRC kTRC chad A2B0 A2B1 A2B2 B2A0 B2A1 B2A2 gamt lumi cicp".split()
)
_D50 = bytes.fromhex("0000f6d6000100000000d32d")
_ANY_DAY = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
_HEADER_BYTES = 128
_NAME, _RIGHTS = "colour profile", "none"
_PARA_VALUES = (1, 3, 4, 5, 7)


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
            if needed is None or len(held) < needed or reads_like_text(held[8:needed]):
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
    if kind in (b"mAB ", b"mBA "):
        return len(held)
    return {b"XYZ ": 20, b"sf32": 44, b"cicp": 12}.get(kind)


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
