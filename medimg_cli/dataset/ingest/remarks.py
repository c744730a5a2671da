"""What a careful reader of a fresh manifest would ask about."""

from collections import Counter

import pandas as pd

from medimg_cli.dataset.ingest.collect import Changes
from medimg_cli.dataset.ingest.previous import Standing
from medimg_cli.dataset.labels import parts_of
from medimg_cli.dataset.manifest import SPLITS, DatasetInfo, leaks
from medimg_cli.errors import DataError
from medimg_cli.workspace.progress import Remarks
from medimg_cli.workspace.settings import IngestSettings


def refuse_one_patient(rows: pd.DataFrame, info: DatasetInfo, settings: IngestSettings) -> None:
    """Refuse a data set of one known patient: nobody would be left to validate on.

    Raises:
        DataError: it is one, and no split was asked to stay empty or given by the source.
    """
    if not info.patients_known or info.splits_given or settings.split[0] == 1:
        return
    if rows["patient_id"].nunique() == 1:
        raise DataError(
            f"all {len(rows)} images belong to one patient, '{rows['patient_id'].iloc[0]}'",
            "add images of other patients, or correct --patient-regex or --patient-col",
        )


def remark(
    rows: pd.DataFrame,
    info: DatasetInfo,
    settings: IngestSettings,
    standing: Standing,
    changes: Changes,
    remarks: Remarks,
) -> None:
    """Tell what was guessed, what is missing, and what differs from the data set as it stood."""
    if info.positive_guessed:
        remarks.note(f"'{info.positive}' is taken for the disease class (--positive names another)")
    elif info.positive is None:
        remarks.note("no disease class is named: recall comes per class only (--positive CLASS)")
    alike = [name for name, count in Counter(name.casefold() for name in info.classes).items() if count > 1]
    if alike:
        names = [name for name in info.classes if name.casefold() in alike]
        remarks.warn(
            f"classes differ in upper and lower case only: {', '.join(alike)} (--map {names[1]}={names[0]} makes them one)"
        )
    _remark_splits(rows, info, settings, remarks)
    if standing.info is not None:
        _remark_changes(rows, standing, changes, remarks)


def _remark_splits(rows: pd.DataFrame, info: DatasetInfo, settings: IngestSettings, remarks: Remarks) -> None:
    for split, share in zip(SPLITS, settings.split, strict=True):
        if share == 0:
            continue
        labels = set(rows.loc[rows["split"] == split, "label"])
        present = {part for label in labels for part in (label, *parts_of(label))}
        missing = [name for name in info.classes if name not in present]
        if not labels:
            remarks.warn(f"no image is in the {split} split")
        elif missing:
            remarks.warn(f"the {split} split has no image of {', '.join(missing)}")
    both = leaks(rows)
    if both["patients"] or both["files"]:
        kind = "official split" if info.splits_given else "split"
        remarks.warn(
            f"{len(both['patients'])} patients and {len(both['files'])} identical files stand in more than one "
            f"{kind}; `medimg label-audit` names them"
        )


def _remark_changes(rows: pd.DataFrame, standing: Standing, changes: Changes, remarks: Remarks) -> None:
    relabelled = [
        image
        for image, label in zip(rows["image_id"], rows["label"], strict=True)
        if image in standing and standing.cell(image, "label") != label
    ]
    lines = changes.lines()
    for line in lines:
        remarks.note(line)
    if relabelled:
        remarks.note(f"{len(relabelled):,} have another label now: {', '.join(relabelled[:3])}")
    if not lines and not relabelled:
        remarks.note("nothing is new, changed or gone: the data set is as it was")
