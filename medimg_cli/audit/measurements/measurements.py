"""What an audit measures of each image, kept beside the audit so that no image is decoded twice for it."""

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli import __version__
from medimg_cli.audit.measurements.image_statistics import STATISTICS_COLUMNS, ImageStatistics, look_at
from medimg_cli.audit.measurements.thumbnails import Thumbnails, appending, stored_count, thumbnail
from medimg_cli.images.image import DecodedImage, UnreadableImage, split_member
from medimg_cli.workspace.files import atomic_path, disk_errors, sha256_of_file
from medimg_cli.workspace.progress import Progress, tracked
from medimg_cli.workspace.threads import in_part, map_ordered, takes_too_long
from medimg_cli.workspace.workspace import Workspace

Reader = Callable[[str], DecodedImage]
TextFinder = Callable[[DecodedImage], str]

MEASUREMENT_COLUMNS = ("readable", "reason", "pixel_sha256", "sha256", "text_regions", *STATISTICS_COLUMNS)
_STORED_TEXTS = ("key", "pixel_sha256", "sha256", "text_regions")
_NOT_SEARCHED = "not searched"


@dataclass(frozen=True)
class Measurement:
    """One image as it is on disk now.

    Args:
        readable: whether it decodes; if not, `reason` says why and there are no statistics.
        pixel_sha256: see `DecodedImage.pixel_sha256`; "" when not readable.
        sha256: of the file's bytes; of the pixels for a member of an array file; "" when it is gone.
        text_regions: where text may stand in the pixels, in the words of whoever looked for it; None before that.
        statistics: the figures; None where nobody needed them yet.
        thumbnail: number of its small picture, -1 without one.
        picture: the small picture itself, until it is stored.
    """

    readable: bool
    reason: str = ""
    pixel_sha256: str = ""
    sha256: str = ""
    text_regions: str | None = None
    statistics: ImageStatistics | None = None
    thumbnail: int = -1
    picture: NDArray[np.uint8] | None = None

    def has(self, *, statistics: bool, text: bool) -> bool:
        """Return whether nothing of what is asked for is missing."""
        return not (statistics and self.statistics is None) and not (text and self.text_regions is None)


@dataclass(frozen=True)
class Measured:
    """The outcome of measuring.

    Args:
        table: index image_id, columns `MEASUREMENT_COLUMNS`, one row per image.
        thumbnails: small pictures of the readable ones.
    """

    table: pd.DataFrame
    thumbnails: Thumbnails


class Columns:
    """Measurements in columns, which take a few hundred bytes an image; their small pictures are stored elsewhere.

    Args:
        columns: the fields of `Measurement` and `key`, which tells contents apart as `_measure` does, (N) each, texts as
            objects; `statistics` (N, F) float64, nan where they were not needed.
    """

    def __init__(self, columns: dict[str, NDArray[Any]]) -> None:
        self.columns = columns

    @classmethod
    def empty(cls, count: int) -> Self:
        """Return room for `count` measurements."""
        texts = {name: np.full(count, "", dtype=object) for name in ("reason", *_STORED_TEXTS)}
        return cls(
            {
                **texts,
                "readable": np.zeros(count, dtype=np.bool_),
                "statistics": np.full((count, len(STATISTICS_COLUMNS)), np.nan),
                "thumbnail": np.full(count, -1, dtype=np.int64),
            }
        )

    def __len__(self) -> int:
        return len(self.columns["key"])

    def put(self, place: int, key: str, taken: Measurement) -> None:
        for name in ("reason", "pixel_sha256", "sha256", "text_regions", "readable", "thumbnail"):
            self.columns[name][place] = getattr(taken, name)
        self.columns["key"][place] = key
        if taken.statistics is not None:
            self.columns["statistics"][place] = [*vars(taken.statistics).values()]

    def find(self, key: str) -> Measurement | None:
        """Return what is known of a content; the columns are in the order of the keys."""
        keys = self.columns["key"]
        place = bisect_left(keys, key)
        return self._at(place) if place < len(keys) and keys[place] == key else None

    def take(self, places: Sequence[int] | NDArray[Any] | slice) -> Self:
        return type(self)({name: column[places] for name, column in self.columns.items()})

    def joined(self, others: Self) -> Self:
        pairs = {name: (column, others.columns[name]) for name, column in self.columns.items()}
        return type(self)({name: np.concatenate(pair) for name, pair in pairs.items()})

    def table(self, images: Sequence[str]) -> pd.DataFrame:
        """Return the columns `MEASUREMENT_COLUMNS` by image id; of rows with one id the first stands."""
        index = pd.Index(images, name="image_id")
        table = pd.DataFrame(self.columns["statistics"], index, list(STATISTICS_COLUMNS), copy=False)
        for place, name in enumerate(MEASUREMENT_COLUMNS[:5]):
            table.insert(place, name, self.columns[name].tolist())
        return table if index.is_unique else table[~index.duplicated()]

    def _at(self, place: int) -> Measurement:
        row = {name: column[place] for name, column in self.columns.items() if name != "key"}
        figures = row["statistics"]
        statistics = None if np.isnan(figures).all() else ImageStatistics(*figures.tolist())
        row |= {
            "readable": bool(row["readable"]),
            "thumbnail": int(row["thumbnail"]),
            "statistics": statistics,
        }
        return Measurement(**row)


