"""DICOM images, by pydicom and its decoders."""

import logging
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000TransferSyntaxes,
    MediaStorageDirectoryStorage,
)

from medimg_cli.core.image import DecodedImage, UnreadableImage, collapse_grey
from medimg_cli.readers import READERS, Reader
from medimg_cli.readers.decoding import foreign_decoder, refuse_huge
from medimg_cli.readers.voi import functional_group, padding_mask, to_modality_values, to_robust, to_shown

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# pylibjpeg's plug-in logs what libopenjpeg says; without a handler Python would print it on stderr.
logging.getLogger("_openjpeg").addHandler(logging.NullHandler())
logging.getLogger("openjpeg").addHandler(logging.NullHandler())
_ENCAPSULATED = b"\xfe\xff\x00\xe0"  # the item tag every compressed stream begins with, PS3.5 A.4


def read_dicom(path: Path, member: str | None) -> DecodedImage:  # noqa: ARG001 -- every reader's signature
    """Return a DICOM image as a viewer shows it, uint8; of several frames the middle one.

    Grey: modality LUT, VOI LUT or first window (robust 0.5-99.5 percentiles when there is none; 8 stored bits
    without rescale are shown as they are), MONOCHROME1 inverted (PS3.3 C.7.6.3.1.2). Colour: RGB whatever the
    file's colour space. Facts: modality, transfer_syntax, window, inverted, frame, patient_id (the true one:
    callers decide what may be kept).

    Raises:
        UnreadableImage: no pixels, a damaged file, or a transfer syntax no installed decoder knows.
    """
    with foreign_decoder(), path.open("rb") as stream:
        dataset = dcmread(stream, force=True)
        _refuse_what_is_no_image(dataset)
        refuse_huge(int(dataset.Columns), int(dataset.Rows))
        syntax = _transfer_syntax(dataset)
        frames = max(1, int(dataset.get("NumberOfFrames") or 1))
        frame = frames // 2
        stored = _stored_values(dataset, frame, syntax)
        facts = _header_facts(dataset, syntax)
        if frames > 1:
            facts["frame"] = f"{frame + 1} of {frames}"
        pixels, more = _colour(stored, dataset) if _is_colour(dataset) else _grey(stored, dataset, frame)
        return DecodedImage(pixels, int(dataset.get("BitsStored") or stored.dtype.itemsize * 8), facts | more)


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


def _stored_values(dataset: Dataset, frame: int, syntax: UID) -> NDArray[Any]:
    """Return one frame's samples, (H, W) or (H, W, 3), colour already as RGB."""
    # Of the JPEG 2000 decoders the one that says its errors by exception: gdcm's prints them on stderr.
    decoder = "pylibjpeg" if syntax in JPEG2000TransferSyntaxes else ""
    try:
        return np.asarray(pixel_array(dataset, index=frame, decoding_plugin=decoder))
    except (RuntimeError, NotImplementedError) as error:  # what pydicom raises when every decoder gave up
        raise UnreadableImage(
            f"pixels damaged, or coded as no installed decoder reads ({syntax.name})"
        ) from error


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


def _colour(stored: NDArray[Any], dataset: Dataset) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Return (H, W, 1 or 3) uint8 and no facts.

    `pixel_array` has made RGB of YBR already while the header still says YBR: converting by the header would
    corrupt it. Palette entries fill their type (PS3.3 C.7.6.3.1.5), samples their Bits Stored.
    """
    bits = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8)
    if _photometric(dataset) == "PALETTE COLOR":
        stored = np.asarray(apply_color_lut(stored, dataset))[..., :3]
        bits = stored.dtype.itemsize * 8
    if bits != 8 or stored.dtype != np.uint8:
        stored = np.clip(np.rint(stored.astype(np.float64) * (255.0 / ((1 << bits) - 1))), 0, 255)
    return collapse_grey(stored.astype(np.uint8)), {}


def _grey(stored: NDArray[Any], dataset: Dataset, frame: int) -> tuple[NDArray[np.uint8], dict[str, str]]:
    """Return (H, W, 1) uint8 and the facts `window` and, where it was, `inverted`."""
    modality = functional_group(dataset, frame, "PixelValueTransformationSequence")
    values = to_modality_values(stored, modality)
    shown = to_shown(values, functional_group(dataset, frame, "FrameVOILUTSequence"))
    if shown is None and values is stored and _is_ready_to_show(dataset):
        bits = int(dataset.BitsStored)
        shown = stored / float((1 << bits) - 1), f"none: all {bits} bits"
    display, words = shown if shown is not None else to_robust(values, padding_mask(stored, dataset))
    facts = {"window": words}
    if _is_inverted(dataset):
        display, facts["inverted"] = 1.0 - display, "yes"
    return np.rint(np.clip(display, 0.0, 1.0) * 255).astype(np.uint8)[..., None], facts


def _is_ready_to_show(dataset: Dataset) -> bool:
    """Return whether stored values are display values already: unsigned, 8 bits at most (PS3.3 C.11.2.1.2)."""
    return int(dataset.get("BitsStored") or 16) <= 8 and not int(dataset.get("PixelRepresentation") or 0)


def _is_inverted(dataset: Dataset) -> bool:
    """Return whether the least value is shown white: said by either attribute, or by both, it is one inversion.

    PS3.3 C.7.6.3.1.2 (MONOCHROME1) and C.11.6.1.2 (Presentation LUT Shape).
    """
    return _photometric(dataset) == "MONOCHROME1" or dataset.get("PresentationLUTShape") == "INVERSE"


READERS.register("dicom")(
    Reader(
        formats=("dicom",),
        needs=(
            "pydicom",
            "pylibjpeg",
            "pylibjpeg-openjpeg",
            "pylibjpeg-rle",
            "pyjpegls",
            "python-gdcm",
        ),
        read=read_dicom,
    )
)
