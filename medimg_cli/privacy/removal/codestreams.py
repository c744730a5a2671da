"""Compressed pictures with what their samples need and no more, nothing encoded anew: JPEG, JPEG-LS, JPEG 2000, RLE."""

import struct
import zlib
from collections.abc import Iterator
from itertools import pairwise

import imagecodecs

from medimg_cli.privacy.metadata.containers import SOF_LS, SOS, Part, jpeg_segments
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata

_ENDS = "a compressed picture breaks off before its end"
# ITU-T T.81 table B.1 without differential frames, T.87 table C.1; DNL and DRI have one number.
_SOF = frozenset([*range(0xC0, 0xC4), *range(0xC9, 0xCC), SOF_LS])
_DHT, _DAC, _DQT, _DNL, _DRI, _LSE = 0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xF8
_APP0, _APP2, _APP8, _APP14 = 0xE0, 0xE2, 0xE8, 0xEE
_ARITHMETIC = frozenset([0xC9, 0xCA, 0xCB])
_HUFFMAN, _PROGRESSIVE, _LOSSLESS = frozenset([0xC0, 0xC1, 0xC2, 0xC3]), 0xC2, (0xC3, 0xCB)
_HIERARCHICAL = frozenset([0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF, 0xDE, 0xDF])
_JFIF_BYTES, _ADOBE_BYTES, _HP_BYTES = 12, 12, 5
_JFIF = b"JFIF\0\1\1"
_RESOLUTION_LIMIT = 0x2020  # two letters give higher numbers
_ICC = b"ICC_PROFILE\0"
# ISO/IEC 15444-1 table A.2 and 15444-15: what decoders need in main and tile-part headers. Lengths of tile-parts (TLM)
# are counted anew; pointers to packets, profiles, registration and comments are left out, as decoders do without.
_CAP, _SIZ, _COD, _COC, _QCD, _QCC, _RGN, _POC = 0x50, 0x51, 0x52, 0x53, 0x5C, 0x5D, 0x5E, 0x5F
_J2K_GONE = frozenset([0x55, 0x56, 0x57, 0x58, 0x59, 0x63, 0x64])
_PART_15 = b"\0\2\0\0"
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

    JFIF (its resolution alone) and the colour transforms of Adobe and of HP stay, as they say how the samples are
    shown. Tables that no scan uses and bytes behind what a segment needs go.

    Args:
        more: whole segments to put before all others but JFIF.
        all_tables: keep those that no scan uses: it has no picture, only tables for others (JPEGTables of a TIFF).

    Raises:
        UnreadableMetadata: it breaks off, or is of a kind whose parts cannot be told apart.
    """
    segments = list(jpeg_segments(content))
    if {_DAC, *_ARITHMETIC} & {segment.kind for segment in segments} > {_DAC}:
        raise UnreadableMetadata("a JPEG of arithmetic codes with conditions of its own")
    used = None if all_tables else _tables_used(content, segments)
    first, parts = b"", []
    for marker, start, end in segments:
        held = content[start:end]
        if marker == _APP0 and held.startswith(b"JFIF\0") and len(held) >= _JFIF_BYTES:
            first = first or jpeg_segment(_APP0, _JFIF + _resolution(held[7:_JFIF_BYTES]) + b"\0\0")
        elif marker == SOS:
            (declared,) = struct.unpack_from(">H", content, start - 2)
            parts.append(jpeg_segment(SOS, _exactly(held, 4 + 2 * held[0])) + held[declared - 2 :])
        elif kept := _coding_segment(
            marker, held, None if used is None else {one for place, one in used if place == start}
        ):
            parts.append(jpeg_segment(marker, kept))
    return b"\xff\xd8" + first + more + b"".join(parts) + b"\xff\xd9"


def jpeg_segment(marker: int, held: bytes) -> bytes:
    """Return a segment with its marker and length."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(held) + 2) + held


def _resolution(held: bytes) -> bytes:
    """Return unit and densities of a JFIF segment, one to one where they are none."""
    likely = held[0] <= 2 and max(struct.unpack(">HH", held[1:])) < _RESOLUTION_LIMIT
    return held if likely else b"\0\0\1\0\1"


