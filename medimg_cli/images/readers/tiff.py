"""TIFF, BigTIFF and OME-TIFF of any depth, by tifffile; what colour space it leaves alone, by Pillow."""

import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import TiffImagePlugin
from tifffile import COMPRESSION, PHOTOMETRIC, TiffFile, TiffPage

from medimg_cli.images.decoding import RecentFiles, foreign_decoder, refuse_huge
from medimg_cli.images.greyscale import on_black, show_samples, significant_bits, spread_to_uint16
from medimg_cli.images.image import (
    DecodedImage,
    ReadOptions,
    UnreadableImage,
    collapse_grey,
    frame_number,
    upright,
)
from medimg_cli.images.readers import READERS, Content, Reader

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what it logs, Python would print on stderr
_ORIENTATION, _EXTRA_SAMPLES = 274, 338  # TIFF 6.0, sections 8 and 18
_NUMBERS = RecentFiles[Sequence[int]](8)  # of a stack of thousands, every page would look at all
_ASSOCIATED, _UNASSOCIATED = 1, 2
_SAMPLES = {
    PHOTOMETRIC.MINISWHITE: 1,
    PHOTOMETRIC.MINISBLACK: 1,
    PHOTOMETRIC.PALETTE: 1,
    PHOTOMETRIC.RGB: 3,
    PHOTOMETRIC.SEPARATED: 4,
}


