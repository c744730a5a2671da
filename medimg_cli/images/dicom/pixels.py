"""DICOM images by pydicom: where a frame's bytes lie, which decoder unpacks them, and how the result is shown."""

import logging
from contextlib import suppress
from functools import partial
from io import SEEK_END
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.datadict import keyword_for_tag
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import get_j2k_parameters, pixel_array
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLSTransferSyntaxes,
    MediaStorageDirectoryStorage,
    RLELossless,
)

from medimg_cli.images.decoding import (
    BoundedStream,
    codestream_claims,
    foreign_decoder,
    jpeg_scans,
    quiet_decoding,
    refuse_cut_jpeg,
    refuse_huge,
)
from medimg_cli.images.dicom.attributes import Unusable, numbers, palette_colours, word
from medimg_cli.images.dicom.bombs import Elements, read_header
from medimg_cli.images.dicom.voi import Grey, padding_mask, to_given, to_modality_values, to_shown
from medimg_cli.images.greyscale import (
    NOT_SQUARE,
    are_not_square,
    describe_missing,
    describe_range,
    robust_range,
    significant_bits,
    stretch,
    without_padding,
)
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage, collapse_grey, frame_number
from medimg_cli.images.readers import Content

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


def stored_values(dataset: Dataset, frame: int, codestream: bytes | None, notes: list[str]) -> NDArray[Any]:
    """Return one frame's samples, (H, W) or (H, W, 3), colour already as RGB.

    Of each cell they are the bits from High Bit down, Bits Stored of them (PS3.5 8.1.1), signed where Pixel
    Representation says so. A codestream that has more bits, and uses them, goes before Bits Stored, which it then sets.

    Args:
        frame: which of those that the data set has pixels of.
        codestream: the frame's, where the pixels are compressed.
        notes: what contradicts the header, and what is left out, is appended.

    Raises:
        UnreadableImage: every decoder gave up, or none is installed; High Bit contradicts the rest.
    """
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    shift = _shift_of(dataset, syntax, codestream)
    failure: Exception | None = None
    said, claims = dataset.get("BitsStored"), None
    if codestream is not None and syntax != RLELossless:
        claims = codestream_claims(codestream)
    if claims is not None and said is not None and int(said) < claims[2]:
        if claims[2] > int(dataset.BitsAllocated):
            raise UnreadableImage(f"Bits Allocated {dataset.BitsAllocated}, and a frame of {claims[2]} bits")
        # Else gdcm cuts off the rest by itself.
        dataset.BitsStored, dataset.HighBit = claims[2], claims[2] - 1
    for decoder in _decoders(syntax):
        try:
            with quiet_decoding():
                unpacked = pixel_array(
                    dataset, index=frame, decoding_plugin=decoder, correct_unused_bits=False
                )
            signed = get_j2k_parameters(codestream or b"").get("is_signed")
            if signed is not None and signed != bool(dataset.PixelRepresentation):
                words = ("a sign", "none") if signed else ("no sign", "one")
                notes.append("samples of the frame have {}, by the header {}".format(*words))
            return _sample_bits(np.asarray(unpacked), dataset, int(said or 0), shift, notes)
        except (RuntimeError, NotImplementedError) as error:  # what pydicom raises when a decoder gave up
            failure = error
    if syntax == JPEGExtended12Bit and int(dataset.get("BitsStored") or 0) > 8:
        reason = "JPEG Extended of 12 bits, which of the decoders only pylibjpeg-libjpeg reads"
    else:
        reason = f"pixels damaged, or coded as no installed decoder reads ({syntax.name})"
    raise UnreadableImage(reason) from failure


