"""One frame's pixels: where they lie, which of pydicom's decoders unpacks them, and which is asked when it fails."""

import logging
from io import SEEK_END
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import pixel_array
from pydicom.uid import UID, JPEG2000TransferSyntaxes, JPEGExtended12Bit, JPEGLSTransferSyntaxes, RLELossless

from medimg_cli.images.codestream import codestream_claims
from medimg_cli.images.decoding import BoundedStream
from medimg_cli.images.dicom.attributes import word
from medimg_cli.images.dicom.bombs import Elements
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.quiet_decoding import own_terms

# pylibjpeg's plug-in logs what libopenjpeg says; without a handler Python would print it on stderr.
logging.getLogger("_openjpeg").addHandler(logging.NullHandler())
logging.getLogger("openjpeg").addHandler(logging.NullHandler())

_UNDEFINED = 0xFFFFFFFF  # PS3.5 7.1.1
_EXCESS_BYTES = 64 << 20
_MOST_FRAGMENTS = 300_000
_ROOM = bytes(64)
"""Behind a JPEG-LS codestream: of one cut off within its last bytes CharLS (2.4.3) walks through foreign memory for seconds."""
_ORDER = ("pillow", "pyjpegls", "pylibjpeg", "pydicom")
_ORDER_OF_JPEG_2000 = ("pylibjpeg", "pillow")  # Pillow loses the sign and some depths of JPEG 2000


def load_frame(dataset: Dataset, stream: BinaryIO, pixels: Elements, frame: int, frames: int) -> bytes | None:
    """Give a header, which must have a transfer syntax, the pixels of one frame as if it had no other.

    Args:
        stream, pixels: as `images.dicom.bombs.read_header` returned them beside the header.

    Returns:
        the frame's codestream, None where the pixels are not compressed.

    Raises:
        UnreadableImage: there are fewer bytes than the frames need.
    """
    keyword = keyword_for_tag(pixels.tag)
    has = stream.seek(0, SEEK_END) - pixels.offset
    stream.seek(pixels.offset)
    codestream, kept = None, 1
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if syntax.is_encapsulated:
        codestream = data = _fragments(dataset, stream, frame, frames)
        data = encapsulate([data + _ROOM if syntax in JPEGLSTransferSyntaxes else data], has_bot=False)
    elif pixels.length == _UNDEFINED:
        raise UnreadableImage("compressed pixels, under a transfer syntax that says they are not")
    else:
        has = min(has, pixels.length)
        bits = _bits_of_frame(dataset)
        needed = (bits * frames + 7) // 8
        if has < needed:
            raise UnreadableImage(
                f"{has:,} bytes of pixels, of {needed:,}: truncated, or its header is wrong"
            )
        # Of packed bits, and of bytes that big endian words hold two of, frames may not begin where a word does.
        if frames > 1 and bits % 16 == 0:
            stream.seek(pixels.offset + frame * bits // 8)
            data = stream.read(bits // 8)
        else:
            data, kept = stream.read(min(has, 2 * needed + _EXCESS_BYTES)), frames
    dataset.add(DataElement(pixels.tag, pixels.representation or "OW", data))
    dataset[keyword].is_undefined_length = codestream is not None
    if "NumberOfFrames" in dataset:
        dataset.NumberOfFrames = kept
    for table in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"):
        if table in dataset:
            del dataset[table]
    return codestream


def stored_values(dataset: Dataset, frame: int, codestream: bytes | None) -> NDArray[Any]:
    """Return one frame's samples, (H, W) or (H, W, 3), colour already as RGB.

    Of each cell they are the bits from High Bit down, Bits Stored of them (PS3.5 8.1.1), signed where Pixel
    Representation says so.

    Args:
        frame: which of those that the data set has pixels of.
        codestream: the frame's, where the pixels are compressed.

    Raises:
        UnreadableImage: every decoder gave up, or none is installed; High Bit contradicts the rest.
    """
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    shift = _shift_of(dataset, syntax, codestream)
    failure: Exception | None = None
    for decoder in _decoders(syntax):
        try:
            with own_terms():
                unpacked = pixel_array(
                    dataset, index=frame, decoding_plugin=decoder, correct_unused_bits=shift == 0
                )
            values = np.asarray(unpacked)
        except (RuntimeError, NotImplementedError) as error:  # what pydicom raises when a decoder gave up
            failure = error
            continue
        if shift:
            cell, bits = values.dtype.itemsize * 8, int(dataset.BitsStored)
            values = values << (cell - bits - shift) >> (cell - bits)
        return values
    if syntax == JPEGExtended12Bit and int(dataset.get("BitsStored") or 0) > 8:
        reason = "JPEG Extended of 12 bits, which of the decoders only pylibjpeg-libjpeg reads"
    else:
        reason = f"pixels damaged, or coded as no installed decoder reads ({syntax.name})"
    raise UnreadableImage(reason) from failure


def _fragments(dataset: Dataset, stream: BinaryIO, frame: int, frames: int) -> bytes:
    """Return one frame's codestream; raises what pydicom does where the fragments are damaged."""
    most = _EXCESS_BYTES + _bits_of_frame(dataset) // 4
    bounded = cast(BinaryIO, BoundedStream(stream, _MOST_FRAGMENTS, most, "the compressed frame"))
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = (dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths)
    return get_frame(bounded, frame, number_of_frames=frames, extended_offsets=offsets)


def _bits_of_frame(dataset: Dataset) -> int:
    samples = int(dataset.get("SamplesPerPixel") or 1)
    bits = int(dataset.Rows) * int(dataset.Columns) * samples * int(dataset.get("BitsAllocated") or 8)
    # Two pixels share their colour, PS3.3 C.7.6.3.1.2.
    return bits // 3 * 2 if word(dataset, "PhotometricInterpretation") == "YBR_FULL_422" else bits


def _shift_of(dataset: Dataset, syntax: UID, codestream: bytes | None) -> int:
    """Return how many bits lie below the sample in its cell, 0 as the standard wants.

    Raises:
        UnreadableImage: High Bit contradicts Bits Stored and Bits Allocated, or nothing tells which is right.
    """
    high, stored, allocated = (dataset.get(name) for name in ("HighBit", "BitsStored", "BitsAllocated"))
    if high is None or stored is None or allocated is None or "PixelData" not in dataset:
        return 0
    shift = int(high) - int(stored) + 1
    if shift == 0:
        return 0
    if codestream is not None and syntax != RLELossless:  # the codestream says how many bits its samples have
        claims = codestream_claims(codestream)
        if claims is not None and claims[2] == int(stored):
            return 0
        shift = -1
    is_colour_to_convert = word(dataset, "PhotometricInterpretation").startswith("YBR")
    if shift < 0 or int(high) >= int(allocated) or is_colour_to_convert:
        raise UnreadableImage(f"High Bit {high} with Bits Stored {stored} and Bits Allocated {allocated}")
    return shift


def _decoders(syntax: UID) -> tuple[str, ...]:
    """Return pydicom's plug-ins that can be used for a syntax, in the order to ask them; "" lets pydicom choose.

    gdcm is asked only where it stands alone (lossless JPEG): a damaged lossy JPEG makes it end the whole process
    (an exception in C++ that nobody catches), and what its libraries complain of they print on stderr.
    """
    if not syntax.is_encapsulated:
        return ("",)
    try:
        available = get_decoder(syntax).available_plugins
    except NotImplementedError:  # a syntax pydicom does not know: its own refusal comes with the call
        return ("",)
    order = _ORDER_OF_JPEG_2000 if syntax in JPEG2000TransferSyntaxes else _ORDER
    return tuple(name for name in order if name in available) or ("",)
