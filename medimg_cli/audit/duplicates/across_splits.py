"""How many images of a split look like an image of another one, though the files are not the same."""

from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli import __version__
from medimg_cli.audit.duplicates.near_duplicates import LEAST_SIDE_PX, Groups, Pair, find_near_duplicates
from medimg_cli.audit.measurements.measurements import Measured, kept_measurements
from medimg_cli.dataset.leakage import Leak, leak_of
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import DataError
from medimg_cli.workspace.files import check_seal, read_json, sealed, write_json
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.workspace import Workspace

_DIGITS = 16  # of each hash: 64 bits tell a billion pictures apart but for one chance in forty


def pairs_path(workspace: Workspace) -> Path:
    """Return where the pairs are kept."""
    return workspace.audit_dir / "near_duplicates.json"


def keep_pairs(workspace: Workspace, pixel_hashes: Sequence[str], pairs: Iterable[Pair]) -> None:
    """Write which pictures were searched and which pairs of them are copies, not only may be, atomically.

    Args:
        pixel_hashes: of the pictures, by position.
    """
    names = [pixels[:_DIGITS] for pixels in pixel_hashes]
    found = sorted([names[pair.first], names[pair.second]] for pair in pairs if pair.is_confirmed)
    content = {"version": __version__, "pictures": sorted(set(names)), "pairs": found}
    write_json(pairs_path(workspace), sealed(content))


def kept_pairs(workspace: Workspace, pixel_hashes: Sequence[str]) -> list[tuple[int, int]] | None:
    """Return pairs of positions that show the same, as a search over these pictures, and perhaps more, found them.

    Returns:
        None where there was none of this version, or it did not look at all of them.
    """
    path = pairs_path(workspace)
    if not path.is_file():
        return None
    try:
        content = check_seal(path, read_json(path))
        searched, found = frozenset(content["pictures"]), [(one, other) for one, other in content["pairs"]]
    except (DataError, KeyError, TypeError, ValueError):  # somebody edited it; it only saves time
        return None
    places = {pixels[:_DIGITS]: place for place, pixels in enumerate(pixel_hashes)}
    if content.get("version") != __version__ or not searched.issuperset(places):
        return None
    return [(places[one], places[other]) for one, other in found if one in places and other in places]


Pairs = list[tuple[int, int]]


def known_across_splits(workspace: Workspace, usable: pd.DataFrame, splits: Collection[str]) -> int | None:
    """Return the number as an audit's search has it; no image file is opened.

    Args:
        usable: manifest rows.
        splits: those that are evaluated.

    Returns:
        None where no search looked at all of these images.
    """
    found = known_images(workspace, usable, splits)
    return None if found is None else len(found)


def known_images(workspace: Workspace, usable: pd.DataFrame, splits: Collection[str]) -> list[str] | None:
    """Return the ids of these images, as `known_across_splits` counts them."""
    if not pairs_path(workspace).is_file():
        return None
    measured = kept_measurements(workspace, usable)
    if len(measured.table) < len(usable):
        return None
    rows = _comparable(usable, measured)
    pictures = rows["pixel_sha256"].drop_duplicates().tolist()
    pairs = kept_pairs(workspace, pictures)
    if pairs is None:
        return None
    inside = rows.loc[rows["split"].isin(splits), "image_id"]
    return [
        str(image)
        for image, is_copy in zip(inside, _tied_elsewhere(rows, pictures, pairs, splits), strict=True)
        if is_copy
    ]


def known_leak(workspace: Workspace, dataset: Dataset, splits: Collection[str] = ("test",)) -> Leak:
    """Return the leak of some splits with what an audit's search knows of near duplicates; no image file is opened."""
    usable, info = dataset.usable, dataset.info
    return leak_of(
        usable,
        splits,
        known_images(workspace, usable, splits),
        patients_known=info.patients_known,
        patients_certain=info.patients_certain,
        name_pattern=info.name_pattern,
    )


def across_splits(
    workspace: Workspace,
    usable: pd.DataFrame,
    splits: Collection[str],
    *,
    measure: Callable[[pd.DataFrame], Measured],
    progress: Progress = SilentProgress(),
) -> int:
    """Return the number as an audit's search has it, and without one after a search of its own, which is kept too.

    Args:
        measure: measures images of the manifest, by `audit.measurements.measurements.measure_images`.
    """
    known = known_across_splits(workspace, usable, splits)
    return _search(workspace, usable, splits, measure(usable), progress) if known is None else known


def _search(
    workspace: Workspace,
    usable: pd.DataFrame,
    splits: Collection[str],
    measured: Measured,
    progress: Progress,
) -> int:
    rows = _comparable(usable, measured)
    pictures = rows.drop_duplicates("pixel_sha256")
    images = pictures["image_id"].astype(str).to_numpy()

    def look(positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        return measured.thumbnails.of(list(images[positions]))

    found = find_near_duplicates(look, len(pictures), progress=progress)
    hashes = pictures["pixel_sha256"].tolist()
    keep_pairs(workspace, hashes, found.pairs)
    confirmed = [(pair.first, pair.second) for pair in found.pairs if pair.is_confirmed]
    return count_across(rows, hashes, confirmed, splits)


def count_across(rows: pd.DataFrame, pictures: list[str], pairs: Pairs, splits: Collection[str]) -> int:
    """Return how many rows of `splits` show the same as a row of another split whose file has other bytes.

    Args:
        rows: columns split, sha256, pixel_sha256.
        pictures: the different values of pixel_sha256.
        pairs: positions in `pictures` that show the same; what two pictures share with a third ties them too.
    """
    return sum(_tied_elsewhere(rows, pictures, pairs, splits))


def _tied_elsewhere(
    rows: pd.DataFrame, pictures: list[str], pairs: Pairs, splits: Collection[str]
) -> list[bool]:
    """Return of each row of `splits` whether it counts; arguments as of `count_across`."""
    tied = Groups(len(pictures))
    for first, second in pairs:
        tied.tie(first, second)
    places = {pixels: place for place, pixels in enumerate(pictures)}
    group = rows["pixel_sha256"].map(lambda pixels: tied.root(places[pixels]))
    inside = rows["split"].isin(splits)
    elsewhere = rows.loc[~inside, "sha256"].groupby(group[~inside]).agg(frozenset)
    there = group[inside].map(elsewhere)
    return [
        isinstance(others, frozenset) and bool(others - {own})
        for own, others in zip(rows.loc[inside, "sha256"], there, strict=True)
    ]


def _comparable(usable: pd.DataFrame, measured: Measured) -> pd.DataFrame:
    """Return the images that can be compared, with `pixel_sha256`."""
    rows = usable.join(measured.table[["readable", "pixel_sha256"]], on="image_id")
    shown = rows["image_id"].map(lambda image: image in measured.thumbnails).astype(bool)
    large = rows[["width", "height"]].min(axis=1) >= LEAST_SIDE_PX
    return rows[rows["readable"].eq(True) & shown & large].reset_index(drop=True)