def measurements_path(workspace: Workspace) -> Path:
    """Return where the figures are kept."""
    return workspace.audit_dir / "measurements.npz"


def thumbnails_path(workspace: Workspace) -> Path:
    """Return where the small pictures are kept."""
    return workspace.audit_dir / "thumbnails.u8"


def measure_images(
    workspace: Workspace,
    rows: pd.DataFrame,
    read: Reader,
    progress: Progress,
    *,
    find_text: TextFinder | None = None,
    statistics: bool = True,
    workers: int | None = None,
    seconds: float = math.inf,
) -> Measured:
    """Measure the images of `rows` (image_id, path, sha256).

    Every file's bytes are hashed anew, so a changed file is seen; only contents of which something is asked for
    that was never measured are decoded. What was measured is kept, also when the command is interrupted. Of rows with one image_id the
    first stands.

    Args:
        read: takes an absolute path (`set.npz#train/12` for a member) and returns its pixels.
        find_text: says where text may stand in the pixels; None leaves that open.
        statistics: whether the figures `ImageStatistics` are needed.
        seconds: one file may take; one that takes longer is unreadable.

    Raises:
        MachineError: the audit's folder cannot be written.
    """
    paths = [workspace.absolute(path) for path in rows["path"]]
    containers = sorted({file for file, member in map(_split, paths) if member is not None})
    container_hashes = dict(zip(containers, map_ordered(_hash, containers, workers=workers), strict=True))
    known = _read_known(workspace)
    measure_one = partial(
        _measure,
        read=read,
        known=known,
        container_hashes=container_hashes,
        find_text=find_text,
        statistics=statistics,
    )
    contents = dict(zip(paths, rows.get("sha256", [""] * len(paths)), strict=True))

    def late(path: str) -> tuple[str, Measurement]:
        return "", Measurement(readable=False, reason=takes_too_long(seconds), sha256=contents[path])

    measured = map_ordered(measure_one, paths, workers=workers, seconds=seconds, late=late, task="measure")
    done = tracked(measured, progress, "measuring images", total=len(paths))
    results = _keep(workspace, done, known, len(paths))
    if "sha256" in rows:  # one text in memory for both, in all but changed files
        given, found = rows["sha256"].to_numpy(object)[: len(results)], results.columns["sha256"]
        found[:] = np.where(found == given, given, found)
    return _measured_of(workspace, rows["image_id"].tolist()[: len(results)], results)


def kept_measurements(workspace: Workspace, rows: pd.DataFrame) -> Measured:
    """Return what was measured before of the images of `rows` (image_id, sha256); no image file is opened.

    Returns:
        a table without the images that were never measured.
    """
    known = _read_known(workspace)
    places = dict(zip(known.columns["sha256"], range(len(known)), strict=True))
    found = {
        image: places[content]
        for image, content in zip(rows["image_id"], rows["sha256"], strict=True)
        if content in places
    }
    return _measured_of(workspace, list(found), known.take(list(found.values())))


def _measured_of(workspace: Workspace, images: list[str], columns: Columns) -> Measured:
    pairs = zip(reversed(images), reversed(columns.columns["thumbnail"].tolist()), strict=True)
    numbers = {image: number for image, number in pairs if number >= 0}
    return Measured(columns.table(images), Thumbnails(thumbnails_path(workspace), numbers))


def measure(
    image: DecodedImage, find_text: TextFinder | None = None, *, statistics: bool = True
) -> Measurement:
    """Return what is measured of one decoded image; its `sha256` is the one of its pixels."""
    pixel_sha256 = image.pixel_sha256()
    return Measurement(
        readable=True,
        pixel_sha256=pixel_sha256,
        sha256=pixel_sha256,
        text_regions=None if find_text is None else find_text(image),
        statistics=look_at(image) if statistics else None,
        picture=thumbnail(image),
    )


