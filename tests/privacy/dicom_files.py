"""Tiny DICOM files with the header a test asks for."""

from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian, SecondaryCaptureImageStorage

_UID = UID("1.2.826.0.1.3680043.8.498.1")


def write_dicom(path: Path, *, implicit: bool = False, private: str = "", **attributes: Any) -> Path:
    """Write a DICOM file of 2x2 pixels with `attributes` by keyword; a SOP Instance UID where none is given."""
    dataset = Dataset()
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = _UID
    dataset.Rows = dataset.Columns = 2
    dataset.BitsAllocated = 8
    dataset.PixelData = b"\0\1\2\3"
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if private:
        dataset.private_block(0x0099, "ward system", create=True).add_new(1, "LO", private)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = _UID
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)
    return path
