"""Where the identifying values of a DICOM header stand a second time in the same file."""

import io
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset

from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import HEAD_BYTES, sniff_format
from medimg_cli.privacy.dicom.header_texts import ElementText, element_texts
from medimg_cli.privacy.dicom.header_values import IdentityValues, harvest_texts, identifies

_PATIENT_IDENTITY_REMOVED = 0x00120062
# Ages, days, hours and words of the standard repeat by nature; makers and code books are no persons.
_SILENT_VRS = frozenset(["AS", "CS", "DA", "DT", "TM"])
_SILENT = frozenset(
    ["Manufacturer", "ManufacturerModelName", "SoftwareVersions", "CodingSchemeDesignator", "CodeValue"]
)


class UnreadableValues(Exception):  # noqa: N818 -- not a failure of the command: it becomes a finding
    """Raised for a header that cannot be read; its text is the reason, one line."""


@dataclass(frozen=True)
class HeaderValues:
    """What one header identifies somebody by.

    Args:
        values: harvested from it.
        repeated: (keyword of the attribute, path of another element that holds its value).
        identity_removed: Patient Identity Removed (0012,0062) is YES: the values may be invented ones.
    """

    values: IdentityValues
    repeated: frozenset[tuple[str, str]]
    identity_removed: bool


def read_values(content: Path | bytes) -> HeaderValues | None:
    """Read the header of a DICOM file, and look for its identifying values in its other elements.

    Sequences, private elements and the file meta information are searched; the pixels are not.

    Args:
        content: a file, or the bytes of one.

    Returns:
        None for what is no DICOM file.

    Raises:
        UnreadableValues: its header is damaged.
        OSError: it cannot be opened.
    """
    if not _is_dicom(content):
        return None
    try:
        dataset = header_of(content if isinstance(content, Path) else io.BytesIO(content))
        meta = getattr(dataset, "file_meta", None)
        texts = [*element_texts(meta if meta is not None else Dataset()), *element_texts(dataset)]
    except Exception as error:  # damaged bytes make pydicom raise what struct and Python happen to raise
        raise UnreadableValues(f"{type(error).__name__}: {error}".splitlines()[0]) from error
    values = harvest_texts(texts)
    removed = any(text.tag == _PATIENT_IDENTITY_REMOVED and text.text.upper() == "YES" for text in texts)
    return HeaderValues(values, frozenset(_repeated(texts, values)), removed)


def quiet_headers() -> None:
    """Silence what pydicom says of odd headers, inside a `warnings.catch_warnings` block: only values count here."""
    warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")


def _repeated(texts: list[ElementText], values: IdentityValues) -> Iterator[tuple[str, str]]:
    if not values:
        return
    for text in texts:
        if text.vr not in _SILENT_VRS and text.keyword not in _SILENT and not identifies(text):
            for keyword in values.search(text.text):
                yield keyword, text.path


def _is_dicom(content: Path | bytes) -> bool:
    if isinstance(content, bytes):
        return sniff_format(content[:HEAD_BYTES]) == "dicom"
    with content.open("rb") as stream:
        return sniff_format(stream.read(HEAD_BYTES)) == "dicom"
