"""Examined images column by column: a million of them as dictionaries would not fit into memory."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from shlex import quote
from typing import Any

import pandas as pd

from medimg_cli.dataset.ingest.examine import Examined
from medimg_cli.dataset.ingest.previous import PreviousDataset
from medimg_cli.dataset.labels import parts_of
from medimg_cli.dataset.listing import Entry, without_frame
from medimg_cli.dataset.manifest import COLUMNS, RELABELLED, SPLITS, DatasetInfo, leaks
from medimg_cli.errors import DataError
from medimg_cli.workspace.progress import Remarks
from medimg_cli.workspace.settings import IngestSettings

_NAMED = 3
_SAME_NAMES = (
    "nothing is new or gone; whether the bytes of an image changed, ingest without --dry-run looks up"
)
_NO_IMAGE = "not an image"
"""How a reader begins to say that a file is of another kind altogether."""


@dataclass
class Gathered:
    """The usable images, in the order of their listing.

    Args:
        entries: what the source states of each.
        headers: patient_id, study_uid and series_uid of each one's DICOM header, those there are.
        unreadable: ids of the listed images that could not be read.
        changed: ids of images that stood with other bytes.
        reused: images whose earlier row was taken over without decoding.
    """

    entries: list[Entry] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    reused: int = 0
    _columns: dict[str, list[Any]] = field(default_factory=dict)
    _foreign: set[str] = field(default_factory=set)
    _damaged: set[str] = field(default_factory=set)
    _lost: Counter[tuple[str, str, str]] = field(default_factory=Counter)

    def add(self, image: Examined, previous: PreviousDataset) -> None:
        """Append an image; a column it is the first to have is empty for those before."""
        for name in image.cells:  # in their order: a set's differs from process to process
            if name not in self._columns:
                self._columns[name] = [""] * len(self.entries)
        for name, values in self._columns.items():
            values.append(image.cells.get(name, ""))
        self.entries.append(image.entry)
        self.headers.append(image.dicom)
        self.reused += image.reused
        if not image.reused and image.entry.image_id in previous:
            self.changed.append(image.entry.image_id)

    def lose(self, entry: Entry, reason: str) -> None:
        """Remember a listed file that could not be read, and whether it was an image at all."""
        self.unreadable.append(entry.image_id)
        self._lost[entry.split or "", entry.label, reason] += 1
        (self._foreign if reason.startswith(_NO_IMAGE) else self._damaged).add(entry.label)

    def why_lost(self, label: str, split: str = "") -> str:
        """Return why images of a class, or of an official split, cannot be read, "" where there are none such."""
        reasons = Counter[str]()
        for (of, named, reason), count in self._lost.items():
            if of == split if split else label in (named, *parts_of(named)):
                reasons[reason] += count
        if not reasons:
            return ""
        reason, count = reasons.most_common(1)[0]
        return f"{reason} ({count:,} of {reasons.total():,} files)"

    def refuse_lost_train(self) -> None:
        """Refuse an official train split of which no image can be read.

        Raises:
            DataError: it is one.
        """
        why = self.why_lost("", "train")
        if why and not any(entry.split in (None, "train") for entry in self.entries):
            raise DataError(
                f"no image of the train split can be read: {why}", "copy or download the source again"
            )

    def foreign_labels(self) -> set[str]:
        """Return the labels of which every file is something else than an image: folders of licences or tables."""
        return self._foreign - self._damaged - set(self.labels())

    def in_frames(self) -> str:
        """Return how many of the images are one frame of several, "" for none."""
        several = sum(bool(cell) for cell in self._columns.get("frame", ()))
        return f"{several:,} of {len(self.entries):,}" if several else ""

    def labels(self) -> list[str]:
        """Return the label of each image (N,)."""
        return [entry.label for entry in self.entries]

    def frame(self, order: Sequence[str]) -> pd.DataFrame:
        """Return the manifest but for patients, splits and paths, empty cells as ""; further columns come in `order`.

        The columns are handed over, not copied.
        """
        names = [name for name in (*COLUMNS, *order) if name in self._columns]
        rest = [name for name in self._columns if name not in names]
        return pd.DataFrame({name: self._columns.pop(name) for name in dict.fromkeys([*names, *rest])})


@dataclass(frozen=True)
class Changes:
    """What another ingest of a data set found, as image ids; on the first one everything is added.

    Args:
        changed: other bytes than before, readable or not.
        vanished: no longer there, or no longer in the table of labels.
        unreadable: those of the changed that cannot be read any more.
        by_name_alone: no bytes were compared, as a dry run hashes nothing.
    """

    added: tuple[str, ...]
    changed: tuple[str, ...]
    vanished: tuple[str, ...]
    unreadable: tuple[str, ...] = ()
    by_name_alone: bool = False

    @property
    def lost(self) -> tuple[str, ...]:
        """Return the images that stood and cannot be used now."""
        return (*self.vanished, *self.unreadable)

    def lines(self) -> list[str]:
        """Return one line for each kind of change, with the first names."""
        kinds = (("new", self.added), ("changed", self.changed), ("vanished", self.vanished))
        return [f"{len(names):,} {kind}: {_first(names)}" for kind, names in kinds if names]


def compare(gathered: Gathered, previous: PreviousDataset, named: Sequence[Entry] | None = None) -> Changes:
    """Return how the images differ from those that stand.

    Args:
        named: of a dry run, all images that are listed and not known to be unreadable; those gathered are a sample.
    """
    dry, entries = named is not None, gathered.entries if named is None else named
    # Without hashes, images are known by their files: which frames are taken, a dry run does not look up.
    whole: Callable[[str], str] = without_frame if dry else str
    present, before = {whole(entry.image_id) for entry in entries}, set(map(whole, previous.positions))
    lost = [name for name in gathered.unreadable if name in previous]
    unreadable = set(lost)
    gone = (name for name in previous.positions if whole(name) not in present)
    return Changes(
        added=tuple(entry.image_id for entry in entries if whole(entry.image_id) not in before),
        changed=(*(() if dry else gathered.changed), *lost),
        vanished=tuple(name for name in gone if name not in unreadable),
        unreadable=tuple(lost),
        by_name_alone=dry,
    )


def _first(names: Sequence[str]) -> str:
    more = ", …" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def refuse_one_patient(rows: pd.DataFrame, info: DatasetInfo, settings: IngestSettings) -> None:
    """Refuse a data set of one known patient, or of one a class: nobody would be left to validate on.

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
    of_class = rows.groupby("label")["patient_id"]
    if not info.multi_label and len(of_class) < len(rows) and of_class.nunique().max() == 1:
        label, patient = rows["label"].iloc[0], rows["patient_id"].iloc[0]
        raise DataError(
            f"every class is one patient: all images of '{label}' belong to '{patient}'",
            "add images of other patients, or correct --patient-regex or --patient-col",
        )


