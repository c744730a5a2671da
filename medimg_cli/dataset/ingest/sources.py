"""Which sources an ingest reads, and how each of them: those of the data set and those named now."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg_cli.dataset.class_names import respelt
from medimg_cli.dataset.ingest.previous import PreviousDataset
from medimg_cli.dataset.labels import natural_order
from medimg_cli.dataset.listing import Entry, Listing, Rejected, Source
from medimg_cli.dataset.manifest import Origin
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.files import read_json
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace

READING = tuple(
    """
    layout labels sheet image_col label_col label_kind label_regex map_classes patient_col use_split_col
""".split()
)
_FIXED = ("layout", "patient_col", "use_split_col")
"""Of these, what may not change under images that have a split."""
_TAKEN_BY = {"labels": ("csv", "dicom"), "label_regex": ("names",)}
"""Which layouts take them: what was read by another one is not read by these."""
_MOST_TRUTH = 64 << 20


@dataclass(frozen=True)
class Reading:
    """Sources that are read together, as one table may name images of several.

    Args:
        settings: with layout, table and columns of these sources.
    """

    sources: tuple[Source, ...]
    settings: IngestSettings


def plan_readings(
    workspace: Workspace, named: Sequence[Source], settings: IngestSettings, previous: PreviousDataset
) -> list[Reading]:
    """Return what to read: the data set's own sources as they were read, and the new ones as the settings say.

    Args:
        named: sources of this call; one that the data set has keeps its prefix.

    Raises:
        DataError: a source of the data set is not there any more.
        UsageError: a setting contradicts how a source was read.
    """
    given = {name: getattr(settings, name) for name in READING if name in settings.model_fields_set}
    origins = () if previous.info is None else previous.info.origins
    planned: list[tuple[Source, dict[str, Any]]] = []
    for origin in origins:
        path = Path(workspace.absolute(origin.path))
        if not path.exists():
            raise DataError(
                f"{path}, a source of the data set, does not exist",
                "bring it back (a disk that is not connected?), or start over with --fresh",
            )
        again = any(source.path.samefile(path) for source in named)
        reading = dict(origin.reading)
        if table := reading.get("labels"):
            reading["labels"] = Path(workspace.absolute(table))
        if again:
            _refuse_contradiction(reading, given)
            reading = {
                **reading,
                **{name: value for name, value in given.items() if value not in ("auto", None, {})},
            }
        planned.append((Source(path, origin.prefix), reading))
    known = [source.path for source, _ in planned]
    planned += [(new, given) for new in named if not any(new.path.samefile(path) for path in known)]
    artefacts = workspace.artefacts
    tables = {Path(reading["labels"]).absolute() for _, reading in planned if reading.get("labels")}
    truths = (source.path / "truth.json" for source, _ in planned)
    ignored = frozenset([*artefacts, workspace.settings_path, *tables, *filter(_is_of_a_demo, truths)])
    return _together(planned, settings, ignored)


def _is_of_a_demo(path: Path) -> bool:
    """Return whether a file is what `medimg demo` writes of its images beside them, which is no input."""
    try:
        truth = read_json(path, most_bytes=_MOST_TRUTH)
    except DataError:  # there is none, or somebody else's, which is listed as every file is
        return False
    return isinstance(truth, dict) and {"schema", "seed", "patients", "flaws", "images"} <= truth.keys()


def records(workspace: Workspace, readings: Iterable[tuple[str, Reading]]) -> tuple[Origin, ...]:
    """Return what to remember of (layout, reading) pairs."""
    return tuple(
        Origin(
            path=workspace.relative(source.path),
            prefix=source.prefix,
            reading=_to_remember(workspace, layout, reading),
        )
        for layout, reading in readings
        for source in reading.sources
    )


def merge(
    listings: Sequence[Listing], rejected_before: Iterable[Rejected] = (), *, several: bool = False
) -> Listing:
    """Return several listings as one; a file that two of them list counts where it comes first.

    Classes that are spelt in several ways are one. They keep the order of the first listing where it has them all, else they are in natural order.

    Args:
        rejected_before: files that were refused before anything was listed.
        several: an image may carry several labels.

    Raises:
        DataError: two files go by one image id.
    """
    entries: list[Entry] = []
    paths: set[str] = set()
    twice = 0
    for listing in listings:
        for entry in listing.entries:
            twice += entry.path in paths
            if entry.path not in paths:
                paths.add(entry.path)
                entries.append(entry)
    _refuse_equal_ids(entries)
    first = listings[0].classes
    union = {name for listing in listings for name in listing.classes}
    notes = [note for listing in listings for note in listing.notes]
    if twice:
        notes.append(f"{twice} files stand in more than one source and count once")
    rejected: dict[tuple[str, str], Rejected] = {}
    for listing in listings:
        for row in listing.rejected:
            if row.path not in paths:
                rejected.setdefault((row.path, row.reason), row)
    classes = first if union <= set(first) else tuple(natural_order(union))
    refused = (*rejected.values(), *rejected_before)
    columns = tuple(column for listing in listings for column in listing.columns)
    label_source = ", ".join(dict.fromkeys(listing.label_source for listing in listings))
    missed = tuple(row for listing in listings for row in listing.missed)
    whole = Listing(tuple(entries), refused, classes, tuple(notes), columns, label_source, missed)
    return respelt(whole, {}, several=several)


def _refuse_equal_ids(entries: Sequence[Entry]) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.image_id in seen:
            raise DataError(
                f"two images would be called {entry.image_id}: {seen[entry.image_id]} and {entry.path}",
                "rename one of the folders",
            )
        seen[entry.image_id] = entry.path


def _refuse_contradiction(before: dict[str, Any], given: dict[str, Any]) -> None:
    others = [name for name, layouts in _TAKEN_BY.items() if before["layout"] not in layouts]
    for name in (*_FIXED, *others):
        if name in given and given[name] not in ("auto", None) and given[name] != before.get(name):
            raise UsageError(
                f"--{name.replace('_', '-')} {given[name]} is not what the data set was made with: "
                f"{before.get(name) or 'none'}",
                "leave it out to add to the data set, or start over with --fresh",
            )


def _to_remember(workspace: Workspace, layout: str, reading: Reading) -> dict[str, Any]:
    kept = {name: getattr(reading.settings, name) for name in READING[1:]}
    if kept["labels"] is not None:
        kept["labels"] = workspace.relative(kept["labels"])
    return {
        "layout": layout,
        **{name: value for name, value in kept.items() if value not in ("auto", None, {})},
    }


def _together(
    planned: Sequence[tuple[Source, dict[str, Any]]], settings: IngestSettings, ignored: frozenset[Path]
) -> list[Reading]:
    """Return sources that are read alike as one reading, in the order of their first."""
    plain = settings.model_dump(exclude=set(READING))
    groups: dict[str, tuple[list[Source], dict[str, Any]]] = {}
    for source, reading in planned:
        key = repr(
            sorted((name, str(value)) for name, value in reading.items() if value not in ("auto", None, {}))
        )
        groups.setdefault(key, ([], reading))[0].append(Source(source.path, source.prefix, ignored))
    return [
        Reading(tuple(sources), IngestSettings.model_validate({**plain, **reading}))
        for sources, reading in groups.values()
    ]
