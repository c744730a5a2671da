"""Identities in the names of files and folders."""

from collections import defaultdict
from pathlib import PurePath

from medimg_cli.checks import check, plural
from medimg_cli.core.audit import AuditContext, Checked, Finding, Severity
from medimg_cli.privacy.masking import mask_identities
from medimg_cli.privacy.names import SAFE_HARBOR, find_identities

NAME = "file-names"


@check(NAME, "names of files or folders hold dates, record numbers, names of persons or UIDs")
def file_names(context: AuditContext) -> Checked:
    """Search the part of each path that belongs to the data set, not the folders above it.

    A file name travels further than any header: into tables, logs, plots and reports.
    """
    images: defaultdict[str, list[str]] = defaultdict(list)
    examples: dict[str, str] = {}
    rows = context.dataset.usable
    for image_id, path in zip(rows["image_id"], rows["path"], strict=True):
        name = _own_part(path, context.dataset.info.sources)
        for kind in sorted({identity.kind for identity in find_identities(name)}):
            images[kind].append(str(image_id))
            examples.setdefault(kind, mask_identities(name))
    found = tuple(_finding(kind, images[kind], examples[kind]) for kind in sorted(images))
    return Checked(found, f"{plural(len(rows), 'path')} searched")


def _own_part(path: str, sources: tuple[str, ...]) -> str:
    """Return `path` below its source; a file given by itself keeps its name only."""
    whole = PurePath(path)
    inside = [source for source in sources if whole.is_relative_to(source) and source != path]
    if inside:
        return whole.relative_to(max(inside, key=len)).as_posix()
    return whole.name if whole.is_absolute() else whole.as_posix()


def _finding(kind: str, images: list[str], example: str) -> Finding:
    letter, words = SAFE_HARBOR[kind]
    severity: Severity = "info" if kind == "uid" else "warning"
    message = (
        f"{words} in the path of {plural(len(images), 'image')}, such as '{example}' (Safe Harbor {letter})"
    )
    advice = "rename the files by a code before the names reach tables, reports or other people"
    return Finding(NAME, severity, message, advice, tuple(images), len(images))
