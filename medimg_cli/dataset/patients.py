"""Who an image belongs to: read from a path, or from a header without keeping the header's words."""

import re
import signal
from collections.abc import Sequence
from threading import current_thread, main_thread

from medimg_cli.dataset.ingest.previous import PreviousDataset
from medimg_cli.dataset.listing import Entry, without_frame
from medimg_cli.dataset.manifest import FROM_NAMES
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.progress import Remarks

UNKNOWN, FROM_TABLE, FROM_HEADER, FROM_EXAMS = "unknown", "table", "DICOM header", "exams"
_SECONDS, _LEAST_NAMES = 2, 20
"""In so much time of a processor a pattern is searched in so many names at least; a million is usual."""
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


def searched(pattern: re.Pattern[str], texts: Sequence[str], option: str) -> list[re.Match[str] | None]:
    """Return where a pattern that a user gave is found in each text (N,), None where it is not.

    Raises:
        UsageError: it takes for ever, as repeats inside repeats do (no limit outside the main thread, nor on Windows).
    """
    found: list[re.Match[str] | None] = []
    before = 0

    def tick(*_: object) -> None:
        nonlocal before
        if len(found) < min(before + _LEAST_NAMES, len(texts)):
            raise UsageError(
                f"{option} {pattern.pattern!r} takes too long to search, as in '{texts[len(found)]}'",
                "repeat nothing that repeats itself, as (a+)+ does",
            )
        before = len(found)

    if current_thread() is not main_thread() or not hasattr(signal, "setitimer"):
        return [pattern.search(text) for text in texts]
    handler = signal.signal(signal.SIGVTALRM, tick)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS, _SECONDS)
    try:
        for text in texts:
            found.append(pattern.search(text))  # noqa: PERF401 -- counted while it grows
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, handler)
    return found


def pseudonym(patient: str) -> str | None:
    """Return what stands for a DICOM patient id in a manifest; None for an empty one.

    Images of one patient stay linked. It keeps the id out of sight, not secret: who knows or can list the ids
    finds them again.
    """
    return f"dcm-{sha256_of_text(patient)[:12]}" if patient else None


def patients_of(
    entries: Sequence[Entry],
    headers: Sequence[str],
    pattern: re.Pattern[str] | None,
    previous: PreviousDataset,
    remarks: Remarks,
    exams: Sequence[str] = (),
) -> tuple[list[str], str]:
    """Return the patient of each image (N,), and where they are known from.

    A column of the table comes first, then the regular expression, then the DICOM header; an image that stands
    keeps its patient unless the table says otherwise; who has none of these is taken for a patient of their own,
    all images of an exam and all frames of a file for one.

    Args:
        headers: PatientID of each image's DICOM header, "" without one or when the image was not decoded again.

    Returns:
        The patients; and `FROM_TABLE`, `FROM_NAMES`, `FROM_HEADER`, `FROM_EXAMS`, or `UNKNOWN` when no image names one.

    Raises:
        DataError: new headers name patients where earlier ones, not read again, counted for nobody.
    """
    before = UNKNOWN if previous.info is None else previous.info.patients_from
    found = [entry.patient_id for entry in entries]
    origin = FROM_TABLE if before == UNKNOWN and any(found) else before
    if pattern is not None:
        matches = searched(pattern, [entry.relative for entry in entries], "--patient-regex")
        if entries and not any(match and match[1] for match in matches):
            remarks.warn(
                f"--patient-regex '{pattern.pattern}' finds nobody in {len(entries):,} paths, such as '{entries[0].relative}'"
            )
        found = [
            name or (match[1] if match else None) or None for name, match in zip(found, matches, strict=True)
        ]
        origin = FROM_NAMES if origin == UNKNOWN and any(found) else origin
    elif before == FROM_HEADER or _differ(headers, previous):
        _refuse_half_known(before, previous)
        found = [name or pseudonym(header) for name, header in zip(found, headers, strict=True)]
        origin = FROM_HEADER if origin == UNKNOWN and any(found) else origin
    elif any(headers) and not any(found):
        remarks.warn("all images carry one DICOM patient id; it is taken for a placeholder")
    own = [without_frame(entry.image_id) for entry in entries]
    found = [
        name or (previous.cell(entry.image_id, "patient_id") or None)
        for name, entry in zip(found, entries, strict=True)
    ]
    if origin in (UNKNOWN, FROM_EXAMS) and any(exams):
        origin = FROM_EXAMS
        remarks.warn(
            "patients are not known: each exam counts as one, so a patient's other exams may be in another split "
            "(see --patient-regex, --patient-col)"
        )
    found = (
        [name or exam or None for name, exam in zip(found, exams or own, strict=True)]
        if any(exams)
        else found
    )
    _remark_on_unknown(found, own, remarks)
    return [name or image_name for name, image_name in zip(found, own, strict=True)], origin


def _remark_on_unknown(found: Sequence[str | None], own: Sequence[str], remarks: Remarks) -> None:
    """Remark on images (N,) that name no patient, or nobody but themselves."""
    unknown = sum(name in (None, image_name) for name, image_name in zip(found, own, strict=True))
    if unknown == len(own):
        remarks.warn(
            "patients are not known, so leaks between splits cannot be excluded (see --patient-regex, --patient-col)"
        )
    elif unknown:
        remarks.note(f"{unknown} of {len(own)} images name no patient: each counts as a patient of its own")


def _differ(headers: Sequence[str], previous: PreviousDataset) -> bool:
    """Return whether headers tell patients apart; those not read again ("") say nothing either way."""
    return len(set(headers) if previous.info is None else set(headers) - {""}) > 1


def _refuse_half_known(before: str, previous: PreviousDataset) -> None:
    """An old image, whose header is not read again, may be of the same patient as a new one."""
    if previous.info is not None and before == UNKNOWN and previous.has_column("transfer_syntax"):
        raise DataError(
            "the new DICOM files name patients, the earlier ones counted as one placeholder",
            "start over with --fresh, so that every header is read",
        )