def _keep(
    workspace: Workspace, done: Iterator[tuple[str, Measurement]], known: Columns, count: int
) -> Columns:
    """Return the `count` results in order, those not kept before written to the audit's folder."""
    new: dict[str, int] = {}
    results, filled = Columns.empty(count), 0
    path = thumbnails_path(workspace)
    keep = 1 + int(max(known.columns["thumbnail"], default=-1))
    hint = "free some disk space or choose another workspace"
    if in_part():
        deque(done, maxlen=0)
    with disk_errors(path, hint), appending(path, keep=keep) as pictures:
        try:
            for place, (key, result) in enumerate(done):
                filled = place + 1
                if result.picture is None:
                    results.put(place, key, result)
                elif key in new:
                    results.put(place, key, replace(result, thumbnail=results.columns["thumbnail"][new[key]]))
                else:
                    number = result.thumbnail if result.thumbnail >= 0 else pictures.append(result.picture)
                    results.put(place, key, replace(result, thumbnail=number))
                    new[key] = place
        finally:
            if new:
                older = [place for place, key in enumerate(known.columns["key"]) if key not in new]
                _write_known(workspace, known.take(older).joined(results.take([*new.values()])))
    return results.take(slice(filled))


def _measure(
    path: str,
    *,
    read: Reader,
    known: Columns,
    container_hashes: dict[str, str],
    find_text: TextFinder | None,
    statistics: bool,
) -> tuple[str, Measurement]:
    """Return the key a content is kept under, and its measurement: kept, or taken now."""
    file, member = _split(path)
    digest = _hash(file) if member is None else container_hashes[file]
    key = digest if member is None else f"{digest}#{member}"
    if not digest:
        return key, Measurement(readable=False, reason="the file is gone or cannot be opened")
    before = known.find(key)
    if before is not None and before.has(statistics=statistics, text=find_text is not None):
        return key, before
    had_text, had_statistics = (before.text_regions, before.statistics) if before else (None, None)
    try:
        taken = measure(
            read(path),
            find_text if had_text is None else None,
            statistics=statistics and had_statistics is None,
        )
    except UnreadableImage as error:
        return key, Measurement(readable=False, reason=str(error), sha256=digest)
    return key, replace(
        taken,
        sha256=digest if member is None else taken.sha256,
        text_regions=taken.text_regions if had_text is None else had_text,
        statistics=taken.statistics or had_statistics,
        thumbnail=before.thumbnail if before else -1,
    )


def _split(path: str) -> tuple[str, str | None]:
    """Return (file, member) as the readers see it: a plain file may have a `#` in its name."""
    file, member = split_member(path)
    return (file, member) if member is not None and not Path(path).is_file() else (path, None)


def _hash(file: str) -> str:
    """Return the SHA-256 of a file, "" when it is gone or cannot be opened."""
    try:
        return sha256_of_file(Path(file))
    except OSError:
        return ""


def _read_known(workspace: Workspace) -> Columns:
    """Return kept measurements in the order of their keys; those of another version, whose readers may differ, are not used."""
    path = measurements_path(workspace)
    if not path.is_file():
        return Columns.empty(0)
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            current = stored["version"].tolist() == __version__
            columns = {name: stored[name] for name in ("statistics", "thumbnail")}
            for name in _STORED_TEXTS:
                columns[name] = np.array(_text(stored[name]).split("\0"), dtype=object)
    except (
        BadZipFile,
        EOFError,
        LookupError,
        OSError,
        ValueError,
    ):  # damaged; it only saves time: all is measured again
        return Columns.empty(0)
    figures, places, searched = columns["statistics"], columns["thumbnail"], columns["text_regions"]
    if (
        not current
        or figures.shape[1:] != (len(STATISTICS_COLUMNS),)
        or len({*map(len, columns.values())}) > 1
    ):
        return Columns.empty(0)
    words = {text: text for text in searched} | {_NOT_SEARCHED: None}
    columns["text_regions"] = np.array([words[text] for text in searched], dtype=object)
    columns["sha256"] = np.where(columns["sha256"] == columns["key"], columns["key"], columns["sha256"])
    columns |= {
        "readable": np.ones(len(places), dtype=np.bool_),
        "reason": np.full(len(places), "", dtype=object),
    }
    unknown = np.isnan(figures)
    there = (places >= 0) & (places < stored_count(thumbnails_path(workspace)))
    return Columns(columns).take(there & (unknown.all(axis=1) | ~unknown.any(axis=1)))


def _write_known(workspace: Workspace, measured: Columns) -> None:
    columns = measured.take(np.argsort(measured.columns["key"])).columns
    stored = {
        "version": np.array(__version__),
        **{name: columns[name] for name in ("statistics", "thumbnail")},
    }
    for name in _STORED_TEXTS:
        texts = [_NOT_SEARCHED if text is None else text for text in columns[name].tolist()]
        stored[name] = np.frombuffer("\0".join(texts).encode(errors="surrogateescape"), np.uint8)
    with atomic_path(measurements_path(workspace)) as temporary, temporary.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **stored)


def _text(stored: NDArray[np.uint8]) -> str:
    return stored.tobytes().decode(errors="surrogateescape")
