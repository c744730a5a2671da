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
from medimg_cli.errors import UsageError
from medimg_cli.workspace.settings import IngestSettings

_LABEL = "label"
_WORD = re.compile(r"[^\W\d_]+")
_MOST_CLASSES, _LEAST_EACH, _SHARE = 20, 2, 0.95


def misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why the labels of `source` are not read from names, or None."""
    if settings.label_regex is None:
        return "no --label-regex RE"
    return None if kind_of(source) in ("folder", "archive") else "neither a folder nor an archive"


def list_images(sources: Sequence[Source], settings: IngestSettings) -> Listing:
    """List images whose class is the group found in their path, the one called `label` of several; the rest is rejected.

    Folders called train, val and test (in any of the usual spellings) at the top are official splits.

    Raises:
        UsageError: the pattern is none, has no group, or several and none called `label`.
    """
    pattern = _pattern(settings.label_regex or "")
    entries: list[Entry] = []
    rejected: list[Rejected] = []
    for source in sources:
        tree = contents(source)
        rejected += tree.rejected
        splits = split_folders(folder for folder in tree.folders if "/" not in folder)
        for file in tree.files:
            path, match = f"{tree.base}{file}", pattern.search(file)
            label = match[_group(pattern)] if match else None
            if not label:
                what = (
                    "nothing that --label-regex finds"
                    if match is None
                    else "no label where --label-regex finds it"
                )
                rejected.append(Rejected(path, f"its path has {what}"))
                continue
            split = splits.get(file.split("/", 1)[0])
            entries.append(Entry(f"{source.prefix}{file}", path, label, relative=file, split=split))
    classes = tuple(natural_order({entry.label for entry in entries}))
    return Listing(
        tuple(entries), tuple(rejected), classes, label_source=f"what {pattern.pattern!r} finds in its path"
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


def _group(pattern: re.Pattern[str]) -> int | str:
    return _LABEL if _LABEL in pattern.groupindex else 1


def words_that_part(files: Sequence[str]) -> dict[str, int]:
    """Return word → files, of words that may be classes: nearly every file's name has exactly one of them; {} if none.

    >>> words_that_part(["normal_1.png", "normal_2.png", "IM-1-covid.png", "IM-2-covid.png"])
    {'covid': 2, 'normal': 2}
    """
    found = [frozenset(_WORD.findall(PurePosixPath(file).stem)) for file in files]
    counts = Counter(word for words in found for word in words if len(word) > 2)
    least = max(_LEAST_EACH, len(files) // 100)
    chosen: dict[str, int] = {}
    covered: set[int] = set()
    for word, count in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
        places = {place for place, words in enumerate(found) if word in words}
        if least <= count < _SHARE * len(files) and not places & covered and len(chosen) < _MOST_CLASSES:
            chosen[word] = count
            covered |= places
    return chosen if len(chosen) > 1 and len(covered) >= _SHARE * len(files) else {}


def suggestion(source: Source) -> str:
    """Return how labels may be read from the names of a folder's files, "" where no pattern finds them."""
    if kind_of(source) not in ("folder", "archive"):
        return ""
    files = contents(source).files
    words = words_that_part(files)
    named = ", ".join(f"{word} ({count:,})" for word, count in words.items())
    orders = (words, sorted(words, key=len, reverse=True)) if words else ()
    for tried in (f"({'|'.join(order)}){end}" for end in ("", "[^/]*$") for order in orders):
        found = [(match[1], PurePosixPath(file).stem) for file in files if (match := re.search(tried, file))]
        if all(word in _WORD.findall(stem) for word, stem in found):
            return f"the names hold {named}: --label-regex '{tried}' takes them for labels"
    return ""


LAYOUTS.register("names")(
    Layout(
        "the label is in the file's name, found by --label-regex",
        misfit=misfit,
        list_images=list_images,
        suggestion=suggestion,
    )
)