def remark_positive(info: DatasetInfo, remarks: Remarks) -> None:
    """Tell which class was taken for the disease, or that none is."""
    if info.positive_guessed:
        remarks.note(f"'{info.positive}' is taken for the disease class (--positive names another)")
    elif info.positive is None:
        remarks.note("no disease class is named: recall comes per class only (--positive CLASS)")


def remark(
    rows: pd.DataFrame,
    info: DatasetInfo,
    settings: IngestSettings,
    previous: PreviousDataset,
    changes: Changes,
    remarks: Remarks,
) -> None:
    """Tell what was guessed, what is missing, and what differs from the data set as it stood."""
    spelt: dict[str, list[str]] = {}
    images = Counter(part for label in rows["label"] for part in {label, *parts_of(label)})
    for name in sorted(info.classes, key=lambda name: -images[name]):  # the spelling of most images stays
        spelt.setdefault(name.casefold(), []).append(name)
    if maps := [f"--map {quote(f'{name}={first}')}" for first, *rest in spelt.values() for name in rest]:
        alike = ", ".join(name for name, names in spelt.items() if len(names) > 1)
        remarks.warn(
            f"classes differ in upper and lower case only: {alike} ({' '.join(maps)} makes them one)"
        )
    _remark_splits(rows, info, settings, remarks)
    if previous.info is not None:
        _remark_changes(rows, info, previous, changes, remarks)


def _remark_splits(rows: pd.DataFrame, info: DatasetInfo, settings: IngestSettings, remarks: Remarks) -> None:
    if settings.split[0] == 1:  # nothing is held back
        return
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


def _remark_changes(
    rows: pd.DataFrame, info: DatasetInfo, previous: PreviousDataset, changes: Changes, remarks: Remarks
) -> None:
    relabelled = [
        image
        for image, label in zip(rows["image_id"], rows["label"], strict=True)
        if image in previous
        and previous.cell(image, "label") != label
        and not (changes.by_name_alone and previous.cell(image, "reason").startswith(RELABELLED))
    ]
    lines = changes.lines()
    for line in lines:
        remarks.note(line)
    former = None if previous.info is None else previous.info.positive
    if former != info.positive:
        back = "" if former is None else f", or ingest again with --positive {quote(former)}"
        remarks.warn(
            f"the positive class changed from {former or 'none'} to {info.positive or 'none'}: runs trained before "
            f"answer another question (train again{back})"
        )
    if relabelled:
        remarks.note(f"{len(relabelled):,} have another label now: {', '.join(relabelled[:3])}")
    if not lines and not relabelled:
        same = "nothing is new, changed or gone: the data set is as it was"
        if former != info.positive:
            same = "no image is new, changed or gone"
        remarks.note(_SAME_NAMES if changes.by_name_alone else same)
