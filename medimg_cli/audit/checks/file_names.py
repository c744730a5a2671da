"""Identities in the names of files and folders."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Severity
from medimg_cli.privacy.forms.names import (
    SAFE_HARBOR,
    Verdict,
    find_identities,
    judge_series,
    long_numbers,
    mask_identities,
    own_part,
)
from medimg_cli.workspace.plain_text import plural

NAME = "file-names"
# A UID or a web address names no person by itself; neither do numbers that follow each other, or one for all.
_INFO = frozenset(["uid", "url", "dense", "shared"])
_SERIES_WORDS: Mapping[Verdict, str] = {
    "dense": "numbers of six digits and more that lie close together, as record numbers given in a row do,",
    "shared": "one and the same number of six digits and more",
}
_ADVICE = "rename the files by a code before the names reach tables, reports or other people"


@check(NAME, "names of files or folders hold dates, record numbers, names of persons or UIDs")
def file_names(context: AuditContext) -> Checked:
    """Search the part of each path that belongs to the data set, not the folders above it.

    A file name travels further than any header: into tables, logs, plots and reports. Numbers of six digits and
    more are judged over the whole data set: counters are silent, numbers far apart look like record numbers.
    """
    rows = context.dataset.usable
    names = [own_part(path, context.dataset.info.sources) for path in rows["path"]]
    images: defaultdict[str, list[str]] = defaultdict(list)
    examples: dict[str, str] = {}
    for image_id, name, kinds in zip(rows["image_id"], names, _kinds(names), strict=True):
        for kind in kinds:
            images[kind].append(str(image_id))
            examples.setdefault(kind, mask_identities(name))
    found = tuple(_finding(kind, images[kind], examples[kind]) for kind in sorted(images))
    return Checked(found, f"{plural(len(rows), 'path')} searched")


def _kinds(names: Sequence[str]) -> Iterator[list[str]]:
    """Yield the kinds in each name (N): those of `SAFE_HARBOR`, record numbers by what their series is."""
    identities = [find_identities(name) for name in names]
    numbers = [long_numbers(name, found) for name, found in zip(names, identities, strict=True)]
    verdicts = judge_series(numbers)
    for found, own in zip(identities, numbers, strict=True):
        kinds = {identity.kind for identity in found} - {"record-number"}
        series = {verdicts[number.slot] for number in own} - {"counter"}
        yield sorted(kinds | {"record-number" if verdict == "record" else verdict for verdict in series})


def _finding(kind: str, images: list[str], example: str) -> Finding:
    letter, words = SAFE_HARBOR.get(kind) or ("H", _SERIES_WORDS["dense" if kind == "dense" else "shared"])
    severity: Severity = "info" if kind in _INFO else "warning"
    message = (
        f"{words} in the path of {plural(len(images), 'image')}, such as '{example}' (Safe Harbor {letter})"
    )
    return Finding(NAME, severity, message, _ADVICE, tuple(images), len(images))
