"""Everything about the images of a data set that is not anatomy, one column a trait."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.findings import AuditContext
from medimg_cli.audit.measurements.image_statistics import STATISTICS_COLUMNS
from medimg_cli.audit.measurements.thumbnails import SIDE_PX
from medimg_cli.audit.shortcuts.column_traits import Trait, TraitKind, column_traits
from medimg_cli.audit.shortcuts.file_traits import FileTraits, file_traits
from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.images.image import split_member
from medimg_cli.workspace.progress import tracked
from medimg_cli.workspace.threads import map_ordered

_BORDER_PX = 4  # of 96: the outer 4 %
_CORNER_PX = 12  # markers, scales and labels stand in the outer eighth
_CHUNK = 4096
_SPLIT_FOLDERS = frozenset(["train", "training", "val", "valid", "validation", "test", "testing"])
# title, kind, field of `FileTraits`; of two that tell as much, the earlier is named
_OF_FILES: tuple[tuple[str, TraitKind, str], ...] = (
    ("file format", "picture", "file_format"),
    ("encoding", "picture", "encoding"),
    ("sample mode", "picture", "mode"),
    ("estimated JPEG quality", "picture", "jpeg_quality"),
    ("colour subsampling", "picture", "subsampling"),
    ("file suffix", "picture", "suffix"),
    ("colour profile", "picture", "colour_profile"),
    ("stated density", "picture", "density"),
    ("device maker", "origin", "make"),
    ("device model", "origin", "model"),
    ("software", "origin", "software"),
    ("modality", "origin", "modality"),
    ("view position", "origin", "view"),
    ("body part", "origin", "body_part"),
    ("peak kilovoltage", "origin", "kvp"),
    ("pixel spacing (mm)", "origin", "spacing_mm"),
    ("year", "origin", "year"),
    ("institution", "origin", "institution"),
    ("station", "origin", "station"),
    ("bytes per pixel", "content", "bytes_per_pixel"),
    ("file size (bytes)", "content", "size_bytes"),
)
_HIDDEN = frozenset({"institution", "station"})
_LOOKS_TITLES = {
    "mean": "mean brightness",
    "std": "spread of the grey values",
    "minimum": "darkest value",
    "maximum": "brightest value",
    "p01": "1st percentile of brightness",
    "p05": "5th percentile of brightness",
    "p50": "median brightness",
    "p95": "95th percentile of brightness",
    "p99": "99th percentile of brightness",
    "black_share": "share of pure black",
    "white_share": "share of pure white",
    "levels": "number of grey levels",
    "commonest_share": "share of the commonest grey level",
    "blockiness": "JPEG blocks",
    "border_mean": "brightness of the border",
    "centre_mean": "brightness of the centre",
    "top_mean": "brightness of the upper half",
    "bottom_mean": "brightness of the lower half",
    "left_mean": "brightness of the left half",
    "right_mean": "brightness of the right half",
}
_LOOKS_KINDS: dict[str, TraitKind] = {"border_mean": "edge", "blockiness": "picture"}


@dataclass(frozen=True)
class CohortTraits:
    """The traits of a data set.

    Args:
        traits: each with one value for every image asked for, in the order in which they are named first.
        files: how many files were looked into.
    """

    traits: tuple[Trait, ...]
    files: int


def traits_of(context: AuditContext, rows: pd.DataFrame) -> CohortTraits:
    """Return every trait of the images of `rows` (usable manifest rows), constant ones too."""
    files = _read_files(context, rows)
    return CohortTraits(
        (
            *_of_files(files),
            *_of_manifest(rows),
            *_of_edges(context, rows),
            *_of_looks(context, rows),
            *_of_names(context, rows),
            *column_traits(rows, context.dataset.info),
        ),
        sum(bool(traits.suffix or traits.size_bytes > 0) for traits in files),
    )


def _read_files(context: AuditContext, rows: pd.DataFrame) -> list[FileTraits]:
    """Return one record an image; images inside of archives and arrays have an empty one, frames their file's."""
    paths = [_own_file(context.workspace.absolute(path)) for path in rows["path"]]
    distinct = list(dict.fromkeys(path for path in paths if path is not None))
    with quiet_decoding():  # odd headers are the readers' matter; here only what they hold counts
        read = map_ordered(_read, distinct)
        known = dict(
            zip(
                distinct, tracked(read, context.progress, "reading headers", total=len(distinct)), strict=True
            )
        )
    return [FileTraits() if path is None else known[path] for path in paths]


def _own_file(path: str) -> str | None:
    """Return the file whose header is this image's, None for a member of an archive or array."""
    file, member = split_member(path)
    if member is None or Path(path).is_file():
        return path
    return file if member.startswith(("frame/", "page/")) else None


def _read(path: str) -> FileTraits:
    try:
        return file_traits(Path(path))
    except OSError:  # gone: the matter of splits-and-manifest
        return FileTraits()


