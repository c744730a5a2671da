"""Uploads that mean harm, or are merely broken: seeded changes of real files, and a few made by hand."""

import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator

import numpy as np
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import FileDataset
from pydicom.uid import JPEGLSLossless, RLELossless

from tests.web.serving import dicom, encoded, png

_INTERESTING = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\xff\xd8\xff",
    b"\xfe\xff\x00\xe0",
)
_COMPRESSED = (
    "SC_rgb_small_odd_jpeg.dcm",
    "MR_small_jp2klossless.dcm",
    "JPGExtended.dcm",
    "MR_small_RLE.dcm",
)
LOSSLESS = "SC_rgb_jpeg_gdcm.dcm"
"""Lossless JPEG, which gdcm alone decodes: what it does with damage has to be tried in another process."""


def hostile_uploads(count: int, *, seed: int = 0, lossless: bool = False) -> Iterator[tuple[str, bytes]]:
    """Yield (name, bytes), the ones made by hand first."""
    generator = random.Random(seed)
    made = list(by_hand())
    yield from made[:count]
    files = seeds(lossless=lossless)
    for number in range(max(0, count - len(made))):
        name, data = files[number % len(files)]
        yield f"{number}-{name}", _changed(data, files, generator)


def seeds(*, lossless: bool = False) -> list[tuple[str, bytes]]:
    """Return whole files of every format that is taken."""
    noise = np.random.default_rng(0).integers(0, 255, (40, 48), np.uint8)
    colour = np.dstack([noise, noise[::-1], 255 - noise])
    wide = (noise.astype(np.uint16) << 8) + 7
    files = [
        ("a.png", encoded(noise, "PNG")),
        ("b.png", encoded(wide, "PNG")),
        ("c.png", encoded(colour, "PNG")),
        ("d.jpg", encoded(noise, "JPEG")),
        ("e.jpg", encoded(colour, "JPEG", progressive=True)),
        ("f.tif", encoded(wide, "TIFF")),
        ("g.tif", encoded(colour, "TIFF", compression="tiff_lzw")),
        ("h.bmp", encoded(colour, "BMP")),
        ("i.webp", encoded(colour, "WEBP")),
        ("j.dcm", dicom((0, 200, 90))),
        ("k.dcm", _compressed(RLELossless)),
        ("l.dcm", _compressed(JPEGLSLossless)),
    ]
    names = (*_COMPRESSED, LOSSLESS) if lossless else _COMPRESSED
    for name in names:
        path = get_testdata_file(name, download=False)
        if isinstance(path, str):
            files.append((name, _bytes_of(path)))
    return files


def by_hand() -> Iterator[tuple[str, bytes]]:
    """Yield files that claim what they are not."""
    yield "empty", b""
    yield "zip.png", _zipped()
    yield "tar.png", _tarred()
    yield "gzip.png", b"\x1f\x8b\x08" + b"\0" * 300
    yield "../../../../etc/cron.d/evil.png", png()
    yield "name\r\nX-Evil: 1.png", png()
    yield "bomb.png", _png_that_claims(60_000, 60_000)
    yield "text-bomb.png", _png_with_text_bomb()
    yield (
        "bomb.bmp",
        b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, 50_000, 50_000, 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "frames.dcm", _altered(NumberOfFrames=2_000_000_000)
    yield "rows.dcm", _altered(Rows=65_535, Columns=65_535)
    yield "bits.dcm", _altered(BitsStored=0)
    yield "allocated.dcm", _altered(BitsAllocated=64)
    yield "samples.dcm", _altered(SamplesPerPixel=65_535)
    yield "slope.dcm", _altered(RescaleSlope="NaN", RescaleIntercept="1e308")
    yield "window.dcm", _altered(WindowCenter="1e300", WindowWidth="1e-300")
    yield "deflated.dcm", deflated_bomb()
    yield "claims.dcm", codestream_that_claims(60_000)
    yield "html.png", b"<html><script>alert(1)</script></html>"
    yield "svg.png", b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>'


def deflated_bomb(size: int = 600_000_000) -> bytes:
    """Return a deflated DICOM file of a few hundred kilobytes that unpacks to `size` bytes."""
    whole = dicom()
    meta_end = whole.index(b"\x02\x00\x10\x00")
    uid = b"1.2.840.10008.1.2.1.99"
    head = whole[:meta_end] + b"\x02\x00\x10\x00UI" + struct.pack("<H", len(uid)) + uid
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = bytes(1 << 20)
    body = b"".join(packer.compress(block) for _ in range(size >> 20)) + packer.flush()
    return head + body


def codestream_that_claims(side: int) -> bytes:
    """Return a DICOM file of 24 x 24 pixels whose JPEG 2000 codestream says it is `side` square."""
    path = get_testdata_file("MR_small_jp2klossless.dcm", download=False)
    data = bytearray(_bytes_of(str(path)))
    place = data.index(b"\xff\x4f\xff\x51")
    data[place + 8 : place + 16] = struct.pack(">II", side, side)
    return bytes(data)


def _bytes_of(path: str) -> bytes:
    with open(path, "rb") as stream:  # noqa: PTH123 -- the path is pydicom's
        return stream.read()


def _changed(data: bytes, files: list[tuple[str, bytes]], generator: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(generator.randint(1, 4)):
        way = generator.choice(("flip", "cut", "put", "repeat", "zero", "splice"))
        place = generator.randrange(max(1, min(len(changed), generator.choice((64, 600, 1 << 30)))))
        if way == "flip":
            for _ in range(generator.randint(1, 20)):
                at = min(len(changed) - 1, place + generator.randrange(200))
                if at >= 0:
                    changed[at] ^= 1 << generator.randrange(8)
        elif way == "cut":
            del changed[max(8, place) :]
        elif way == "put":
            piece = generator.choice(_INTERESTING)
            changed[place : place + len(piece)] = piece
        elif way == "repeat":
            changed[place:place] = changed[place : place + generator.randint(1, 300)] * generator.randint(
                1, 20
            )
        elif way == "zero":
            length = generator.randint(1, 200)
            changed[place : place + length] = bytes(length)
        else:
            other = generator.choice(files)[1]
            changed[place:] = other[generator.randrange(len(other)) :]
    return bytes(changed)


def _compressed(syntax: str) -> bytes:
    data = dcmread(io.BytesIO(dicom((90,))))
    data.compress(syntax)
    return _saved(data)


def _altered(**values: object) -> bytes:
    data = dcmread(io.BytesIO(dicom((90,))))
    raw = {name: values.pop(name) for name in list(values) if isinstance(values[name], str)}
    for name, value in values.items():
        setattr(data, name, value)
    whole = _saved(data)
    for name, value in raw.items():
        element = data[name]
        text = str(value).encode()
        text += b" " * (len(text) % 2)
        tag = struct.pack("<HH", element.tag.group, element.tag.element)
        start = whole.index(tag + b"DS")
        length = int.from_bytes(whole[start + 6 : start + 8], "little")
        whole = whole[: start + 6] + struct.pack("<H", len(text)) + text + whole[start + 8 + length :]
    return whole


def _saved(data: FileDataset) -> bytes:
    buffer = io.BytesIO()
    data.save_as(buffer)
    return buffer.getvalue()


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _png_that_claims(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(bytes(1000)))
        + _chunk(b"IEND", b"")
    )


def _png_with_text_bomb() -> bytes:
    whole = png()
    text = _chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(200_000_000), 9))
    return whole[:33] + text + whole[33:]


def _zipped() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../evil", bytes(1_000_000))
    return buffer.getvalue()


def _tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("/etc/passwd"))
    return buffer.getvalue()
