"""Iterative stratification: groups with any mixture of labels, dealt so that each label keeps its shares."""

import hashlib
from collections import Counter
from collections.abc import Sequence

from medimg_cli.dataset.labels import parts_of

_ANY = "\0any"
"""Stands for "an image, whatever its labels" among the labels; no class can be called so."""


def deal_evenly(
    result: list[str],
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    fractions: dict[str, float],
    seed: int,
    multi_label: bool = False,
) -> None:
    """Fill the empty places of `result` (N,) by whole groups, in place.

    Sechidis, Tsoumakas & Vlahavas, ECML PKDD 2011, algorithm 1, with patients for examples: the label that
    fewest groups are left for is dealt first, each group to the part that lacks most images of this label, then
    to the one that lacks most images. Images that have a place count for it. Within a label groups come in the
    order of a keyed hash, so the order of the input does not matter.

    Args:
        result: part of each image, "" where it is open; parts that are not in `fractions` take no share.
        labels: class of each image, or `a|b` with `multi_label`; an image without label counts as a label too.
        fractions: part → wanted share; parts without a share get nobody.
    """
    names = [name for name, share in fractions.items() if share > 0]
    content: dict[str, Counter[str]] = {}
    images: Counter[str] = Counter()
    lacking = {name: Counter[str]() for name in names}
    total: Counter[str] = Counter()
    for place, label, group in zip(result, labels, groups, strict=True):
        parts = (parts_of(label) or ("",)) if multi_label else (label,)
        if place and place not in lacking:
            continue
        total.update(parts)
        total[_ANY] += 1
        if place:
            lacking[place].subtract([*parts, _ANY])
        else:
            content.setdefault(group, Counter()).update(parts)
            images[group] += 1
    scale = sum(fractions[name] for name in names)
    wanted = {
        name: {part: fractions[name] / scale * count + lacking[name][part] for part, count in total.items()}
        for name in names
    }
    placed = _deal_groups(content, images, wanted, seed)
    for position, place in enumerate(result):
        if not place:
            result[position] = placed[groups[position]]


def _deal_groups(
    content: dict[str, Counter[str]], images: Counter[str], wanted: dict[str, dict[str, float]], seed: int
) -> dict[str, str]:
    """Return group → part. `wanted` (part → label → images) goes down as groups are dealt."""
    waiting: dict[str, list[str]] = {}
    for group in sorted(content, key=lambda group: hashlib.sha256(f"{seed}\0{group}".encode()).digest()):
        for part in content[group]:
            waiting.setdefault(part, []).append(group)
    placed: dict[str, str] = {}
    left = Counter({part: len(members) for part, members in waiting.items()})
    while left:
        rarest = min(left, key=lambda part: (left[part], part))
        for group in waiting[rarest]:
            if group in placed:
                continue
            name = max(wanted, key=lambda name: (wanted[name][rarest], wanted[name][_ANY]))
            placed[group] = name
            for part, count in content[group].items():
                wanted[name][part] -= count
                left[part] -= 1
            wanted[name][_ANY] -= images[group]
        left = +left
    return placed
