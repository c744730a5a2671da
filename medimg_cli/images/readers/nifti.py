"""NIfTI volumes (.nii, .nii.gz) by nibabel: slices are frames, as a radiologist looks at them."""

import gzip
import io
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from medimg_cli.images.decoding import RecentFiles, foreign_decoder, refuse_huge
from medimg_cli.images.greyscale import (
    NOT_SQUARE,
    are_not_square,
    describe_beyond,
    describe_missing,
    describe_range,
    on_black,
    robust_range,
    stretch,
    window_edges,
    without_padding,
)
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage, collapse_grey, frame_number
from medimg_cli.images.readers import READERS, Content, Reader

_LIMIT_BYTES = 4 << 30
_HARMLESS_BYTES, _LIMIT_RATIO = 512 << 20, 300
_MEASURED = 2_000_000  # samples that the range of a volume is measured on, evenly spread
_AIR, _LEAST_CT = -900, -3100  # Hounsfield units: air, and what scanners pad with
_CT_WINDOW = (40.0, 400.0)


@dataclass(frozen=True)
class _Volume:
    """A volume in canonical orientation: the axes lead to the right, to the front, and upwards.

    Args:
        samples: (X, Y, Z, T) or, of colour, (X, Y, Z, T, 3).
        axis: 0, 1 or 2: along which the slices lie.
        low, high: what is shown black and white.
        words: how that was found.
        bits: of a stored sample.
        note: what the header says of the picture that is not heeded, or does not say.
    """

    samples: NDArray[Any]
    axis: int
    low: float
    high: float
    words: str
    bits: int
    note: str = ""

    @property
    def frames(self) -> int:
        return int(self.samples.shape[self.axis] * self.samples.shape[3])

    @property
    def middle(self) -> int:
        """Return the middle slice of the middle one of a series, as counted over all of them."""
        slices, volumes = self.samples.shape[self.axis], self.samples.shape[3]
        return int(volumes // 2 * slices + slices // 2)


_OPEN = RecentFiles[_Volume](2)  # unpacking one takes longer than cutting all of its slices


def read_nifti(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return a slice of a volume, the one that is named, else the middle one of the middle volume.

    Slices lie along the axis the header says, else the third; they are counted from the left, the back or below,
    and those of a series of volumes one volume after the other. An axial or coronal slice has the patient's right on
    its left, a sagittal one the front. Black and white are those of the whole volume: the given window; else the
    header's display range (cal_min, cal_max); else centre 40, width 400 where the values are those of CT; else the
    robust 0.5-99.5 percentiles. Facts: `frame`, `window`, `note`.

    Raises:
        UnreadableImage: damaged, no numbers, too large, no such frame, or nibabel is not installed.
    """
    with foreign_decoder():
        if content.path is None:
            volume = _load(content.stream)
        else:
            volume = _OPEN.get(content.path, lambda: _load(content.stream))
        number = volume.middle if member is None else frame_number(member)
        if number is None or number >= volume.frames:
            raise UnreadableImage(
                f"the volume has no {member}; its slices are frame/0 to frame/{volume.frames - 1}"
            )
        moment, place = divmod(number, volume.samples.shape[volume.axis])
        picture = np.take(volume.samples[:, :, :, moment], place, axis=volume.axis)
        # Rows lead down and columns to the patient's left; of a sagittal slice, backwards.
        picture = picture[::-1, ::-1].swapaxes(0, 1)
        facts = {"frame": f"{number + 1} of {volume.frames}"} if volume.frames > 1 else {}
        facts |= {"note": volume.note} if volume.note else {}
        refuse_huge(picture.shape[1], picture.shape[0], options.most_pixels)
        if picture.ndim == 3:
            return DecodedImage(collapse_grey(np.ascontiguousarray(picture, dtype=np.uint8)), 8, facts)
        low, high, words = volume.low, volume.high, volume.words
        if options.window is not None:
            low, high = window_edges(*options.window)
            words = f"{options.window[0]:g},{options.window[1]:g} (given)"
            words += describe_beyond(stretch(picture, low, high), picture)
        wide = volume.bits > 8 and options.bits == 16
        shown = np.rint(stretch(picture, low, high) * (65535 if wide else 255))[..., None]
        return DecodedImage(
            shown.astype(np.uint16) if wide else shown.astype(np.uint8),
            volume.bits,
            facts | {"window": words + describe_missing(picture)},
        )


def count_frames(content: Content, member: str | None) -> int:
    """Return how many slices there are, by the header alone; 1 where one is named already."""
    if member is not None:
        return 1
    with foreign_decoder():
        image = _open(content.stream)
        shape = (*image.shape, 1, 1, 1)
        return int(shape[_slice_axis(image)] * np.prod(shape[3:]))


def _open(stream: BinaryIO) -> Any:
    """Return nibabel's image of a stream; its samples are still in the file.

    Raises:
        UnreadableImage: nibabel is missing, or the header claims too much.
    """
    try:
        nibabel = import_module("nibabel")
    except ImportError as error:
        raise UnreadableImage("a NIfTI volume, which needs a library: pip install 'medimg[nifti]'") from error
    packed = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    zipped = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    unpacked: Any = gzip.GzipFile(fileobj=stream) if zipped else stream
    first = unpacked.read(4)
    unpacked.seek(0)
    kind = nibabel.Nifti2Image if first in (b"\x1c\x02\0\0", b"\0\0\x02\x1c") else nibabel.Nifti1Image
    nibabel.imageglobals.logger.disabled = True  # it prints what it mends of a header
    image = kind.from_stream(unpacked)
    size = int(np.prod([int(side) for side in image.shape], dtype=object)) * image.get_data_dtype().itemsize
    limit = _LIMIT_BYTES
    if zipped:  # a blank volume is a thousandth of itself
        limit = min(limit, max(_HARMLESS_BYTES, _LIMIT_RATIO * packed))
    if not image.shape or min(image.shape) < 1 or size > limit:
        raise UnreadableImage(
            f"the header says a volume of {'x'.join(map(str, image.shape))}, {size:,} bytes"
        )
    return image


def _slice_axis(image: Any) -> int:
    """Return the stored axis along which the slices lie: the one that dim_info names, else the third."""
    named = image.header.get_dim_info()[2]
    return 2 if named is None or named >= len(image.shape) else int(named)


def _load(stream: BinaryIO) -> _Volume:
    image = _open(stream)
    orientations = import_module("nibabel.orientations")
    raw = image.dataobj
    stored: NDArray[Any] = np.asarray(raw.get_unscaled())
    _refuse_damaged(image.file_map["image"].fileobj)
    colour = stored.dtype.names is not None
    if colour:
        cover = stored["A"][..., None] if "A" in (stored.dtype.names or ()) else np.uint8(255)
        stored = on_black(np.stack([stored[name] for name in ("R", "G", "B")], axis=-1), np.asarray(cover))
    elif stored.dtype.kind not in "biuf":
        raise UnreadableImage(f"samples of type {stored.dtype}")
    if not colour and (raw.slope, raw.inter) != (1, 0):
        stored = stored.astype(np.float32) * np.float32(raw.slope) + np.float32(raw.inter)
    spatial = len(image.shape)
    channels = stored.shape[spatial:]
    stored = stored.reshape((*(*image.shape, 1, 1)[:3], -1, *channels))
    affine = image.affine
    turned = orientations.io_orientation(affine if np.isfinite(affine).all() else np.zeros((4, 4)))
    known = not np.isnan(turned).any()
    if not known:  # an axis that leads nowhere: the header says nothing usable, so as it is stored
        turned = np.array([[0, 1], [1, 1], [2, 1]])
    note = _note(image, known and bool(image.header["sform_code"] or image.header["qform_code"]))
    samples = orientations.apply_orientation(stored, turned)
    axis, bits = int(turned[_slice_axis(image), 0]), image.get_data_dtype().itemsize * 8
    if colour:
        note = "; ".join(filter(None, [note, "transparency on black" if np.min(cover) < 255 else ""]))
        return _Volume(samples, axis, 0.0, 255.0, "", 8, note)
    flat = samples.reshape(-1)
    measured = flat[:: max(1, flat.size // _MEASURED)].astype(np.float64)
    if not np.isfinite(measured).any():
        raise UnreadableImage("no sample of the volume is a finite number")
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    if np.isfinite([low, high]).all() and low < high:
        words = f"cal_min {low:g}, cal_max {high:g}"
        finite = measured[np.isfinite(measured)]
        if not (beyond := describe_beyond(stretch(finite, low, high), finite)):
            return _Volume(samples, axis, low, high, words, bits, note)
        note = "; ".join(filter(None, [note, f"{words} skipped{beyond}"]))
    rest, padding = without_padding(measured)
    least, most = robust_range(rest)
    if _LEAST_CT <= rest.min() <= _AIR and most > 0:
        centre, width = _CT_WINDOW
        low, high = window_edges(centre, width)
        words = f"center {centre:g}, width {width:g}: values as of CT{padding}"
        return _Volume(samples, axis, low, high, words, bits, note)
    words = f"{describe_range(least, most)} of the volume{padding}"
    return _Volume(samples, axis, least, most, words, bits, note)


def _note(image: Any, oriented: bool) -> str:
    """Return what the header says of the picture that is not heeded, or does not say: "" where all is well."""
    notes = [] if oriented else ["the header says no orientation: left and right, front and back are a guess"]
    header = image.header
    if header["qform_code"] and header["sform_code"]:
        with suppress(Exception):  # numbers that are no turn; what is heeded is sform
            codes = import_module("nibabel").aff2axcodes
            ways = ["".join(codes(form)) for form in (header.get_qform(), header.get_sform())]
            if ways[0] != ways[1]:
                notes.append(f"qform leads to {ways[0]}, sform to {ways[1]}: sform is taken")
    sides = [float(side) for side in image.header.get_zooms()[:3]]
    if len(sides) == 3:
        del sides[_slice_axis(image)]
    return "; ".join([*notes, *([NOT_SQUARE] if are_not_square(*sides) else [])])


def _refuse_damaged(unpacked: BinaryIO) -> None:
    """Read what a gzip holds beyond the samples: at its end stands their checksum, which reading then compares."""
    if not isinstance(unpacked, gzip.GzipFile):
        return
    left = _HARMLESS_BYTES
    while more := unpacked.read(1 << 20):
        left -= len(more)
        if left < 0:
            raise UnreadableImage("bytes without end behind the volume")


READERS.register("nifti")(Reader(formats=("nifti",), needs=("nibabel",), read=read_nifti, count=count_frames))
