"""What an audit measures of each image, kept beside the audit so that no image is decoded twice for it."""

import math
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli import __version__
from medimg_cli.audit.measurements.image_statistics import STATISTICS_COLUMNS, ImageStatistics, look_at
from medimg_cli.audit.measurements.thumbnails import Thumbnails, appending, stored_count, thumbnail
from medimg_cli.errors import DataError
from medimg_cli.images.image import DecodedImage, UnreadableImage, split_member
from medimg_cli.workspace.files import disk_errors, sha256_of_file
from medimg_cli.workspace.progress import Progress, tracked
from medimg_cli.workspace.tables import read_table, write_table
from medimg_cli.workspace.threads import in_part, map_ordered, takes_too_long
from medimg_cli.workspace.workspace import Workspace

Reader = Callable[[str], DecodedImage]
TextFinder = Callable[[DecodedImage], str]

MEASUREMENT_COLUMNS = ("readable", "reason", "pixel_sha256", "sha256", "text_regions", *STATISTICS_COLUMNS)
_STORED_COLUMNS = (
    "key",
    "version",
    "pixel_sha256",
    "sha256",
    "text_regions",
    "thumbnail",
    *STATISTICS_COLUMNS,
    "check",
)
_NOT_SEARCHED = "not searched"
_NO_STATISTICS = dict.fromkeys(STATISTICS_COLUMNS, float("nan"))


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

    def cells(self) -> dict[str, object]:
        """Return the cells `MEASUREMENT_COLUMNS`."""
        texts = {name: getattr(self, name) for name in MEASUREMENT_COLUMNS[:5]}
        return texts | (_NO_STATISTICS if self.statistics is None else vars(self.statistics))

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


def measurements_path(workspace: Workspace) -> Path:
    """Return where the figures are kept."""
    return workspace.audit_dir / "measurements.csv"


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
    results = _keep(workspace, done, known)
    index = pd.Index(rows["image_id"].iloc[: len(results)], name="image_id")
    table = pd.DataFrame([r.cells() for r in results], index=index, columns=list(MEASUREMENT_COLUMNS))
    numbers = {
        str(image): result.thumbnail
        for image, result in reversed(list(zip(index, results, strict=True)))
        if result.thumbnail >= 0
    }
    return Measured(table[~table.index.duplicated()], Thumbnails(thumbnails_path(workspace), numbers))


def kept_measurements(workspace: Workspace, rows: pd.DataFrame) -> Measured:
    """Return what was measured before of the images of `rows` (image_id, sha256); no image file is opened.

    Returns:
        a table without the images that were never measured.
    """
    known = {measurement.sha256: measurement for measurement in _read_known(workspace).values()}
    pairs = zip(rows["image_id"], rows["sha256"], strict=True)
    found = {str(image): known[content] for image, content in pairs if content in known}
    index = pd.Index(list(found), name="image_id", dtype=object)
    cells = [measurement.cells() for measurement in found.values()]
    table = pd.DataFrame(cells, index=index, columns=list(MEASUREMENT_COLUMNS))
    numbers = {image: measurement.thumbnail for image, measurement in found.items()}
    return Measured(table, Thumbnails(thumbnails_path(workspace), numbers))


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
    workspace: Workspace, done: Iterator[tuple[str, Measurement]], known: dict[str, Measurement]
) -> list[Measurement]:
    """Return the results in order, those not kept before written to the audit's folder."""
    new: dict[str, Measurement] = {}
    results: list[Measurement] = []
    path = thumbnails_path(workspace)
    keep = 1 + max((result.thumbnail for result in known.values()), default=-1)
    hint = "free some disk space or choose another workspace"
    if in_part():
        deque(done, maxlen=0)
    with disk_errors(path, hint), appending(path, keep=keep) as pictures:
        try:
            for key, result in done:
                stored = new.get(key, result)
                if stored.picture is not None:
                    number = stored.thumbnail if stored.thumbnail >= 0 else pictures.append(stored.picture)
                    stored = new[key] = replace(stored, thumbnail=number, picture=None)
                results.append(stored)
        finally:
            if new:
                _write_known(workspace, known | new)
    return results


def _measure(
    path: str,
    *,
    read: Reader,
    known: dict[str, Measurement],
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
    before = known.get(key)
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


def _read_known(workspace: Workspace) -> dict[str, Measurement]:
    """Return kept measurements by key; those of another version, whose readers may differ, are not used."""
    if not measurements_path(workspace).is_file():
        return {}
    try:
        table = read_table(measurements_path(workspace), required=_STORED_COLUMNS)
    except DataError:  # somebody edited it; it only saves time, so everything is measured again
        return {}
    numbers = table[["thumbnail", *STATISTICS_COLUMNS]].apply(pd.to_numeric, errors="coerce")
    places = numbers["thumbnail"]
    looked = (table[list(STATISTICS_COLUMNS)] != "").all(axis=1)
    whole = (
        places.between(0, stored_count(thumbnails_path(workspace)) - 1)
        & table["version"].eq(__version__)
        & table["check"].eq(_checks(table))
        & (numbers.notna().all(axis=1) | ~looked)
    )
    # Not as pandas read them, whose last digit may differ: the same data give the same bytes.
    exact = (
        [float(cell or "nan") for cell in table.loc[whole, name].tolist()] for name in STATISTICS_COLUMNS
    )
    figures = zip(*exact, strict=True)
    texts = (table.loc[whole, name].tolist() for name in ("key", "pixel_sha256", "sha256", "text_regions"))
    return {
        key: Measurement(
            readable=True,
            pixel_sha256=pixels,
            sha256=content,
            text_regions=None if regions == _NOT_SEARCHED else regions,
            statistics=ImageStatistics(*figure) if has_statistics else None,
            thumbnail=int(place),
        )
        for key, pixels, content, regions, has_statistics, figure, place in zip(
            *texts, looked[whole].tolist(), figures, places[whole].tolist(), strict=True
        )
    }


def _write_known(workspace: Workspace, measured: dict[str, Measurement]) -> None:
    rows = [
        {"key": key, "version": __version__, "thumbnail": result.thumbnail} | result.cells()
        for key, result in measured.items()
    ]
    table = pd.DataFrame(rows, columns=list(_STORED_COLUMNS)).fillna({"text_regions": _NOT_SEARCHED})
    write_table(measurements_path(workspace), table.assign(check=_checks(table)))


def _checks(table: pd.DataFrame) -> pd.Series:
    """Return the CRC-32 of each row's cells, by which a damaged one is not used."""
    texts = table[list(_STORED_COLUMNS[:-1])].astype(object).where(table.notna(), "").astype(str)
    sums = [f"{zlib.crc32(chr(0).join(row).encode()):08x}" for row in texts.itertuples(index=False)]
    return pd.Series(sums, table.index, dtype=str)
