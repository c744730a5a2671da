"""DICOM images, by pydicom and its decoders."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_partial
from pydicom.pixels.processing import apply_color_lut
from pydicom.tag import Tag
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from medimg_cli.images.decoding import foreign_decoder, refuse_huge
from medimg_cli.images.dicom.bombs import Elements, refuse_inflated, refuse_larger_than_said
from medimg_cli.images.dicom.decoders import stored_values
from medimg_cli.images.dicom.voi import (
    functional_group,
    padding_mask,
    to_modality_values,
    to_robust,
    to_shown,
    windowed,
)
from medimg_cli.images.image import DecodedImage, ReadOptions, UnreadableImage, collapse_grey, frame_number
from medimg_cli.images.readers import Content

_FRAMES = Tag("NumberOfFrames")
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
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
        refuse_inflated(content.stream, options.most_pixels)
        dataset = read_partial(content.stream, Elements(), force=True)
        _refuse_what_is_no_image(dataset)
        refuse_huge(int(dataset.Columns), int(dataset.Rows), options.most_pixels)
        syntax = _transfer_syntax(dataset)
        frames = _frames_of(dataset)
        frame = frames // 2 if member is None else _named_frame(member, frames)
        if syntax.is_encapsulated:
            refuse_larger_than_said(dataset, frame, frames, options.most_pixels)
        stored = stored_values(dataset, frame, syntax)
        facts = _header_facts(dataset, syntax)
        if frames > 1:
            facts["frame"] = f"{frame + 1} of {frames}"
        bits = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8)
        if _is_colour(dataset):
            return DecodedImage(_colour(stored, dataset), bits, facts)
        display, more = _grey(stored, dataset, frame, options.window)
        return DecodedImage(
            _spread(display, 16 if bits > 8 and options.bits == 16 else 8), bits, facts | more
        )


def count_frames(content: Content, member: str | None) -> int:
    """Return Number of Frames (PS3.3 C.7.6.6.1.1), 1 where a frame is named already."""
    if member is not None:
        return 1
    with foreign_decoder():
        refuse_inflated(content.stream, None)
        stop = Elements(before_pixels=True)
        return _frames_of(read_partial(content.stream, stop, force=True, specific_tags=[_FRAMES]))


def _frames_of(dataset: Dataset) -> int:
    try:
        return max(1, int(dataset.get("NumberOfFrames") or 1))
    except ValueError as error:
        raise UnreadableImage("a DICOM file whose Number of Frames is no number") from error


def _named_frame(member: str, frames: int) -> int:
    frame = frame_number(member)
    if frame is None or frame >= frames:
        raise UnreadableImage(f"the file has no {member}; its frames are frame/0 to frame/{frames - 1}")
    return frame


def _refuse_what_is_no_image(dataset: Dataset) -> None:
    meta = getattr(dataset, "file_meta", None) or Dataset()
    if meta.get("MediaStorageSOPClassUID") == MediaStorageDirectoryStorage:
        raise UnreadableImage("a DICOMDIR: an index of other files, no image")
    if not any(keyword in dataset for keyword in _PIXELS):
        kind = str(dataset.get("Modality") or "") or "unknown modality"
        raise UnreadableImage(f"a DICOM file without pixels ({kind})")
    if dataset.get("Rows") is None or dataset.get("Columns") is None:
        raise UnreadableImage("a DICOM file that does not say how many rows and columns it has")


def _transfer_syntax(dataset: Dataset) -> UID:
    """Return the transfer syntax; where the file meta information lacks it, the one pydicom parsed by.

    Raises:
        UnreadableImage: it is missing and the pixels are compressed, so nothing says by what.
    """
    meta = getattr(dataset, "file_meta", None)
    if meta is not None and meta.get("TransferSyntaxUID"):
        return UID(str(meta.TransferSyntaxUID))
    if bytes(dataset.get("PixelData") or b"")[:4] == _ENCAPSULATED:
        raise UnreadableImage("compressed pixels, and no transfer syntax that says by what")
    implicit, little = dataset.original_encoding
    plain = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    syntax = ImplicitVRLittleEndian if implicit else plain
    dataset.file_meta = meta if meta is not None else FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    return syntax


def _header_facts(dataset: Dataset, syntax: UID) -> dict[str, str]:
    facts = {
        "modality": str(dataset.get("Modality") or ""),
        "transfer_syntax": syntax.name,
        "patient_id": str(dataset.get("PatientID") or "").strip(),
    }
    return {name: value for name, value in facts.items() if value}


def _is_colour(dataset: Dataset) -> bool:
    return int(dataset.get("SamplesPerPixel") or 1) > 1 or _photometric(dataset) == "PALETTE COLOR"


def _photometric(dataset: Dataset) -> str:
    return str(dataset.get("PhotometricInterpretation") or "").strip().upper()


def _colour(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.uint8]:
    """Return (H, W, 1 or 3) uint8.

    `pixel_array` has made RGB of YBR already while the header still says YBR: converting by the header would
    corrupt it. Palette entries fill their type (PS3.3 C.7.6.3.1.5), samples their Bits Stored.
    """
    bits = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8)
    if _photometric(dataset) == "PALETTE COLOR":
        stored = np.asarray(apply_color_lut(stored, dataset))[..., :3]
        bits = stored.dtype.itemsize * 8
    if bits != 8 or stored.dtype != np.uint8:
        stored = np.clip(np.rint(stored.astype(np.float64) * (255.0 / ((1 << bits) - 1))), 0, 255)
    return collapse_grey(stored.astype(np.uint8))


def _grey(
    stored: NDArray[Any], dataset: Dataset, frame: int, window: tuple[float, float] | None
) -> tuple[NDArray[np.float64], dict[str, str]]:
    """Return what is shown, (H, W) in 0..1, and the facts `window` and, where it was, `inverted`."""
    modality = functional_group(dataset, frame, "PixelValueTransformationSequence")
    values = to_modality_values(stored, modality)
    if window is not None:
        shown = windowed(values.astype(np.float64), *window, "LINEAR"), f"{window[0]:g},{window[1]:g} (given)"
    else:
        shown = _as_the_file_says(stored, values, dataset, frame)
    facts = {"window": shown[1]}
    if _is_inverted(dataset):
        facts["inverted"] = "yes"
        return 1.0 - shown[0], facts
    return shown[0], facts


def _as_the_file_says(
    stored: NDArray[Any], values: NDArray[Any], dataset: Dataset, frame: int
) -> tuple[NDArray[np.float64], str]:
    """Return (values in 0..1, words for the manifest); `values` is `stored` itself where nothing was applied."""
    shown = to_shown(values, functional_group(dataset, frame, "FrameVOILUTSequence"))
    if shown is not None:
        return shown
    if values is stored and _is_ready_to_show(dataset):
        bits = int(dataset.BitsStored)
        return stored / float((1 << bits) - 1), f"none: all {bits} bits"
    return to_robust(values, padding_mask(stored, dataset))


def _spread(display: NDArray[np.float64], bits: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Return (H, W) in 0..1 as (H, W, 1) over the full range of 8 or 16 bits."""
    samples = np.rint(np.clip(display, 0.0, 1.0) * ((1 << bits) - 1))[..., None]
    return samples.astype(np.uint16) if bits == 16 else samples.astype(np.uint8)


def _is_ready_to_show(dataset: Dataset) -> bool:
    """Return whether stored values are display values already: unsigned, 8 bits at most (PS3.3 C.11.2.1.2)."""
    return int(dataset.get("BitsStored") or 16) <= 8 and not int(dataset.get("PixelRepresentation") or 0)


def _is_inverted(dataset: Dataset) -> bool:
    """Return whether the least value is shown white: said by either attribute, or by both, it is one inversion.

    PS3.3 C.7.6.3.1.2 (MONOCHROME1) and C.11.6.1.2 (Presentation LUT Shape).
    """
    return _photometric(dataset) == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"
