"""download: a public data set, with its licence shown and its checksum verified."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.errors import UsageError
from medimg_cli.sample_data.catalogue import CATALOGUE, PublicSet
from medimg_cli.sample_data.fetch import fetch
from medimg_cli.sample_data.http_download import FetchRules, RemoteFile
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class DownloadResult:
    """What `download` leaves.

    Args:
        path: the file, its checksum verified in this call.
        checksum: `algorithm:hex digits`.
        reused: it was there before, and nothing was fetched.
        next_command: the ingest to go on with.
    """

    name: str
    size_px: int
    path: Path
    bytes: int
    checksum: str
    licence: str
    citation: str
    reused: bool
    next_command: str


def catalogue() -> Mapping[str, PublicSet]:
    """Return every public data set medimg knows, by name."""
    return {name: CATALOGUE.get(name) for name in CATALOGUE.names()}


def download(
    workspace: Workspace,
    name: str,
    *,
    size_px: int | None = None,
    folder: Path | None = None,
    progress: Progress = SilentProgress(),
    rules: FetchRules = FetchRules(),  # noqa: B008 -- frozen
) -> DownloadResult:
    """Fetch one set of the catalogue; a file that is there and right is not fetched again.

    Args:
        size_px: side of the images; None = the smallest there is.
        folder: where the file goes; None = the workspace's `downloads/`.
        rules: how patient to be with the server.

    Raises:
        UsageError: the set or the size is unknown, or `folder` is a file.
        DataError: the server's file has the wrong checksum.
        MachineError: no network, no disk space.
    """
    public_set = CATALOGUE.get(name)
    remote = _choose(name, public_set, size_px)
    folder = workspace.downloads_dir if folder is None else folder.absolute()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file", "--to names a folder")
    _show_terms(name, public_set, progress)
    fetched = fetch(remote, folder / remote.name, progress=progress, rules=rules)
    return DownloadResult(
        name=name,
        size_px=public_set.sizes[0] if size_px is None else size_px,
        path=fetched.path,
        bytes=fetched.bytes,
        checksum=fetched.checksum,
        licence=public_set.licence,
        citation=public_set.citation,
        reused=fetched.reused,
        next_command=_next_command(workspace, fetched.path, public_set),
    )


def _choose(name: str, public_set: PublicSet, size_px: int | None) -> RemoteFile:
    wanted = public_set.sizes[0] if size_px is None else size_px
    if wanted not in public_set.files:
        sizes = ", ".join(map(str, public_set.sizes))
        raise UsageError(f"{name} has no images of {wanted} px", f"its sizes are {sizes}")
    return public_set.files[wanted]


def _show_terms(name: str, public_set: PublicSet, progress: Progress) -> None:
    """Tell the licence and whom to cite, before anything is fetched."""
    progress.note(f"{name}: licence {public_set.licence}, {public_set.licence_address}")
    if public_set.forbids_commerce:
        progress.warn(f"{public_set.licence} forbids commercial use")
    progress.note(f"please cite {public_set.citation}, see {public_set.homepage}")


def _next_command(workspace: Workspace, path: Path, public_set: PublicSet) -> str:
    is_here = workspace.root == Path.cwd()
    words = ["medimg", "ingest", workspace.relative(path) if is_here else path.as_posix()]
    if public_set.positive is not None:
        words += ["--positive", public_set.positive]
    if public_set.multi_label:
        words.append("--multi-label")
    if not is_here:
        words += ["--workspace", workspace.root.as_posix()]
    return shlex.join(words)
