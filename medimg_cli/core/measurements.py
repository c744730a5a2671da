"""What an audit measures of each image, kept beside the audit so that no image is decoded twice for it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from medimg_cli import __version__
from medimg_cli.core.files import sha256_of_file
from medimg_cli.core.image import DecodedImage, UnreadableImage, split_member
from medimg_cli.core.manifest import read_table, write_table
from medimg_cli.core.pool import map_ordered
from medimg_cli.core.progress import Progress, tracked
from medimg_cli.core.workspace import Workspace
from medimg_cli.errors import DataError

Reader = Callable[[str], DecodedImage]


@dataclass(frozen=True)
class Measurement:
    """One image as it is on disk now.

    Args:
        readable: whether it decodes; if not, `reason` says why and the figures are NaN.
        pixel_sha256: see `DecodedImage.pixel_sha256`; "" when not readable.
        mean, std, minimum, maximum: of all samples, in 0..1 of the type's range.
        sha256: of the file's bytes; of the pixels for a member of an array file; "" when it is gone.
    """

    readable: bool
    reason: str = ""
    pixel_sha256: str = ""
    mean: float = float("nan")
    std: float = float("nan")
    minimum: float = float("nan")
    maximum: float = float("nan")
    sha256: str = ""


MEASUREMENT_COLUMNS = tuple(field.name for field in fields(Measurement))
_STORED_COLUMNS = ("key", "version", "pixel_sha256", "mean", "std", "minimum", "maximum", "sha256")
_FIGURES = ("mean", "std", "minimum", "maximum")


def measurements_path(workspace: Workspace) -> Path:
    """Return where the measurements are kept."""
    return workspace.audit_dir / "measurements.csv"


def measure_images(
    workspace: Workspace, rows: pd.DataFrame, read: Reader, progress: Progress, *, workers: int | None = None
) -> pd.DataFrame:
    """Return one row per image of `rows` (image_id, path): index image_id, columns `MEASUREMENT_COLUMNS`.

    Every file's bytes are hashed anew, so a changed file is seen; only contents never measured before are
    decoded. What was measured is kept, also when the command is interrupted. Of rows with one image_id the
    first stands.

    Args:
        read: takes an absolute path (`set.npz#train/12` for a member) and returns its pixels.
    """
    paths = [workspace.absolute(path) for path in rows["path"]]
    containers = sorted({file for file, member in map(_split, paths) if member is not None})
    container_hashes = dict(zip(containers, map_ordered(_hash, containers, workers=workers), strict=True))
    known = _read_known(workspace)
    measured: dict[str, Measurement] = {}
    results: list[Measurement] = []
    measure = partial(_measure, read=read, known=known, container_hashes=container_hashes)
    try:
        for key, result in tracked(
            map_ordered(measure, paths, workers=workers), progress, "measuring images", total=len(paths)
        ):
            results.append(result)
            if result.readable:
                measured[key] = result
    finally:
        if measured.keys() - known.keys():
            _write_known(workspace, known | measured)
    index = pd.Index(rows["image_id"].iloc[: len(results)], name="image_id")
    table = pd.DataFrame([asdict(r) for r in results], index=index, columns=list(MEASUREMENT_COLUMNS))
    return table[~table.index.duplicated()]


def measure(image: DecodedImage) -> Measurement:
    """Return the figures of one decoded image; its `sha256` is the one of its pixels."""
    pixels, pixel_sha256 = image.pixels, image.pixel_sha256()
    white = float(np.iinfo(pixels.dtype).max)
    return Measurement(
        readable=True,
        pixel_sha256=pixel_sha256,
        mean=float(pixels.mean(dtype=np.float64)) / white,
        std=float(pixels.std(dtype=np.float64)) / white,
        minimum=int(pixels.min()) / white,
        maximum=int(pixels.max()) / white,
        sha256=pixel_sha256,
    )


def _measure(
    path: str, *, read: Reader, known: dict[str, Measurement], container_hashes: dict[str, str]
) -> tuple[str, Measurement]:
    """Return the key a content is kept under, and its measurement: kept, or taken now."""
    file, member = _split(path)
    digest = _hash(file) if member is None else container_hashes[file]
    key = digest if member is None else f"{digest}#{member}"
    if not digest:
        return key, Measurement(readable=False, reason="the file is gone or cannot be opened")
    if key in known:
        return key, known[key]
    try:
        measurement = measure(read(path))
    except UnreadableImage as error:
        return key, Measurement(readable=False, reason=str(error), sha256=digest)
    return key, measurement if member is not None else replace(measurement, sha256=digest)


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
    numbers = table[list(_FIGURES)].apply(pd.to_numeric, errors="coerce")
    whole = numbers.notna().all(axis=1) & table["version"].eq(__version__)
    table = table[whole]
    texts = table[["pixel_sha256", "sha256"]].to_dict("records")
    figures = numbers[whole].to_dict("records")
    return {
        str(key): Measurement(
            readable=True,
            pixel_sha256=str(text["pixel_sha256"]),
            sha256=str(text["sha256"]),
            mean=float(figure["mean"]),
            std=float(figure["std"]),
            minimum=float(figure["minimum"]),
            maximum=float(figure["maximum"]),
        )
        for key, text, figure in zip(table["key"], texts, figures, strict=True)
    }


def _write_known(workspace: Workspace, measured: dict[str, Measurement]) -> None:
    rows = [{"key": key, "version": __version__} | asdict(result) for key, result in measured.items()]
    write_table(measurements_path(workspace), pd.DataFrame(rows, columns=list(_STORED_COLUMNS)))
