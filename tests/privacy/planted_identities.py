"""Identities planted into a DICOM file wherever one may hide: each a text that stands nowhere else."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

TOP_LEVEL = {
    "PatientName": "Quintrell^Zebedee",
    "PatientID": "MRN7734-QX",
    "PatientBirthDate": "19370219",
    "OtherPatientIDs": "OLD-88431-ZX",
    "PatientAddress": "17 Vexley Row",
    "PatientTelephoneNumbers": "+44 1632 960983",
    "PatientComments": "brother of Xanthe Q",
    "AdditionalPatientHistory": "fell off the Vexley pier",
    "AccessionNumber": "ACC-559012",
    "InstitutionName": "St Brannock Infirmary",
    "InstitutionAddress": "2 Harbour Mews Brannock",
    "InstitutionalDepartmentName": "Ward Kestrel",
    "ReferringPhysicianName": "Oswin^Perpetua",
    "OperatorsName": "Thackaberry^Lom",
    "RequestingPhysician": "Dunstable^Avo",
    "StudyDescription": "Thorax for Dr Oswinfield",
    "SeriesDescription": "Series at Brannockside",
    "ProtocolName": "Kestrelprotocol 9",
    "ImageComments": "hand of Quintrella",
    "StationName": "BRANNOCKCT7",
    "DeviceSerialNumber": "SER-00417-KV",
    "StudyDate": "20170911",
    "AcquisitionDateTime": "20170911083301.123456",
    "EthnicGroup": "Brannockian",
}
# In sequences that Table E.1-1 does not list, one and two levels down.
NESTED = {
    "PatientName": "Fenwick^Isolde",
    "InstitutionName": "Nether Wallop Clinic",
    "ScheduledProcedureStepDescription": "stepfor Isolde",
    "EvaluatorName": "Grimsditch^Una",
}
PRIVATE = {"text": "ward of Hepzibah 12", "nested": "Hepzibah^Marchbanks"}
OVERLAY = {"description": "drawn by Ptolemy Voss", "data": "overlaysecretvoss!"}
CURVE = "curvesecretmarrow!"
BY_VALUE = "as told by quintrell zebedee"
META_SOURCE = "AET_BRANNOCK"
META_PRIVATE = b"metasecretparsnip!"
PREAMBLE = b"preamblesecretyew"
UNKNOWN = "unknownsecretlarch"
TRAILING = b"trailingsecretsorrel"
UIDS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.8.498.4711.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.8.498.4711.2",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.8.498.4711.3",
    "ReferencedSOPInstanceUID": "1.2.826.0.1.3680043.8.498.4711.4",
}


def secrets() -> dict[str, bytes]:
    """Return kind → what must not be found in the bytes of a de-identified file."""
    groups = {"top": TOP_LEVEL, "nested": NESTED, "private": PRIVATE, "overlay": OVERLAY, "uid": UIDS}
    found = {
        f"{group} {name}": value.encode("ascii")
        for group, values in groups.items()
        for name, value in values.items()
    }
    found |= {"curve": CURVE.encode("ascii"), "by value": BY_VALUE.encode("ascii")}
    found |= {"meta source": META_SOURCE.encode("ascii"), "meta private": META_PRIVATE}
    return found | {"preamble": PREAMBLE, "unknown": UNKNOWN.encode("ascii"), "trailing": TRAILING}


def left_in(content: bytes) -> set[str]:
    """Return the kinds of planted identities whose text stands in a file, in any of the usual encodings."""
    lowered = plain_bytes(content).lower()
    return {
        kind for kind, value in secrets().items() if any(form.lower() in lowered for form in _forms(value))
    }


def plain_bytes(content: bytes) -> bytes:
    """Return a file's bytes, its data set inflated where it is deflated."""
    meta = read_file_meta_info_of(content)
    if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
        return content
    start = 144 + int(meta.FileMetaInformationGroupLength)
    return content[:start] + zlib.decompress(content[start:], -zlib.MAX_WBITS)


def read_file_meta_info_of(content: bytes) -> FileMetaDataset:
    dataset = dcmread(BytesIO(content), force=True, stop_before_pixels=True)
    return getattr(dataset, "file_meta", FileMetaDataset())


def _forms(value: bytes) -> tuple[bytes, ...]:
    text = value.decode("ascii")
    return value, text.encode("utf-16-le"), text.encode("utf-16-be")


def planted(path: Path) -> bytes:
    """Return the bytes of a file with every kind of identity in its header, its own transfer syntax kept."""
    dataset = dcmread(path, force=True)
    implicit = dataset.original_encoding[0]
    if any(
        getattr(dataset.get_item(tag), "is_implicit_VR", implicit) != implicit for tag in list(dataset.keys())
    ):
        for element in dataset.iterall():  # an implicit header where the transfer syntax says explicit
            if element.tag == 0x7FE00010:
                element.VR, element.is_undefined_length = "OB", True
    plant(dataset)
    meta = getattr(dataset, "file_meta", None) or FileMetaDataset()
    if not meta.get("TransferSyntaxUID"):
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    meta.SourceApplicationEntityTitle = META_SOURCE
    meta.PrivateInformationCreatorUID = "1.2.826.0.1.3680043.8.498.4711.9"
    meta.PrivateInformation = META_PRIVATE
    dataset.file_meta = meta
    dataset.preamble = PREAMBLE.ljust(128, b"\0")
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=False)
    if meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian:
        return target.getvalue()
    return target.getvalue() + trailing(meta.TransferSyntaxUID)


def trailing(syntax: UID) -> bytes:
    """Return a last element of a private group, behind the pixels, as bytes."""
    order = "<" if syntax.is_little_endian else ">"
    head = struct.pack(f"{order}HH", 0x7FE1, 0x1010)
    length = len(TRAILING)
    if syntax.is_implicit_VR:
        return head + struct.pack(f"{order}I", length) + TRAILING
    return head + b"OB\0\0" + struct.pack(f"{order}I", length) + TRAILING


def plant(dataset: Dataset) -> None:
    """Put every kind of identity into a data set."""
    for keyword, value in TOP_LEVEL.items():
        setattr(dataset, keyword, value)
    dataset.ManufacturerModelName = BY_VALUE
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(dataset, keyword, UIDS[keyword])
    dataset.ProcedureCodeSequence = Sequence([_nested()])
    holder = Dataset()
    holder.ViewCodeSequence = Sequence([_nested()])
    dataset.AnatomicRegionSequence = Sequence([holder])
    block = dataset.private_block(0x0099, "ward system", create=True)
    block.add_new(1, "LO", PRIVATE["text"])
    inner = Dataset()
    inner.PatientName = PRIVATE["nested"]
    block.add_new(2, "SQ", Sequence([inner]))
    dataset.add_new(0x60000010, "US", 2)
    dataset.add_new(0x60000022, "LO", OVERLAY["description"])
    dataset.add_new(0x60003000, "OB", OVERLAY["data"].encode())
    dataset.add_new(0x50003000, "OB", CURVE.encode())
    dataset.add_new(0x00100FF0, "LO", UNKNOWN)


def _nested() -> Dataset:
    item = Dataset()
    for keyword, value in NESTED.items():
        setattr(item, keyword, value)
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = "T-D3000", "SRT", "Chest"
    item.ReferencedSOPInstanceUID = UIDS["ReferencedSOPInstanceUID"]
    return item
