"""Ingest: folders, tables or archives of images become one manifest with a split that does not leak.

On a data set that stands, ingest adds: images keep their split, new ones get one by the same rule.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medimg_cli.dataset.class_space import (
    code_book_for,
    label_space,
    refuse_empty_classes,
    without_foreign_classes,
)
from medimg_cli.dataset.frames import choose_frames
from medimg_cli.dataset.ingest.collect import Changes, Gathered, compare
from medimg_cli.dataset.ingest.examine import Copier, Examiner, quarantine_row
from medimg_cli.dataset.ingest.previous import (
    Containers,
    Standing,
    read_standing,
    settings_in_force,
    to_remember,
)
from medimg_cli.dataset.ingest.remarks import refuse_one_patient, remark
from medimg_cli.dataset.ingest.sources import Reading, merge, plan_readings, records
from medimg_cli.dataset.labels import parts_of
from medimg_cli.dataset.layouts import LAYOUTS, find_layout, name_sources
from medimg_cli.dataset.layouts.clean_sources import clean_sources
from medimg_cli.dataset.listing import Entry, Listing, Rejected
from medimg_cli.dataset.manifest import (
    QUARANTINE_COLUMNS,
    SPLITS,
    Dataset,
    DatasetInfo,
    read_quarantine,
    write_dataset,
)
from medimg_cli.dataset.patients import UNKNOWN, patient_pattern, patients_of
from medimg_cli.dataset.split_plan import SplitPlan
from medimg_cli.errors import UsageError
from medimg_cli.images.readers import frame_count, read_image
from medimg_cli.workspace.lock import dataset_lock
from medimg_cli.workspace.progress import Progress, Remarks, SilentProgress, tracked
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.settings import DeidentifySettings, IngestSettings
from medimg_cli.workspace.threads import map_ordered
from medimg_cli.workspace.workspace import Workspace

VANISHED = "vanished since the last ingest"
VANISHED_EARLIER = "vanished since an earlier ingest"


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
        changes: what differs from the data set as it stood; on the first ingest every image is added.
        reused: images taken over without decoding, as their bytes are those of the last ingest.
        folds: parts that train and val are numbered in, None for none.
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
    changes: Changes
    reused: int
    folds: int | None


def ingest(
    workspace: Workspace,
    sources: Sequence[Path],
    settings: IngestSettings,
    progress: Progress = SilentProgress(),
    *,
    code_book: Mapping[str, LabelCode] | None = None,
    cleaning: DeidentifySettings | None = None,
) -> IngestResult:
    """Write the manifest of `sources`: every image decoded once, every other file in quarantine with its reason.

    Where the workspace has a data set, its own sources are read again, and new ones with them: images keep
    the split they have, unchanged files are not decoded again, and what came, changed or went is named. The
    same sources and settings give the same bytes.

    Args:
        settings: what is not set comes from the data set that stands.
        code_book: class → what it means; goes into `dataset.json`.
        cleaning: how copies are de-identified where `settings.deidentify` asks for them.

    Raises:
        UsageError: a setting is wrong, contradicts another or the data set that stands.
        DataError: nothing readable, fewer than two classes, a class without images, no training images.
        MachineError: the workspace cannot be written, or another ingest is writing it.
    """
    _check(settings)
    with dataset_lock(workspace):
        standing = read_standing(workspace, fresh=settings.fresh)
        chosen = settings_in_force(settings, standing)
        remarks = Remarks(progress)
        if not chosen.deidentify:
            return _ingest(workspace, sources, chosen, standing, remarks, code_book, ())
        clean = clean_sources(workspace, sources, chosen, cleaning or DeidentifySettings(), remarks)
        return _ingest(workspace, clean.paths, clean.settings, standing, remarks, code_book, clean.rejected)


def _ingest(
    workspace: Workspace,
    sources: Sequence[Path],
    settings: IngestSettings,
    standing: Standing,
    remarks: Remarks,
    code_book: Mapping[str, LabelCode] | None,
    rejected_before: tuple[Rejected, ...],
) -> IngestResult:
    pattern = None if settings.patient_regex is None else patient_pattern(settings.patient_regex)
    readings = _readings(workspace, sources, settings, standing)
    listings = [LAYOUTS.get(layout).list_images(r.sources, r.settings) for layout, r in readings]
    for (_, reading), found in zip(readings, listings, strict=True):
        if not found.entries and len(listings) > 1:
            remarks.warn(f"no image was found in {', '.join(str(source.path) for source in reading.sources)}")
    listing = merge(listings, rejected_before)
    for note in listing.notes:
        remarks.note(note)
    space = label_space(listing, settings)
    containers = Containers({} if standing.info is None else standing.info.containers)
    gathered, rejected = _examine_all(workspace, listing, settings, standing, containers, remarks.progress)
    changes = compare(gathered, standing)
    quarantine = _quarantine(workspace, rejected, gathered, changes, standing)
    space = without_foreign_classes(space, gathered.foreign_labels(), settings, standing, remarks)
    refuse_empty_classes(space, gathered.labels(), list(quarantine["reason"]))
    patients, origin = patients_of(gathered.entries, gathered.headers, pattern, standing, remarks)
    rows = gathered.frame(standing.further_columns)
    rows["patient_id"] = patients
    splits = SplitPlan(gathered.entries, patients, list(rows["sha256"]), settings, standing)
    rows["split"] = splits.assign()
    if settings.folds is not None:
        rows["fold"] = splits.folds(list(rows["split"]))
    rows["path"] = _paths(workspace, gathered, settings)
    info = DatasetInfo(
        classes=space.classes,
        positive=space.positive,
        positive_guessed=space.positive is not None and settings.positive is None,
        multi_label=settings.multi_label,
        seed=settings.seed,
        layout="+".join(dict.fromkeys(layout for layout, _ in readings)),
        sources=tuple(workspace.relative(source.path) for _, r in readings for source in r.sources),
        patients_known=origin != UNKNOWN,
        patients_from=origin,
        splits_given=splits.official,
        split_origin=splits.origin(list(rows["split"]), known=origin != UNKNOWN),
        folds=settings.folds,
        code_book=code_book_for(space, code_book, standing),
        origins=records(workspace, readings),
        settings=to_remember(settings),
        containers=dict(sorted(containers.hashes.items())),
        vanished=standing.splits_to_keep(changes.lost, gathered.entries),
    )
    refuse_one_patient(rows, info, settings)
    remark(rows, info, settings, standing, changes, remarks)
    write_dataset(workspace, Dataset(rows, info), quarantine)
    return _result(workspace, rows, info, len(quarantine), gathered.reused, changes, remarks)


def _check(settings: IngestSettings) -> None:
    """Refuse settings that cannot be met, before anything is read."""
    if settings.use_split_col is not None and settings.labels is None and not settings.fresh:
        raise UsageError("--use-split-col names a column of a table", "add --labels FILE")


def _readings(
    workspace: Workspace, paths: Sequence[Path], settings: IngestSettings, standing: Standing
) -> list[tuple[str, Reading]]:
    """Return the layout and the sources of each reading."""
    taken = () if standing.info is None else tuple(origin.prefix for origin in standing.info.origins)
    named = name_sources(paths, taken=taken)
    readings = plan_readings(workspace, named, settings, standing)
    return [(find_layout(reading.sources, reading.settings), reading) for reading in readings]


def _examine_all(
    workspace: Workspace,
    listing: Listing,
    settings: IngestSettings,
    standing: Standing,
    containers: Containers,
    progress: Progress,
) -> tuple[Gathered, list[Rejected]]:
    """Decode every new or changed image once; return the usable ones and a reason for everything else."""
    rejected = list(listing.rejected)
    entries: list[Entry] = []
    for choice in _frames(listing, settings):
        if isinstance(choice, Rejected):
            rejected.append(choice)
        else:
            entries.append(choice)
    gathered = Gathered()
    examiner = Examiner(workspace, read_image, standing, containers)
    examined = tracked(map_ordered(examiner.examine, entries), progress, "reading images", total=len(entries))
    for entry, outcome in zip(entries, examined, strict=True):
        if isinstance(outcome, Rejected):
            rejected.append(outcome)
            gathered.lose(entry, outcome.reason)
        else:
            gathered.add(outcome, standing)
    return gathered, rejected


def _frames(listing: Listing, settings: IngestSettings) -> Iterator[Entry | Rejected]:
    if settings.frames == "middle":  # the readers' own choice: no header needs to be opened for it
        yield from listing.entries
        return
    for choices in map_ordered(
        lambda entry: list(choose_frames(entry, settings.frames, frame_count)), listing.entries
    ):
        yield from choices


def _quarantine(
    workspace: Workspace,
    rejected: Sequence[Rejected],
    gathered: Gathered,
    changes: Changes,
    standing: Standing,
) -> pd.DataFrame:
    """Return a row for everything that cannot be used, and for every image that is gone."""
    rows = list(map_ordered(lambda row: quarantine_row(workspace, row), rejected))
    known = {row["path"] for row in rows} | {workspace.relative(Path(e.path)) for e in gathered.entries}
    gone = dict.fromkeys((standing.cell(name, "path") for name in changes.vanished), VANISHED)
    if standing.info is not None:
        earlier = read_quarantine(workspace)
        earlier = earlier[earlier["reason"].isin([VANISHED, VANISHED_EARLIER])]
        gone = dict.fromkeys(earlier["path"], VANISHED_EARLIER) | gone
    rows += [
        {"path": path, "reason": reason, "bytes": "", "sha256": ""}
        for path, reason in gone.items()
        if path not in known
    ]
    rows.sort(key=lambda row: (str(row["path"]), str(row["reason"])))
    return pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS))


def _paths(workspace: Workspace, gathered: Gathered, settings: IngestSettings) -> list[str]:
    """Return the manifest path of each image, after copying the files where that is asked for."""
    if settings.copy_images and not settings.deidentify:  # de-identified copies stand there already
        copier = Copier(workspace)
        return [copier.copy(entry) for entry in gathered.entries]
    return [workspace.relative(Path(entry.path)) for entry in gathered.entries]


def _result(
    workspace: Workspace,
    rows: pd.DataFrame,
    info: DatasetInfo,
    quarantined: int,
    reused: int,
    changes: Changes,
    remarks: Remarks,
) -> IngestResult:
    of_split = Counter(rows["split"])
    of_class = Counter(
        part for label in rows["label"] for part in (parts_of(label) if info.multi_label else (label,))
    )
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
        changes=changes,
        reused=reused,
        folds=info.folds,
    )
