"""TIFF and PNG against ImageMagick, which reads them by libtiff and libpng and shares no decoder with us.

Every way to store a picture of 8 or 16 bits; samples use their whole range, so that both take the same white.
"""

import itertools
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from medimg_cli.images.readers import read_image
from tests.images.test_deep_pictures import GREY, GREY_ALPHA, RGB, RGBA, png

HEIGHT, WIDTH = 23, 37
KINDS = ("minisblack", "miniswhite", "rgb", "rgb separate", "palette")
CODINGS: tuple[dict[str, Any], ...] = (
    {},
    {"compression": "lzw"},
    {"compression": "lzw", "predictor": True},
    {"compression": "zlib"},
    {"compression": "zlib", "predictor": True},
    {"compression": "packbits"},
    {"compression": "zstd"},
    {"compression": "lzma"},
)
LAYOUTS: tuple[dict[str, Any], ...] = ({}, {"rowsperstrip": 5}, {"tile": (16, 16)}, {"bigtiff": True})
# ImageMagick takes the samples of these as they are stored, or does not read them.
EXPLAINED = {
    ("palette", 16): "tifffile and libtiff write palettes of 8 bits at most",
}


def magick() -> str:
    found = shutil.which("convert") or shutil.which("magick")
    if (
        found is None
        or "ImageMagick" not in subprocess.run([found, "-version"], capture_output=True).stdout.decode()
    ):
        pytest.skip("ImageMagick is not installed")
    return found


def of_magick(tool: str, path: Path) -> NDArray[np.int64]:
    """Return (H, W, 3) in 16 bits, laid on black."""
    command = [tool, f"{path.as_posix()}[0]", "-background", "black", "-alpha", "remove", "-depth", "16"]
    command += ["-endian", "LSB", "-set", "colorspace", "sRGB", "-type", "TrueColor", "rgb:-"]
    done = subprocess.run(command, capture_output=True, check=True, timeout=60)
    return np.frombuffer(done.stdout, "<u2").reshape(HEIGHT, WIDTH, 3).astype(np.int64)


def noise(bits: int, channels: int) -> NDArray[Any]:
    kind = np.uint8 if bits == 8 else np.uint16
    samples = np.random.default_rng(bits + channels).integers(0, 1 << bits, (HEIGHT, WIDTH, channels))
    samples[0, 0], samples[0, 1] = 0, (1 << bits) - 1
    return samples.astype(kind)


def agrees(tool: str, path: Path) -> bool:
    image = read_image(path.as_posix())
    ours = image.pixels.astype(np.int64) * (257 if image.pixels.dtype == np.uint8 else 1)
    return int(np.abs(ours - of_magick(tool, path)).max()) <= 257  # of 65535: rounding to 8 bits


def tiffs() -> Iterator[tuple[str, int, dict[str, Any]]]:
    for kind, bits, coding, layout, order in itertools.product(KINDS, (8, 16), CODINGS, LAYOUTS, "<>"):
        if (kind, bits) not in EXPLAINED:
            yield kind, bits, {**coding, **layout, "byteorder": order}


def write_tiff(path: Path, kind: str, bits: int, options: dict[str, Any]) -> None:
    samples = noise(bits, 3 if "rgb" in kind else 1)
    if "separate" in kind:
        tifffile.imwrite(
            path, np.moveaxis(samples, -1, 0), photometric="rgb", planarconfig="separate", **options
        )
    elif kind == "palette":
        colours = np.random.default_rng(0).integers(0, 65536, (3, 256)).astype(np.uint16)
        options = {name: value for name, value in options.items() if name != "predictor"}
        tifffile.imwrite(path, samples[..., 0], photometric="palette", colormap=colours, **options)
    else:
        tifffile.imwrite(path, samples if "rgb" in kind else samples[..., 0], photometric=kind, **options)


def pngs() -> Iterator[tuple[int, int, bool]]:
    return itertools.product((GREY, RGB, GREY_ALPHA, RGBA), (8, 16), (False, True))


def compared(tool: str, chosen: Iterator[tuple[str, int, dict[str, Any]]], folder: Path) -> int:
    count = 0
    for kind, bits, options in chosen:
        write_tiff(folder / "a.tif", kind, bits, options)
        assert agrees(tool, folder / "a.tif"), f"{kind}, {bits} bits, {options}"
        count += 1
    return count


def test_a_sample_of_tiffs_agrees_with_imagemagick(tmp_path: Path) -> None:
    assert compared(magick(), itertools.islice(tiffs(), 0, None, 29), tmp_path) >= 15


@pytest.mark.slow
def test_every_tiff_agrees_with_imagemagick(tmp_path: Path) -> None:
    count = compared(magick(), tiffs(), tmp_path)
    print(f"TIFF: {count} combinations agree with ImageMagick")  # noqa: T201 -- the figure is wanted
    assert count == 9 * len(CODINGS) * len(LAYOUTS) * 2


def test_every_png_agrees_with_imagemagick(tmp_path: Path) -> None:
    tool = magick()
    for colour, bits, interlaced in pngs():
        samples = noise(bits, {GREY: 1, RGB: 3, GREY_ALPHA: 2, RGBA: 4}[colour])
        content = png(samples if samples.shape[2] > 1 else samples[..., 0], colour, interlaced=interlaced)
        (tmp_path / "a.png").write_bytes(content)
        assert agrees(tool, tmp_path / "a.png"), (colour, bits, interlaced)
