"""Places beside the pixels where a short text fits, or that no structure parts from the samples: as `hidden_places`."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import JPEG2000LosslessEncoder, JPEGLSLosslessEncoder
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.privacy.hidden_places import PIXELS, chunk, dicom, encoded, picture, profile, segment, tiff_file

_HTJ2K = UID("1.2.840.10008.1.2.4.201")
_FEW_COLOURS = Image.fromarray(PIXELS // 32).convert("P")
_COLOURS = bytes(value for level in range(8) for value in (level * 30, 255 - level, level))


def narrow_dicom_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield (name, file); what stands behind a first compressed frame decodes to `PIXELS`, but for lossy JPEG."""
    jpeg = picture("JPEG")
    for name, frame in jpeg_narrow_places(jpeg, secret):
        yield f"JPEG: {name}", dicom(JPEGBaseline8Bit, encapsulate([frame]))
    lossless = bytes(imagecodecs.ljpeg_encode(PIXELS))
    more = segment(0xC4, b"\x10" + bytes(15) + bytes([len(secret)]) + secret) + _quantisation(secret)
    yield (
        "JPEG lossless: tables it has not",
        dicom(JPEGLosslessSV1, encapsulate([lossless[:2] + more + lossless[2:]])),
    )
    ls = encoded(JPEGLSLosslessEncoder)
    more = segment(0xC4, bytes(16) + bytes([len(secret)]) + secret) + _quantisation(secret)
    yield "JPEG-LS: tables it has not", dicom(JPEGLSLossless, encapsulate([ls[:2] + more + ls[2:]]))
    for name, syntax, stream in (
        ("JPEG 2000", JPEG2000Lossless, encoded(JPEG2000LosslessEncoder)),
        ("HTJ2K", _HTJ2K, bytes(imagecodecs.htj2k_encode(PIXELS))),
        ("JPEG 2000 in tiles", JPEG2000Lossless, _tiled()),
    ):
        for place, frame in _jpeg2000_narrow_places(stream, secret):
            yield f"{name}: {place}", dicom(syntax, encapsulate([frame]))
    high = np.frombuffer((secret * PIXELS.size)[: PIXELS.size], np.uint8)
    planes = [bytes(imagecodecs.packbits_encode(plane.tobytes())) for plane in (high, PIXELS.ravel())]
    planes = [plane + bytes(len(plane) % 2) for plane in planes]
    starts = struct.pack("<16I", 2, 64, 64 + len(planes[0]), *[0] * 13)
    deep = {"BitsAllocated": 16, "BitsStored": 8}
    yield (
        "RLE: bits that are no sample's",
        dicom(RLELossless, encapsulate([starts + b"".join(planes)]), 1, **deep),
    )
    yield from _header_places(secret)


