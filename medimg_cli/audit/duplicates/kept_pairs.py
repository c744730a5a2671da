"""What a search for near duplicates found, kept beside the audit so that an evaluation need not search again.

audit/near_duplicates.json    which pictures were searched, and which of them show the same
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from medimg_cli import __version__
from medimg_cli.audit.duplicates.near_duplicates import Pair
from medimg_cli.errors import DataError
from medimg_cli.workspace.files import read_json, write_json
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
    write_json(pairs_path(workspace), content)


def kept_pairs(workspace: Workspace, pixel_hashes: Sequence[str]) -> list[tuple[int, int]] | None:
    """Return pairs of positions that show the same, as a search over these pictures, and perhaps more, found them.

    Returns:
        None where there was none of this version, or it did not look at all of them.
    """
    path = pairs_path(workspace)
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        searched, found = frozenset(content["pictures"]), [(one, other) for one, other in content["pairs"]]
    except (DataError, KeyError, TypeError, ValueError):  # somebody edited it; it only saves time
        return None
    places = {pixels[:_DIGITS]: place for place, pixels in enumerate(pixel_hashes)}
    if content.get("version") != __version__ or not searched.issuperset(places):
        return None
    return [(places[one], places[other]) for one, other in found if one in places and other in places]
