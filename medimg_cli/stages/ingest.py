"""Ingest: folders, tables or archives of images become one manifest with a split that does not leak."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medimg_cli.core.config import IngestSettings
from medimg_cli.core.examined import Examined, copy_into, examine, quarantine_row
from medimg_cli.core.labels import LabelSpace, guess_positive
from medimg_cli.core.listing import Listing, Rejected
from medimg_cli.core.manifest import (
    COLUMNS,
    QUARANTINE_COLUMNS,
    SPLITS,
    Dataset,
    DatasetInfo,
    leaks,
    write_dataset,
)
from medimg_cli.core.patients import UNKNOWN, patient_pattern, patients_of
from medimg_cli.core.pool import map_ordered
from medimg_cli.core.progress import Progress, Remarks, SilentProgress, tracked
from medimg_cli.core.splits import complete_splits, group_identical
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError, UsageError
from medimg_cli.layouts import LAYOUTS, find_layout, name_sources
from medimg_cli.readers import read_image


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did.

    Args:
        images: usable images.
        patients: of these images; equals `images` when patients are not known.
        quarantined: files and rows that could not be used, each a row of `dataset/quarantine.csv`.
        classes: images by class, in the order of every probability vector.
        splits: images by split.
        manifest: path of the manifest.
        positive: the disease class, None when neither named nor plain.
        notes: what the user should know, as told to `progress` too.
    """

    images: int
    patients: int
    quarantined: int
    classes: dict[str, int]
    splits: dict[str, int]
    manifest: Path
    positive: str | None
    positive_guessed: bool
    layout: str
    patients_known: bool
    notes: tuple[str, ...]


def ingest(
    workspace: Workspace,
    sources: Sequence[Path],
    settings: IngestSettings,
    progress: Progress = SilentProgress(),
) -> IngestResult:
    """Write the manifest of `sources`: every image decoded once, every other file in quarantine with its reason.

    The same sources and settings give the same bytes.

    Raises:
        UsageError: a setting is wrong or contradicts another.
        DataError: nothing readable, fewer than two classes, a class without images, no training images.
        MachineError: the workspace cannot be written.
    """
    _check(settings)
    pattern = None if settings.patient_regex is None else patient_pattern(settings.patient_regex)
    layout, listing = _list(workspace, sources, settings)
    remarks = Remarks(progress)
    for note in listing.notes:
        remarks.note(note)
    space = _label_space(listing, settings)
    images, quarantine = _examine_all(workspace, listing, progress)
    _refuse_empty_classes(space, images, quarantine)
    patients, origin = patients_of(images, pattern, remarks)
    rows = _rows(images, patients)
    rows["split"] = _splits(rows, images, settings)
    rows["path"] = _paths(workspace, images, settings)
    info = DatasetInfo(
        classes=space.classes,
        positive=space.positive,
        positive_guessed=space.positive is not None and settings.positive is None,
        seed=settings.seed,
        layout=layout,
        sources=tuple(workspace.relative(source) for source in sources),
        patients_known=origin != UNKNOWN,
        patients_from=origin,
        splits_given=any(image.entry.split for image in images),
        split_origin=_split_origin(images, rows, settings, known=origin != UNKNOWN),
    )
    _remark(rows, info, settings, remarks)
    write_dataset(workspace, Dataset(rows, info), quarantine)
    return _result(workspace, rows, info, len(quarantine), remarks)


def _check(settings: IngestSettings) -> None:
    """Refuse settings that contradict each other, before anything is read."""
    if settings.multi_label:
        raise UsageError(
            "--multi-label: images with several labels cannot be ingested", "give one label an image"
        )
    if settings.use_split_col is not None and settings.labels is None:
        raise UsageError("--use-split-col names a column of a table", "add --labels FILE")


def _list(workspace: Workspace, paths: Sequence[Path], settings: IngestSettings) -> tuple[str, Listing]:
    artefacts = (workspace.manifest_path.parent, workspace.audit_dir, workspace.cache_dir, workspace.runs_dir)
    table = [] if settings.labels is None else [settings.labels.absolute()]
    sources = name_sources(paths, ignored=[*artefacts, workspace.settings_path, *table])
    layout = find_layout(sources, settings)
    return layout, LAYOUTS.get(layout).list_images(sources, settings)


def _examine_all(
    workspace: Workspace, listing: Listing, progress: Progress
) -> tuple[list[Examined], pd.DataFrame]:
    """Decode every image once; return those that could be, by image id, and a row for everything else."""
    images: list[Examined] = []
    rejected = list(listing.rejected)
    examined = map_ordered(lambda entry: examine(entry, read_image), listing.entries)
    for outcome in tracked(examined, progress, "reading images", total=len(listing.entries)):
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
        else:
            images.append(outcome)
    rows = list(map_ordered(lambda row: quarantine_row(workspace, row), rejected))
    rows.sort(key=lambda row: (str(row["path"]), str(row["reason"])))
    return images, pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS))


