"""Whether the manifest, the files and the record of the data set still agree."""

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from medimg_cli.audit.checks import check, label_sets
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Severity
from medimg_cli.dataset.manifest import SPLITS, STATES
from medimg_cli.dataset.official_splits import official_splits
from medimg_cli.workspace.plain_text import plural

NAME = "splits-and-manifest"


@check(NAME, "files vanished or changed since ingest, or rows of the manifest contradict its record")
def splits_and_manifest(context: AuditContext) -> Checked:
    """Compare each row with its file as the audit measured it, and with `dataset.json`."""
    rows = context.dataset.rows
    usable = context.dataset.usable
    shared = rows["image_id"].duplicated(keep=False)
    files = usable[~shared[usable.index]].join(context.measurements["sha256"].rename("found"), on="image_id")
    gone = files["found"].eq("")
    changed = files["found"].notna() & ~gone & files["found"].ne(files["sha256"])
    classes = set(context.dataset.info.classes)
    official = official_splits([str(image) for image in usable["image_id"]], context.dataset.info)
    unknown = [not labels <= classes for labels in label_sets(usable, context.dataset.info)]
    found = (
        *_rows(
            files[gone],
            "error",
            "without its file: moved, deleted or not to be opened",
            "put the files back, or run `medimg ingest` again",
        ),
        *_rows(
            files[changed],
            "error",
            "whose content is not the one that was ingested",
            "run `medimg ingest` again; what was trained or evaluated before is about other pixels",
        ),
        *_rows(
            rows[shared],
            "error",
            "with an image_id that another row has too",
            "image_id must be unique: run `medimg ingest` again",
        ),
        *_rows(
            usable[unknown], "error", "with a label that is no class", "correct the label in the manifest"
        ),
        *_rows(
            usable[~usable["split"].isin(SPLITS)],
            "error",
            f"in no split (known: {', '.join(SPLITS)})",
            "correct the split in the manifest, or run `medimg ingest` again",
        ),
        *_rows(
            rows[~rows["status"].isin(STATES)],
            "error",
            f"with a status that means nothing (known: {', '.join(STATES)}): every command passes over them",
            "correct the status in the manifest",
        ),
        *_rows(
            usable[usable["patient_id"].eq("")],
            "error",
            "without a patient: they count as images of one and the same",
            "fill in patient_id, or run `medimg ingest` again",
        ),
        *_official(usable, official),
        *_edited(context),
    )
    return Checked(found, _did(len(rows), official))


def _official(usable: pd.DataFrame, source_splits: Sequence[str | None]) -> list[Finding]:
    """Report rows in another split than the one their source gave them; val may be cut from an official train."""
    cut = "val" not in source_splits
    moved = [
        official is not None and split != official and not (cut and (official, split) == ("train", "val"))
        for official, split in zip(source_splits, usable["split"], strict=True)
    ]
    ways = Counter(
        f"{official} to {split}"
        for official, split, is_moved in zip(source_splits, usable["split"], moved, strict=True)
        if is_moved
    )
    shown = ", ".join(f"{way}: {count:,}" for way, count in sorted(ways.items()))
    return _rows(
        usable[moved],
        "error",
        f"in another split than the official one of their source ({shown})",
        "put the official split back or say that results cannot be compared with published ones",
    )


def _did(rows: int, source_splits: Sequence[str | None]) -> str:
    official = sum(split is not None for split in source_splits)
    did = f"{plural(rows, 'row')} compared with their files and the record"
    return f"{did}, {official:,} of them with the official split of their source" if official else did


def _rows(rows: pd.DataFrame, severity: Severity, what: str, advice: str) -> list[Finding]:
    if rows.empty:
        return []
    message = f"{plural(len(rows), 'row')} {what}"
    return [Finding(NAME, severity, message, advice, tuple(rows["image_id"]), len(rows))]


def _edited(context: AuditContext) -> list[Finding]:
    recorded = context.dataset.info.content_hash
    if not recorded or recorded == context.dataset.content_hash():
        return []
    message = "dataset/manifest.csv was edited after ingest: its content no longer has the recorded hash"
    advice = "keep a note of what was edited and why: the report cannot know"
    return [Finding(NAME, "info", message, advice, (), 1)]
