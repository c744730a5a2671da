"""Copies that were augmented before the data set was split."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import PurePosixPath

import numpy as np
import pandas as pd

from medimg_cli.audit.checks import check, split_pairs
from medimg_cli.audit.duplicates.alignment import resemblance
from medimg_cli.audit.findings import AuditContext, Checked, Finding
from medimg_cli.dataset.name_groups import AUGMENTED
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.plain_text import plural

_WORD = re.compile(rf"(?:{'|'.join(AUGMENTED)})\d{{0,4}}", re.IGNORECASE)
# What Keras writes with `save_to_dir`: PREFIX_INDEX_RANDOM.EXT, see keras.preprocessing.image.Iterator.
_KERAS = re.compile(r"(?P<source>.*)_(?P<index>\d+)_(?P<random>\d{1,8})")
_CHANCE = 100
"""Random numbers of a whole data set that all lie below this count something."""


@dataclass(frozen=True)
class Family:
    """Images made from one, by their names.

    Args:
        members: positions of the copies.
        source: position of what they were made from; None where it is not in the data set.
    """

    members: tuple[int, ...]
    source: int | None

    def all(self) -> tuple[int, ...]:
        """Return every position, the source first."""
        return self.members if self.source is None else (self.source, *self.members)


def families(paths: Sequence[str], labels: Sequence[str]) -> list[Family]:
    """Return the families that names speak of: a source with its copies, or several copies of a missing one.

    A name with a word for what was done (`scan7_aug1`, `hflip-scan7`) says so; one as Keras writes it
    (`scan7_0_4711`) only where `scan7` is there, or where what looks random is no count.

    Args:
        paths: (N), posix.
        labels: (N); images of different classes are never of one family.
    """
    stems = [PurePosixPath(path).stem for path in paths]
    sources: dict[tuple[str, str], list[int]] = {}
    for position, key in enumerate(zip(labels, stems, strict=True)):
        sources.setdefault(key, []).append(position)
        sources.setdefault((key[0], key[1].strip("_-. ")), []).append(position)
    worded: dict[tuple[str, str], list[int]] = {}
    numbered: dict[tuple[str, str], list[int]] = {}
    randoms: dict[int, int] = {}
    for position, (label, stem) in enumerate(zip(labels, stems, strict=True)):
        name, match = without_words(stem), _KERAS.fullmatch(stem)
        if name is not None:
            worded.setdefault((label, name), []).append(position)
        elif match and (label, match["source"]) in sources:
            worded.setdefault((label, match["source"]), []).append(position)
        elif match:
            numbered.setdefault((label, f"{match['source']}_{match['index']}"), []).append(position)
            randoms[position] = int(match["random"])
    found = [
        Family(tuple(members), sources[key][0] if key in sources else None) for key, members in worded.items()
    ]
    if not _is_count(list(numbered.values()), randoms):
        found += [Family(tuple(members), None) for members in numbered.values()]
    return [family for family in found if len(family.all()) > 1]


def without_words(stem: str) -> str | None:
    """Return a file's name without what says that it was augmented, None where nothing does.

    A number behind such a word goes with it.

    >>> without_words("scan7_aug1"), without_words("rot90-scan7_flip_2"), without_words("benign (433)")
    ('scan7', 'scan7', None)
    """
    kept: list[str] = []
    parts = re.split(r"([_\-. ]+)", stem)
    names, after_word, found = parts[::2], False, False
    for name in names:
        is_word = _WORD.fullmatch(name) is not None
        if not is_word and not (after_word and name.isdigit()):
            kept.append(name)
        after_word = is_word
        found |= is_word
    joint = parts[1] if len(parts) > 1 else ""
    return joint.join(filter(None, kept)) or None if found else None


def _is_count(groups: list[list[int]], randoms: dict[int, int]) -> bool:
    """Return whether the last numbers count slices or views: small, or mostly one after the other."""
    several = [group for group in groups if len(group) > 1]
    if not several or max(randoms[member] for group in several for member in group) < _CHANCE:
        return True
    steps = []
    for group in several:
        numbers = sorted(randoms[member] for member in group)
        steps += [later - earlier for earlier, later in pairwise(numbers)]
    return sum(step <= 2 for step in steps) > len(steps) / 5


NAME = "augmented-copies"
LOOKED_AT = 24
ALIKE = 0.6
"""Resemblance of an augmented copy and its source; none of 60 pairs of unrelated X-rays came to 0.55."""
_LEAST_SHARE = 0.1
"""Strong augmentation is recognised in half of the pictures, two copies of one source in fewer."""


@check(NAME, "names and pictures say that copies were augmented beforehand: one source stands in two splits")
def augmented_copies(context: AuditContext) -> Checked:
    """Look for families of augmented copies by their names, and believe the names where the pictures agree."""
    rows = context.dataset.usable.reset_index(drop=True)
    found = families(rows["path"].tolist(), rows["label"].tolist())
    across = [family for family in found if rows.loc[list(family.all()), "split"].nunique() > 1]
    within = [family for family in found if rows.loc[list(family.all()), "split"].nunique() == 1]
    findings, looked = [], 0
    for kind in (across, within):
        alike, pairs = _alike(context, rows, kind)
        looked += pairs
        if alike and alike >= _LEAST_SHARE * pairs:
            findings.append(_finding(rows, kind, is_across=kind is across, seen=f"{alike} of {pairs}"))
    did = f"{plural(len(rows), 'name')} searched for copies of one source"
    return Checked(
        tuple(findings), f"{did}; {plural(looked, 'pair')} of pictures compared" if looked else did
    )


def _alike(context: AuditContext, rows: pd.DataFrame, found: Sequence[Family]) -> tuple[int, int]:
    """Return how many of a sample of families show the same picture twice, and how many were looked at."""
    alike = looked = 0
    places = np.unique(np.linspace(0, len(found) - 1, min(len(found), LOOKED_AT)).astype(int))
    for place in places:
        images = [str(rows["image_id"].iloc[member]) for member in found[place].all()[:2]]
        if all(image in context.thumbnails for image in images):
            first, second = context.thumbnails.of(images)
            alike += resemblance(first, second, enough=ALIKE) >= ALIKE
            looked += 1
    return int(alike), looked


def _finding(rows: pd.DataFrame, found: Sequence[Family], *, is_across: bool, seen: str) -> Finding:
    members = [rows.iloc[sorted(family.all())] for family in found]
    groups = tuple(tuple(map(str, member["image_id"])) for member in members)
    images = tuple(image for group in groups for image in group)
    example = " and ".join(f"'{mask_identities(image)}'" for image in groups[0][:2])
    where = split_pairs(member["split"] for member in members)
    what = f"{plural(len(found), 'source')} with copies augmented beforehand ({plural(len(images), 'image')})"
    place = f"in more than one split ({where})" if is_across else "within one split: they count several times"
    return Finding(
        NAME,
        "error" if is_across else "info",
        f"{what} {place}, such as {example}; pictures alike in {seen} looked at",
        "split the originals first, and augment in training only (`train --augment`)",
        images,
        len(found),
        groups=groups,
    )
