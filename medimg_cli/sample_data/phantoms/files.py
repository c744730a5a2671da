"""Phantoms as files: 8-bit PNG and 12-bit DICOM, the same bytes for the same numbers."""

import io
import uuid
from dataclasses import dataclass

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

from medimg_cli.sample_data.phantoms.anatomy import Map

_BLACK, _WHITE = 300, 3500  # stored values of the window's ends, well inside 12 bits (0..4095)


@dataclass(frozen=True)
class Header:
    """What a phantom's DICOM header says about its patient.

    Args:
        name: a text that tells this image from all others; its UIDs are made from it.
        identity: keyword → value of attributes that identify a person; empty in a clean cohort.
    """

    name: str
    identity: dict[str, str]


def png_bytes(image: Map) -> bytes:
    """Return `image` (H, W) in 0..1 as an 8-bit grey PNG."""
    stream = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(stream, format="PNG", compress_level=1)
    return stream.getvalue()


def dicom_bytes(image: Map, header: Header, *, monochrome1: bool) -> bytes:
    """Return `image` (H, W) in 0..1 as a Computed Radiography file that is shown as `image` is.

    12 bits stored, with a linear window (PS3.3 C.11.2.1.2). MONOCHROME1 stores white as the lowest value
    (PS3.3 C.7.6.3.1.2); its window is the same, since it applies before the polarity.
    """
    dataset = _empty_file(header)
    _describe_patient(dataset, header)
    values = 1.0 - image if monochrome1 else image
    stored = np.rint(_BLACK + values * (_WHITE - _BLACK)).astype("<u2")
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelRepresentation = 0
    # y = (x - (c - 0.5)) / (w - 1) + 0.5 of PS3.3 C.11.2.1.2.1, solved for y = 0 and y = 1.
    dataset.WindowWidth = str(_WHITE - _BLACK + 1)
    dataset.WindowCenter = str((_WHITE + _BLACK + 1) / 2)
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def _empty_file(header: Header) -> FileDataset:
    """Return a file with meta header and the identifiers of instance, series and study."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(f"{header.name} instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID = _uid(f"{header.name} study")
    dataset.SeriesInstanceUID = _uid(f"{header.name} series")
    dataset.Modality = "CR"
    dataset.BodyPartExamined, dataset.ViewPosition = "CHEST", "PA"
    return dataset


def _describe_patient(dataset: FileDataset, header: Header) -> None:
    """Fill in the patient; what the standard wants present but allows empty (type 2) stays empty."""
    for keyword in (
        "PatientName",
        "PatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyDate",
        "StudyTime",
        "StudyID",
        "AccessionNumber",
        "ReferringPhysicianName",
        "Manufacturer",
        "Laterality",
        "SeriesNumber",
        "InstanceNumber",
    ):
        setattr(dataset, keyword, None)
    dataset.BurnedInAnnotation = "NO"
    dataset.PatientIdentityRemoved = "NO" if header.identity else "YES"
    if not header.identity:
        dataset.DeidentificationMethod = "Synthetic phantom: no person was ever imaged"
    for keyword, value in header.identity.items():
        setattr(dataset, keyword, value)


def _uid(name: str) -> UID:
    """Return a UID derived from a UUID (PS3.5 B.2) that is derived from `name`."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'medimg phantom {name}').int}")
