"""Patients who stand in more than one split."""

from medimg_cli.audit.checks import check, split_pairs
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding, Severity
from medimg_cli.dataset.manifest import leaks
from medimg_cli.workspace.plain_text import plural

NAME = "patients-across-splits"


@check(NAME, "images of one patient stand in more than one split: the test is not independent")
def patients_across_splits(context: AuditContext) -> Checked:
    """Look for patients on both sides of a split.

    Raises:
        CheckSkipped: patients are not known, so each image stands as its own.
    """
    if not context.dataset.info.patients_known:
        raise CheckSkipped("patients are not known; give `ingest --patient-col` or `--patient-regex`")
    rows = context.dataset.usable
    patients = leaks(rows)["patients"]
    did = f"{plural(rows['patient_id'].nunique(), 'patient')} looked for in every split"
    if not patients:
        return Checked((), did)
    concerned = rows[rows["patient_id"].isin(patients)]
    where = split_pairs(part for _, part in concerned.groupby("patient_id")["split"])
    if context.dataset.info.patients_certain:
        severity: Severity = "error"
        what = plural(len(patients), "patient")
        advice = "put a patient into one split; `medimg ingest` does, unless the source or --use-split-col fixes them"
    else:
        severity = "warning"
        what = plural(len(patients), "patient name")
        advice = (
            "names read from files may start again in each folder: make --patient-regex more specific, "
            "or find out whether these are the same patients"
        )
    message = f"{what} in more than one split ({where}), {plural(len(concerned), 'image')}"
    found = Finding(NAME, severity, message, advice, tuple(concerned["image_id"]), len(patients))
    return Checked((found,), did)
