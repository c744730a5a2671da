"""Class folders: `NORMAL/…`, `PNEUMONIA/…`, or the same below `train/`, `val/` and `test/`; outermost or innermost."""

import re
from collections.abc import Iterable, Sequence
from functools import cache, partial
from pathlib import PurePosixPath

from medimg_cli.dataset.labels import natural_order
from medimg_cli.dataset.layouts import LAYOUTS, Layout
from medimg_cli.dataset.layouts.tree import Tree, contents, kind_of
from medimg_cli.dataset.listing import Entry, Listing, Rejected, Source
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.workspace.settings import IngestSettings

_WORDS = r"masks?|masken?|m[aá]scaras?|masques?|masch?er[ae]|seg|segs|segmentations?|segmented|gt|ground[ _-]?truths?|rois?|contours?|annotations?|lesion|overlay"
_BESIDE = re.compile(rf"(?P<image>.+?)[ _.-]+(?:{_WORDS})(?:[ _-]?\d+)?", re.IGNORECASE)
_FOLDER = re.compile(rf"(?:.*[ _-])?(?:{_WORDS}|labelmaps?|labels)(?:[ _-]?\d+)?", re.IGNORECASE)
IMAGE_FOLDERS = frozenset(
    "images image imgs img pictures photos data raw original originals png jpg jpeg dicom dcm".split()
)


@cache
def is_mask_folder(name: str) -> bool:
    """Return whether a folder is called as folders of segmentation masks are.

    >>> [is_mask_folder(name) for name in ("masks", "IMD003_lesion", "Ground truth", "segment 4")]
    [True, True, True, False]
    """
    return _FOLDER.fullmatch(name) is not None


def find_masks(files: Sequence[str], *, depth: int) -> dict[str, str]:
    """Return mask → the image it belongs to, of posix paths.

    A mask is called as an image of the same folder and a word such as `_mask` or `_seg_2`, or it lies in a folder
    of masks beside a folder that holds an image of its name.

    Args:
        depth: folders down to the class; one of these is no folder of masks.
    """
    found: dict[str, str] = {}
    parts = [file.rsplit("/", 2) for file in files]
    if not any(_BESIDE.fullmatch(_stem(p[-1])) or (len(p) > 1 and is_mask_folder(p[-2])) for p in parts):
        return found
    stems = {_stem(file): file for file in files}
    folders: dict[tuple[str, str], str] = {}
    deep = [file.count("/") > depth for file in files]
    for file, place, is_deep in zip(files, parts, deep, strict=True):
        if is_deep and not is_mask_folder(place[-2]):
            folders.setdefault(("".join(place[:-2]), _stem(place[-1])), file)
    for file, place, is_deep in zip(files, parts, deep, strict=True):
        name = _stem(place[-1])
        match = _BESIDE.fullmatch(name)
        plain = match["image"] if match else name
        image = stems.get("/".join([*place[:-1], plain])) if match else None
        if image is None and is_deep and is_mask_folder(place[-2]):
            beside = "".join(place[:-2])
            image = folders.get((beside, name)) or folders.get((beside, plain))
        if image is not None and image != file:
            found[file] = image
    return found


def _stem(file: str) -> str:
    folder, dot, suffix = file.rpartition(".")
    return folder if dot and "/" not in suffix else file


INNER = "inner-folders"


def misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why `source` has no class folders, or None."""
    if settings.labels is not None:
        return "a table of labels is given"
    if kind_of(source) not in ("folder", "archive"):
        return "neither a folder nor an archive (.zip, .tar, .tar.gz)"
    tree = contents(source)
    if not tree.folders:
        return "files, but no class folders" if tree.files else "an empty folder"
    return None


def inner_misfit(source: Source, settings: IngestSettings) -> str | None:
    """Return why the innermost folders of `source` do not tell classes apart, or None."""
    reason = misfit(source, settings)
    if reason is None and settings.layout == "auto":
        return "taken only where it is named"
    if reason is None:
        tree = contents(source)
        base = _unwrap(tree)
        splits = split_folders(_children(tree.folders, base))
        places = [_place(file, base, splits) for file in tree.files]
        pairs = {(p[0][0], p[0][-1]) for p in places if not isinstance(p, str) and len(p[0]) > 1}
        outer, inner = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
        # The names of classes come again below each site or year, or below many patients; those of cases do not.
        again = len(outer) * len(inner) <= 1.5 * len(pairs) or 2 * len(inner) <= len(outer)
        if len(outer) < 2 or len(inner) < 2 or not again:
            reason = "the innermost folders are not called the same in each outer folder"
    return reason


def list_images(
    sources: Sequence[Source],
    settings: IngestSettings,  # noqa: ARG001 -- every layout's
    *,
    inner: bool = False,
) -> Listing:
    """List images whose class is the name of the folder they are in, at any depth below it.

    Folders called train, val and test (in any of the usual spellings) with class folders below are official
    splits, and so are those right below every class folder. A single folder that only wraps the class folders is looked through. Segmentation masks beside their
    images are rejected.

    Args:
        inner: the class is the innermost folder instead of the outermost; the folders above go along as `folder`.
    """
    listings = [_list_source(source, inner=inner) for source in sources]
    return Listing(
        entries=tuple(entry for listing in listings for entry in listing.entries),
        rejected=tuple(row for listing in listings for row in listing.rejected),
        classes=tuple(natural_order(name for listing in listings for name in listing.classes)),
        notes=tuple(note for listing in listings for note in listing.notes),
        label_source="name of the folder it lies in" if inner else "name of its class folder",
    )


def _list_source(source: Source, *, inner: bool) -> Listing:
    tree = contents(source)
    base = _unwrap(tree)
    splits = split_folders(_children(tree.folders, base))
    below = {} if splits or inner else _splits_below(tree, base)
    entries: list[Entry] = []
    rejected = list(tree.rejected)
    depth = len(PurePosixPath(base).parts) + (2 if splits else 1)
    masks = find_masks(tree.files, depth=99 if inner else depth)
    for file in tree.files:
        path = f"{tree.base}{file}"
        if file in masks:
            rejected.append(Rejected(path, f"a segmentation mask: of {masks[file]}"))
            continue
        placed = _place(file, base, splits)
        if isinstance(placed, str):
            rejected.append(Rejected(path, placed))
            continue
        folders, split = placed
        split = split or (below[folders[0]].get(folders[1]) if below and len(folders) > 1 else None)
        label = folders[-1] if inner else folders[0]
        above = {"folder": "/".join(folders[:-1])} if inner else {}
        entries.append(Entry(f"{source.prefix}{file}", path, label, relative=file, split=split, extra=above))
    roots = [f"{base}{name}/" for name in splits] or [base]
    classes = {name for root in roots for name in _children(tree.folders, root)}
    if inner:
        classes = {entry.label for entry in entries}
    notes = [f"class folders are those in {base.rstrip('/')}"] if base else []
    if below:
        names = ", ".join(dict.fromkeys(name for splits in below.values() for name in splits))
        notes.append(f"the folders below the classes are taken for splits: {names}")
    if masks:
        notes.append(f"{len(masks):,} segmentation masks beside their images are left out")
    return Listing(tuple(entries), tuple(rejected), tuple(natural_order(classes)), tuple(notes))


def _unwrap(tree: Tree) -> str:
    """Return the folder that holds the class (or split) folders, "" or "name/…/"."""
    base = ""
    while True:
        children = _children(tree.folders, base)
        if len(children) != 1 or not _children(tree.folders, f"{base}{children[0]}/"):
            return base
        base = f"{base}{children[0]}/"


def split_folders(children: Iterable[str]) -> dict[str, str]:
    """Return split folder → split; none unless two different splits are there ("test" may be a class)."""
    found = {name: SPLIT_NAMES[name.lower()] for name in children if name.lower() in SPLIT_NAMES}
    return found if len(set(found.values())) > 1 else {}


def _splits_below(tree: Tree, base: str) -> dict[str, dict[str, str]]:
    """Return class folder → split folder right below it → split; {} unless every class folder has some."""
    inside: dict[str, list[str]] = {name: [] for name in _children(tree.folders, base)}
    for folder in tree.folders:
        name, _, lower = folder[len(base) :].partition("/")
        if folder.startswith(base) and lower and "/" not in lower:
            inside[name].append(lower)
    found = {name: split_folders(lower) for name, lower in inside.items()}
    return found if all(found.values()) else {}


def _place(file: str, base: str, splits: dict[str, str]) -> tuple[tuple[str, ...], str | None] | str:
    """Return (folders from the class on, split) of a file by the folders it is in, or why it has no class."""
    if not file.startswith(base):
        return "stands outside the class folders"
    folders = tuple(file[len(base) :].split("/")[:-1])
    if not splits:
        return (folders, None) if folders else "stands in no class folder"
    if not folders or folders[0] not in splits:
        return "stands outside the train, val and test folders"
    return (folders[1:], splits[folders[0]]) if len(folders) > 1 else "stands in no class folder"


def _children(folders: Iterable[str], base: str) -> list[str]:
    inside = (folder[len(base) :] for folder in folders if folder.startswith(base))
    return [name for name in inside if name and "/" not in name]


def archives_inside(source: Source) -> str:
    """Return what to do with a folder whose files are archives, "" where they are not."""
    files = contents(source).files if kind_of(source) == "folder" else ()
    packed = [file for file in files if file.lower().endswith((".zip", ".tar", ".tar.gz", ".tgz"))]
    if 2 * len(packed) <= len(files):
        return ""
    return f"archives inside a folder are not opened: unpack {packed[0]} and the like, each into a folder of its class"


LAYOUTS.register("folders")(
    Layout(
        "one folder per class, alone or below train/val/test",
        misfit=misfit,
        list_images=list_images,
        suggestion=archives_inside,
    )
)
LAYOUTS.register(INNER)(
    Layout(
        "the innermost folder is the class, below folders of sites, years or patients",
        misfit=inner_misfit,
        list_images=partial(list_images, inner=True),
    )
)
