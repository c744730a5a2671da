"""info: how one file is read, and what a viewer of its pixels sees."""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.multival import MultiValue

from medimg_cli.errors import DataError
from medimg_cli.images.decoding import foreign_decoder
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import (
    HEAD_BYTES,
    DecodedImage,
    ReadOptions,
    UnreadableImage,
    sniff_format,
    split_member,
)
from medimg_cli.images.readers import AS_THE_FILE_SAYS, frame_count, read_image
from medimg_cli.privacy.dicom.headers import UnreadableHeader, read_header_identities
from medimg_cli.privacy.forms.names import mask
from medimg_cli.workspace.threads import map_ordered, takes_too_long

BINS = 32
_LONGEST_VALUE = 60
_IDENTIFYING_FACTS = ("patient_id",)

# What decides how stored values become what is seen, in the order in which it does (PS3.3 C.7.6.3, C.11.1,
# C.11.2, C.11.6, C.7.6.6), and what says that pixels or header were tampered with. Nothing else of a header is
# shown: a list of what is known to be harmless cannot leak what nobody thought of.
_DISPLAY_KEYWORDS = (
    "SOPClassUID Modality Rows Columns NumberOfFrames SamplesPerPixel PhotometricInterpretation "
    "PlanarConfiguration BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue "
    "PixelPaddingRangeLimit RescaleSlope RescaleIntercept RescaleType ModalityLUTSequence WindowCenter "
    "WindowWidth VOILUTFunction VOILUTSequence PresentationLUTShape LossyImageCompression "
    "LossyImageCompressionRatio BurnedInAnnotation PatientIdentityRemoved"
).split()


@dataclass(frozen=True)
class InfoResult:
    """How a file is read.

    Args:
        path: as it was given.
        image_format: what the content is, whatever the name says.
        bytes: size of the file (of the archive, for a member).
        width, height, channels, bit_depth: of the image; bits a sample has in the file.
        pixel_type: of the decoded pixels, uint8 or uint16.
        frames: how many images the file holds; one of them is shown.
        facts: what the reader applied and found, identities masked.
        header: DICOM attributes that matter for display, keyword → value.
        identities: DICOM attributes that hold an identity, a date or free text, as "Keyword (gggg,eeee)"; values
            are never kept.
        histogram: counts of samples in `BINS` equal parts of the range from black to white.
        minimum, maximum, mean: of all samples, in units of the pixel type.
        seconds: to read and decode.
    """

    path: str
    image_format: str
    bytes: int
    width: int
    height: int
    channels: int
    bit_depth: int
    pixel_type: str
    frames: int
    facts: Mapping[str, str]
    header: Mapping[str, str]
    identities: tuple[str, ...]
    histogram: tuple[int, ...]
    minimum: int
    maximum: int
    mean: float
    seconds: float


def info(path: str, options: ReadOptions = AS_THE_FILE_SAYS, *, seconds: float = math.inf) -> InfoResult:
    """Read one file, or one member such as `set.npz#train/12`, as every command would.

    Args:
        options: window and bits to read it with.
        seconds: it may take.

    Raises:
        DataError: it cannot be read; the text holds the reason the quarantine would give.
    """

    def late(_: str) -> InfoResult:
        raise _unreadable(path, takes_too_long(seconds))

    return next(map_ordered(partial(_info, options=options), [path], workers=1, seconds=seconds, late=late))


def _info(path: str, options: ReadOptions) -> InfoResult:
    began = time.perf_counter()
    file = Path(path) if Path(path).is_file() else Path(split_member(path)[0])
    try:
        image = read_image(path, options)
        seconds = time.perf_counter() - began
        with file.open("rb") as stream:
            image_format = sniff_format(stream.read(HEAD_BYTES)) or "unknown"
        header: dict[str, str] = {}
        identities: tuple[str, ...] = ()
        if image_format == "dicom":
            with foreign_decoder():
                header, identities = dict(_display_attributes(file)), _identities(file)
    except UnreadableImage as error:
        raise _unreadable(path, str(error)) from error
    counts, pixels = histogram(image), image.pixels
    identifying = {name: mask(image.facts[name]) for name in _IDENTIFYING_FACTS if name in image.facts}
    return InfoResult(
        path=path,
        image_format=image_format,
        bytes=file.stat().st_size,
        width=image.width,
        height=image.height,
        channels=image.channels,
        bit_depth=image.bit_depth,
        pixel_type=str(pixels.dtype),
        frames=frame_count(str(file)),
        facts={**image.facts, **identifying},
        header=header,
        identities=identities,
        histogram=counts,
        minimum=int(pixels.min()),
        maximum=int(pixels.max()),
        mean=float(pixels.mean(dtype=np.float64)),
        seconds=seconds,
    )


def _unreadable(path: str, reason: str) -> DataError:
    hint = "`medimg ingest` puts such a file into quarantine, with this reason"
    return DataError(f"{path} cannot be read: {reason}", hint)


def histogram(image: DecodedImage) -> tuple[int, ...]:
    """Return how many samples lie in each of `BINS` equal parts of the range from black to white."""
    top_bits = 5  # 2 ** 5 = BINS
    shift = image.pixels.dtype.itemsize * 8 - top_bits
    counts = np.bincount((image.pixels >> shift).ravel(), minlength=BINS)
    return tuple(int(count) for count in counts)


def _display_attributes(file: Path) -> Iterator[tuple[str, str]]:
    tags = [tag for keyword in _DISPLAY_KEYWORDS if (tag := tag_for_keyword(keyword)) is not None]
    header = header_of(file, tags)
    for keyword in _DISPLAY_KEYWORDS:
        if keyword in header:
            yield keyword, _shown(header[keyword])


def _shown(element: DataElement) -> str:
    """Return a value as one short line."""
    if element.VR == "SQ":
        return f"{len(element.value)} item(s)"
    if element.VR == "UI":
        return str(getattr(element.value, "name", element.value))
    values = element.value if isinstance(element.value, MultiValue) else [element.value]
    text = " ".join("\\".join(str(value) for value in values).split())
    return text if len(text) <= _LONGEST_VALUE else text[:_LONGEST_VALUE] + " …"


def _identities(file: Path) -> tuple[str, ...]:
    try:
        found = read_header_identities(file).attributes
    except UnreadableHeader:  # its pixels were read all the same; names in it cannot be searched
        return ()
    named = sorted((rule for rule in found if rule.tag), key=lambda rule: rule.tag)
    return tuple(f"{rule.keyword} {rule.display_tag}" for rule in named)
