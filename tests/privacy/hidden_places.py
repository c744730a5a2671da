"""Places beside the pixels where a text survives a cleaning of attributes: name → the bytes of a file that has it there."""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import Any

import imagecodecs
import numpy as np
from PIL import Image, ImageCms
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import JPEG2000LosslessEncoder, JPEGLSLosslessEncoder, RLELosslessEncoder
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from medimg_cli.privacy.metadata.containers import SOS, jpeg_segments, webp_chunks

SECRET = b"Hepzibah Marchbanks 8472913"
"""Stands in no attribute of the header: only what removes the place itself removes it."""
SHORT_SECRETS = tuple(
    text.encode(coding)[:size]
    for text, coding, size in (
        ("Märzens", "latin-1", 7), ("Ørsted", "utf-8", 4), ("Vögt", "utf-16-le", 8), ("Vögtlin", "utf-16-be", 16),
        ("Марченко", "iso8859-5", 8), ("Марченко", "utf-8", 16), ("山田^太郎", "iso2022_jp", 16), ("Zelda", "ascii", 4),
        ("Hepburn", "ascii", 7),
    )
)  # fmt: skip
"""Names that nothing recognises as text among numbers: short, or not in ASCII."""
PIXELS = (np.add.outer(np.arange(40) * 3, np.arange(48) * 2) + np.arange(48) % 7).astype(np.uint8)


def dicom(syntax: UID, pixels: bytes | None = None, frames: int = 1, **attributes: Any) -> bytes:
    """Return a DICOM file of `PIXELS`, with `pixels` as they are where given."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.SOPInstanceUID = (
        SecondaryCaptureImageStorage,
        UID("1.2.826.0.1.3680043.8.498.1"),
    )
    dataset.PatientName, dataset.PatientID = "Quintrell^Zebedee", "MRN-7734219"
    dataset.PatientBirthDate, dataset.StudyInstanceUID = "19370219", "1.2.826.0.1.3680043.8.498.2"
    dataset.Rows, dataset.Columns = PIXELS.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = (
        1,
        "MONOCHROME2",
        0,
    )
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    if frames > 1:
        dataset.NumberOfFrames = frames
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if "FloatPixelData" not in dataset:
        dataset.PixelData = PIXELS.tobytes() * frames if pixels is None else pixels
        dataset["PixelData"].VR = "OB"
        dataset["PixelData"].is_undefined_length = syntax.is_encapsulated
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    target = io.BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()


def picture(form: str, **options: Any) -> bytes:
    target = io.BytesIO()
    Image.fromarray(PIXELS).save(target, form, **options)
    return target.getvalue()


def segment(marker: int, held: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(held) + 2) + held


def chunk(kind: bytes, held: bytes) -> bytes:
    return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))


def profile(text: bytes = SECRET) -> bytes:
    """Return an sRGB profile with a text in its description."""
    plain = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    wide = text.decode("latin-1").encode("utf-16-be")
    at = plain.index("sRGB built-in".encode("utf-16-be"))
    return plain[:at] + wide + plain[at + len(wide) :] if len(plain) > at + len(wide) else plain


def item(held: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(held)) + held + b"\0" * (len(held) % 2)


def fragments(*held: bytes, table: bytes = b"") -> bytes:
    even = [one + b"\0" * (len(one) % 2) for one in held]
    return item(table) + b"".join(map(item, even))


def encoded(encoder: Any) -> bytes:
    settings = {
        "rows": PIXELS.shape[0],
        "columns": PIXELS.shape[1],
        "samples_per_pixel": 1,
        "bits_allocated": 8,
        "bits_stored": 8,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "number_of_frames": 1,
    }
    return bytes(encoder.encode(PIXELS.tobytes(), **settings))


def jpeg_places(jpeg: bytes, secret: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield a JPEG or JPEG-LS with a text in every place that decoders pass over."""
    for name, part in {
        "comment": segment(0xFE, secret),
        "EXIF": segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + secret),
        "APP13": segment(0xED, b"Photoshop 3.0\0" + secret),
        "APP8": segment(0xE8, secret),
        "JFXX": segment(0xE0, b"JFXX\0\x13" + secret),
        "JFIF thumbnail": segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\x09\1" + secret),
        "Adobe": segment(0xEE, b"Adobe\0\x64\0\0\0\0\0" + secret),
        "bytes between segments": secret,
    }.items():
        yield name, jpeg[:2] + part + jpeg[2:]
    yield "bytes behind the end", jpeg + secret
    yield "a second picture", jpeg + jpeg[:2] + segment(0xFE, secret) + jpeg[2:]