def _of_manifest(rows: pd.DataFrame) -> Iterator[Trait]:
    width, height = (rows[name].to_numpy(dtype=np.float64) for name in ("width", "height"))
    yield Trait("bit depth", "picture", rows["bit_depth"].to_numpy(dtype=np.float64))
    yield Trait("colour or grey", "picture", ["grey" if n == 1 else "colour" for n in rows["channels"]])
    yield Trait("width (px)", "picture", width)
    yield Trait("height (px)", "picture", height)
    yield Trait("side ratio", "picture", width / np.where(height > 0, height, np.nan))


def _of_files(files: Sequence[FileTraits]) -> Iterator[Trait]:
    numeric = {"bytes_per_pixel"} | {field.name for field in fields(FileTraits) if field.type is float}
    for title, kind, name in _OF_FILES:
        values = [getattr(traits, name) for traits in files]
        if name == "file_format":
            values = [value.upper() for value in values]
        column = np.array(values, dtype=np.float64) if name in numeric else values
        yield Trait(title, kind, column, hidden=name in _HIDDEN)


def _of_edges(context: AuditContext, rows: pd.DataFrame) -> Iterator[Trait]:
    """Yield how uneven the border is, how bright the corners are and what stands out there, from small pictures."""
    ids = [str(image) for image in rows["image_id"]]
    seen = [place for place, image in enumerate(ids) if image in context.thumbnails]
    figures = np.full((len(ids), len(_EDGE_TITLES)), np.nan)
    for start in range(0, len(seen), _CHUNK):
        places = seen[start : start + _CHUNK]
        figures[places] = _edges(context.thumbnails.of([ids[place] for place in places]))
    for number, title in enumerate(_EDGE_TITLES):
        yield Trait(title, "edge", figures[:, number])


_CORNERS = ("top left", "top right", "bottom left", "bottom right")
_EDGE_TITLES = (
    "unevenness of the border",
    *(f"brightness of the corner {corner}" for corner in _CORNERS),
    *(f"bright marks in the corner {corner}" for corner in _CORNERS),
)


def _edges(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the figures `_EDGE_TITLES` of (N, SIDE_PX, SIDE_PX), in 0..1: (N, 9)."""
    outside = np.ones((SIDE_PX, SIDE_PX), dtype=bool)
    outside[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = False
    border = pictures[:, outside].astype(np.float32)
    ends = (slice(None, _CORNER_PX), slice(-_CORNER_PX, None))
    corners = np.stack(
        [pictures[:, down, across].reshape(len(pictures), -1) for down in ends for across in ends], axis=1
    ).astype(np.float32)
    marks = corners.max(axis=2) - np.median(corners, axis=2)
    columns = (border.std(axis=1)[:, None], corners.mean(axis=2), marks)
    return np.concatenate(columns, axis=1).astype(np.float64) / 255


def _of_looks(context: AuditContext, rows: pd.DataFrame) -> Iterator[Trait]:
    """Yield what was measured of each picture, whatever figures there are."""
    measured = context.measurements.reindex(rows["image_id"])
    for name in STATISTICS_COLUMNS:
        values = pd.to_numeric(measured[name], errors="coerce").to_numpy(dtype=np.float64)
        title = _LOOKS_TITLES.get(name, name.replace("_", " "))
        yield Trait(title, _LOOKS_KINDS.get(name, "content"), values)


def _of_names(context: AuditContext, rows: pd.DataFrame) -> Iterator[Trait]:
    """Yield folder and way of naming, without the class they may hold: labels were read from it."""
    classes = sorted((name for name in context.dataset.info.classes if name), key=len, reverse=True)
    inner = "|".join(map(re.escape, classes))
    own = re.compile(rf"(?<![^\W\d_])(?:{inner})(?![^\W\d_])", re.IGNORECASE) if classes else None
    names, folders = [], []
    for image, path in zip(rows["image_id"], rows["path"], strict=True):
        inside = _own_file(context.workspace.absolute(path)) is None
        parts = () if inside else PurePosixPath(str(image)).parts[:-1]
        folders.append("/".join(part for part in parts if not _tells_label(part, own)))
        file, member = split_member(path)
        file = file if (member or "").startswith(("frame/", "page/")) else path
        names.append("" if inside else _pattern(PurePosixPath(file).name, own))
    yield Trait("folder", "origin", folders)
    yield Trait("way of naming files", "name", names)


def _tells_label(part: str, own: re.Pattern[str] | None) -> bool:
    return part.lower() in _SPLIT_FOLDERS or (own is not None and own.search(part) is not None)


def _pattern(name: str, own: re.Pattern[str] | None) -> str:
    """Return a file name with numbers as `#` and its class as `CLASS`: `person12_virus_3.png` → `person#_virus_#`."""
    stem = PurePosixPath(name).stem
    plain = own.sub("CLASS", stem) if own is not None else stem
    return re.sub(r"\d+", "#", plain)
