"""What is implausible about the classes of a listing: each doubt as a question with the option that answers it."""

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from statistics import median

from medimg_cli.dataset.ingest.plausible_words import (
    is_case,
    is_date,
    is_diagnosis,
    is_identifier,
    is_place,
    is_view,
    is_year,
)
from medimg_cli.dataset.layouts.masks import IMAGE_FOLDERS, is_mask_folder
from medimg_cli.dataset.listing import Entry, Listing
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.images.image import HEAD_BYTES, sniff_format

TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods")
_NO_IMAGES = (
    *TABLES,
    *[
        ".txt",
        ".md",
        ".json",
        ".xml",
        ".html",
        ".pdf",
        ".doc",
        ".docx",
        ".py",
        ".ipynb",
        ".yaml",
        ".yml",
        ".log",
    ],
)
_SNIFFED = 40
_MOSTLY = 0.7
_MANY, _NUMBERED, _FEW_IMAGES = 40, 20, 10
"""So many folders of so few images are cases, whatever they are called; fewer where they are numbered."""


@dataclass(frozen=True)
class Question:
    """A doubt about what an ingest would do.

    Args:
        question: one sentence.
        option: what to type; `--yes` always says that it is meant so.
    """

    question: str
    option: str


def doubts(listing: Listing, layout: str) -> list[Question]:
    """Return what a careful reader would ask about the classes of a listing; nothing for an ordinary data set.

    Args:
        layout: the layouts that it was read by, joined by "+".
    """
    images = [e for e in listing.entries if not e.relative.lower().endswith(_NO_IMAGES)]
    counts = Counter(entry.label for entry in images)
    if not counts:
        return []
    if listing.columns:
        return list(_of_column(listing, counts))
    if "folders" not in layout:
        return []
    return list(_of_folders(listing, counts))


def tables_in(listing: Listing) -> list[str]:
    """Return the tables among the files that were listed, the one highest up first."""
    paths = [*(entry.path for entry in listing.entries), *(row.path for row in listing.rejected)]
    found = [path for path in paths if path.lower().endswith(TABLES) and "#" not in path]
    return sorted(found, key=lambda path: (path.count("/"), path))


def _of_folders(listing: Listing, counts: Counter[str]) -> Iterator[Question]:
    names = [name for name in listing.classes if name in counts]
    table = next(iter(tables_in(listing)), None)
    by_table = f"--labels {table or 'FILE'}"
    below = _classes_below(listing.entries)
    inner = "--layout inner-folders" if below else None
    said = _named(names)
    for kind, fits in _KINDS.items():
        if sum(map(fits, names)) >= _MOSTLY * len(names) > 0:
            yield Question(f"{said} look like {kind}, not classes", inner or by_table)
            return
    yield from _of_holders(listing, names, by_table)
    known = sum(map(is_diagnosis, names)) > len(names) / 10
    splits = [name for name in names if name.lower() in SPLIT_NAMES]
    few = median(counts.values()) <= _FEW_IMAGES
    if splits and not known:
        question = f"{_named(splits)} is called as a split, and no class folder lies in it"
        yield Question(question, inner or by_table)
    elif inner is not None and not known:
        yield Question(f"{_named(below)} lie in each of {said}: the class may be the inner folder", inner)
    elif not known and few and len(names) >= (_NUMBERED if _are_numbered(names) else _MANY):
        question = f"{len(names):,} folders of about {median(counts.values()):g} images look like cases"
        yield Question(f"{question}, not classes", by_table)
    elif not known and (share := _share_of_dicom(listing.entries)) > 0.5:
        question = f"{share:.0%} of the files are DICOM, and {said} name no finding: where are the labels?"
        yield Question(question, by_table)
    elif not known and table is not None:
        yield from _of_unused_table(listing, table)


def _of_holders(listing: Listing, names: Sequence[str], by_table: str) -> Iterator[Question]:
    """Ask about classes called as folders of masks or of all images, and about files outside the class folders."""
    masks = [name for name in names if is_mask_folder(name)]
    holders = [name for name in names if name.lower() in IMAGE_FOLDERS]
    if masks and (holders or _same_stems(listing.entries, masks)):
        yield Question(f"{_named(masks)} looks like a folder of segmentation masks, no class", by_table)
    elif holders:
        yield Question(f"{_named(holders)} is called as folders that hold all images, no class", by_table)
    outside = Counter(row.reason for row in listing.rejected)["stands outside the class folders"]
    if outside > len(listing.entries):
        inside = f"{len(listing.entries):,} inside {_named(names)}"
        yield Question(f"{outside:,} files stand outside the class folders, {inside}", by_table)


