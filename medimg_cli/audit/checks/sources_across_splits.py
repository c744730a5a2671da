"""Examinations, series and files whose images stand in more than one split."""

import re

import pandas as pd

from medimg_cli.audit.checks import check, split_pairs
from medimg_cli.audit.findings import AuditContext, Checked, Finding
from medimg_cli.workspace.plain_text import plural

NAME = "sources-across-splits"
# The levels of PS3.3 C.7.2.1 and C.7.3.1, and what tables call them.
_LEVELS = {
    "study": re.compile(r"(?:study|exam|examination|accession)(?:instance)?(?:uid|id|no|number|nr)?"),
    "series": re.compile(r"(?:series|sequence|cine|clip|video)(?:instance)?(?:uid|id|no|number|nr)?"),
}
_FRAME = re.compile(r"#(?:frame|page)/\d+$")
_LEAST_SHARE = 0.02
"""A column with fewer different values than this share of its rows names trials or sites, not examinations."""


@check(
    NAME,
    "images of one examination, series or file stand in more than one split: the test is not independent",
)
def sources_across_splits(context: AuditContext) -> Checked:
    """Look for what one examination, one series or one file of several frames gave to two splits.

    What a patient known by name already leaks is reported by patients-across-splits, and not again here.
    """
    rows = context.dataset.usable
    findings: list[Finding] = []
    looked = []
    for column, level in _columns(rows).items():
        looked.append(f"'{column}'")
        findings += _finding(context, rows[rows[column] != ""], column, level)
    files = rows.assign(file=[_FRAME.sub("", path) for path in rows["path"]])
    findings += _finding(context, files, "file", "file")
    columns = f" and the columns {', '.join(looked[:5])}" if looked else "; no column names a study or series"
    return Checked(tuple(findings), f"frames of {plural(files['file'].nunique(), 'file')} compared{columns}")


def _columns(rows: pd.DataFrame) -> dict[str, str]:
    """Return the columns that name examinations or series → which of them."""
    found: dict[str, str] = {}
    for column in map(str, rows.columns):
        plain = re.sub(r"[^a-z]", "", column.lower())
        for level, names in _LEVELS.items():
            filled = rows.loc[rows[column].astype(str) != "", column] if names.fullmatch(plain) else rows[:0]
            if len(filled) and filled.nunique() >= max(2, _LEAST_SHARE * len(filled)):
                found[column] = level
    return found


def _finding(context: AuditContext, rows: pd.DataFrame, column: str, level: str) -> list[Finding]:
    splits = rows.groupby(column)["split"].transform("nunique")
    concerned = rows[splits > 1]
    if context.dataset.info.patients_known and len(concerned):
        usable = context.dataset.usable
        of_patient = usable.groupby("patient_id")["split"].nunique()
        known = concerned["patient_id"].map(of_patient) > 1
        concerned = concerned[~known.groupby(concerned[column]).transform("any")]
    if concerned.empty:
        return []
    groups = tuple(tuple(map(str, part["image_id"])) for _, part in concerned.groupby(column, sort=False))
    where = split_pairs(part for _, part in concerned.groupby(column)["split"])
    noun = {"study": "examination", "series": "image series", "file": "file"}[level]
    of = "" if level == "file" else f" (column '{column}')"
    count = f"{len(groups):,} {noun}" if level == "series" else plural(len(groups), noun)
    message = f"{count}{of} in more than one split ({where}), {plural(len(concerned), 'image')}"
    advice = "give each its patient (`ingest --patient-col`), so that it stays in one split"
    images = tuple(map(str, concerned["image_id"]))
    return [Finding(NAME, "error", message, advice, images, len(groups), groups=groups)]
