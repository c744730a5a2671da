"""The shelf of audit checks: one file per check, silent on a clean cohort."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from medimg_cli.audit.findings import Check, Finding
from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.dataset.manifest import SPLITS, UNKNOWN_COLUMN, DatasetInfo
from medimg_cli.registry import Registry
from medimg_cli.workspace.plain_text import plural

Need = Literal["looks", "text"]


@dataclass(frozen=True)
class CheckEntry:
    """One check of the shelf.

    Args:
        name: kebab-case; the file is called the same with `_` for `-`.
        about: one line saying what a finding of it means.
        run: the check itself; see `audit.findings.Check`.
        needs: what has to be measured for it beside thumbnails and hashes.
        quick: whether it takes no longer than the measuring: `--quick` leaves the others out.
    """

    name: str
    about: str
    run: Check
    needs: frozenset[Need] = frozenset(("looks", "text"))
    quick: bool = True


CHECKS: Registry[CheckEntry] = Registry("check", __name__)


def check(name: str, about: str, *needs: Need, quick: bool = True) -> Callable[[Check], Check]:
    """Return a decorator that puts a function on the shelf as the check `name`; arguments as of `CheckEntry`."""

    def store(run: Check) -> Check:
        CHECKS.register(name)(CheckEntry(name, about, run, frozenset(needs), quick))
        return run

    return store


def label_sets(rows: pd.DataFrame, info: DatasetInfo) -> list[frozenset[str]]:
    """Return the classes of each row (N,): one, or several where an image may carry several labels."""
    if not info.multi_label:
        return [frozenset([label]) for label in rows["label"]]
    return [frozenset(part for part in label.split(info.label_sep) if part) for label in rows["label"]]


def labels_conflict(rows: pd.DataFrame) -> bool:
    """Return whether images that show the same are labelled differently; a label nobody judged contradicts none.

    Args:
        rows: with `labels`, joined by `|`, and, where the manifest has it, `unknown`.
    """
    unjudged = rows[UNKNOWN_COLUMN] if UNKNOWN_COLUMN in rows else [""] * len(rows)
    kinds = {
        (frozenset(labels.split(LABEL_SEP)), frozenset(str(unknown).split(LABEL_SEP)))
        for labels, unknown in zip(rows["labels"], unjudged, strict=True)
    }
    shown = {name for labels, _ in kinds for name in labels if name}
    return any(name not in labels and name not in unknown for name in shown for labels, unknown in kinds)


def named_patients(rows: pd.DataFrame) -> int:
    """Return how many patients images have; an image called like its patient names none (see ingest)."""
    return int(rows.loc[rows["patient_id"] != rows["image_id"], "patient_id"].nunique())


def split_pairs(places: Iterable[Iterable[str]]) -> str:
    """Return how many cases stand in which splits, each case given by the splits of its images.

    >>> split_pairs([["test", "train"], ["train", "test", "test"], ["train", "val"]])
    'train and test: 2, train and val: 1'
    """
    order = {split: position for position, split in enumerate(SPLITS)}

    def key(split: str) -> tuple[int, str]:
        return order.get(split, len(order)), split

    counts = Counter(" and ".join(sorted(set(splits), key=key)) for splits in places)
    return ", ".join(f"{splits}: {count:,}" for splits, count in sorted(counts.items()))


def not_read(name: str, what: str, advice: str, images: Sequence[str]) -> list[Finding]:
    """Return the finding of a check on images whose metadata cannot be read, none without such an image.

    Args:
        what: text about them, with `{}` for their number.
    """
    message = what.format(plural(len(images), "header"))
    return [Finding(name, "warning", message, advice, tuple(images), len(images))] if images else []
