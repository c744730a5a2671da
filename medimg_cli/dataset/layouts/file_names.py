"""Labels in the names of files: `normal_001.png`, `IM-0007-covid.jpeg`; the group of `--label-regex`."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

from medimg_cli.dataset.labels import natural_order
from medimg_cli.dataset.layouts import LAYOUTS, Layout
from medimg_cli.dataset.layouts.folders import split_folders
from medimg_cli.dataset.layouts.tree import contents, kind_of
from medimg_cli.dataset.listing import Entry, Listing, Rejected, Source
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.dataset.patients import searched
from medimg_cli.errors import UsageError
from medimg_cli.workspace.settings import IngestSettings

_LABEL, _OPTION = "label", "--label-regex"
_WORD = re.compile(r"[^\W\d_]+")
_MOST_CLASSES, _LEAST_EACH, _SHARE = 20, 2, 0.95


def misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why the labels of `source` are not read from names, or None."""
    if settings.label_regex is None:
        return "no --label-regex RE"
    return None if kind_of(source) in ("folder", "archive") else "neither a folder nor an archive"


def list_images(sources: Sequence[Source], settings: IngestSettings) -> Listing:
    """List images whose class is the group found in their name, else in their path; the rest is rejected.

    Of several groups it is the one called `label`. Folders called train, val and test (in any of the usual spellings)
    at the top are official splits.

    Raises:
        UsageError: the pattern is none, has no group, or several and none called `label`, or takes for ever.
    """
    pattern = _pattern(settings.label_regex or "")
    entries: list[Entry] = []
    rejected: list[Rejected] = []
    unlike: list[str] = []
    for source in sources:
        tree = contents(source)
        rejected += tree.rejected
        splits = split_folders(folder for folder in tree.folders if "/" not in folder)
        names = searched(pattern, [PurePosixPath(file).name for file in tree.files], _OPTION)
        for file, name, path in zip(tree.files, names, searched(pattern, tree.files, _OPTION), strict=True):
            group = _LABEL if _LABEL in pattern.groupindex else 1
            label, other = name and name[group], path and path[group]
            if label and other and label != other:
                unlike.append(f"'{file}' is {label}")
            if not (label or other):
                what = (
                    "nothing that --label-regex finds"
                    if path is None
                    else "no label where --label-regex finds it"
                )
                rejected.append(Rejected(f"{tree.base}{file}", f"its path has {what}"))
                continue
            split = splits.get(file.split("/", 1)[0])
            found = Entry(
                f"{source.prefix}{file}", f"{tree.base}{file}", str(label or other), file, split=split
            )
            entries.append(found)
    classes = tuple(natural_order({entry.label for entry in entries}))
    how = f"what {pattern.pattern!r} finds in its name, else in its path"
    said = f"in {len(unlike):,} paths --label-regex finds something else before the name, which counts: "
    return Listing(
        tuple(entries), tuple(rejected), classes, (said + unlike[0],) if unlike else (), label_source=how
    )


def _pattern(text: str) -> re.Pattern[str]:
    example = r"such as --label-regex '(normal|pneumonia)': the label stands in brackets"
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise UsageError(f"--label-regex {text!r}: {error}", example) from error
    if pattern.groups < 1:
        raise UsageError(f"--label-regex {text!r} has no group", example)
    if pattern.groups > 1 and _LABEL not in pattern.groupindex:
        raise UsageError(
            f"--label-regex {text!r} has {pattern.groups} groups",
            f"name the one that is the label, (?P<{_LABEL}>…), or write (?:…) for the others",
        )
    return pattern


def words_that_part(texts: Sequence[str]) -> dict[str, int]:
    """Return word → texts, of words that may be classes: nearly every text has exactly one of them; {} if none.

    >>> words_that_part(["normal_1", "normal_2", "IM-1-covid", "IM-2-covid"])
    {'covid': 2, 'normal': 2}
    """
    found = [frozenset(_WORD.findall(text)) for text in texts]
    every = (word for words in found for word in words)
    counts = Counter(word for word in every if len(word) > 2 and word.lower() not in SPLIT_NAMES)
    least, most = max(_LEAST_EACH, len(texts) // 100), _SHARE * len(texts)
    places: dict[str, set[int]] = {word: set() for word, count in counts.items() if least <= count < most}
    for place, words in enumerate(found):
        for word in words & places.keys():
            places[word].add(place)
    chosen: dict[str, int] = {}
    covered: set[int] = set()
    for word in sorted(places, key=lambda word: (-counts[word], word)):
        if not places[word] & covered and len(chosen) < _MOST_CLASSES:
            chosen[word] = counts[word]
            covered |= places[word]
    return chosen if len(chosen) > 1 and len(covered) >= most else {}


def proposed(files: Sequence[str]) -> tuple[dict[str, int], str]:
    """Return word → files, of words that may be classes in the names of files, else of their folders, and what finds them."""
    paths = [PurePosixPath(file) for file in files]
    for texts in ([path.stem for path in paths], [path.parent.as_posix() for path in paths]):
        words = words_that_part(texts)
        for order in (words, sorted(words, key=len, reverse=True)) if words else ():
            tried = f"({'|'.join(order)})"
            pairs = [
                (re.search(tried, path.name) or re.search(tried, str(path)), text)
                for path, text in zip(paths, texts, strict=True)
            ]
            if all(found is None or found[1] in _WORD.findall(text) for found, text in pairs):
                return words, f"--label-regex '{tried}'"
    return {}, ""


def suggestion(source: Source) -> str:
    """Return how labels may be read from the names of a source's files, "" where no pattern finds them."""
    if kind_of(source) not in ("folder", "archive"):
        return ""
    words, option = proposed(contents(source).files)
    named = ", ".join(f"{word} ({count:,})" for word, count in words.items())
    return f"the names hold {named}: {option} takes them for labels" if words else ""


LAYOUTS.register("names")(
    Layout(
        "the label is in the file's name or path, found by --label-regex",
        misfit=misfit,
        list_images=list_images,
        suggestion=suggestion,
    )
)