def baseline_places(jpeg: bytes, secret: bytes) -> Iterator[tuple[str, bytes]]:
    yield "unused quantisation table", jpeg[:2] + segment(0xDB, b"\x03" + secret.ljust(64, b"\1")) + jpeg[2:]
    counts = bytes(15) + bytes([len(secret)])
    yield "unused Huffman table", jpeg[:2] + segment(0xC4, b"\x13" + counts + secret) + jpeg[2:]
    at = jpeg.index(b"\xff\xc0")
    (size,) = struct.unpack_from(">H", jpeg, at + 2)
    yield (
        "a long frame header",
        jpeg[:at] + segment(0xC0, jpeg[at + 4 : at + 2 + size] + secret) + jpeg[at + 2 + size :],
    )
    yield "a reserved segment", jpeg[:2] + segment(0xF3, secret) + jpeg[2:]
    yield "behind the samples", jpeg[:-2] + secret + jpeg[-2:]
    yield "far behind the samples", jpeg[:-2] + bytes(5000) + secret * 300 + jpeg[-2:]
    progressive = picture("JPEG", progressive=True)
    scans = [part.end for part in jpeg_segments(progressive) if part.kind == SOS]
    for name, at in {"between two scans": scans[0], "between later scans": scans[-2]}.items():
        yield name, progressive[:at] + secret + progressive[at:]


def _jpeg2000_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    stream = encoded(JPEG2000LosslessEncoder)
    comment = segment(0x64, b"\0\1" + secret)
    tile = stream.index(b"\xff\x90")
    (size,) = struct.unpack_from(">I", stream, tile + 6)
    yield "comment", stream[:tile] + comment + stream[tile:]
    head = stream[tile : tile + 6] + struct.pack(">I", size + len(comment)) + stream[tile + 10 : tile + 12]
    yield "comment of a tile", stream[:tile] + head + comment + stream[tile + 12 :]
    lengths = segment(0x55, b"\0\x60" + struct.pack(">HI", 0, size)) + segment(0x57, b"\0" + secret)
    yield "packet lengths", stream[:tile] + lengths + stream[tile:]
    yield "bytes behind the end", stream + secret
    head = stream[tile : tile + 6] + struct.pack(">I", size + len(secret)) + stream[tile + 10 : tile + 12]
    yield "behind the packets", stream[:tile] + head + stream[tile + 12 : -2] + secret + stream[-2:]
    box = struct.pack(">I4s4sI", 12, b"jP  ", b"\r\n\x87\n", 0)[:12]
    yield (
        "box of a JP2 file",
        box
        + struct.pack(">I4s", 8 + len(secret), b"uuid")
        + secret
        + struct.pack(">I4s", 0, b"jp2c")
        + stream,
    )


def _rle_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    frame = encoded(RLELosslessEncoder)
    gap = secret + b"\0"
    yield "gap behind the header", struct.pack("<16I", 1, 64 + len(gap), *[0] * 14) + gap + frame[64:]
    yield "bytes behind the segment", frame + secret
    yield "offsets of no segment", frame[:8] + secret.ljust(56, b"\0") + frame[64:]


