"""PBM, PGM, PPM and PFM of every depth, which Pillow cuts to 8 bits in colour and unpacks sample by sample."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.images.decoding import foreign_decoder
from medimg_cli.images.greyscale import show_samples
from medimg_cli.images.image import (
    DecodedImage,
    ReadOptions,
    UnreadableImage,
    collapse_grey,
    frame_number,
)
from medimg_cli.images.readers import Content, reader_of, refuse_huge

_HEADER_BYTES = 1 << 16
_GAP = rb"(?:\s|#[^\r\n]*[\r\n])+"  # a comment reaches to the end of its line, netpbm's pgm(5)
_HEADER = re.compile(rb"P([1-6Ff])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + rb"\s")
_MOST = re.compile(_GAP + rb"(-?[\d.eE+-]{1,30})\s")


@reader_of("netpbm", rb"P[1-6Ff]\s(?:\s|#[^\r\n]*[\r\n])*\d+\s")
def read_netpbm(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return the first picture of a file, grey as one channel, over the range 0..maxval that the header says.

    Of maxval 65535, which says nothing, and of floating-point samples, the range is told as for a PNG of 16 bits and a
    TIFF. Fact: `frame` where another picture follows.

    Raises:
        UnreadableImage: damaged, truncated, samples above maxval, too large, no such page.
    """
    with foreign_decoder():
        if member is not None and frame_number(member) != 0:
            raise UnreadableImage(f"the picture has no {member}; its pages are page/0 to page/0")
        head = content.stream.read(_HEADER_BYTES)
        found = _HEADER.match(head)
        if found is None:
            raise UnreadableImage("a damaged header of a PBM, PGM, PPM or PFM file")
        kind, width, height = found[1].decode(), int(found[2]), int(found[3])
        refuse_huge(width, height, options.most_pixels)
        begin, most = found.end(), 1.0
        if kind not in "14":
            limit = _MOST.match(head, found.end(3))
            if limit is None:
                raise UnreadableImage("a damaged header of a PGM, PPM or PFM file")
            begin, most = limit.end(), float(limit[1])
        content.stream.seek(begin)
        shape = (height, width, 3 if kind in "36F" else 1)
        samples, behind = (_plain if kind in "123" else _raw)(content.stream.read(), kind, shape, most)
        facts = {"frame": "1 of 2 or more"} if behind.strip() else {}
        pixels, bits, more = _shown(samples, most)
        return DecodedImage(collapse_grey(np.ascontiguousarray(pixels)), bits, facts | more)


def _raw(data: bytes, kind: str, shape: tuple[int, int, int], most: float) -> tuple[NDArray[Any], bytes]:
    """Return the samples (H, W, C) of binary data, and what stands behind them."""
    height, width, channels = shape
    row_bytes = (width + 7) // 8 if kind == "4" else width * channels
    deep = "u1" if kind == "4" or (kind in "56" and most < 256) else ">u2"
    dtype = np.dtype(("<f4" if most < 0 else ">f4") if kind in "fF" else deep)
    size = height * row_bytes * dtype.itemsize
    if len(data) < size:
        raise UnreadableImage(f"the file is truncated: {len(data):,} bytes of samples, of {size:,}")
    rows = np.frombuffer(data[:size], dtype).reshape(height, row_bytes)
    if kind == "4":  # 1 is black
        return (1 - np.unpackbits(rows, axis=1, count=width))[..., None], data[size:]
    samples = rows.reshape(shape)
    return samples[::-1] if kind in "fF" else samples, data[size:]  # PFM begins below


def _plain(data: bytes, kind: str, shape: tuple[int, int, int], _most: float) -> tuple[NDArray[Any], bytes]:
    """Return the samples (H, W, C) of numbers written out, and what stands behind them."""
    text = re.sub(rb"#[^\r\n]*", b"", data)
    if kind == "1":
        digits = np.frombuffer(text, np.uint8)
        numbers = digits[~np.isin(digits, np.frombuffer(b" \t\r\n\v\f", np.uint8))][: np.prod(shape)] - 48
        numbers, behind = 1 - numbers, b""
    else:
        words = text.split(None, int(np.prod(shape)))
        numbers = np.array(words[: np.prod(shape)], dtype=bytes).astype(np.int64)
        behind = words[int(np.prod(shape))] if len(words) > np.prod(shape) else b""
    if numbers.size < np.prod(shape):
        raise UnreadableImage(f"the file is truncated: {numbers.size:,} samples, of {np.prod(shape):,}")
    return numbers.reshape(shape), behind


def _shown(samples: NDArray[Any], most: float) -> tuple[NDArray[Any], int, dict[str, str]]:
    """Return (pixels (H, W, C), bits a sample had, facts)."""
    if samples.dtype.kind == "f":
        return show_samples(samples.astype(np.float32))
    if not 1 <= most <= 65535 or most % 1 or samples.min() < 0 or samples.max() > most:
        raise UnreadableImage(
            f"samples of {samples.min()} to {samples.max()}, and a header that says 0 to {most:g}"
        )
    full, dtype = (255, np.uint8) if most < 256 else (65535, np.uint16)
    if most == 65535:
        return show_samples(samples.astype(np.uint16))
    spread = (samples.astype(np.uint64) * full + int(most) // 2) // int(most)
    return spread.astype(dtype), int(most).bit_length(), {}