def _sample_bits(
    values: NDArray[Any], dataset: Dataset, said: int, shift: int, notes: list[str]
) -> NDArray[Any]:
    """Return the bits of each cell that are its sample, `said` of them unless the codestream has, and uses, more."""
    cell, bits = values.dtype.itemsize * 8, said
    if values.dtype.kind not in "iu" or "PixelData" not in dataset or not 1 < bits < cell:
        return values
    kept: NDArray[Any] = values << (cell - bits - shift) >> (cell - bits)
    # In use are bits that are neither 0 nor copies of the sign.
    in_use = shift == 0 and ((kept != values) & (values.view(f"u{cell // 8}") >> bits != 0)).any()
    if in_use and int(dataset.BitsStored) > said:
        notes.append(f"Bits Stored {said}, and a frame of {dataset.BitsStored} bits: all are taken")
        return values
    if in_use:  # an overlay of old, PS3.5-2004 8.1.2
        notes.append("the bits above High Bit are in use, and left out")
    if int(dataset.BitsStored) > said:
        dataset.BitsStored, dataset.HighBit = said, said - 1
    return kept


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


_FRAMES = Tag("NumberOfFrames")
_FACTS = {
    "modality": "Modality",
    "patient_id": "PatientID",
    "study_uid": "StudyInstanceUID",
    "series_uid": "SeriesInstanceUID",
}
_COLOUR_SPACES = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")  # pydicom makes RGB of them
_ENCAPSULATED = b"\xfe\xff\x00\xe0"  # the item tag every compressed stream begins with, PS3.5 A.4


def read_dicom(content: Content, member: str | None, options: ReadOptions) -> DecodedImage:
    """Return a DICOM image as a viewer shows it; of several frames the one named, else the middle one.

    Grey: modality LUT, then the window that is given, or VOI LUT or first window (robust 0.5-99.5 percentiles
    when there is none; 8 stored bits without rescale are shown as they are), MONOCHROME1 inverted (PS3.3
    C.7.6.3.1.2); uint8, or uint16 where 16 bits are asked for and more than 8 are stored. Colour: RGB whatever
    the file's colour space, uint8. Facts: modality, transfer_syntax, window, inverted, frame, patient_id (the
    true one: callers decide what may be kept).

    Raises:
        UnreadableImage: no pixels, a damaged file, no such frame, or a transfer syntax no installed decoder knows.
    """
    with foreign_decoder():
        dataset, stream, pixels = read_header(content.stream, most_pixels=options.most_pixels)
        _refuse_what_is_no_image(dataset, pixels)
        refuse_huge(int(dataset.Columns), int(dataset.Rows), options.most_pixels)
        syntax = _transfer_syntax(dataset, stream, pixels)
        frames = _frames_of(dataset)
        frame = frames // 2 if member is None else frame_number(member)
        if frame is None or frame >= frames:
            raise UnreadableImage(f"the file has no {member}; its frames are frame/0 to frame/{frames - 1}")
        codestream = load_frame(dataset, stream, pixels, frame, frames)
        claims = codestream_claims(codestream) if codestream is not None else None
        if claims is not None and min(claims[:2]) > 0:  # a decoder believes its own header
            refuse_huge(*claims[:2], options.most_pixels)
            if claims[:2] != (int(dataset.Columns), int(dataset.Rows)):
                raise UnreadableImage(
                    f"the header says {dataset.Columns}x{dataset.Rows} pixels, its frame {claims[0]}x{claims[1]}"
                )
        notes: list[str] = []
        stored = stored_values(dataset, frame if _frames_of(dataset) > 1 else 0, codestream, notes)
        found = {name: str(dataset.get(keyword) or "").strip() for name, keyword in _FACTS.items()}
        if syntax in (JPEGBaseline8Bit, JPEGExtended12Bit) and codestream and stored.dtype == np.uint8:
            refuse_cut_jpeg(partial(codestream.rstrip, b"\0"), stored)
            notes += filter(None, [jpeg_scans(codestream)[1]])
        facts = {name: value for name, value in found.items() if value} | {"transfer_syntax": syntax.name}
        if frames > 1:
            facts["frame"] = f"{frame + 1} of {frames}"
        photometric = word(dataset, "PhotometricInterpretation")
        bits = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8)
        high = dataset.get("HighBit")
        notes += _not_applied(dataset, photometric)
        size = _bits_of_frame(dataset)
        if codestream is None and (more := pixels.length * 8 - size * frames) >= max(size, 16):  # no padding
            notes.append(f"frames beyond Number of Frames left out: {more // size}")
        if stored.dtype.kind in "iu" and high is not None and int(high) != bits - 1:
            moved = (
                "not heeded" if codestream and syntax != RLELossless else "samples are the bits from it down"
            )
            notes.append(f"High Bit {high} with Bits Stored {bits}: {moved}")
        if notes:
            facts["note"] = "; ".join(notes)
        if int(dataset.get("SamplesPerPixel") or 1) > 1 or photometric == "PALETTE COLOR":
            colour, words = _colour(stored, dataset)
            return DecodedImage(colour, bits, facts | words)
        display, words = _grey(stored, dataset, frame, options.window)
        return DecodedImage(
            _spread(display, 16 if bits > 8 and options.bits == 16 else 8), bits, facts | words
        )


