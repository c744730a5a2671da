"""Images whose pixels are equal, whatever their files are called and however they were packed."""

import pandas as pd

from medimg_cli.audit.checks import check, label_sets, labels_conflict, named_patients, split_pairs
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Remedy, Severity
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.plain_text import plural

NAME = "exact-duplicates"


@check(NAME, "the same picture stands more than once: in two splits, classes or patients, or as a copy")
def exact_duplicates(context: AuditContext) -> Checked:
    """Group images by their pixels and say what each group breaks.

    A group with several labels is a label conflict; apart from that it counts once, under the worst of:
    several splits, several patients (where patients are known), a plain copy.
    """
    rows = _duplicated(context)
    groups = [group for _, group in rows.groupby("pixel_sha256", sort=False)]
    conflicts = [group for group in groups if labels_conflict(group)]
    across = [group for group in groups if group["split"].nunique() > 1]
    within = [group for group in groups if group["split"].nunique() == 1]
    patients, copies = [], []
    for group in within:
        if context.dataset.info.patients_known and named_patients(group) > 1:
            patients.append(group)
        elif not labels_conflict(group):
            copies.append(group)
    found = (
        *_finding(
            conflicts,
            "error",
            "across classes, a label conflict: the label of at least one is wrong",
            "ask a reader which label is right, correct or exclude the others",
        ),
        *_finding(
            across,
            "error",
            f"across splits ({split_pairs(group['split'] for group in across)}): seen before they are measured",
            "keep one of each group, or put a group into one split",
            "keep-one",
        ),
        *_finding(
            patients,
            "warning",
            "under different patients, within one split",
            "check which patient is right: a split by patient relies on it",
        ),
        *_finding(
            copies,
            "warning",
            "within one class and split: they count several times",
            "keep one of each group",
            "keep-one",
        ),
    )
    return Checked(found, f"{plural(len(context.measurements), 'image')} compared by their pixels")


def _duplicated(context: AuditContext) -> pd.DataFrame:
    """Return the usable images that share their pixels with another: manifest columns, pixels, labels."""
    rows = context.dataset.usable.join(context.measurements[["readable", "pixel_sha256"]], on="image_id")
    rows = rows[rows["readable"].eq(True) & rows["pixel_sha256"].fillna("").ne("")]
    rows = rows[rows["pixel_sha256"].duplicated(keep=False)]
    labels = ["|".join(sorted(labels)) for labels in label_sets(rows, context.dataset.info)]
    return rows.assign(labels=labels)


def _finding(
    groups: list[pd.DataFrame], severity: Severity, where: str, advice: str, remedy: Remedy = "look"
) -> list[Finding]:
    if not groups:
        return []
    ids = [str(image) for group in groups for image in group["image_id"]]
    example = " = ".join(f"'{mask_identities(str(image))}'" for image in groups[0]["image_id"].head(3))
    what = f"{plural(len(groups), 'group')} of identical images ({plural(len(ids), 'image')})"
    members = tuple(tuple(map(str, group["image_id"])) for group in groups)
    return [
        Finding(
            NAME,
            severity,
            f"{what} {where}; such as {example}",
            advice,
            tuple(ids),
            len(groups),
            groups=members,
            remedy=remedy,
        )
    ]
