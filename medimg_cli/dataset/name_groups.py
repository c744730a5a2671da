"""Groups of images that file names give away: patients, articles, cases, sources of augmented copies.

Candidates are regular expressions made from the names themselves. They are ranked by what they explain: how many
images come to stand in a group of two or more, whether the rest of a name counts within each group, and, on a sample,
whether pictures of a group are more alike than others.
"""

import re
import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from time import monotonic

import cv2
import numpy as np
from numpy.typing import NDArray

from medimg_cli.dataset.ingest.plausible import is_case, is_date, is_identifier
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.images.image import UnreadableImage

AUGMENTED = """
    aug augment augmented augmentation flip flipped hflip vflip fliplr flipud mirror mirrored rot rotate
    rotated rotation noise noisy blur blurred bright brighter brightness darker crop cropped zoom zoomed shear
    sheared shift shifted translate translated elastic jitter cutout gamma clahe horizontal vertical contrast
    scaled
""".split()
"""What names of augmented copies say was done."""

ThumbnailReader = Callable[[int], NDArray[np.float32] | None]
"""Position of an image → a small grey picture, None where it cannot be read."""

_TOKEN = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
_LETTERS = ("[A-Za-z]+", r"[^\W\d_]+")
"""Of English alone, and of any script."""
_ARTICLES = (
    r"PMC\d{4,}",
    r"(?:19|20)\d\d\.\d\d\.\d\d\.\d{4,}",  # bioRxiv and medRxiv
    r"PII[A-Z]?[\dX]{8,}",
    r"(?<![\d.])10\.\d{4,9}[-_.][A-Za-z\d.]+",
    r"arXiv[-_.]?\d{4}\.\d{4,5}",
    r"s\d{5}-\d{3}-\d{4,5}-[\dxX]",
    r"(?<![A-Za-z\d])(?:[a-z]+\.)+(?:19|20)\d\d(?:\.\d\d\.\d{3}|\.?\d{5,6})(?!\d)",  # radiol.2020200241
)
_CASE_WORD = re.compile(
    r"(?<![A-Za-z])(?:patient|patientid|pat|subject|subj|sub|case|person|participant|volunteer|study|exam|article)"
    r"[-_ ]?(?=\d)",
    re.IGNORECASE,
)
_SHAPES, _LEAST_SHARE, _LEAST_GROUPS = 8, 0.02, 3
_PAIRS, _SECONDS, _SIDE_PX = 60, 1.5, 32
_ALIKE = 0.62
"""Area under the curve of pictures inside a group against others, from which names alone need not be believed."""


@dataclass(frozen=True)
class NameGroups:
    """What one pattern makes of the names.

    Args:
        regex: fit for `--patient-regex`: its first group names the group.
        groups: of two images or more.
        largest: images in the largest.
        explains: share of all images that stand in such a group.
        test_images_touched: test images with an image of their group in train or val.
        alike: how often a picture is more like one of its group than one of another (0.5 = by chance), None where
            that was not looked at.
        why: what speaks for it.
    """

    regex: str
    groups: int
    largest: int
    explains: float
    test_images_touched: int = 0
    alike: float | None = None
    why: str = ""

    def line(self) -> str:
        """Return what the pattern does, with the option to copy."""
        return (
            f"--patient-regex {shlex.quote(self.regex)} makes {self.groups:,} groups (largest {self.largest:,}) of "
            f"{self.explains:.0%} of the images; {self.test_images_touched:,} test images have one of their group "
            "in train or val"
        )


def groups_in_names(paths: Sequence[str], pattern: str) -> list[str]:
    """Return the group of each image (N,), "" where a name gives none."""
    compiled = re.compile(pattern)
    return [(match[1] or "") if (match := compiled.search(path)) else "" for path in paths]


def touched(groups: Sequence[str], splits: Sequence[str]) -> list[bool]:
    """Return of each image (N,) whether it is in test, and one of its group in train or val."""
    learnt = {
        group for group, split in zip(groups, splits, strict=True) if group and split in ("train", "val")
    }
    return [split == "test" and group in learnt for group, split in zip(groups, splits, strict=True)]


