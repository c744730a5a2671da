"""What a dry run of an ingest tells."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from medimg_cli.dataset.ingest.ingest import SAMPLE, Ingest, reasons
from medimg_cli.dataset.ingest.plausible import Question, tables_in
from medimg_cli.dataset.labels import parts_of
from medimg_cli.dataset.layouts import LAYOUTS
from medimg_cli.dataset.listing import Column, Entry, Source
from medimg_cli.dataset.manifest import SPLITS
from medimg_cli.dataset.name_groups import NameGroups
from medimg_cli.dataset.patients import FROM_HEADER
from medimg_cli.errors import MedimgError
from medimg_cli.privacy.dicom.headers import is_dicom

_EXAMPLES = 3


@dataclass(frozen=True)
class Fit:
    """A layout that fits the sources, and why."""

    name: str
    why: str


@dataclass(frozen=True)
class ClassPreview:
    """Images of a class, and three of their files."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True)
class IngestPreview:
    """What an ingest would do.

    Args:
        layout: taken.
        others: that fit as well.
        label_source: how the label of an image was found.
        columns: of the table of labels.
        patients: how many, None where they are not known or their headers not read.
        patients_from: "table", "file names", "DICOM header", "unknown".
        splits: images by split, as names alone give it: identical files are not joined yet.
        quarantine: reason → files; certain by name, or seen in the sample.
        groups: patterns by which file names group images, where patients are not known.
        examined: files decoded, of the `listed` ones.
        questions: what is implausible, with the option that answers it.
    """

    layout: Fit
    others: tuple[Fit, ...]
    classes: dict[str, ClassPreview]
    label_source: str
    columns: tuple[Column, ...]
    patients: int | None
    patients_from: str
    splits: dict[str, int]
    quarantine: dict[str, int]
    groups: tuple[NameGroups, ...]
    examined: int
    listed: int
    questions: tuple[Question, ...]


def preview_of(tried: Ingest) -> IngestPreview:
    """Return what a dry run of an ingest found."""
    rows, info = tried.rows, tried.info
    of_split = Counter(rows["split"])
    counted = info.patients_known and info.patients_from != FROM_HEADER
    named = "named with --layout" if tried.settings.layout != "auto" else "the first that fits"
    why = "; ".join(LAYOUTS.get(name).summary for name in tried.layout.split("+"))
    return IngestPreview(
        layout=Fit(tried.layout, f"{why} ({named})"),
        others=tuple(_others(tried)),
        classes=_classes(tried),
        label_source=tried.listing.label_source,
        columns=tried.listing.columns,
        patients=int(rows["patient_id"].nunique()) if counted else None,
        patients_from=info.patients_from,
        splits={split: of_split[split] for split in SPLITS},
        quarantine=reasons(tried.quarantine),
        groups=tried.groups,
        examined=tried.examined,
        listed=len(tried.listing.entries),
        questions=tuple(tried.questions),
    )


def _classes(tried: Ingest) -> dict[str, ClassPreview]:
    count: Counter[str] = Counter()
    examples: dict[str, list[str]] = {}
    for image, label in zip(tried.rows["image_id"], tried.rows["label"], strict=True):
        for name in parts_of(label) if tried.info.multi_label else (label,):
            count[name] += 1
            shown = examples.setdefault(name, [])
            if len(shown) < _EXAMPLES:
                shown.append(image)
    return {
        name: ClassPreview(count[name], tuple(examples[name])) for name in tried.space.classes if count[name]
    }


def _others(tried: Ingest) -> Iterator[Fit]:
    sources = [source for _, reading in tried.readings for source in reading.sources]
    for name in LAYOUTS.names():
        if name in tried.layout.split("+") or (name == "dicom" and not _shows_dicom(tried.listing.entries)):
            continue
        if all(_fits(name, source, tried) for source in sources):
            yield Fit(name, f"{LAYOUTS.get(name).summary}: --layout {name}")
    if tried.settings.labels is None and (tables := tables_in(tried.listing)):
        yield Fit("csv", f"{LAYOUTS.get('csv').summary}: --labels {quote(tables[0])}")


def _shows_dicom(entries: Sequence[Entry]) -> bool:
    """Return whether any image of a sample is DICOM by its content."""
    paths = (Path(entry.path) for entry in entries[:: max(1, len(entries) // SAMPLE)])
    return any(path.is_file() and is_dicom(path) for path in paths)


def _fits(name: str, source: Source, tried: Ingest) -> bool:
    try:
        return LAYOUTS.get(name).misfit(source, tried.settings.model_copy(update={"layout": name})) is None
    except MedimgError:  # such as a table that this layout could not read: it does not fit
        return False