def dicom_places(secret: bytes = SECRET) -> Iterator[tuple[str, bytes]]:
    """Yield (name, file) for every place in DICOM files."""
    jpeg = picture("JPEG")
    lossless, ls = bytes(imagecodecs.ljpeg_encode(PIXELS)), encoded(JPEGLSLosslessEncoder)
    behind = [("behind the samples", lossless[:-2] + secret + lossless[-2:])]
    codings = {
        "JPEG lossless": (JPEGLosslessSV1, iter(behind)),
        "JPEG": (JPEGBaseline8Bit, [*jpeg_places(jpeg, secret), *baseline_places(jpeg, secret)]),
        "JPEG-LS": (
            JPEGLSLossless,
            [*jpeg_places(ls, secret), ("behind the samples", ls[:-2] + secret + ls[-2:])],
        ),
        "JPEG 2000": (JPEG2000Lossless, _jpeg2000_places(secret)),
        "RLE": (RLELossless, _rle_places(secret)),
    }
    for coding, (syntax, places) in codings.items():
        for name, frame in places:
            yield f"{coding}: {name}", dicom(syntax, encapsulate([frame]))
    two = [jpeg, jpeg]
    yield "a fragment of no frame", dicom(JPEGBaseline8Bit, fragments(jpeg, secret))
    yield "a fragment of no frame behind two", dicom(JPEGBaseline8Bit, fragments(*two, secret), frames=2)
    yield (
        "a frame too many",
        dicom(JPEGBaseline8Bit, fragments(*two, jpeg[:2] + segment(0xFE, secret) + jpeg[2:]), 2),
    )
    table = struct.pack("<II", 0, len(item(jpeg + b"\0" * (len(jpeg) % 2))))
    yield (
        "offset table too long",
        dicom(JPEGBaseline8Bit, fragments(*two, table=table + secret + b"\0"), frames=2),
    )
    yield "offset table of text", dicom(JPEGBaseline8Bit, fragments(jpeg, table=secret + b"\0"))
    offsets: dict[str, Any] = {"ExtendedOffsetTable": struct.pack("<Q", 0) + secret.ljust(32, b"\0")}
    lengths: dict[str, Any] = {
        "ExtendedOffsetTableLengths": struct.pack("<Q", len(jpeg)) + secret.ljust(32, b"\0")
    }
    yield "extended offset table", dicom(JPEGBaseline8Bit, fragments(jpeg), **offsets, **lengths)
    uncompressed = UID("1.2.840.10008.1.2.1.98")
    yield "behind an uncompressed frame", dicom(uncompressed, encapsulate([PIXELS.tobytes() + secret]))
    yield from _native_places(secret)


def _native_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    plain, more = ExplicitVRLittleEndian, secret + b"\0"
    pixels = PIXELS.tobytes()
    yield "behind native pixels", dicom(plain, pixels + more)
    yield "behind native frames", dicom(plain, pixels * 2 + more, frames=2)
    yield (
        "behind float pixels",
        dicom(plain, BitsAllocated=32, FloatPixelData=PIXELS.astype("<f4").tobytes() + more),
    )
    entry = Dataset()
    entry.LUTDescriptor, entry.LUTData = [16, 0, 16], bytes(range(32)) + more
    yield "behind a lookup table", dicom(plain, VOILUTSequence=Sequence([entry]))
    palette: dict[str, Any] = {
        f"{c}PaletteColorLookupTableData": bytes(512) + more for c in ("Red", "Green", "Blue")
    }
    sizes = {f"{c}PaletteColorLookupTableDescriptor": [256, 0, 16] for c in ("Red", "Green", "Blue")}
    colours: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", **sizes}
    yield "behind a palette", dicom(plain, **colours, **palette)
    inside: dict[str, Any] = {keyword: more.ljust(512, b"\0") for keyword in palette}
    yield "in a palette", dicom(plain, **colours, **inside)
    for name, held in (("behind", bytes(8) + more), ("in", more.ljust(60, b"\0"))):
        wave = Dataset()
        wave.NumberOfWaveformChannels, wave.NumberOfWaveformSamples = 1, 4 if name == "behind" else 30
        wave.WaveformBitsAllocated, wave.WaveformData = 16, held
        wave["WaveformData"].VR = "OW"
        yield f"{name} a waveform", dicom(plain, WaveformSequence=Sequence([wave]))
    icon = Dataset()
    icon.Rows, icon.Columns, icon.BitsAllocated, icon.PixelData = 4, 7, 8, more
    icon["PixelData"].VR = "OB"
    yield "an icon", dicom(plain, IconImageSequence=Sequence([icon]))
    yield "an icon in another sequence", dicom(plain, ReferencedImageSequence=Sequence([icon]))
    yield "a colour profile", dicom(plain, ICCProfile=profile(secret))
    yield "behind a colour profile", dicom(plain, ICCProfile=profile(b"x") + more)
    yield "numbers of an attribute", dicom(plain, PixelAspectRatio=[1, 1], ReferencedFrameNumbers=list(more))
    yield "behind the data set", dicom(plain) + secret + b"\0"
    for name, tag in (
        ("overlay", 0x60003000),
        ("curve", 0x50003000),
        ("audio", 0x5000200C),
        ("padding", 0xFFFCFFFC),
    ):
        dataset_bytes = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"OB", 0, len(more)) + more
        whole = dicom(plain)
        pixel = whole.rindex(b"\xe0\x7f\x10\x00OB")
        yield (
            name,
            whole + dataset_bytes if tag >> 16 == 0xFFFC else whole[:pixel] + dataset_bytes + whole[pixel:],
        )
    yield "an encapsulated document", dicom(plain, EncapsulatedDocument=b"%PDF" + more)