def rank_patterns(paths: Sequence[str], labels: Sequence[str], look: ThumbnailReader) -> list[NameGroups]:
    """Return the patterns that group images by name, the best first; none where names give nothing away.

    Args:
        paths: (N,), posix, relative to their source.
        labels: (N,).
    """
    found: dict[tuple[int, ...], tuple[float, NameGroups, list[str]]] = {}
    for regex, why, sure in _candidates(paths, labels):
        groups = groups_in_names(paths, regex)
        fit = measured(regex, groups)
        if fit is None or _mostly(is_date, {group.rpartition("/")[2] for group in groups if group}):
            continue
        counted = _rest_counts(paths, labels, groups)
        trust = 1.0 if sure else 0.8 if counted else 0.4
        first: dict[str, int] = {}
        key = tuple(first.setdefault(group, place) if group else -1 for place, group in enumerate(groups))
        if key not in found or found[key][0] < trust * fit.explains:
            found[key] = (trust * fit.explains, replace(fit, why=why), groups)
    ranked = sorted(found.values(), key=lambda item: (-item[0], len(item[1].regex), item[1].regex))[:4]
    result = []
    deadline = monotonic() + _SECONDS
    for score, fit, groups in ranked:
        alike = _likeness(groups, labels, look, deadline)
        if score >= 0.7 * fit.explains or (alike is not None and alike >= _ALIKE):
            result.append((score * (0.5 + (0.5 if alike is None else alike)), replace(fit, alike=alike)))
    return [fit for _, fit in sorted(result, key=lambda item: -item[0])]


def measured(regex: str, groups: Sequence[str]) -> NameGroups | None:
    """Return what a pattern explains, None where it does not group: too little, or all but everything as one."""
    images = len(groups)
    sizes = Counter(group for group in groups if group)
    several = [size for size in sizes.values() if size > 1]
    share = sum(several) / max(1, images)
    if len(several) < _LEAST_GROUPS or share < _LEAST_SHARE:
        return None
    if max(several) > max(0.2 * images, 8) or np.median(several) > 0.05 * images + 3:
        return None
    return NameGroups(regex, len(several), max(several), round(share, 4))


