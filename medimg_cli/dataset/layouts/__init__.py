"""The shelf of layouts: how a source tells which image has which label.

A layout is one file that registers one `Layout`. It lists, and decodes nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from zipfile import is_zipfile

from medimg_cli.dataset.layouts.tree import kind_of
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.errors import DataError, UsageError
from medimg_cli.registry import Registry
from medimg_cli.workspace.settings import IngestSettings


@dataclass(frozen=True)
class Layout:
    """One way to arrange a data set.

    Args:
        summary: one line for people.
        misfit: why a source is not arranged so, one clause; None when it is.
        list_images: lists sources that fit. Raises `DataError` or `UsageError`.
        suggestion: what would make a source fit that nothing fits, one clause; "" where nothing is seen.
    """

    summary: str
    misfit: Callable[[Source, IngestSettings], str | None]
    list_images: Callable[[Sequence[Source], IngestSettings], Listing]
    suggestion: Callable[[Source], str] = lambda _: ""


LAYOUTS: Registry[Layout] = Registry("layout", __name__)


def name_sources(
    paths: Sequence[Path], *, ignored: Iterable[Path] = (), taken: Iterable[str] = ()
) -> list[Source]:
    """Return the sources of an ingest; where there are several, image ids begin with each one's name.

    Args:
        paths: folders or files; of two with the same name the second is called "name-2".
        ignored: absolute paths that are no input.
        taken: prefixes of sources the data set has already.

    Raises:
        UsageError: there is none.
        DataError: one does not exist.
    """
    if not paths:
        raise UsageError("no source is named", "name a folder of images or an .npz archive")
    prefixes = set(taken)
    is_single = len(paths) == 1 and not prefixes
    sources = []
    for path in paths:
        if not path.exists():
            raise DataError(f"{path} does not exist", "check the path")
        name = path.absolute().name
        numbered = (f"{name}/" if number == 1 else f"{name}-{number}/" for number in count(1))
        prefix = "" if is_single else next(each for each in numbered if each not in prefixes)
        prefixes.add(prefix)
        sources.append(Source(path.absolute(), prefix, frozenset(ignored)))
    return sources


def find_layout(sources: Sequence[Source], settings: IngestSettings) -> str:
    """Return the name of the layout to read `sources` by: the one that was named, or the first that fits all.

    Raises:
        UsageError: no layout has the name in the settings.
        DataError: none fits, or the named one does not; the text says what was missing.
    """
    for source in sources:
        _refuse_damaged_archive(source.path)
    if settings.label_regex is not None and (settings.labels or settings.layout not in ("auto", "names")):
        raise UsageError("--label-regex reads labels from names", "leave out --labels and --layout")
    asked = "names" if settings.label_regex is not None else settings.layout
    names = LAYOUTS.names() if asked == "auto" else (asked,)
    misfits: dict[str, str] = {}
    for name in names:
        layout = LAYOUTS.get(name)
        reasons = (layout.misfit(source, settings) for source in sources)
        reason = next((reason for reason in reasons if reason is not None), None)
        if reason is None:
            return name
        misfits[name] = reason
    single = next((source.path for source in sources if kind_of(source) == "file"), None)
    if single is not None and single.suffix.lower() != ".npz":
        raise DataError(
            f"{single} is a single file, no folder and no archive (.zip, .tar, .tar.gz, .npz)",
            "name the folder it lies in, or unpack it",
        )
    seen = (LAYOUTS.get(name).suggestion(sources[0]) for name in names)
    raise DataError(
        f"{sources[0].path} fits no layout: " + "; ".join(f"{name}: {why}" for name, why in misfits.items()),
        next(filter(None, seen), "")
        or "put each class into a folder of its own, or name a table with --labels FILE --image-col --label-col",
    )


def _refuse_damaged_archive(path: Path) -> None:
    """Refuse a zip whose list of members is missing: cut off, no layout would know it for an archive."""
    if not path.is_file():
        return
    with path.open("rb") as stream:
        begins_as_zip = stream.read(4) == b"PK\x03\x04"
    if begins_as_zip and not is_zipfile(path):
        raise DataError(
            f"{path} is cut off or damaged: its list of members is missing", "copy or download it again"
        )
