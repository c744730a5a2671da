"""Ingest: folders, tables or archives of images become one manifest with a split that does not leak.

On a data set that stands, ingest adds: images keep their split, new ones get one by the same rule.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from medimg_cli.audit.duplicates.across_splits import known_leak, pairs_path
from medimg_cli.dataset.ingest.collect import Changes
from medimg_cli.dataset.ingest.ingest import Ingest, reasons
from medimg_cli.dataset.ingest.preview import IngestPreview, preview_of
from medimg_cli.dataset.ingest.previous import read_previous, settings_in_force
from medimg_cli.dataset.labels import parts_of
from medimg_cli.dataset.layouts.clean_sources import clean_sources
from medimg_cli.dataset.layouts.tree import listing_once
from medimg_cli.dataset.leakage import Leak
from medimg_cli.dataset.listing import Rejected
from medimg_cli.dataset.manifest import SPLITS, Dataset, warn_of_edits
from medimg_cli.dataset.name_groups import NameGroups
from medimg_cli.errors import UsageError
from medimg_cli.images.readers import read_image
from medimg_cli.workspace.lock import dataset_lock
from medimg_cli.workspace.progress import Progress, Remarks, SilentProgress
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.settings import DeidentifySettings, IngestSettings
from medimg_cli.workspace.threads import in_part
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did.

    Args:
        images: usable images.
        patients: of these images; equals `images` when patients are not known.
        quarantined: files and rows that could not be used, each a row of `dataset/quarantine.csv`.
        quarantine: reason → how many of them.
        classes: images by class, in the order of every probability vector.
        splits: images by split.
        manifest: path of the manifest.
        positive: the disease class, None when neither named nor plain.
        notes: what the user should know, as reported to `progress` too.
        changes: what differs from the data set as it stood; on the first ingest every image is added.
        reused: images taken over without decoding, as their bytes are those of the last ingest.
        folds: parts that train and val are numbered in, None for none.
        first: there was no data set before.
        leak: test images with a counterpart in another split.
        groups: patterns by which file names group images, where patients are not known.
        label_source: how the label of an image was found.
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
    quarantine: dict[str, int] = field(default_factory=dict)
    first: bool = True
    label_source: str = ""
    groups: tuple[NameGroups, ...] = ()
    leak: Leak | None = None


def ingest(
    workspace: Workspace,
    sources: Sequence[Path],
    settings: IngestSettings,
    progress: Progress = SilentProgress(),
    *,
    code_book: Mapping[str, LabelCode] | None = None,
    cleaning: DeidentifySettings | None = None,
    tested: bool = False,
) -> IngestResult:
    """Write the manifest of `sources`: every image decoded once, every other file in quarantine with its reason.

    Where the workspace has a data set, its own sources are read again, and new ones with them: images keep
    the split they have, unchanged files are not decoded again, and what came, changed or went is named. The
    same sources and settings give the same bytes.

    Args:
        settings: what is not set comes from the data set that stands.
        code_book: class → what it means; goes into `dataset.json`.
        cleaning: how copies are de-identified where `settings.deidentify` asks for them.
        tested: a model that knows its classes is tested on the images: one class will do, and none is guessed ill.

    Raises:
        UsageError: a setting is wrong, contradicts another or the data set that stands; or the classes are
            implausible and `settings.assume_yes` is off.
        DataError: nothing readable, fewer than two classes, a class without images, no training images.
        MachineError: the workspace cannot be written, or another ingest is writing it.
    """
    _check(settings)
    if in_part() and settings.deidentify:
        raise UsageError("--shard cannot be had with --deidentify", "`medimg deidentify --shard I/N` first")
    with nullcontext() if in_part() else dataset_lock(workspace):
        previous = read_previous(workspace, fresh=settings.fresh)
        chosen = settings_in_force(settings, previous)
        remarks = Remarks(progress)
        warn_of_edits(previous.edited, remarks, "labels, patients and columns are as the sources say again")
        rejected: tuple[Rejected, ...] = ()
        if chosen.deidentify:
            if previous.info is None:  # what is refused is refused before copies are written
                before = Ingest(workspace, sources, chosen, previous, Remarks(SilentProgress()), read_image)
                before.read()
                before.label()
            clean = clean_sources(workspace, sources, chosen, cleaning or DeidentifySettings(), remarks)
            sources, chosen, rejected = clean.paths, clean.settings, clean.rejected
        made = Ingest(
            workspace, sources, chosen, previous, remarks, read_image, code_book, rejected, tested=tested
        )
        made.read()
        made.label()
        made.examine()
        made.split()
        made.write()
        leak = known_leak(workspace, Dataset(made.rows, made.info))
        if leak.near is None and pairs_path(workspace).is_file():
            remarks.warn(
                "what the last audit found of near duplicates does not hold here (other images, another version or a "
                "damaged file in audit/): `medimg label-audit` searches again"
            )
        if leak.images:
            remarks.warn(leak.line())
    return _result(made, leak)


def dry_run(
    workspace: Workspace,
    sources: Sequence[Path],
    settings: IngestSettings,
    progress: Progress = SilentProgress(),
    *,
    code_book: Mapping[str, LabelCode] | None = None,
) -> IngestPreview:
    """Return what `ingest` would do, from names and a sample of the images; nothing is written.

    Raises:
        UsageError, DataError: as `ingest` does, but for what is implausible: these are questions of the preview.
    """
    _check(settings)
    previous = read_previous(workspace, fresh=settings.fresh)
    chosen = settings_in_force(settings, previous)
    tried = Ingest(workspace, sources, chosen, previous, Remarks(progress), read_image, code_book, dry=True)
    with listing_once():
        tried.read()
        tried.label()
        tried.examine()
        tried.split()
        return preview_of(tried)


def _check(settings: IngestSettings) -> None:
    """Refuse settings that cannot be met, before anything is read."""
    if settings.use_split_col is not None and settings.labels is None and not settings.fresh:
        raise UsageError("--use-split-col names a column of a table", "add --labels FILE")


def _result(made: Ingest, leak: Leak) -> IngestResult:
    rows, info = made.rows, made.info
    of_split = Counter(rows["split"])
    of_class = Counter(
        part for label in rows["label"] for part in (parts_of(label) if info.multi_label else (label,))
    )
    return IngestResult(
        images=len(rows),
        patients=int(rows["patient_id"].nunique()),
        quarantined=len(made.quarantine),
        classes={name: of_class[name] for name in info.classes},
        splits={split: of_split[split] for split in SPLITS},
        manifest=made.workspace.manifest_path,
        positive=info.positive,
        positive_guessed=info.positive_guessed,
        layout=info.layout,
        patients_known=info.patients_known,
        notes=tuple(made.remarks.messages),
        changes=made.changes,
        reused=made.gathered.reused,
        folds=info.folds,
        quarantine=reasons(made.quarantine),
        first=made.previous.info is None,
        groups=made.groups,
        leak=leak,
        label_source=made.listing.label_source,
    )