def count_frames(content: Content, member: str | None) -> int:
    """Return Number of Frames (PS3.3 C.7.6.6.1.1), 1 where a frame is named already."""
    if member is not None:
        return 1
    with foreign_decoder():
        return _frames_of(read_header(content.stream, specific_tags=[_FRAMES])[0])


def _not_applied(dataset: Dataset, photometric: str) -> list[str]:
    """Return what the header says of display that no reader here heeds, a sentence each."""
    found = []
    if dataset.get("PresentationLUTSequence"):
        found.append("the presentation LUT is not applied")
    if any(int(tag) >> 16 & 0xFF01 == 0x6000 for tag in dataset.keys()):  # noqa: SIM118 -- a data set yields elements
        found.append("the overlay is not drawn")  # PS3.3 C.9.2
    if photometric.startswith("MONOCHROME") and "RedPaletteColorLookupTableDescriptor" in dataset:
        found.append("the supplemental palette is not applied")  # PS3.3 C.7.6.23
    for keyword in ("PixelAspectRatio", "PixelSpacing", "ImagerPixelSpacing"):
        with suppress(Unusable):
            sides = numbers(dataset, keyword)
            if sides and are_not_square(*sides[:2]):
                return [*found, NOT_SQUARE]
    return found


def _frames_of(dataset: Dataset) -> int:
    try:
        return max(1, int(dataset.get("NumberOfFrames") or 1))
    except ValueError as error:
        raise UnreadableImage("a DICOM file whose Number of Frames is no number") from error


def _refuse_what_is_no_image(dataset: Dataset, pixels: Elements) -> None:
    meta = getattr(dataset, "file_meta", None) or Dataset()
    if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise UnreadableImage("a DICOMDIR: an index of other files, no image")
    if not pixels.tag:
        kind = str(dataset.get("Modality") or "") or "unknown modality"
        raise UnreadableImage(f"a DICOM file without pixels ({kind})")
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        raise UnreadableImage("a DICOM file that does not say how many rows and columns it has")


