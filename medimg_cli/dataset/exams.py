"""Which exam an image is of: a study, series, volume or visit that is decided on as a whole."""

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath

import pandas as pd

from medimg_cli.dataset.ingest.previous import PreviousDataset
from medimg_cli.dataset.layouts.labels_file import plain, require_column
from medimg_cli.dataset.listing import Entry, without_frame
from medimg_cli.dataset.manifest import EXAM
from medimg_cli.errors import UsageError
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.progress import Remarks
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.spreadsheets import Table

STUDY, SERIES = "StudyInstanceUID", "SeriesInstanceUID"
UIDS = {STUDY: "study_uid", SERIES: "series_uid"}
"""Attribute → name of the fact that a reader tells of it."""
_KEYS = {"study": STUDY, "studyinstanceuid": STUDY, "series": SERIES, "seriesinstanceuid": SERIES} | {
    name: name for name in ("patient", "folder", "file", "none")
}


def exam_key(name: str) -> str | None:
    """Return what a word for exams means, whatever its case; None for any other: the name of a column."""
    return _KEYS.get(plain(name))


def exam_column(table: Table, settings: IngestSettings) -> str | None:
    """Return the column of a table that tells the exam, None where none was asked for.

    Raises:
        UsageError: a column is asked for that is not there.
    """
    name = settings.exam_col
    key = exam_key(name) if name is not None else None
    if name is None or key == "patient" or (key is not None and name not in table.columns):
        return None  # a column of patients has its own option, and is guessed
    return require_column(table, name, "--exam-col")


def exam_pseudonym(uid: str) -> str:
    """Return what stands for a UID or an accession number in a manifest, "" for an empty one; as `patients.pseudonym`."""
    return f"exam-{sha256_of_text(uid)[:12]}" if uid else ""


def exams_named(
    entries: Sequence[Entry],
    headers: Sequence[Mapping[str, str]],
    settings: IngestSettings,
    previous: PreviousDataset,
) -> tuple[list[str], str]:
    """Return the exam of each image (N,), "" where none is named, and what an exam is; "" for the latter without exams.

    Where nothing is given, the folders that rows of a table name are exams, and files of which several frames are taken.

    Args:
        headers: study_uid and series_uid of each image's DICOM header; none of an image that was not decoded again.

    Raises:
        UsageError: a column is named, and there is no table.
    """
    asked, exam_ids = settings.exam_col, [entry.exam for entry in entries]
    key = exam_key(asked) if asked is not None else None
    files = [without_frame(entry.image_id) for entry in entries]
    if asked is None:
        several = len(set(files)) < len(files)
        if any(exam_ids):
            return exam_ids, "folder"
        return (files, "file") if several else ([""] * len(entries), "")
    if any(exam_ids) or key is None:
        if settings.labels is None:
            raise UsageError(
                f"--exam-col {asked} names a column of a table",
                "add --labels FILE, or say patient, study, series, folder or file",
            )
        return exam_ids, f"column {asked}"
    if key in UIDS:
        uids = [exam_pseudonym(header.get(UIDS[key], "")) for header in headers]
        return [
            uid or previous.cell(entry.image_id, EXAM) for uid, entry in zip(uids, entries, strict=True)
        ], key
    if key == "folder":
        return [PurePosixPath(name).parent.as_posix() for name in files], key
    return (files if key == "file" else [""] * len(entries)), "" if key == "none" else key


def with_exams(
    rows: pd.DataFrame, exams: Sequence[str], source: str, own: Sequence[str], remarks: Remarks
) -> str:
    """Give manifest rows their column of exams where some exam has several images, and return what an exam then is.

    An id that several patients share, such as the number of a visit, is told apart by the patient.

    Args:
        rows: N, with `patient_id`; without the column afterwards where every exam has one image.
        exams: (N,), "" where none is named: such an image is an exam of its own.
        own: (N,), what stands for it then.
    """
    if EXAM in rows:
        del rows[EXAM]
    found = pd.Series(exams if source != "patient" else rows["patient_id"].to_numpy(), dtype=object)
    unnamed = int((found == "").sum())
    found = found.where(found != "", pd.Series(own, dtype=object))
    if rows["patient_id"].groupby(found.to_numpy()).nunique().max() > 1:
        found = rows["patient_id"].astype(str).reset_index(drop=True) + "/" + found
        remarks.note(f"exams ({source}): one id stands for several patients, so it is read as PATIENT/EXAM")
    if not source or not found.duplicated().any():
        if source:
            why = "no image names one" if unnamed == len(found) else "each has one image"
            remarks.warn(f"exams ({source}): {why}, so decisions stay per image")
        return ""
    rows[EXAM] = found.to_numpy()
    text = f"{found.nunique():,} exams ({source}) of {len(found):,} images: decisions are per exam"
    remarks.note(text + (f"; {unnamed:,} images name none and stand alone" if unnamed else ""))
    return source