def _header_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    plain, even = ExplicitVRLittleEndian, secret + bytes(len(secret) % 2)
    tables: dict[str, Any] = {
        f"{c}PaletteColorLookupTableData": bytes(440) + even.ljust(72, b"\0")
        for c in ("Red", "Green", "Blue")
    }
    sizes: dict[str, Any] = {
        f"{c}PaletteColorLookupTableDescriptor": [256, 0, 16] for c in ("Red", "Green", "Blue")
    }
    yield "colours of no pixel", dicom(plain, PhotometricInterpretation="PALETTE COLOR", **sizes, **tables)
    yield "a palette of nothing", dicom(plain, RedPaletteColorLookupTableData=even)
    entry = Dataset()
    ramp = np.arange(0, 4096, 8, dtype="<u2").tobytes()
    entry.LUTDescriptor, entry.LUTData = [len(ramp + even) // 2, 0, 16], ramp[:500] + even + ramp[500:]
    yield "in a lookup table", dicom(plain, VOILUTSequence=Sequence([entry]))
    yield "a lookup table of nothing", _with_bytes(dicom(plain), "LUTData", "OW", even)
    yield "a signature", dicom(plain, Signature=even)
    yield "a map", dicom(plain, TwoDimensionalToThreeDimensionalMapData=secret.ljust(16, b"\0"))
    for keyword, vr, size in (("ExaminedBodyThickness", "FL", 4), ("TableHeight", "DS", 0), ("SimpleFrameList", "UL", 4),
                              ("SeriesNumber", "IS", 0), ("SOPClassUID", "UI", 0), ("FrameIncrementPointer", "AT", 4),
                              ("ReconstructionAngle", "FD", 8), ("PixelPaddingValue", "LT", 0), ("SimpleFrameList", "SH", 0), ("KVP", "OB", 0), ("Rows", "US", 2)):  # fmt: skip
        held = secret.ljust(-(-len(secret) // size) * size, b"\0") if size else even
        yield f"{vr} of letters", _with_bytes(dicom(plain), keyword, vr, held)


def _with_bytes(content: bytes, keyword: str, vr: str, held: bytes) -> bytes:
    """Return a file with the bytes of one element, before all others but those of lower tags."""
    dataset = dcmread(io.BytesIO(content))
    tag = Tag(tag_for_keyword(keyword) or 0)
    before = dataset.get_item(tag).value if keyword == "Rows" else b""
    dataset._dict[tag] = RawDataElement(tag, vr, len(before + held), before + held, 0, False, True)
    target = io.BytesIO()
    dataset.save_as(target)
    return target.getvalue()


def _quantisation(secret: bytes) -> bytes:
    return segment(0xDB, b"\0" + secret.ljust(64, b"\1"))


def _tiled() -> bytes:
    target = io.BytesIO()
    Image.fromarray(PIXELS).save(target, "JPEG2000", no_jp2=True, tile_size=(16, 16))
    return target.getvalue()


def jpeg_narrow_places(jpeg: bytes, secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a JPEG with a text where a decoder takes it for a table it has not used yet, or for no sample."""
    yield "a table that another one replaces", jpeg[:2] + _quantisation(secret) + jpeg[2:]
    codes = segment(0xC4, b"\0" + bytes(15) + bytes([len(secret)]) + secret)
    yield "codes that others replace", jpeg[:2] + codes + jpeg[2:]
    yield "conditions of arithmetic codes", jpeg[:2] + segment(0xCC, secret) + jpeg[2:]
    yield "numbers of JFIF", jpeg[:2] + segment(0xE0, (b"JFIF\0" + secret).ljust(14, b"\0")[:14]) + jpeg[2:]
    in_rows = picture("JPEG", restart_marker_rows=1)
    at = in_rows.index(b"\xff\xd1")
    yield "behind a restart interval", in_rows[:at] + secret + in_rows[at:]
    colour = io.BytesIO()
    Image.fromarray(np.dstack([PIXELS] * 3)).save(colour, "JPEG", progressive=True, restart_marker_rows=2)
    at = colour.getvalue().index(b"\xff\xd0", colour.getvalue().index(b"\xff\xda"))
    yield "behind a restart interval of a scan", colour.getvalue()[:at] + secret + colour.getvalue()[at:]


def _jpeg2000_narrow_places(stream: bytes, secret: bytes) -> Iterator[tuple[str, bytes]]:
    for marker, name in ((0x52, "coding style"), (0x5C, "quantisation")):
        at = stream.index(bytes([0xFF, marker]))
        (size,) = struct.unpack_from(">H", stream, at + 2)
        longer = segment(marker, stream[at + 4 : at + 2 + size] + secret)
        yield f"behind the {name}", stream[:at] + longer + stream[at + 2 + size :]
    at = stream.index(b"\xff\x90")
    yield "a profile", stream[:at] + segment(0x56, secret) + stream[at:]
    (size,) = struct.unpack_from(">I", stream, at + 6)
    end = at + size if size else len(stream) - 2
    head = stream[at : at + 6] + struct.pack(">I", end - at + len(secret)) + stream[at + 10 : at + 12]
    tlm = stream.find(b"\xff\x55", 0, at)
    before = stream[:at] if tlm < 0 else stream[:tlm] + stream[at:at]
    yield "behind the packets", before + head + stream[at + 12 : end] + secret + stream[end:]


def narrow_raster_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ("format: name", file)."""
    for name, held in jpeg_narrow_places(picture("JPEG"), secret):
        yield f"jpeg: {name}", held
    yield from _png_narrow_places(secret)
    yield from _tiff_narrow_places(secret)
    webp = picture("WEBP")
    (size,) = struct.unpack_from("<I", webp[20:23] + b"\0")
    longer = struct.pack("<I", (size & 31) | (size >> 5) + len(secret) << 5)[:3]
    at = 30 + (size >> 5)
    samples = longer + webp[23:at] + secret + webp[at:]
    head = b"RIFF" + struct.pack("<I", len(samples) + len(samples) % 2 + 12) + b"WEBPVP8 "
    yield (
        "webp: behind the first partition",
        head + struct.pack("<I", len(samples)) + samples + bytes(len(samples) % 2),
    )
    bmp = picture("BMP")
    for name, at, room in (
        ("resolution", 38, 8),
        ("size of the picture", 34, 4),
        ("colours that matter", 50, 4),
    ):
        if len(secret) <= room:
            yield f"bmp: {name}", bmp[:at] + secret + bmp[at + len(secret) :]
    indexed = _few_colours("BMP")
    at = indexed.index(_COLOURS[3:5][::-1]) + 400
    yield "bmp: colours of no pixel", indexed[:at] + secret + indexed[at + len(secret) :]


def _few_colours(form: str, **options: Any) -> bytes:
    target, indexed = io.BytesIO(), _FEW_COLOURS.copy()
    indexed.putpalette(_COLOURS + bytes(768 - len(_COLOURS)))
    indexed.save(target, form, **options)
    return target.getvalue()


def _png_narrow_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    png = picture("PNG")
    start = png.index(b"IDAT") - 4
    for kind, room in ((b"cICP", 4), (b"cHRM", 32), (b"pHYs", 9), (b"sRGB", 1), (b"gAMA", 4)):
        yield (
            f"png: numbers of {kind.decode()}",
            png[:start] + chunk(kind, secret[:room].ljust(room, b"\0")) + png[start:],
        )
    target = io.BytesIO()
    Image.fromarray(PIXELS // 32).convert("RGB").save(target, "PNG")
    rgb = target.getvalue()
    at = rgb.index(b"IDAT") - 4
    yield "png: a colour that is none", rgb[:at] + chunk(b"tRNS", secret[:6].ljust(6, b"\0")) + rgb[at:]
    indexed = _few_colours("PNG", bits=8)
    at = indexed.index(b"PLTE") - 4
    (size,) = struct.unpack_from(">I", indexed, at)
    palette = indexed[at + 8 : at + 8 + size][:24] + secret
    palette = palette + bytes(-len(palette) % 3)
    yield "png: colours of no pixel", indexed[:at] + chunk(b"PLTE", palette) + indexed[at + 12 + size :]
    clear = chunk(b"tRNS", bytes(8) + secret)
    both = chunk(b"PLTE", palette + bytes(60)) + clear
    yield "png: transparency of no pixel", indexed[:at] + both + indexed[at + 12 + size :]
    for place, named in (("white point", b"wtpt"), ("red", b"rXYZ")):
        plain = profile(b"x")
        (where,) = struct.unpack_from(">I", plain, plain.index(named) + 4)
        named_profile = plain[: where + 8] + secret[:12] + plain[where + 8 + len(secret[:12]) :]
        packed = b"k\0\0" + zlib.compress(named_profile)
        yield f"png: {place} of the profile", png[:start] + chunk(b"iCCP", packed) + png[start:]


def _tiff_narrow_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    for tag, name, form, size in ((254, "kind of page", 4, 4), (338, "samples of no colour", 3, 2), (284, "planes", 4, 4),
                                  (282, "resolution", 5, 8), (339, "form of samples", 3, 2)):  # fmt: skip
        held = secret.ljust(-(-len(secret) // size) * size, b"\0")
        yield f"tiff: {name}", _tiff(PIXELS, {tag: (form, len(held) // size, held)})
    colours = np.zeros((3, 256), "<u2")
    colours[:, :8] = np.arange(8) * 8000
    table = bytearray(colours.tobytes())
    table[300 : 300 + len(secret)] = secret
    yield (
        "tiff: colours of no pixel",
        _tiff(PIXELS // 32, {262: (3, 1, b"\3\0"), 320: (3, 768, bytes(table))}),
    )


def _tiff(pixels: Any, tags: dict[int, tuple[int, int, bytes]]) -> bytes:
    numbers = {
        256: pixels.shape[1],
        257: pixels.shape[0],
        258: 8,
        259: 1,
        262: 1,
        277: 1,
        278: pixels.shape[0],
        279: pixels.size,
    }
    return tiff_file(
        {tag: (4, 1, struct.pack("<I", one)) for tag, one in numbers.items()} | tags, pixels.tobytes()
    )