def _label_space(listing: Listing, settings: IngestSettings) -> LabelSpace:
    """Return the classes and the disease among them; told before hours are spent on decoding."""
    if not listing.entries:
        reasons = Counter(row.reason for row in listing.rejected).most_common(1)
        said = f": {reasons[0][0]} ({reasons[0][1]} of {len(listing.rejected)} files)" if reasons else ""
        raise DataError(f"no image was found{said}", "check the source, and --layout")
    if len(listing.classes) < 2:
        raise DataError(
            f"only one class: '{listing.classes[0]}'",
            "a classifier needs two class folders or labels at least",
        )
    return LabelSpace(listing.classes, settings.positive or guess_positive(listing.classes))


def _refuse_empty_classes(space: LabelSpace, images: Sequence[Examined], quarantine: pd.DataFrame) -> None:
    if not images:
        reason, count = Counter(quarantine["reason"]).most_common(1)[0]
        raise DataError(
            f"no image could be read: {reason} ({count} of {len(quarantine)} files)", "check the source"
        )
    present = {image.entry.label for image in images}
    empty = next((name for name in space.classes if name not in present), None)
    if empty is not None:
        raise DataError(
            f"class '{empty}' has no readable image",
            "add images, or take its folder or rows out of the source",
        )


def _rows(images: Sequence[Examined], patients: Sequence[str]) -> pd.DataFrame:
    """Return the manifest but for splits and paths, empty cells as ""."""
    rows = pd.DataFrame([image.cells for image in images])
    text = [column for column in rows.columns if column not in COLUMNS]
    rows[text] = rows[text].fillna("")
    rows["patient_id"] = list(patients)
    return rows


def _splits(rows: pd.DataFrame, images: Sequence[Examined], settings: IngestSettings) -> list[str]:
    splits = complete_splits(
        list(rows["label"]),
        group_identical(list(rows["patient_id"]), list(rows["sha256"])),
        [image.entry.split for image in images],
        fractions=dict(zip(SPLITS, settings.split, strict=True)),
        seed=settings.seed,
    )
    if "train" not in splits:
        raise DataError(
            "no image is in the train split", "name another split column, or leave --use-split-col out"
        )
    return splits


def _split_origin(
    images: Sequence[Examined], rows: pd.DataFrame, settings: IngestSettings, *, known: bool
) -> str:
    given = {image.entry.split for image in images}
    grouped = "patient-grouped, " if known else ""
    made = f"{grouped}stratified, seed {settings.seed}"
    if given == {None}:
        return made
    if None in given:
        return f"official where given, the rest {made}"
    return f"official; val cut from train, {made}" if set(rows["split"]) > given else "official"


def _paths(workspace: Workspace, images: Sequence[Examined], settings: IngestSettings) -> list[str]:
    """Return the manifest path of each image, after copying the files where that is asked for."""
    if settings.copy_images:
        return [copy_into(workspace, image.entry) for image in images]
    return [workspace.relative(Path(image.entry.path)) for image in images]


def _remark(rows: pd.DataFrame, info: DatasetInfo, settings: IngestSettings, remarks: Remarks) -> None:
    """Say what a careful reader of the manifest would ask about."""
    if info.positive_guessed:
        remarks.note(f"'{info.positive}' is taken for the disease class (--positive names another)")
    elif info.positive is None:
        remarks.note("no disease class is named: recall comes per class only (--positive CLASS)")
    alike = [name for name, count in Counter(name.casefold() for name in info.classes).items() if count > 1]
    if alike:
        remarks.warn(f"classes differ in upper and lower case only: {', '.join(alike)}")
    wanted = [split for split, share in zip(SPLITS, settings.split, strict=True) if share > 0]
    for split in wanted:
        missing = [
            name for name in info.classes if name not in set(rows.loc[rows["split"] == split, "label"])
        ]
        if len(missing) == len(info.classes):
            remarks.warn(f"no image is in the {split} split")
        elif missing:
            remarks.warn(f"the {split} split has no image of {', '.join(missing)}")
    both = leaks(rows)
    if both["patients"] or both["files"]:
        remarks.warn(
            f"{len(both['patients'])} patients and {len(both['files'])} identical files stand in more than one "
            "official split; `medimg label-audit` names them"
        )


def _result(
    workspace: Workspace, rows: pd.DataFrame, info: DatasetInfo, quarantined: int, remarks: Remarks
) -> IngestResult:
    of_class, of_split = Counter(rows["label"]), Counter(rows["split"])
    return IngestResult(
        images=len(rows),
        patients=int(rows["patient_id"].nunique()),
        quarantined=quarantined,
        classes={name: of_class[name] for name in info.classes},
        splits={split: of_split[split] for split in SPLITS},
        manifest=workspace.manifest_path,
        positive=info.positive,
        positive_guessed=info.positive_guessed,
        layout=info.layout,
        patients_known=info.patients_known,
        notes=tuple(remarks.said),
    )