def _tables_used(content: bytes, segments: list[Part[int]]) -> set[tuple[int, int]]:
    """Return (place of its segment, number) of every table that the frame and its scans need.

    Those of one number follow each other: needed is the one before a scan, of the kinds that its process has.
    """
    used: set[tuple[int, int]] = set()
    frame, quantised = 0, set[int]()
    stands: dict[tuple[int, int], int] = {}
    for marker, start, end in segments:
        if marker in _SOF:
            frame, quantised = marker, {content[start + 8 + 3 * i] for i in range(content[start + 5])}
        elif marker in (_DQT, _DHT):
            stands |= {(marker, number): start for number, _ in _tables(marker, content[start:end])}
        elif marker == SOS:
            both = [content[start + 2 + 2 * i] for i in range(content[start])]
            first = content[start + 1 + 2 * content[start]]  # coefficient, the predictor of a lossless one
            needed = {(_DQT, one) for one in quantised} if frame not in (*_LOSSLESS, SOF_LS) else set()
            if frame in _HUFFMAN and not (frame == _PROGRESSIVE and first):
                needed |= {(_DHT, pair >> 4) for pair in both}
            if frame in _HUFFMAN and not (frame == _PROGRESSIVE and not first) and frame not in _LOSSLESS:
                needed |= {(_DHT, 0x10 | pair & 15) for pair in both}
            used |= {(stands[table], table[1]) for table in needed if table in stands}
    return used


def _coding_segment(marker: int, held: bytes, used: set[int] | None) -> bytes:
    """Return what of a segment codes samples, b"" for one that does not; of its tables those `used`, None for all."""
    if marker in _HIERARCHICAL:
        raise UnreadableMetadata("a JPEG of the hierarchical kind")
    if marker in _SOF:
        return _exactly(held, 6 + 3 * held[5])
    if marker in (_DNL, _DRI):
        return _exactly(held, 2)
    if marker in (_DQT, _DHT):
        return b"".join(table for number, table in _tables(marker, held) if used is None or number in used)
    if marker == _LSE:
        if held[0] != 1:  # mapping tables hold any bytes; larger pictures than 65,535 are not in DICOM
            raise UnreadableMetadata("a JPEG-LS with a table of its own")
        return _exactly(held, 11)
    if marker == _APP14 and held.startswith(b"Adobe") and len(held) >= _ADOBE_BYTES:
        return b"Adobe\0\x64" + bytes(4) + held[_ADOBE_BYTES - 1 : _ADOBE_BYTES]  # the transform alone counts
    if marker == _APP8 and held.startswith(b"mrfx"):
        return _exactly(held, _HP_BYTES)
    return b""