def read_tiff(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return a page, the first by default, upright, transparency on black, grey as one channel.

    Pages that are a reduced copy of another or a mask, and those of a slide beside its picture (thumbnail, label, smaller
    levels), are no pictures: they are not counted, and the fact `note` says that they are there.

    Grey and colour of more than 8 bits keep their depth (uint16, spread by the bits in use); signed, 32-bit and
    floating-point samples are stretched over their robust range. WhiteIsZero is inverted at every depth. Facts:
    `orientation`, `alpha`, `frame` of a file of several pages, `window`, `inverted`.

    Raises:
        UnreadableImage: damaged, truncated, too large, channels that are no colour, no such page.
    """
    with foreign_decoder(), _pages(content) as pages:
        pictures = _pictures(content, pages)
        place = 0 if member is None else frame_number(member)
        if place is None or place >= len(pictures):
            raise UnreadableImage(
                f"the picture has no {member}; its pages are page/0 to page/{len(pictures) - 1}"
            )
        number = pictures[place] if len(pages) > 1 else 0
        page = pages[number]
        refuse_huge(page.imagewidth, page.imagelength, options.most_pixels)
        facts = {"frame": f"{place + 1} of {len(pictures)}"} if len(pictures) > 1 else {}
        orientation = int(page.tags.valueof(_ORIENTATION, 1) or 1)
        if not _is_for_tifffile(page):
            shown: tuple[NDArray[Any], int, dict[str, str]] = (_by_pillow(content, number), 8, {})
        else:
            shown = _shown(page, _samples(page, content, place if len(pages) == 1 else 0))
            shown = (upright(shown[0], orientation), *shown[1:])
        if 1 < orientation <= 8:
            facts["orientation"] = str(orientation)
        facts |= shown[2]
        if (beside := len(pages) - len(pictures)) > 0:
            words = (
                f"left out: {beside} thumbnails, masks or labels"
                if beside > 1
                else "left out: a thumbnail, mask or label"
            )
            facts["note"] = "; ".join([*([facts["note"]] if "note" in facts else []), words])
        return DecodedImage(collapse_grey(np.ascontiguousarray(shown[0])), shown[1], facts)


def count_pages(content: Content, member: str | None) -> int:
    """Return how many pages are pictures, 1 where a page is named already."""
    if member is not None:
        return 1
    with foreign_decoder(), _pages(content) as pages:
        return len(_pictures(content, pages))


@contextmanager
def _pages(content: Content) -> Iterator[Any]:
    content.stream.seek(0)
    with TiffFile(content.stream, name="picture", _multifile=False) as file:
        if not len(file.pages):
            raise UnreadableImage("a TIFF without a page")
        yield file.pages


def _pictures(content: Content, pages: Any) -> Sequence[int]:
    """Return the numbers of the pages that are pictures: no reduced copies, no masks (NewSubfileType, TIFF 6.0 section 8).

    Of a slide by Aperio, whose pages lack that mark, it is the first; where every page has it, all are. Where ImageJ or
    tifffile wrote one page for a stack, as beyond 4 GB, they are the numbers of its pictures.
    """

    def find() -> Sequence[int]:
        if len(pages) < 2 or str(pages[0].tags.valueof("ImageDescription", "")).startswith("Aperio "):
            file, behind = pages.parent, 1
            if len(pages) == 1 and (file.is_imagej or file.is_shaped) and file.series[0].is_truncated:
                behind = math.prod(file.series[0].shape) // math.prod(pages[0].shape)
                if pages[0].dataoffsets[0] + behind * pages[0].nbytes > content.stream.seek(0, 2):
                    raise UnreadableImage(f"{behind:,} pictures are said, and the file is too short for them")
            return range(behind)
        every = range(len(pages))
        return [number for number in every if not _is_beside(pages, number)] or list(every)

    return find() if content.path is None else _NUMBERS.get(content.path, find)


def _is_beside(pages: Any, number: int) -> bool:
    try:
        return bool(int(pages[number].subfiletype) & 0b101)
    except Exception:  # a damaged page: reading it says why
        return False


def _is_for_tifffile(page: TiffPage) -> bool:
    if page.photometric == PHOTOMETRIC.YCBCR:  # the JPEG decoder makes RGB of it
        return (
            page.compression in (COMPRESSION.JPEG, COMPRESSION.OJPEG)
            and page.bitspersample == 8
            and (page.jpegtables is not None or page.compression == COMPRESSION.JPEG)
        )
    return page.photometric in _SAMPLES


def _by_pillow(content: Content, number: int) -> NDArray[np.uint8]:
    """Return (H, W, 3) of a page in a colour space that Pillow converts (YCbCr, CIELab), upright."""
    content.stream.seek(0)
    picture = TiffImagePlugin.TiffImageFile(content.stream)
    picture.seek(number)
    picture.load()
    return np.asarray(picture.convert("RGB"), dtype=np.uint8)


def _samples(page: TiffPage, content: Content, behind: int) -> NDArray[Any]:
    """Return a page's samples (H, W, C), every one of them from the file, or of a picture that lies behind them."""
    here = content.stream.tell()
    size = content.stream.seek(0, 2)
    content.stream.seek(page.dataoffsets[0] + behind * page.nbytes if behind else here)
    for offset, length in zip(page.dataoffsets, page.databytecounts, strict=False):
        if length <= 0 or offset + length > size:  # tifffile would leave such a part black
            raise UnreadableImage("the file is truncated, or parts of its picture are missing")
    parts = math.prod(page.chunked)
    if (
        len(page.dataoffsets) < parts and not page.is_contiguous
    ):  # tifffile would walk through all, and leave them black
        raise UnreadableImage(f"{len(page.dataoffsets):,} parts of the picture where {parts:,} belong")
    if page.imagedepth != 1:
        raise UnreadableImage("a TIFF with depth: its slices are no pages")
    if page.bitspersample == 24 and page.dtype is not None and page.dtype.kind != "f":
        raise UnreadableImage("samples of 24 bits, whose bytes tifffile puts in a wrong order")
    if behind:
        data, kind = content.stream.read(page.nbytes), np.dtype(page.dtype or "u1")
        if len(data) < page.nbytes:
            raise UnreadableImage("the file is truncated, or parts of its picture are missing")
        samples = np.frombuffer(data, kind.newbyteorder(page.parent.byteorder)).reshape(page.shape)
        samples = samples.astype(kind)
    else:
        samples = np.asarray(page.asarray(maxworkers=1))
    if samples.ndim == 2:
        return samples[..., None]
    if samples.ndim != 3:
        raise UnreadableImage(f"a TIFF page of shape {samples.shape}")
    separate = page.planarconfig == 2 and samples.shape[0] == page.samplesperpixel
    return np.moveaxis(samples, 0, -1) if separate else samples


def _shown(page: TiffPage, samples: NDArray[Any]) -> tuple[NDArray[Any], int, dict[str, str]]:
    """Return (pixels (H, W, 1 or 3), bits a sample had, facts)."""
    bits, photometric = int(page.bitspersample), PHOTOMETRIC(page.photometric)
    wanted = 3 if photometric == PHOTOMETRIC.YCBCR else _SAMPLES[photometric]
    extra = page.tags.valueof(_EXTRA_SAMPLES, ()) or ()
    extra = extra if isinstance(extra, tuple) else (extra,)
    present = samples.shape[2]
    if present < wanted or (wanted == 1 and present > 1 and len(extra) < present - 1):
        raise UnreadableImage(f"{present} channels, and nothing says that they are colours")
    if wanted == 1 and present > 2:
        raise UnreadableImage(f"{present} channels that are no colours")
    picture = samples[..., :wanted]
    if photometric == PHOTOMETRIC.PALETTE:
        pixels, facts = _through_palette(page, picture[..., 0])
        return pixels, bits, facts
    if photometric == PHOTOMETRIC.MINISWHITE:
        pixels, bits, facts = _inverted(picture, bits)
    else:
        pixels, bits, facts = _spread(picture, bits)
    if photometric == PHOTOMETRIC.SEPARATED:  # ink: the more of it, the darker
        most = np.iinfo(pixels.dtype).max
        ink = most - np.minimum(pixels[..., :3].astype(np.uint32) + pixels[..., 3:], most)
        pixels = ink.astype(pixels.dtype)
    covered = bool(extra) and extra[0] in (_ASSOCIATED, _UNASSOCIATED) and present > wanted
    if further := present - wanted - covered:
        facts = facts | {
            "note": f"left out: {further} channel{'s' if further > 1 else ''} beyond the colours"
        }
    if covered:
        cover = _spread(samples[..., wanted : wanted + 1], int(page.bitspersample), whole=True)[0]
        most = np.iinfo(cover.dtype).max
        if cover.min() < most:
            facts = facts | {"alpha": "on black"}
            if extra[0] == _UNASSOCIATED:  # the other kind lies on black already
                pixels = on_black(pixels, cover)
    return pixels, bits, facts


def _spread(
    samples: NDArray[Any], bits: int, *, whole: bool = False
) -> tuple[NDArray[Any], int, dict[str, str]]:
    """Return (samples over the full range of their type, bits, facts); `whole`: whatever bits are in use."""
    if samples.dtype.kind == "b" or (samples.dtype.kind == "u" and bits < 8):
        return (samples.astype(np.uint16) * 255 // ((1 << bits) - 1)).astype(np.uint8), bits, {}
    if samples.dtype.kind == "u" and (bits in range(9, 16) or (whole and bits == 16)):
        return spread_to_uint16(samples, bits), bits, {}
    return show_samples(samples)


def _inverted(samples: NDArray[Any], bits: int) -> tuple[NDArray[Any], int, dict[str, str]]:
    """Return as `_spread`, zero white: of 16 bits those in use are told before and after, whichever are fewer."""
    if (
        samples.dtype == np.uint16
        and bits == 16
        and samples.max() >= 1 << 12
        and samples.min() > 0xFFFF - (1 << 12)
    ):
        pixels, bits, facts = show_samples(np.uint16(65535) - samples)
        return pixels, bits, facts | {"inverted": "yes"}
    pixels, bits, facts = _spread(samples, bits)
    return np.iinfo(pixels.dtype).max - pixels, bits, facts | {"inverted": "yes"}


def _through_palette(page: TiffPage, indices: NDArray[Any]) -> tuple[NDArray[Any], dict[str, str]]:
    """Return (H, W, 3) uint8 of indices (H, W) into the page's colour map (3, N) of 16 bits, and facts."""
    colours = np.asarray(page.colormap)
    if colours.ndim != 2 or colours.shape[0] != 3 or int(indices.max()) >= colours.shape[1]:
        raise UnreadableImage("a palette image whose palette is missing or too short")
    # TIFF 6.0 section 5 wants 0..65535; many writers put bytes there, some what a 12-bit detector gave.
    used = significant_bits(int(colours.max()))
    picked = np.moveaxis(spread_to_uint16(colours, used)[:, indices].astype(np.uint32), 0, -1)
    facts = {"window": "12 of 16 bits in use"} if used == 12 else {}
    return ((picked + 128) // 257).astype(np.uint8), facts


READERS.register("tiff")(
    Reader(formats=("tiff",), needs=("tifffile", "imagecodecs"), read=read_tiff, count=count_pages)
)
