"""Identities in the columns of the manifest: record numbers, names, dates, addresses."""

import pandas as pd

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Severity
from medimg_cli.dataset.listing import without_frame
from medimg_cli.dataset.manifest import COLUMNS
from medimg_cli.privacy.forms.manifest_columns import ColumnIdentity, identities_in_column
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.plain_text import plural

NAME = "raw-identifiers"
_ADVICE = {
    "patient_id": "replace the ids by a code (--patient-col of a pseudonym, or `medimg ingest --deidentify`)",
    "image_id": "name the images by a code and ingest them again",
}
_DROP = "leave the column out of the table, or replace its values by a code, and ingest again"


@check(NAME, "columns of the manifest hold record numbers, names of persons, birth dates or addresses")
def raw_identifiers(context: AuditContext) -> Checked:
    """Look at `patient_id`, at image ids that are no file names, and at every column carried along.

    The manifest goes into predictions, tables and reports, so what stands there does too.
    """
    rows = context.dataset.usable
    columns = ["patient_id", "image_id", *(str(column) for column in rows.columns if column not in COLUMNS)]
    findings = [
        _finding(column, identity, rows)
        for column in columns
        for identity in identities_in_column(column, _values(rows, column))
    ]
    return Checked(
        tuple(findings), f"{plural(len(columns), 'column')} of {plural(len(rows), 'row')} looked at"
    )


def _values(rows: pd.DataFrame, column: str) -> list[str]:
    """Return the values of a column (N), "" where they only repeat the file's name: that is file-names' matter."""
    values = [str(value) for value in rows[column]]
    if column == "image_id":
        return [
            "" if without_frame(v).rpartition("/")[2] in path else v
            for v, path in zip(values, rows["path"], strict=True)
        ]
    if column == "patient_id":
        images = rows["image_id"]
        return ["" if v == without_frame(image) else v for v, image in zip(values, images, strict=True)]
    return values


def _finding(column: str, identity: ColumnIdentity, rows: pd.DataFrame) -> Finding:
    images = tuple(str(rows["image_id"].iloc[row]) for row in identity.rows)
    message = f"column {mask_identities(column)} holds {identity.words} in {plural(len(images), 'row')} (Safe Harbor {identity.letter})"
    severity: Severity = "warning" if identity.direct else "info"
    return Finding(NAME, severity, message, _ADVICE.get(column, _DROP), images, len(images))