def _tables(marker: int, held: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number (of a Huffman table with its class) and bytes of the tables of a DQT or DHT segment."""
    at = 0
    while at < len(held):
        size = 65 + 64 * (held[at] >> 4) if marker == _DQT else 17 + sum(held[at + 1 : at + 17])
        table = held[at : at + size]
        if len(table) < size:
            return  # what is left is no table
        yield table[0] & (15 if marker == _DQT else 255), table
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
    main, at, lengths_said = _j2k_header(content, at + 2, _SOT, {})
    header = b"".join(main.values())
    parts: list[tuple[int, bytes]] = []
    while content[at : at + 2] == b"\xff\x90":
        tile, size, number, parts_of_tile = struct.unpack_from(">HIBB", content, at + 4)
        own, body, _ = _j2k_header(content, at + 12, _SOD, main)
        # No two bytes of packets are FF90 or more (section B.10.1), so the end can be found.
        end = at + size if size else content.find(b"\xff\xd9", body)
        if end < body or end > len(content):
            raise UnreadableMetadata(_ENDS)
        whole = b"".join(own.values()) + b"\xff\x93" + content[body + 2 : end]
        head = struct.pack(">HHHIBB", 0xFF90, 10, tile, 12 + len(whole), number, parts_of_tile)
        parts.append((tile, head + whole))
        at = end
    if not parts:
        raise UnreadableMetadata(_ENDS)
    if lengths_said:  # TLM segments (section A.7.1): tile and length of every tile-part, in 2 and 4 bytes
        for number, start in enumerate(range(0, len(parts), _TILES_A_TLM)):
            rows = [struct.pack(">HI", tile, len(part)) for tile, part in parts[start : start + _TILES_A_TLM]]
            header += struct.pack(">HHBB", 0xFF55, 4 + 6 * len(rows), number, 0x60) + b"".join(rows)
    return b"\xff\x4f" + header + b"".join(part for _, part in parts) + b"\xff\xd9"


def _j2k_header(
    content: bytes, at: int, until: int, main: dict[bytes, bytes]
) -> tuple[dict[bytes, bytes], int, bool]:
    """Return the segments to keep of a header, where the marker `until` stands, and whether there was a TLM.

    Args:
        main: those of the main header; what is to be kept of a header stands under marker and component.
    """
    kept: dict[bytes, bytes] = {}
    lengths_said = False
    wide = 2 if len(main.get(b"\x51", b"")) > 40 + 3 * 256 else 1  # bytes of the number of a component
    while True:
        if at + 4 > len(content) or content[at] != 0xFF:
            raise UnreadableMetadata(_ENDS)
        marker = content[at + 1]
        if marker == until:
            break
        (size,) = struct.unpack_from(">H", content, at + 2)
        held = content[at + 4 : at + 2 + size]
        if marker == _SIZ and len(held) > 36 + 3 * 256:
            wide = 2
        if (needed := _j2k_bytes(marker, held, wide)) is not None:
            name = bytes([marker]) + (held[:wide] if marker in (_COC, _QCC, _RGN) else b"")
            kept.pop(name, None)  # of several for one component the last one counts
            kept[name] = jpeg_segment(marker, _exactly(held, needed))
        elif marker not in _J2K_GONE:
            raise UnreadableMetadata(
                f"a JPEG 2000 codestream with a segment FF{marker:02X} that may hold anything"
            )
        lengths_said |= marker == _TLM
        at += 2 + size
    known = {**main, **kept}
    levels = max(
        (one[9 if name[0] == _COD else 5 + wide] for name, one in known.items() if name[0] in (_COD, _COC)),
        default=32,
    )
    for name, one in kept.items():
        if name[0] in (_QCD, _QCC):  # T.800 A.6.4: a step for each subband, or one for all
            start = 4 if name[0] == _QCD else 4 + wide
            steps = {0: 3 * levels + 1, 1: 2, 2: 6 * levels + 2}.get(one[start] & 31, 0)
            kept[name] = jpeg_segment(name[0], one[4 : start + 1 + steps])
    return kept, at, lengths_said


def _j2k_bytes(marker: int, held: bytes, wide: int) -> int | None:
    """Return how many bytes a segment of a JPEG 2000 header needs (T.800 A.5 and A.6); None for other segments."""
    if marker == _CAP and held[:4] == _PART_15:
        return 6
    if marker == _SIZ:
        return 36 + 3 * int.from_bytes(held[34:36], "big")
    if marker in (_COD, _COC):
        levels = 5 if marker == _COD else wide + 1
        own_precincts = held[0 if marker == _COD else wide] & 1
        return levels + 5 + (held[levels] + 1) * own_precincts
    if marker in (_QCD, _QCC):
        return len(held)
    if marker == _RGN:
        return wide + 2
    size = 5 + 2 * wide
    rows = [held[at : at + size] for at in range(0, len(held), size)]
    if marker == _POC and all(len(row) == size and row[0] <= 32 and row[-1] <= 4 for row in rows):
        return len(held)
    return None


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


def rle_planes(content: bytes) -> Iterator[bytes]:
    """Yield the bytes that the segments of a frame of `bare_rle` hold."""
    count, *places = struct.unpack_from("<16I", content)
    for start, end in pairwise([*places[:count], len(content)]):
        yield bytes(imagecodecs.packbits_decode(content[start:end]))


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
