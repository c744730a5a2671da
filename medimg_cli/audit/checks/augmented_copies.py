"""Copies that were augmented before the data set was split."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from medimg_cli.audit.checks import check, plural, split_pairs
from medimg_cli.audit.duplicates.alignment import resemblance
from medimg_cli.audit.duplicates.augmented_names import Family, families
from medimg_cli.audit.findings import AuditContext, Checked, Finding
from medimg_cli.privacy.forms.masking import mask_identities

NAME = "augmented-copies"
LOOKED_AT = 24
ALIKE = 0.6
"""Resemblance of an augmented copy and its source; none of 120 unrelated X-rays and sonograms came to 0.5."""
_LEAST_SHARE = 0.1
"""Strong augmentation is recognised in half of the pictures, two copies of one source in fewer."""


@check(NAME, "names and pictures say that copies were augmented beforehand: one source stands in two splits")
def augmented_copies(context: AuditContext) -> Checked:
    """Look for families of augmented copies by their names, and believe the names where the pictures agree."""
    rows = context.dataset.usable.reset_index(drop=True)
    found = families(rows["path"].tolist(), rows["label"].tolist())
    across = [family for family in found if rows.loc[list(family.all()), "split"].nunique() > 1]
    within = [family for family in found if rows.loc[list(family.all()), "split"].nunique() == 1]
    told, looked = [], 0
    for kind in (across, within):
        alike, pairs = _alike(context, rows, kind)
        looked += pairs
        if alike and alike >= _LEAST_SHARE * pairs:
            told.append(_finding(rows, kind, is_across=kind is across, seen=f"{alike} of {pairs}"))
    did = f"{plural(len(rows), 'name')} searched for copies of one source"
    return Checked(tuple(told), f"{did}; {plural(looked, 'pair')} of pictures compared" if looked else did)


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