def raster_places(secret: bytes = SECRET) -> Iterator[tuple[str, bytes]]:
    """Yield ("format: name", file) for every place in pictures."""
    jpeg = picture("JPEG")
    yield from (
        (f"jpeg: {name}", held) for name, held in (*jpeg_places(jpeg, secret), *baseline_places(jpeg, secret))
    )
    yield "jpeg: colour profile", picture("JPEG", icc_profile=profile(secret))
    yield "jpeg: behind the colour profile", picture("JPEG", icc_profile=profile(b"x") + secret)
    yield from ((f"png: {name}", held) for name, held in _png_places(secret))
    yield from ((f"tiff: {name}", held) for name, held in _tiff_places(secret))
    for name, held in _bmp_places(secret):
        yield f"bmp: {name}", held
    webp = picture(
        "WEBP",
        lossless=True,
        icc_profile=profile(secret),
        exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + secret,
    )
    yield "webp: profile and EXIF", webp
    for name, part in {"unknown chunk": b"ABCD", "second XMP": b"XMP ", "second picture": b"VP8L"}.items():
        more = part + struct.pack("<I", len(secret)) + secret + b"\0" * (len(secret) % 2)
        yield f"webp: {name}", webp[:4] + struct.pack("<I", len(webp) - 8 + len(more)) + webp[8:] + more
    yield "webp: behind the end", webp + secret
    alpha = Image.fromarray(np.dstack([PIXELS, PIXELS, PIXELS, PIXELS[::-1]]))
    for name, kind, lossless in (("VP8L", b"VP8L", True), ("VP8", b"VP8 ", False), ("ALPH", b"ALPH", False)):
        target = io.BytesIO()
        (alpha if name == "ALPH" else Image.fromarray(PIXELS)).save(target, "WEBP", lossless=lossless)
        parts = [
            (one.kind, target.getvalue()[one.start : one.end] + (secret if one.kind == kind else b""))
            for one in webp_chunks(target.getvalue())
            if one.kind
        ]
        body = b"".join(k + struct.pack("<I", len(held)) + held + bytes(len(held) % 2) for k, held in parts)
        yield (
            f"webp: behind the samples of {name}",
            b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body,
        )


def _png_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    png = picture("PNG")
    start, end = png.index(b"IDAT") - 4, png.index(b"IEND") - 4
    samples = png[start + 8 : end - 4]
    rows = zlib.decompress(samples)
    yield "behind the end", png + secret
    yield "in the end chunk", png[:end] + chunk(b"IEND", secret)
    yield "behind the compressed samples", png[:start] + chunk(b"IDAT", samples + secret) + png[end:]
    yield "a chunk of samples too many", png[:end] + chunk(b"IDAT", secret) + png[end:]
    yield "rows too many", png[:start] + chunk(b"IDAT", zlib.compress(rows + secret, 0)) + png[end:]
    packed = b"k\0\0" + zlib.compress(profile(secret))
    for kind, held in {
        b"tEXt": b"Comment\0" + secret, b"eXIf": b"II*\0\x08\0\0\0" + secret, b"prIv": secret, b"iCCP": packed,
        b"cHRM": secret.ljust(32, b"\0"), b"mDCV": secret[:24], b"PLTE": secret[:27], b"sBIT": secret, b"hIST": secret,
        b"pHYs": secret, b"sRGB": b"\0" + secret, b"gAMA": struct.pack(">I", 45455) + secret, b"bKGD": b"\0\0" + secret,
    }.items():  # fmt: skip
        yield kind.decode(), png[:start] + chunk(kind, held) + png[start:]
    yield "name of the profile", png[:start] + chunk(b"iCCP", secret + packed[1:]) + png[start:]