def _candidates(paths: Sequence[str], labels: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield (pattern, what speaks for it, whether the name says it in words)."""
    names = [path.rsplit("/", 1)[-1] for path in paths]
    kinds = [kind for kind in _ARTICLES if sum(re.search(kind, name) is not None for name in names) >= 4]
    if kinds:
        yield f"({'|'.join(kinds)})", "numbers of articles", True
    again = _restarts(paths, names)
    words = Counter(match[0] for path in paths if (match := _CASE_WORD.search(path)))
    if frequent := [
        re.escape(word).replace(r"\-", "-") for word, count in words.most_common(4) if count >= 4
    ]:
        either = frequent[0] if len(frequent) == 1 else f"(?:{'|'.join(frequent)})"
        inside = (
            again
            if again and sum(_CASE_WORD.search(name) is not None for name in names) > len(names) / 2
            else ""
        )
        yield rf"({inside}{either}\d+)", "a word for a patient or a case, and a number", True
    yield from _of_copies(names, again)
    yield from _of_folders(paths, labels)
    for starts, before, after, sure in _of_shapes(names):
        bare = f"{starts}({before}){after}"
        groups = groups_in_names(paths, bare)
        mixed = _share_of_mixed(groups, labels) > 0.6 and not _rest_counts(paths, labels, groups)
        folder = again or ("[^/]+/" if mixed else "")
        regex = f"({folder}{before}){after}" if folder else bare
        if not _says_again(paths, labels, groups_in_names(paths, regex)):
            yield regex, "the first parts of the names", sure and not folder


def _restarts(paths: Sequence[str], names: Sequence[str]) -> str:
    """Return what has to stand before a name: "", or the folder, or all folders, where names come again in others."""
    folders = [path.rsplit("/", 2)[-2] if path.count("/") else "" for path in paths]
    if len(names) - len(set(zip(folders, names, strict=True))) > 0.3 * len(names) / 2:
        return "^.*/"
    return "[^/]+/" if len(names) - len(set(names)) > 0.3 * len(names) / 2 else ""


def _says_again(paths: Sequence[str], labels: Sequence[str], groups: Sequence[str]) -> bool:
    """Return whether groups of two or more are classes, folders or classes in folders, but for a tenth of the images."""
    sizes = Counter(groups)
    folders = [path.rpartition("/")[0] for path in paths]
    for named in (labels, folders, list(zip(labels, folders, strict=True))):
        pairs = Counter((g, n) for g, n in zip(groups, named, strict=True) if g and sizes[g] > 1)
        largest: tuple[dict[object, int], dict[object, int]] = ({}, {})
        for pair, count in pairs.items():
            for of, key in zip(largest, pair, strict=True):
                of[key] = max(of.get(key, 0), count)
        if pairs and min(sum(of.values()) for of in largest) >= 0.9 * pairs.total():
            return True
    return False


def _share_of_mixed(groups: Sequence[str], labels: Sequence[str]) -> float:
    """Return the share of groups of two or more whose images are of several classes."""
    seen: defaultdict[str, list[str]] = defaultdict(list)
    for group, label in zip(groups, labels, strict=True):
        if group:
            seen[group].append(label)
    several = [len(set(found)) > 1 for found in seen.values() if len(found) > 1]
    return sum(several) / max(1, len(several))


def _of_copies(names: Sequence[str], folder: str) -> Iterator[tuple[str, str, bool]]:
    """Yield patterns of augmented and of numbered copies, by the name of what they were made from.

    Args:
        folder: see `_restarts`.
    """
    stems = {name.rpartition(".")[0] or name for name in names}
    words = Counter(
        word.lower() for stem in stems for word in re.findall(r"[A-Za-z]+", stem) if word.lower() in AUGMENTED
    )
    common = sorted(word for word, count in words.items() if count >= 3)
    parts = []
    if common:
        made = f"(?:{'|'.join(common)})"
        first = sum(re.match(rf"{made}(?![A-Za-z])", stem, re.IGNORECASE) is not None for stem in stems)
        start = rf"(?:^|/)(?:{made}[-_ .]?\d*[-_ .])*([^/]+?)" if first >= 3 else f"({folder}[^/]+?)"
        yield rf"(?i){start}(?:[-_ .]{made}[-_ .]?\d*)*\.[^./]+$", "words for augmented copies", True
    numbered = [re.fullmatch(r"(.+?) ?\(\d+\)", stem) for stem in stems]
    if sum(match is not None and match[1] in stems for match in numbered) >= 3:
        parts.append(r" ?\(\d+\)")
    if sum(bool(re.search(r"[ _-]+copy(?:[ _-]?\d+)?$", stem, re.IGNORECASE)) for stem in stems) >= 3:
        parts.append(r"[ _-]+[Cc]opy(?:[ _-]?\d+)?")
    if parts:
        yield rf"({folder}[^/]+?)(?:{'|'.join(parts)})*\.[^./]+$", "numbered copies", True
    if sum(".rf." in stem for stem in stems) >= 3:
        yield r"([^/]+?)\.rf\.[0-9a-f]+", "copies as Roboflow names them", True


def _of_folders(paths: Sequence[str], labels: Sequence[str]) -> Iterator[tuple[str, str, bool]]:
    """Yield the innermost folder, where it is neither a class nor a split."""
    parents = [path.split("/")[-2] if path.count("/") else "" for path in paths]
    own = [
        p and p != label and p.lower() not in SPLIT_NAMES for p, label in zip(parents, labels, strict=True)
    ]
    if sum(map(bool, own)) < 0.5 * len(paths):
        return
    inner = {parent for parent, is_own in zip(parents, own, strict=True) if is_own}
    named = sum(is_case(name) or is_identifier(name) or name.isdigit() for name in inner) > len(inner) / 2
    above = {tuple(path.split("/")[-3:-1]) for path in paths if path.count("/") > 1}
    pattern = r"([^/]+)/[^/]+$" if len(above) <= 1.3 * len(inner) else r"([^/]+/[^/]+)/[^/]+$"
    yield pattern, "the folder an image lies in", named


def _of_shapes(names: Sequence[str]) -> Iterator[tuple[str, str, str, bool]]:
    """Yield the beginnings of names, for each of the commonest ways that names are put together.

    Yields:
        What stands before a beginning, the beginning and what stands behind it, as patterns; and whether it says in
        words what it is.
    """
    shapes: defaultdict[str, list[list[str]]] = defaultdict(list)
    for name in names:
        tokens = _TOKEN.findall(name.rsplit(".", 1)[0])
        kinds = ("A" if token[0].isalpha() else "N" if token[0].isdigit() else token for token in tokens)
        shapes["\0".join(kinds)].append(tokens)
    common = sorted(shapes.values(), key=lambda rows: -len(rows))[:_SHAPES]
    for rows in common:
        if len(rows) < max(4, _LEAST_SHARE * len(names)):
            continue
        values = [set(column) for column in zip(*rows, strict=True)]
        varying = [len(column) > 1 for column in values]
        pieces = [_piece(column) for column in values]
        dated = next(
            (n + 1 for n in range(5, 0, -1) if _mostly(is_date, {"".join(row[:n]) for row in rows})), 0
        )
        for end in range(dated + 1, len(pieces)):
            rest = varying[end:]
            if varying[end - 1] and any(rest) and pieces[end - 1] in (r"\d+", *_LETTERS):
                before, following = "".join(pieces[dated:end]), rows[0][end]
                starts = "" if rows[0][0].isalpha() and not varying[0] and len(shapes) < 3 else "(?:^|/)"
                starts += "".join(pieces[:dated])  # the day says nothing of whose it is
                after = "" if following[0].isalnum() else _piece({following[0]})
                sure = not varying[max(0, end - 2)] and is_case(f"{rows[0][end - 2]}{rows[0][end - 1]}")
                yield starts, before, after, sure


def _mostly(fits: Callable[[str], bool], names: set[str]) -> bool:
    return sum(map(fits, names)) > 0.7 * len(names)


def _piece(values: set[str]) -> str:
    """Return what matches one part of names: itself where it is always the same."""
    first = next(iter(values))
    if len(values) == 1 or not first[0].isalnum():
        return re.escape(first).replace(r"\-", "-").replace(r"\ ", " ")
    return _LETTERS[not all(map(str.isascii, values))] if first.isalpha() else r"\d+"


def _rest_counts(paths: Sequence[str], labels: Sequence[str], groups: Sequence[str]) -> bool:
    """Return whether what follows a group in a name counts within it: 1, 2, 3, or a, b, or left and right."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    words: defaultdict[str, list[str]] = defaultdict(list)
    labels_of: defaultdict[str, set[str]] = defaultdict(set)
    for path, label, group in zip(paths, labels, groups, strict=True):
        if not group:
            continue
        rest = path.rpartition("/")[2].rpartition(".")[0].partition(group.rpartition("/")[2])[2]
        if found := re.findall(r"\d+", rest):
            numbers[group].append(int(found[-1][:12]))
        elif rest:
            words[group].append(rest)
            labels_of[rest].add(label)
    near = [max(n) - min(n) < 4 * len(n) and len(set(n)) > 1 for n in numbers.values() if len(n) > 1]
    # Words that go with a class are the label, not a view.
    labels_explain = len(set(labels)) > 1 and labels_of and all(len(seen) == 1 for seen in labels_of.values())
    views = [
        len(set(w)) == len(w) and len(labels_of) <= 26 and not labels_explain
        for w in words.values()
        if len(w) > 1
    ]
    every = [*near, *views]
    return bool(every) and sum(every) > 0.6 * len(every)


def _likeness(
    groups: Sequence[str], labels: Sequence[str], look: ThumbnailReader, deadline: float
) -> float | None:
    """Return how often a pair of one group is more alike than a pair of the same class and two groups."""
    members: defaultdict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        if group:
            members[group].append(place)
    several = [places for places in members.values() if len(places) > 1]
    chosen = several[:: max(1, len(several) // _PAIRS)][:_PAIRS]
    pictures: dict[int, NDArray[np.float32]] = {}
    for places in chosen:
        for place in (places[0], places[-1]):
            if monotonic() > deadline:
                break
            picture = look(place)
            if picture is not None:
                pictures[place] = picture
    inside = [
        _similar(pictures[p[0]], pictures[p[-1]]) for p in chosen if p[0] in pictures and p[-1] in pictures
    ]
    firsts = [places[0] for places in chosen if places[0] in pictures]
    pairs = [(a, b) for a, b in combinations(firsts, 2) if labels[a] == labels[b]]
    between = [_similar(pictures[a], pictures[b]) for a, b in pairs[:: max(1, len(pairs) // (3 * _PAIRS))]]
    if len(inside) < 5 or len(between) < 5:
        return None
    wins = np.array(inside)[:, None] - np.array(between)[None, :]
    return round(float((wins > 0).mean() + (wins == 0).mean() / 2), 3)


def _similar(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """Return the best correlation of two small pictures, one turned and mirrored in all eight ways."""
    turned = [np.rot90(side, turns) for side in (second, second[:, ::-1]) for turns in range(4)]
    return max(float((first * other).mean()) for other in turned)


def small_picture(pixels: NDArray[np.generic]) -> NDArray[np.float32]:
    """Return pixels (H, W, C) as a grey picture (32, 32) of mean 0 and deviation 1."""
    grey = np.asarray(pixels, dtype=np.float32)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    small = cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA)
    return np.asarray((small - small.mean()) / (small.std() + 1e-6), dtype=np.float32)


def looking(paths: Sequence[str], read: Callable[[str], NDArray[np.generic]]) -> ThumbnailReader:
    """Return what looks at images by their position, each read once.

    Args:
        read: raises `UnreadableImage`.
    """
    seen: dict[int, NDArray[np.float32] | None] = {}

    def look(place: int) -> NDArray[np.float32] | None:
        if place not in seen:
            try:
                seen[place] = small_picture(read(paths[place]))
            except (UnreadableImage, OSError):  # named in the quarantine; here it only is no evidence
                seen[place] = None
        return seen[place]

    return look