def _transfer_syntax(dataset: Dataset, stream: BinaryIO, pixels: Elements) -> UID:
    """Return the transfer syntax; where the file meta information lacks it, the one pydicom parsed by.

    Raises:
        UnreadableImage: it is missing and the pixels are compressed, so nothing says by what.
    """
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return UID(str(meta.TransferSyntaxUID))
    stream.seek(pixels.offset)
    if stream.read(4) == _ENCAPSULATED:
        raise UnreadableImage("compressed pixels, and no transfer syntax that says by what")
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    syntax = ImplicitVRLittleEndian if implicit else explicit
    dataset.file_meta = meta if meta is not None else FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _colour(stored: NDArray[Any], dataset: Dataset) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Return (H, W, 1 or 3) uint8, and the fact `window` where fewer bits are in use than the header says.

    `pixel_array` has made RGB of YBR already while the header still says YBR: converting by the header would
    corrupt it.

    Raises:
        UnreadableImage: a colour space that pydicom leaves as it is, samples with a sign, an unusable palette.
    """
    bits, facts = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8), {}
    stated, photometric = bits, word(dataset, "PhotometricInterpretation")
    syntax = dataset.file_meta.TransferSyntaxUID
    if photometric == "PALETTE COLOR":
        low, high = (
            (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if stored.dtype.kind == "i" else (0, (1 << bits) - 1)
        )
        try:
            stored, stated = palette_colours(stored, dataset, low, high)
        except Unusable as error:
            raise UnreadableImage(f"a palette image, and {error}") from error
        bits = stated
    elif photometric not in _COLOUR_SPACES[: 5 if syntax in JPEG2000TransferSyntaxes else 3]:
        raise UnreadableImage(f"colour in {photometric or 'an unnamed colour space'}, which is not converted")
    elif stored.dtype.kind != "u":
        raise UnreadableImage("colour samples with a sign")
    elif bits == 16:
        bits = significant_bits(int(stored.max()))
        facts = {} if bits == stated else {"window": f"{bits} of {stated} bits in use"}
    if bits != 8 or stored.dtype != np.uint8:
        stored = np.clip(np.rint(stored.astype(np.float64) * (255.0 / ((1 << bits) - 1))), 0, 255)
    return collapse_grey(stored.astype(np.uint8)), facts


def _grey(
    stored: NDArray[Any], dataset: Dataset, frame: int, window: tuple[float, float] | None
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Return what is shown, (H, W) in 0..1, and the facts `window` and, where it was, `inverted`."""
    photometric = word(dataset, "PhotometricInterpretation")
    if not photometric.startswith("MONOCHROME"):
        raise UnreadableImage(f"one sample a pixel in {photometric}")
    grey = to_modality_values(stored, dataset, frame)
    missing = describe_missing(grey.values)
    shown = to_given(grey, *window) if window is not None else _as_the_file_says(stored, grey, dataset, frame)
    facts = {"window": "; skipped: ".join([shown[1] + missing, *dict.fromkeys(grey.skipped)])}
    # Said by MONOCHROME1 (PS3.3 C.7.6.3.1.2), by the shape (C.11.6.1.2) or by both, it is one inversion.
    inverse = word(dataset, "PresentationLUTShape") == "INVERSE"
    if inverse or "MONOCHROME1" in photometric:
        facts["inverted"] = "yes"
        return 1.0 - shown[0], facts
    return shown[0], facts


def _as_the_file_says(
    stored: NDArray[Any], grey: Grey, dataset: Dataset, frame: int
) -> tuple[NDArray[np.float64], str]:
    """Return (values in 0..1, words for the manifest)."""
    shown = to_shown(grey, dataset, frame)
    if shown is not None:
        return shown
    bits = int(dataset.get("BitsStored") or 16)
    if grey.is_stored and bits <= 8 and stored.dtype.kind == "u":  # display values already (PS3.3 C.11.2.1.2)
        return stored / float((1 << bits) - 1), f"none: all {bits} bits"
    padding = None
    try:
        padding = padding_mask(stored, dataset)
    except Unusable as error:
        grey.skipped.append(str(error))
    rest, words = without_padding(grey.values if padding is None else grey.values[~padding])
    low, high = robust_range(rest)
    return stretch(grey.values, low, high), describe_range(low, high) + words


def _spread(display: NDArray[np.float64], bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return (H, W) in 0..1 as (H, W, 1) over the full range of 8 or 16 bits."""
    samples = np.rint(np.clip(display, 0.0, 1.0) * ((1 << bits) - 1))[..., None]
    return samples.astype(np.uint16) if bits == 16 else samples.astype(np.uint8)