def tiff_file(
    tags: dict[int, tuple[int, int, bytes]], samples: bytes, gap: bytes = b"", more: bytes = b""
) -> bytes:
    """Return a TIFF of one strip: header, `gap`, samples, values, directory, `more`."""
    body = bytearray(b"II*\0\0\0\0\0" + gap + samples)
    tags[273] = (4, 1, struct.pack("<I", 8 + len(gap)))
    rows = []
    for tag, (form, count, value) in sorted(tags.items()):
        if len(value) > 4:
            body += b"\0" * (len(body) % 2)
            place = struct.pack("<I", len(body))
            body += value
        else:
            place = value.ljust(4, b"\0")
        rows.append(struct.pack("<HHI", tag, form, count) + place)
    struct.pack_into("<I", body, 4, len(body))
    return bytes(body + struct.pack("<H", len(rows)) + b"".join(rows) + bytes(4) + more)


def _tiff_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    height, width = PIXELS.shape
    rows = PIXELS.tobytes()

    def built(compression: int, samples: bytes, gap: bytes = b"", more: bytes = b"", **tags: Any) -> bytes:
        numbers = {
            256: width,
            257: height,
            258: 8,
            259: compression,
            262: 1,
            277: 1,
            278: height,
            279: len(samples),
        }
        entries = {tag: (4, 1, struct.pack("<I", number)) for tag, number in numbers.items()}
        return tiff_file(
            {**entries, **{int(tag[1:]): value for tag, value in tags.items()}}, samples, gap, more
        )

    packbits = b"".join(
        bytes([len(part) - 1]) + part for part in (rows[at : at + 128] for at in range(0, len(rows), 128))
    )
    yield "behind a plain strip", built(1, rows + secret)
    yield "behind a deflated strip", built(8, zlib.compress(rows) + secret)
    yield "rows too many in a deflated strip", built(8, zlib.compress(rows + secret, 0))
    yield "behind a PackBits strip", built(32773, packbits + secret)
    for name, option in (("LZW", "tiff_lzw"), ("JPEG", "jpeg"), ("Group 4", "group4")):
        mode = Image.fromarray(PIXELS).convert("1") if name == "Group 4" else Image.fromarray(PIXELS)
        target = io.BytesIO()
        mode.save(target, "TIFF", compression=option)
        with Image.open(io.BytesIO(target.getvalue())) as made:
            tags = made.tag_v2  # type: ignore[attr-defined]
            (place,), (size,) = tags[273], tags[279]
            code, tables = tags[259], tags.get(347)
        strip = target.getvalue()[place : place + size]
        more: dict[str, Any] = {"t347": (7, len(tables), tables)} if tables else {}
        if name == "Group 4":
            more |= {"t258": (3, 1, b"\1\0"), "t262": (3, 1, struct.pack("<H", tags[262]))}
        yield f"behind a strip of {name}", built(code, strip + secret, **more)
        if name == "JPEG":
            yield "behind the samples of a strip", built(code, strip[:-2] + secret + strip[-2:], **more)
    text = (2, len(secret), secret)
    for tag in (270, 305, 315, 33432, 700, 34377, 33723, 50839, 282, 258 + 0x8000):
        yield (
            f"tag {tag}",
            built(1, rows, **dict[str, Any]({f"t{tag}": (7, len(secret), secret) if tag == 700 else text})),
        )
    yield "a fraction of letters", built(1, rows, t282=(5, 3, secret[:24]))
    yield "numbers too many", built(1, rows, t296=(3, 13, b"\2\0" + secret[:24]))
    yield "a profile", built(1, rows, t34675=(7, len(profile(secret)), profile(secret)))
    yield "between the parts", built(1, rows, gap=secret + b"\0")
    yield "behind the directory", built(1, rows, more=secret)
    inner = struct.pack("<HHHII", 1, 270, 2, len(secret), 8) + bytes(4)
    yield (
        "a directory below",
        built(1, rows, gap=secret + b"\0" + inner, t330=(4, 1, struct.pack("<I", 8 + 28))),
    )


def _bmp_places(secret: bytes) -> Iterator[tuple[str, bytes]]:
    bmp = picture("BMP")
    (pixels,) = struct.unpack_from("<I", bmp, 10)
    moved = bmp[:10] + struct.pack("<I", pixels + len(secret)) + bmp[14:pixels]
    yield "gap before the pixels", moved + secret + bmp[pixels:]
    yield "behind the pixels", bmp + secret
    target = io.BytesIO()
    Image.fromarray(PIXELS[:, :45]).convert("RGB").save(target, "BMP")
    padded = bytearray(target.getvalue())
    for number, at in enumerate(range(54, len(padded), 136)):
        padded[at + 135 : at + 136] = secret[number % len(secret) :][:1]
    yield "padding of rows", bytes(padded)
