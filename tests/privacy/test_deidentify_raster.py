"""Pictures without what stands beside their pixels: the pixels are the same, to the last bit."""

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms, PngImagePlugin

from medimg_cli.images.image import sniff_format
from medimg_cli.images.readers import read_image
from medimg_cli.privacy.removal.deidentify_raster import deidentify_raster
from medimg_cli.privacy.removal.profile import CannotDeidentify

_SECRET = "Quintrell"
_NOISE = np.random.default_rng(0)
_COLOUR = Image.fromarray(_NOISE.integers(0, 255, (33, 47, 3), dtype=np.uint8))
_PICTURES = {
    "1": _COLOUR.convert("1"),
    "L": _COLOUR.convert("L"),
    "LA": _COLOUR.convert("LA"),
    "P": _COLOUR.quantize(16),
    "RGB": _COLOUR,
    "RGBA": _COLOUR.convert("RGBA"),
    "CMYK": _COLOUR.convert("CMYK"),
    "I;16": Image.fromarray(_NOISE.integers(0, 65535, (20, 30)).astype(np.uint16)),
    "F": Image.fromarray(_NOISE.random((9, 8)).astype(np.float32)),
}


def _exif(orientation: int = 6) -> Image.Exif:
    exif = Image.Exif()
    exif[0x013B], exif[0x0112] = _SECRET, orientation
    return exif


def _png_texts() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", _SECRET)
    info.add_itxt("Author", _SECRET, zip=True)
    return info


def _saved(picture: Image.Image, image_format: str, **options: Any) -> bytes:
    target = io.BytesIO()
    picture.save(target, image_format, **options)
    return target.getvalue()


_XMP = f"<x:xmpmeta xmlns:x='adobe:ns:meta/'>{_SECRET}</x:xmpmeta>".encode()
_CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("RGB", "JPEG", {"exif": _exif(), "comment": _SECRET.encode()}),
    ("L", "JPEG", {"exif": _exif(), "progressive": True}),
    ("CMYK", "JPEG", {"exif": _exif(1)}),
    *(
        (mode, "PNG", {"exif": _exif(), "pnginfo": _png_texts()})
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA")
    ),
    ("I;16", "PNG", {"pnginfo": _png_texts()}),
    *((mode, "TIFF", {"description": _SECRET, "exif": _exif()}) for mode in _PICTURES),
    *(
        ("RGB", "TIFF", {"description": _SECRET, "compression": name})
        for name in ("tiff_lzw", "jpeg", "packbits")
    ),
    ("1", "TIFF", {"description": _SECRET, "compression": "group4"}),
    ("RGB", "TIFF", {"description": _SECRET, "big_tiff": True}),
    ("RGB", "TIFF", {"description": _SECRET, "save_all": True, "append_images": [_PICTURES["L"]]}),
    *((mode, "BMP", {}) for mode in ("1", "L", "P", "RGB", "RGBA")),
    *(("RGB", "WEBP", {"exif": _exif(), "lossless": lossless, "xmp": _XMP}) for lossless in (True, False)),
]


@pytest.mark.parametrize(("mode", "image_format", "options"), _CASES, ids=lambda part: str(part)[:20])
def test_texts_go_and_pixels_pages_and_orientation_stay(
    mode: str, image_format: str, options: dict[str, Any]
) -> None:
    content = _saved(_PICTURES[mode], image_format, **options) + b"hidden " + _SECRET.encode()
    clean = deidentify_raster(content, image_format.lower()).content
    assert _SECRET.encode() in content
    assert _SECRET.encode() not in clean
    before, after = Image.open(io.BytesIO(content)), Image.open(io.BytesIO(clean))
    assert getattr(before, "n_frames", 1) == getattr(after, "n_frames", 1)
    for page in range(getattr(before, "n_frames", 1)):
        before.seek(page)
        after.seek(page)
        assert (after.mode, after.size, after.tobytes()) == (before.mode, before.size, before.tobytes())
    assert after.getexif().get(0x0112, 1) == before.getexif().get(0x0112, 1)


