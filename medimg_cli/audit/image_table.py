"""The audit's second table: one row for every image of every finding, for a spreadsheet or a script."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pandas as pd

from medimg_cli.audit.findings import Finding
from medimg_cli.workspace.tables import write_table
from medimg_cli.workspace.workspace import Workspace

COLUMNS = (
    "finding",
    "check",
    "severity",
    "image_id",
    "group",
    "label",
    "split",
    "patient_id",
    "path",
    "note",
)


def write_images(
    workspace: Workspace, findings: Sequence[Finding], rows: pd.DataFrame, mask: Callable[[str], str]
) -> None:
    """Write `audit/images.csv` atomically.

    `finding` is the row of `findings.csv` from 1, `group` numbers what belongs together inside it ("" where each
    image stands alone). The id is the manifest's, to join on; path and patient are masked.

    Args:
        rows: the manifest.
        mask: hides what looks like an identity.
    """
    known = rows.drop_duplicates("image_id").set_index("image_id")[["label", "split", "patient_id", "path"]]
    named = {image for finding in findings for image in finding.image_ids}
    known = known.loc[known.index.isin(named)]
    facts = known.assign(patient_id=known["patient_id"].map(mask), path=known["path"].map(mask)).to_dict(
        "index"
    )
    nothing = dict.fromkeys(known.columns, "")
    lines = [
        {"finding": number, **line, **facts.get(line["image_id"], nothing)}
        for number, finding in enumerate(findings, start=1)
        for line in _lines(finding)
    ]
    write_table(workspace.audit_dir / "images.csv", pd.DataFrame(lines, columns=list(COLUMNS)))


def _lines(finding: Finding) -> Iterator[dict[str, Any]]:
    """Yield one line for each image of a finding; an image of two groups has two."""
    grouped = [
        (str(number), image) for number, group in enumerate(finding.groups, start=1) for image in group
    ]
    placed = {image for _, image in grouped}
    alone = [("", image) for image in finding.image_ids if image not in placed]
    for group, image in [*grouped, *alone]:
        yield {
            "check": finding.check,
            "severity": finding.severity,
            "image_id": image,
            "group": group,
            "note": finding.notes.get(image, ""),
        }
