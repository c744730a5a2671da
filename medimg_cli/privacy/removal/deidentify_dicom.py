"""De-identification of one DICOM file: header by the profile, file meta information made anew, pixels untouched."""

from collections.abc import Callable
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from medimg_cli import __version__
from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.privacy.dicom.header_texts import PIXEL_DATA, text_of
from medimg_cli.privacy.removal.bulk_data import cut_bulk_data
from medimg_cli.privacy.removal.header_cleaner import HeaderCleaner
from medimg_cli.privacy.removal.profile import TEMPORAL, CannotDeidentify, CleanFile, Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from medimg_cli.privacy.removal.residues import original_values, residues

# A UID of our own by PS3.5 annex B.2: 2.25 and a number drawn once.
_IMPLEMENTATION_UID = "2.25.277905424706529937231938043092174613927"
_RAW_DATA_STORAGE = "1.2.840.10008.5.1.4.1.1.66"
_ENCAPSULATED_DOCUMENT = 0x00420011
_OVERLAY_BIT_POSITION, _OVERLAY_DATA = 0x0102, 0x3000
_ITEM = b"\xfe\xff\x00\xe0"
# Who a file is about, the surest first; the last resort keeps the images of one study together.
_PATIENT_TAGS = (0x00100020, 0x00100010, 0x0020000D, 0x00080018)
_RESIDUES_NAMED = 3


Mask = Callable[[Dataset], int]
"""Blanks text in the pixels of a data set and returns how many regions."""


def deidentify_dicom(
    content: bytes, profile: Profile, pseudonyms: Pseudonyms, mask: Mask | None = None
) -> CleanFile:
    """Return a DICOM file without its identities, looked through once more before it is handed over.

    The same file, profile and key give the same bytes.

    Raises:
        CannotDeidentify: it cannot be read, is a kind of file whose contents cannot be cleaned, or something is left.
    """
    with quiet_decoding():
        try:
            return _deidentify(content, profile, pseudonyms, mask)
        except CannotDeidentify:
            raise
        except Exception as error:  # damaged bytes make pydicom raise what struct and Python happen to raise
            raise CannotDeidentify(f"a damaged DICOM file ({type(error).__name__})") from error


def _deidentify(content: bytes, profile: Profile, pseudonyms: Pseudonyms, mask: Mask | None) -> CleanFile:
    dataset = dcmread(BytesIO(content), force=True)
    _refuse_what_cannot_be_cleaned(dataset)
    values = original_values(dataset)
    syntax = _transfer_syntax(dataset)
    patient = next((text for tag in _PATIENT_TAGS if (text := text_of(dataset, tag))), "")
    cleaner = HeaderCleaner(profile, pseudonyms, values.search, patient)
    cleaner.uids.add(text_of(getattr(dataset, "file_meta", Dataset()), 0x00020003))
    cleaner.clean(dataset)
    _decode_what_is_written_otherwise(dataset)
    cut_bulk_data(dataset, syntax)
    if mask is not None:
        cleaner.counts["text_regions_masked"] = mask(dataset)
        syntax = (
            UID(str(dataset.file_meta.TransferSyntaxUID)) if cleaner.counts["text_regions_masked"] else syntax
        )
    _mark(dataset, profile, checked=mask is not None)
    written = _written(dataset, syntax)
    kept = set() if "uids" in profile.keep else cleaner.uids - {""}
    left = residues(written, values, kept, profile)
    if left:
        raise CannotDeidentify(f"still there after cleaning: {', '.join(left[:_RESIDUES_NAMED])}")
    return CleanFile(written, cleaner.counts)


