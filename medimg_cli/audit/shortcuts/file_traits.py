"""What a file is besides its picture: format, compression, device. Nothing here is anatomy."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import BmpImagePlugin, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin
from pydicom.dataset import Dataset
from pydicom.uid import UID

from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import HEAD_BYTES, sniff_format

_NAN = float("nan")
# The plug-ins by themselves, as `images.readers.raster` takes them: only headers are read, whatever the size says.
_OPENERS: dict[str, type[Any]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
}
_MAKE, _MODEL, _SOFTWARE, _DATE_TIME = 0x010F, 0x0110, 0x0131, 0x0132  # TIFF 6.0; Exif 2.32, 4.6.4
_EXIF_IFD, _ORIGINAL_DATE_TIME = 0x8769, 0x9003
_XMP_SOFTWARE = re.compile(rb"CreatorTool(?:>|=\")\s*([^<\"]{1,80})")
_XMP_MAKE = re.compile(rb"tiff:Make(?:>|=\")\s*([^<\"]{1,80})")
_XMP_MODEL = re.compile(rb"tiff:Model(?:>|=\")\s*([^<\"]{1,80})")
_DICOM_TEXTS = {
    "make": "Manufacturer",
    "model": "ManufacturerModelName",
    "software": "SoftwareVersions",
    "modality": "Modality",
    "station": "StationName",
    "institution": "InstitutionName",
    "view": "ViewPosition",
    "body_part": "BodyPartExamined",
}
_DICOM_TAGS = [
    *_DICOM_TEXTS.values(),
    "TransferSyntaxUID", "PhotometricInterpretation", "KVP", "StudyDate", "PixelSpacing", "ImagerPixelSpacing",
    "Rows", "Columns", "BitsStored", "SamplesPerPixel", "ICCProfile",
]  # fmt: skip
_PNG_DEPTHS = {"1": 1, "I;16": 16, "I": 16, "I;16B": 16}


@dataclass(frozen=True)
class FileTraits:
    """One file by its bytes, its pixels not decoded; a field is "" or NaN where it is not known.

    Args:
        file_format: as `images.image.sniff_format` calls it, "" for others.
        suffix: of the name, lower case, with the dot.
        size_bytes: of the whole file.
        width_px, height_px: as the header says, before any turning.
        mode: how samples are stored: Pillow's mode, or DICOM's Photometric Interpretation.
        bit_depth: bits a sample.
        encoding: baseline or progressive, TIFF's compression, interlaced PNG, DICOM's transfer syntax.
        jpeg_quality: 1..100, estimated from the quantisation table.
        subsampling: of colour, in JPEG.
        colour_profile: yes or no.
        density: resolution the header claims, dots an inch or the ratio JFIF holds.
        make, model, software: of the device or program, from EXIF, XMP, PNG text or the DICOM header.
        year: when it was taken or written.
        modality, view, body_part: from the DICOM header.
        kvp: peak kilovoltage.
        spacing_mm: distance of two pixels, the rows' one.
        station, institution: from the DICOM header; they name places, so their values must never be shown.
    """

    file_format: str = ""
    suffix: str = ""
    size_bytes: float = _NAN
    width_px: float = _NAN
    height_px: float = _NAN
    mode: str = ""
    bit_depth: float = _NAN
    encoding: str = ""
    jpeg_quality: float = _NAN
    subsampling: str = ""
    colour_profile: str = ""
    density: str = ""
    make: str = ""
    model: str = ""
    software: str = ""
    year: float = _NAN
    modality: str = ""
    view: str = ""
    body_part: str = ""
    kvp: float = _NAN
    spacing_mm: float = _NAN
    station: str = ""
    institution: str = ""

    @property
    def bytes_per_pixel(self) -> float:
        """Return the file's size over its pixels, NaN where one is not known."""
        pixels = self.width_px * self.height_px
        return self.size_bytes / pixels if pixels > 0 else _NAN


def file_traits(path: Path) -> FileTraits:
    """Return what the bytes of a file tell; a header that is damaged leaves its fields unknown.

    Raises:
        OSError: the file is gone or cannot be opened.
    """
    with path.open("rb") as stream:
        known: dict[str, Any] = {
            "file_format": sniff_format(stream.read(HEAD_BYTES)) or "",
            "suffix": path.suffix.lower(),
            "size_bytes": float(path.stat().st_size),
        }
        stream.seek(0)
        try:
            if known["file_format"] == "dicom":
                known |= _of_dicom(stream)
            elif known["file_format"] in _OPENERS:
                known |= _of_raster(stream, known["file_format"])
        except (
            Exception
        ):  # damaged bytes make Pillow and pydicom raise nearly anything; `unreadable` names them
            return FileTraits(**known)
    return FileTraits(**known)


def _of_raster(stream: BinaryIO, file_format: str) -> dict[str, Any]:
    picture: Image.Image = _OPENERS[file_format](stream)
    info = picture.info
    found: dict[str, Any] = {
        "width_px": float(picture.width),
        "height_px": float(picture.height),
        "mode": picture.mode,
        "bit_depth": float(_PNG_DEPTHS.get(picture.mode, 32 if picture.mode == "F" else 8)),
        "encoding": str(info.get("compression", "")),
        "colour_profile": "yes" if info.get("icc_profile") else "no",
        "density": _density(info),
    }
    if isinstance(picture, JpegImagePlugin.JpegImageFile):
        found["encoding"] = "progressive" if info.get("progressive") else "baseline"
        found["jpeg_quality"] = estimated_quality(picture.quantization)
        found["subsampling"] = subsampling(picture.layer)
    elif file_format == "png":
        found["encoding"] = "interlaced" if info.get("interlace") else "not interlaced"
    return found | _of_device(picture)


