"""Pictures that show the same though their pixels are not equal."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.checks import check, label_sets, labels_conflict, named_patients, split_pairs
from medimg_cli.audit.duplicates.across_splits import keep_pairs
from medimg_cli.audit.duplicates.near_duplicates import (
    LEAST_SIDE_PX,
    Groups,
    NearDuplicates,
    Pair,
    find_near_duplicates,
)
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Remedy, Severity
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.plain_text import plural

NAME = "near-duplicates"
FILM = 8
"""From so many frames on, what shows one patient in one split is reported; fewer views alike are ordinary."""
SAME = 0.95
"""Similarity from which different labels cannot both be right."""


@dataclass(frozen=True)
class Group:
    """Images that show the same.

    Args:
        rows: manifest rows with `labels`, also of images equal to one of them.
        pairs: what ties them, the most similar first.
    """

    rows: pd.DataFrame
    pairs: tuple[Pair, ...]


@check(
    NAME,
    "the same picture saved, cropped, turned, mirrored or inverted anew: in two splits, classes, patients",
)
def near_duplicates(context: AuditContext) -> Checked:
    """Group images that show the same and say what each group breaks; equal pixels are another check's.

    A group with several labels is a label conflict; apart from that it counts once, under the worst of: several
    splits, several patients (where patients are known), a copy. A film of one patient within one split is reported as
    information, and so are pairs that may be copies.
    """
    rows, small = _comparable(context)
    pictures = rows.drop_duplicates("pixel_sha256")
    images = pictures["image_id"].astype(str).to_numpy()

    def look(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return context.thumbnails.of(list(images[positions]))

    found = find_near_duplicates(look, len(pictures), progress=context.progress)
    keep_pairs(context.workspace, pictures["pixel_sha256"].tolist(), found.pairs)
    groups = _groups(rows, pictures, [pair for pair in found.pairs if pair.is_confirmed])
    suspected = _groups(rows, pictures, [pair for pair in found.pairs if not pair.is_confirmed])
    findings = (
        *_conflicts(context, groups, pictures),
        *_across_splits(groups, pictures),
        *_within_split(context, groups, pictures),
        *_suspected(suspected, pictures),
    )
    return Checked(findings, _did(len(pictures), small, found))


def _comparable(context: AuditContext) -> tuple[pd.DataFrame, int]:
    """Return the images that can be compared, with `labels` and `pixel_sha256`, and how many are too small."""
    rows = context.dataset.usable.join(context.measurements[["readable", "pixel_sha256"]], on="image_id")
    shown = rows["image_id"].map(lambda image: image in context.thumbnails)
    rows = rows[rows["readable"].eq(True) & shown.astype(bool)].reset_index(drop=True)
    small = rows[["width", "height"]].min(axis=1) < LEAST_SIDE_PX
    rows = rows[~small].reset_index(drop=True)
    labels = ["|".join(sorted(labels)) for labels in label_sets(rows, context.dataset.info)]
    return rows.assign(labels=labels), int(small.sum())


def _groups(rows: pd.DataFrame, pictures: pd.DataFrame, pairs: list[Pair]) -> list[Group]:
    """Return the groups that pairs tie, each with all images whose pixels are those of one of its pictures."""
    tied = Groups(len(pictures))
    for pair in pairs:
        tied.tie(pair.first, pair.second)
    equal = rows.groupby("pixel_sha256", sort=False).indices
    hashes = pictures["pixel_sha256"].to_numpy()
    ties: dict[int, list[Pair]] = {}
    for pair in pairs:
        ties.setdefault(tied.root(pair.first), []).append(pair)
    groups = []
    for members in tied.members():
        places = np.concatenate([equal[hashes[member]] for member in members])
        groups.append(Group(rows.iloc[np.sort(places)], tuple(ties[tied.root(members[0])])))
    return groups


def _conflicts(context: AuditContext, groups: list[Group], pictures: pd.DataFrame) -> list[Finding]:
    """Tell groups with several labels: certain where two patients' pictures, labelled differently, are the same.

    Neighbouring frames of one patient may rightly differ in what they show.
    """
    labels = dict(zip(pictures["image_id"], pictures["labels"], strict=True))
    several = [group for group in groups if labels_conflict(group.rows)]
    images = pictures["image_id"].to_numpy()

    def is_certain(group: Group) -> bool:
        if _one_patient(context, group.rows):
            return False
        crossing = [p for p in group.pairs if labels[images[p.first]] != labels[images[p.second]]]
        return any(pair.similarity >= SAME for pair in crossing)

    advice = "ask a reader which label is right, correct or exclude the others"
    certain = [group for group in several if is_certain(group)]
    possible = [group for group in several if not is_certain(group)]
    return [
        *_finding(certain, pictures, "error", "across classes, a label conflict", advice),
        *_finding(possible, pictures, "warning", "across classes, a possible label conflict", advice),
    ]


def _across_splits(groups: list[Group], pictures: pd.DataFrame) -> list[Finding]:
    across = [group for group in groups if group.rows["split"].nunique() > 1]
    where = split_pairs(group.rows["split"] for group in across)
    return _finding(
        across,
        pictures,
        "error",
        f"across splits ({where}): seen before they are measured",
        "put a group into one split, or keep one of each; frames of one film belong together",
        "keep-one",
    )


def _within_split(context: AuditContext, groups: list[Group], pictures: pd.DataFrame) -> list[Finding]:
    within = [group for group in groups if group.rows["split"].nunique() == 1]
    patients, films, copies = [], [], []
    for group in within:
        if context.dataset.info.patients_known and named_patients(group.rows) > 1:
            patients.append(group)
        elif labels_conflict(group.rows):
            continue
        elif _one_patient(context, group.rows):
            films += [group] if len(group.rows) >= FILM else []
        else:
            copies.append(group)
    return [
        *_finding(
            patients,
            pictures,
            "warning",
            "under different patients, within one split",
            "check which patient is right: a split by patient relies on it",
        ),
        *_finding(
            copies,
            pictures,
            "warning",
            "within one class and split: they count several times",
            "keep one of each group",
            "keep-one",
        ),
        *_finding(
            films,
            pictures,
            "info",
            "of one patient within one split, frames of a film: they count several times",
            "thin out long films, and keep each patient in one split",
        ),
    ]


def _suspected(groups: list[Group], pictures: pd.DataFrame) -> list[Finding]:
    found = _finding(groups, pictures, "info", "that may be copies", "look at them side by side")
    return [
        replace(finding, message=finding.message.replace("that show the same", "that look the same"))
        for finding in found
    ]


def _one_patient(context: AuditContext, rows: pd.DataFrame) -> bool:
    return context.dataset.info.patients_known and rows["patient_id"].nunique() == 1


def _finding(
    groups: list[Group],
    pictures: pd.DataFrame,
    severity: Severity,
    where: str,
    advice: str,
    remedy: Remedy = "look",
) -> list[Finding]:
    if not groups:
        return []
    groups = sorted(groups, key=lambda group: -group.pairs[0].similarity)
    members = tuple(tuple(map(str, group.rows["image_id"])) for group in groups)
    images = tuple(image for group in members for image in group)
    best = groups[0].pairs[0]
    names = [mask_identities(str(pictures["image_id"].iloc[place])) for place in (best.first, best.second)]
    example = f"'{names[0]}' and '{names[1]}' ({best.rounded}, {best.kind})"
    what = f"{plural(len(groups), 'group')} of images that show the same ({plural(len(images), 'image')})"
    notes = _notes((pair for group in groups for pair in group.pairs), pictures)
    message = f"{what} {where}; such as {example}"
    return [Finding(NAME, severity, message, advice, images, len(groups), members, notes, remedy)]


def _notes(pairs: Iterable[Pair], pictures: pd.DataFrame) -> dict[str, str]:
    """Return for each image how similar it is to which other, and what differs."""
    images = pictures["image_id"].astype(str).to_numpy()
    notes: dict[str, str] = {}
    for pair in sorted(pairs, key=lambda pair: -pair.similarity):
        for one, other in ((pair.first, pair.second), (pair.second, pair.first)):
            text = f"similarity {pair.rounded} to '{mask_identities(images[other])}': {pair.kind}"
            notes.setdefault(images[one], text)
    return notes


def _did(pictures: int, small: int, found: NearDuplicates) -> str:
    text = f"{plural(pictures, 'different picture')} searched for copies"
    if found.compared or found.passed_over:
        text += f", the likeliest {plural(found.compared, 'pair')} laid onto each other"
    if found.passed_over:
        text += f" and {found.passed_over:,} less likely ones not"
    out = [(small, f"smaller than {LEAST_SIDE_PX} px"), (found.flat, "flat")]
    left = [f"{count:,} {why}" for count, why in out if count]
    return f"{text}; left out: {' and '.join(left)}" if left else text
