"""The files of a source as de-identification takes them: one by one, whatever their layout."""

from pathlib import Path, PurePosixPath

from medimg_cli.dataset.layouts.tree import contents, kind_of
from medimg_cli.dataset.listing import Source
from medimg_cli.privacy.removal.deidentify_file import Original, Outcome


def originals_of(
    source: Path, ignored: frozenset[Path] = frozenset()
) -> tuple[list[Original], list[Outcome]]:
    """Return the files of a folder, an archive or a single file; and what is there but cannot be opened.

    Args:
        source: absolute.
        ignored: absolute paths inside it that are no input.

    Raises:
        DataError: it cannot be read, or the archive is damaged.
    """
    listed = Source(source, ignored=ignored)
    kind = kind_of(listed)
    if kind not in ("folder", "archive"):
        return [Original(source.name, source)], []
    tree = contents(listed)
    inside = kind == "archive"
    files = [
        Original(name, source if inside else source / name, name if inside else None) for name in tree.files
    ]
    refused = [
        Outcome(
            Original(PurePosixPath(row.path).name, source), PurePosixPath(row.path).name, "", {}, row.reason
        )
        for row in tree.rejected
    ]
    return files, refused