def _refuse_what_cannot_be_cleaned(dataset: Dataset) -> None:
    meta = getattr(dataset, "file_meta", None) or Dataset()
    if not len(dataset):
        raise CannotDeidentify("no DICOM attribute in it")
    if str(meta.get("MediaStorageSOPClassUID", "")) == MediaStorageDirectoryStorage or 0x00041220 in dataset:
        raise CannotDeidentify(
            "a DICOMDIR: an index of other files; make a new one of the de-identified files"
        )
    for group in range(
        0x6000, 0x6020, 2
    ):  # bits among those of Pixel Data: retired, PS3.5 2004 section 8.1.2
        position = dataset.get((group, _OVERLAY_BIT_POSITION))
        if (group, _OVERLAY_DATA) not in dataset and position is not None and int(position.value or 0) > 0:
            raise CannotDeidentify(
                "an overlay in the unused bits of its pixels, which are copied as they are"
            )
    if _ENCAPSULATED_DOCUMENT in dataset:
        raise CannotDeidentify(
            "an encapsulated document (PDF, CDA, 3D model): its contents cannot be cleaned"
        )


def _transfer_syntax(dataset: Dataset) -> UID:
    """Return the transfer syntax to write by: the file's own, or the plain one it turned out to be read by."""
    meta = getattr(dataset, "file_meta", None) or Dataset()
    implicit, little = dataset.original_encoding
    explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
    read_by = ImplicitVRLittleEndian if implicit else explicit
    named = UID(str(meta.get("TransferSyntaxUID", "")))
    if not named:
        pixels = dataset.get_item(PIXEL_DATA) if PIXEL_DATA in dataset else None
        if pixels is not None and bytes(pixels.value or b"")[:4] == _ITEM:
            raise CannotDeidentify("compressed pixels, and no transfer syntax that says by what")
        return read_by
    if not named.is_transfer_syntax or named.is_private:
        raise CannotDeidentify("a transfer syntax that the standard does not have")
    agrees = named.is_implicit_VR == implicit and named.is_little_endian == little
    return named if agrees else read_by


def _decode_what_is_written_otherwise(dataset: Dataset) -> None:
    """Decode a header that is implicit where its transfer syntax says explicit: it cannot be copied as it lies."""
    implicit = dataset.original_encoding[0]
    raw = (dataset.get_item(tag) for tag in dataset.keys())  # noqa: SIM118 -- iterating would decode all
    if all(getattr(element, "is_implicit_VR", implicit) == implicit for element in raw):
        return
    for element in dataset.iterall():
        if element.tag == PIXEL_DATA and dataset.file_meta.TransferSyntaxUID.is_encapsulated:
            element.VR, element.is_undefined_length = "OB", True  # PS3.5 annex A.4


def _mark(dataset: Dataset, profile: Profile, *, checked: bool) -> None:
    """Say in the header what was done: PS3.15 E.1.1 and PS3.3 C.7.1.2.

    Args:
        checked: text in the pixels was looked for and blanked.
    """
    dataset.PatientIdentityRemoved = "YES"
    words = (part.strip()[:64] for part in profile.words.split(","))  # an LO has at most 64 characters
    dataset.DeidentificationMethod = [f"medimg {__version__}", *words]
    dataset.DeidentificationMethodCodeSequence = [Dataset() for _ in profile.codes]
    for code, (value, meaning) in zip(dataset.DeidentificationMethodCodeSequence, profile.codes, strict=True):
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    dataset.LongitudinalTemporalInformationModified = TEMPORAL[profile.dates]
    if checked:
        dataset.BurnedInAnnotation = "NO"


def _written(dataset: Dataset, syntax: UID) -> bytes:
    """Return the bytes of a file whose preamble is empty and whose file meta information holds what it must."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    former = str((getattr(dataset, "file_meta", None) or Dataset()).get("MediaStorageSOPClassUID", ""))
    meta.MediaStorageSOPClassUID = UID(text_of(dataset, 0x00080016) or former or _RAW_DATA_STORAGE)
    meta.MediaStorageSOPInstanceUID = UID(text_of(dataset, 0x00080018) or _IMPLEMENTATION_UID)
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = UID(_IMPLEMENTATION_UID)
    meta.ImplementationVersionName = f"MEDIMG {__version__}"[:16]
    dataset.file_meta = meta
    dataset.preamble = bytes(128)
    target = BytesIO()
    dataset.save_as(target, enforce_file_format=True)
    return target.getvalue()
