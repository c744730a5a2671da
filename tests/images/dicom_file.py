"""Tiny DICOM files that tests write themselves."""

from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid


def dicom_image(samples: NDArray[Any], **elements: Any) -> Dataset:
    """Return a data set with the samples (H, W), (F, H, W) or (H, W, 3) as pixels; `elements` by keyword."""
    colour = samples.ndim == 3 and samples.shape[2] == 3
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = CTImageStorage
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["a"])
    bits = samples.dtype.itemsize * 8
    dataset.Modality = "CT"
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = samples.shape[:2] if colour else samples.shape[-2:]
    if samples.ndim == 3 and not colour:
        dataset.NumberOfFrames = len(samples)
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = int(samples.dtype.kind == "i")
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    content = samples.astype(samples.dtype.newbyteorder("<")).tobytes()
    dataset.PixelData = content + b"\0" * (len(content) % 2)
    return dataset


def lookup_table(entries: list[int], first: int, bits: int) -> Sequence:
    """Return a sequence of one item: a modality or VOI look-up table."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.add_new("LUTData", "US", entries)
    return Sequence([item])


def write(dataset: Dataset, path: Path) -> Path:
    """Write the data set with preamble and file meta information."""
    dataset.save_as(path, enforce_file_format=True)
    return path