def _density(info: dict[str | tuple[int, int], Any]) -> str:
    """Return the resolution, rounded: formats that count dots a metre do not come out even."""
    value = info.get("dpi") or info.get("jfif_density")
    return f"{round(float(value[0]))}x{round(float(value[1]))}" if value else ""


def _of_device(picture: Image.Image) -> dict[str, Any]:
    """Return make, model, software and year from EXIF, else XMP or PNG's text."""
    exif = _exif(picture)
    xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
    packet = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
    software = exif.get(_SOFTWARE) or picture.info.get("Software") or _first(_XMP_SOFTWARE, packet)
    date = exif.get_ifd(_EXIF_IFD).get(_ORIGINAL_DATE_TIME) or exif.get(_DATE_TIME)
    return {
        "make": _clean(exif.get(_MAKE) or _first(_XMP_MAKE, packet)),
        "model": _clean(exif.get(_MODEL) or _first(_XMP_MODEL, packet)),
        "software": _clean(software),
        "year": _year(date),
    }


def _exif(picture: Image.Image) -> Image.Exif:
    """Return the EXIF attributes; Pillow's own way to ask a PNG for them decodes its pixels."""
    if isinstance(picture, TiffImagePlugin.TiffImageFile):
        return picture.getexif()
    exif = Image.Exif()
    if raw := picture.info.get("exif"):
        exif.load(raw)
    return exif


def _first(pattern: re.Pattern[bytes], packet: bytes) -> str:
    found = pattern.search(packet)
    return found[1].decode("utf-8", "replace") if found else ""


def _of_dicom(stream: BinaryIO) -> dict[str, Any]:
    dataset = header_of(stream, list(_DICOM_TAGS))
    syntax = dataset.file_meta.get("TransferSyntaxUID") if hasattr(dataset, "file_meta") else None
    spacing = dataset.get("PixelSpacing") or dataset.get("ImagerPixelSpacing")
    return {
        **{name: _clean(dataset.get(keyword)) for name, keyword in _DICOM_TEXTS.items()},
        "width_px": _number(dataset, "Columns"),
        "height_px": _number(dataset, "Rows"),
        "bit_depth": _number(dataset, "BitsStored"),
        "mode": _clean(dataset.get("PhotometricInterpretation")),
        "encoding": UID(str(syntax)).name if syntax else "",
        "colour_profile": "yes" if "ICCProfile" in dataset else "no",
        "year": _year(dataset.get("StudyDate")),
        "kvp": _number(dataset, "KVP"),
        "spacing_mm": float(spacing[0]) if spacing else _NAN,
    }


def _number(dataset: Dataset, keyword: str) -> float:
    value = dataset.get(keyword)
    return _NAN if value in (None, "") else float(value)


def _year(value: object) -> float:
    """Return the year a date or time stamp begins with, NaN where it begins with none."""
    found = re.match(r"\s*((?:19|20)\d\d)\D?\d\d", str(value or ""))
    return float(found[1]) if found else _NAN


def _clean(value: object) -> str:
    """Return a header's text on one line, without padding."""
    return " ".join(str(value).replace("\0", " ").split()) if value not in (None, "") else ""


# The luminance table of ITU-T T.81, Table K.1, which most encoders scale by a quality of 1..100.
_LUMINANCE = np.array(
    [
        16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55,
        14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29, 51, 87, 80, 62,
        18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92,
        49, 64, 78, 87, 103, 121, 120, 101, 72, 92, 95, 98, 112, 100, 103, 99,
    ]
)  # fmt: skip


def _sums_by_quality() -> NDArray[np.int64]:
    """Return the sum of the scaled table for each quality 1..100, as libjpeg scales it (jcparam.c)."""
    qualities = np.arange(1, 101)
    scales = np.where(qualities < 50, 5000 // qualities, 200 - 2 * qualities)
    tables = (_LUMINANCE[None, :] * scales[:, None] + 50) // 100
    sums: NDArray[np.int64] = tables.clip(1, 255).sum(axis=1)
    return sums


_SUMS = _sums_by_quality()


def estimated_quality(tables: Mapping[int, Sequence[int]]) -> float:
    """Return the quality 1..100 whose standard table is as coarse as the file's, NaN without a table.

    Sums are compared, so the order of the entries does not matter; encoders with tables of their own get the
    quality that is equally coarse.

    Args:
        tables: number of a quantisation table → its 64 entries, 0 the one of brightness.
    """
    if 0 not in tables:
        return float("nan")
    return float(np.argmin(np.abs(_SUMS - sum(tables[0]))) + 1)


def subsampling(layers: Sequence[Sequence[int]]) -> str:
    """Return how coarsely colour is kept (`4:4:4`, `4:2:2`, `4:2:0`, or the factors), "" for grey.

    Args:
        layers: per component: number, horizontal and vertical sampling factor (ITU-T T.81 B.2.2).
    """
    if len(layers) < 3:
        return ""
    across, down = layers[0][1] / layers[1][1], layers[0][2] / layers[1][2]
    known: dict[tuple[float, float], str] = {
        (1, 1): "4:4:4",
        (2, 1): "4:2:2",
        (2, 2): "4:2:0",
        (4, 1): "4:1:1",
    }
    return known.get((across, down), f"{across:g}x{down:g}")