_KINDS: Mapping[str, Callable[[str], bool]] = {
    "cases or patients": is_case,
    "identifiers": is_identifier,
    "years": is_year,
    "dates": is_date,
    "sites, devices or parts of the data set": is_place,
    "modalities or views": is_view,
}


def _of_unused_table(listing: Listing, table: str) -> Iterator[Question]:
    """Ask about a table that names most of the images, as it may hold the labels."""
    stems = [PurePosixPath(entry.relative).stem for entry in listing.entries]
    sample = [stem for stem in stems[:: max(1, len(stems) // 50)] if not stem.isdigit()]
    if Path(table).suffix.lower() in (".csv", ".tsv") and sample:
        text = Path(table).read_text(encoding="utf-8", errors="replace")
        if sum(stem in text for stem in sample) >= _MOSTLY * len(sample):
            question = f"{Path(table).name} names the images: does it hold the labels?"
            yield Question(question, f"--labels {table}")


def _of_column(listing: Listing, counts: Counter[str]) -> Iterator[Question]:
    names, columns = list(counts), [column.name for column in listing.columns if column.taken_for == "label"]
    said = f"{', '.join(columns)} ({_named(names)})"
    others = [c.name for c in listing.columns if c.taken_for == "carried along" and 2 <= c.distinct <= 20]
    option = f"--label-col {others[0] if others else 'NAME'}"
    if len(columns) > 1 or len(names) < 2:
        return
    if sum(map(is_date, names)) >= _MOSTLY * len(names):
        yield Question(f"the label column {said} holds dates", option)
    elif len(names) >= 5 and sum(map(is_identifier, names)) >= _MOSTLY * len(names):
        yield Question(f"the label column {said} holds identifiers", option)
    elif len(names) >= 20 and all(re.fullmatch(r"-?\d+(?:[.,]\d+)?", name) for name in names):
        yield Question(f"the label column {said} holds measurements: {len(names)} different numbers", option)
    elif len(names) >= 8 and 2 * len(names) >= counts.total():
        question = f"the label column {said} says something else of nearly each image, as names do"
        yield Question(question, option)


def _are_numbered(names: Sequence[str]) -> bool:
    """Return whether names differ by their numbers alone, but for a few."""
    return len({re.sub(r"\d+", "#", name) for name in names}) <= len(names) / 5


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return f"{shown} and {len(names) - 3:,} more" if len(names) > 3 else shown


def _classes_below(entries: Sequence[Entry]) -> list[str]:
    """Return the names of the folders below the class folders, where they are the same two or more in each."""
    below: defaultdict[str, set[str]] = defaultdict(set)
    for entry in entries:
        parts = entry.relative.split("/")[:-1]
        place = parts.index(entry.label) if entry.label in parts else len(parts)
        below[entry.label].add(parts[place + 1] if place + 1 < len(parts) else "")
    if len(below) < 2:
        return []
    shared = set.intersection(*below.values())
    everything = set.union(*below.values())
    usual = any(is_mask_folder(n) or is_view(n) or n.lower() in IMAGE_FOLDERS | {""} for n in everything)
    is_so = len(shared) > 1 and shared == everything and not usual
    return sorted(shared) if is_so and not all(name.lower() in SPLIT_NAMES for name in shared) else []


def _same_stems(entries: Sequence[Entry], masks: Sequence[str]) -> bool:
    """Return whether most files of folders called like masks have the name of a file in another folder."""
    stem = re.compile(r"[ _-]?(?:mask|seg|segmentation|gt|label)\d*$", re.IGNORECASE)
    inside: set[str] = set()
    outside: set[str] = set()
    for entry in entries:
        name = stem.sub("", PurePosixPath(entry.relative).stem)
        (inside if entry.label in masks else outside).add(name)
    return len(inside & outside) > len(inside) / 2


def _share_of_dicom(entries: Sequence[Entry]) -> float:
    """Return the share of DICOM files in a sample of files on disk."""
    sample = entries[:: max(1, len(entries) // _SNIFFED)]
    found = 0
    for entry in sample:
        path = Path(entry.path)
        if "#" in entry.path and not path.is_file():
            found += entry.path.lower().endswith((".dcm", ".dicom"))
        elif path.is_file():
            with path.open("rb") as stream:
                found += sniff_format(stream.read(HEAD_BYTES)) == "dicom"
    return found / len(sample)