@pytest.mark.parametrize(
    "options",
    [
        {"planarconfig": "separate", "photometric": "rgb"},
        {"byteorder": ">", "dtype": np.uint32},
        {"tile": (16, 16), "compression": "lzw"},
        {"rowsperstrip": 5, "compression": "zlib", "predictor": True},
        {"bigtiff": True, "compression": "packbits"},
    ],
    ids=str,
)
def test_tiff_files_of_every_layout_keep_their_samples(options: dict[str, Any]) -> None:
    shape = (3, 33, 47) if "planarconfig" in options else (33, 47)
    samples = _NOISE.integers(0, 9, shape).astype(options.pop("dtype", np.uint16))
    target = io.BytesIO()
    tifffile.imwrite(target, samples, description=_SECRET, **options)
    clean = deidentify_raster(target.getvalue(), "tiff").content
    assert _SECRET.encode() in target.getvalue() and _SECRET.encode() not in clean
    assert np.array_equal(tifffile.imread(io.BytesIO(clean)), samples)


def test_cleaning_again_changes_nothing() -> None:
    content = _saved(_COLOUR, "JPEG", exif=_exif(), comment=b"x")
    once = deidentify_raster(content, "jpeg").content
    assert deidentify_raster(once, "jpeg").content == once


def test_unknown_chunks_and_times_of_a_png_go() -> None:
    content = _saved(_COLOUR, "PNG")
    end = content.index(b"IEND") - 4
    for kind, held in ((b"tIME", b"\x07\xe5\2\3\4\5\6"), (b"prIv", _SECRET.encode())):
        chunk = struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))
        content = content[:end] + chunk + content[end:]
    clean = deidentify_raster(content, "png").content
    assert b"tIME" not in clean and b"prIv" not in clean


def test_bytes_between_the_parts_of_a_bmp_and_a_tiff_go() -> None:
    bmp = bytearray(_saved(_COLOUR, "BMP"))
    (pixels,) = struct.unpack_from("<I", bmp, 10)
    struct.pack_into("<I", bmp, 10, pixels + 16)
    bmp[pixels:pixels] = _SECRET.encode().ljust(16, b"\0")
    assert _SECRET.encode() not in deidentify_raster(bytes(bmp), "bmp").content
    tiff = _saved(_COLOUR, "TIFF")
    (first,) = struct.unpack_from("<I", tiff, 4)
    moved = tiff[:4] + struct.pack("<I", len(tiff) + 10) + tiff[8:] + _SECRET.encode().ljust(10, b"\0")
    whole = moved + tiff[first : first + 2 + 12 * struct.unpack_from("<H", tiff, first)[0] + 4]
    assert _SECRET.encode() not in deidentify_raster(whole, "tiff").content


def test_a_colour_profile_stays_and_says_nothing_but_colours() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for image_format in ("PNG", "JPEG", "TIFF", "WEBP"):
        content = _saved(_COLOUR, image_format, icc_profile=profile)
        clean = deidentify_raster(content, image_format.lower()).content
        kept = ImageCms.ImageCmsProfile(io.BytesIO(Image.open(io.BytesIO(clean)).info["icc_profile"]))
        assert ImageCms.getProfileDescription(kept).strip() == "colour profile"


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "TIFF", "BMP", "WEBP"])
@pytest.mark.parametrize("part", [0.5, 0.02])
def test_a_truncated_picture_is_refused(image_format: str, part: float) -> None:
    content = _saved(_COLOUR, image_format)
    with pytest.raises(CannotDeidentify):
        deidentify_raster(content[: int(len(content) * part) + 12], image_format.lower())


def test_real_pictures_stay_readable_and_the_same(shared_data: Path, tmp_path: Path) -> None:
    files = sorted((shared_data / "chest_xray_fullres").rglob("*.jpeg"))
    files += sorted((shared_data / "breast_ultrasound" / "malignant").glob("*.png"))[:20]
    assert len(files) == 57
    for path in files:
        content = path.read_bytes()
        clean = deidentify_raster(content, str(sniff_format(content[:264]))).content
        target = tmp_path / path.name
        target.write_bytes(clean)
        assert read_image(str(target)).pixel_sha256() == read_image(str(path)).pixel_sha256()
