"""Who an image belongs to: read from a path, or from a header without keeping the header's words."""

import re
from collections.abc import Sequence

from medimg_cli.core.examined import Examined
from medimg_cli.core.files import sha256_of_text
from medimg_cli.core.manifest import FROM_NAMES
from medimg_cli.core.progress import Remarks
from medimg_cli.errors import UsageError

UNKNOWN, FROM_TABLE, FROM_HEADER = "unknown", "table", "DICOM header"
_EXAMPLE = r"put the patient in brackets: --patient-regex '(person\d+)_'"


def patient_pattern(text: str) -> re.Pattern[str]:
    """Return the compiled pattern whose first group is the patient.

    Raises:
        UsageError: it is no regular expression, or has no group.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--patient-regex {text!r}: {error}", _EXAMPLE) from error
    if pattern.groups < 1:
        raise UsageError(f"--patient-regex {text!r} has no group", _EXAMPLE)
    return pattern


def patient_in_path(path: str, pattern: re.Pattern[str]) -> str | None:
    """Return the first group where `pattern` is found in a posix path, None where it is not or is empty.

    >>> patient_in_path("test/PNEUMONIA/person7_virus_12.jpeg", re.compile(r"(person\\d+)_"))
    'person7'
    """
    match = pattern.search(path)
    return (match[1] or None) if match else None


def pseudonym(patient: str) -> str | None:
    """Return what stands for a DICOM patient id in a manifest; None for an empty one.

    Images of one patient stay linked. It keeps the id out of sight, not secret: who knows or can list the ids
    finds them again.
    """
    return f"dcm-{sha256_of_text(patient)[:12]}" if patient else None


def patients_of(
    images: Sequence[Examined], pattern: re.Pattern[str] | None, remarks: Remarks
) -> tuple[list[str], str]:
    """Return the patient of each image (N,), and where they are known from.

    A column of the table comes first, then the regular expression, then the DICOM header; who has none of
    these is taken for a patient of their own.

    Returns:
        The patients; and `FROM_TABLE`, `FROM_NAMES`, `FROM_HEADER`, or `UNKNOWN` when no image names one.
    """
    found = [image.entry.patient_id for image in images]
    origin = FROM_TABLE if any(found) else UNKNOWN
    if pattern is not None:
        found = [
            name or patient_in_path(image.entry.relative, pattern)
            for name, image in zip(found, images, strict=True)
        ]
        origin = FROM_NAMES if origin == UNKNOWN and any(found) else origin
    elif len({image.dicom_patient for image in images}) > 1:
        found = [name or pseudonym(image.dicom_patient) for name, image in zip(found, images, strict=True)]
        origin = FROM_HEADER if origin == UNKNOWN and any(found) else origin
    elif images[0].dicom_patient:
        remarks.warn("all images carry one DICOM patient id; it is taken for a placeholder")
    unknown = sum(name is None for name in found)
    if unknown == len(images):
        remarks.warn(
            "patients are not known, so leaks between splits cannot be excluded (see --patient-regex, --patient-col)"
        )
    elif unknown:
        remarks.note(
            f"{unknown} of {len(images)} images name no patient: each counts as a patient of its own"
        )
    return [name or image.entry.image_id for name, image in zip(found, images, strict=True)], origin
