"""doctor: what this machine can do."""

import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import torch

from medimg_cli.errors import MachineError
from medimg_cli.images.readers import READERS
from medimg_cli.reporting.pdf import check_pango
from medimg_cli.workspace.files import templates_dir
from medimg_cli.workspace.serve_settings import ServeSettings, queue_of
from medimg_cli.workspace.threads import usable_cores
from medimg_cli.workspace.workspace import Workspace

_MOST_SHOWN = 20
_LEAST_FREE_BYTES = 2 << 30


@dataclass(frozen=True)
class Diagnosis:
    """One thing medimg needs or can use.

    Args:
        ok: False when a command would fail for want of it.
        found: what is there.
        advice: what to do when it is not ok.
    """

    name: str
    ok: bool
    found: str
    advice: str = ""


def doctor(workspace: Workspace, dicom: ServeSettings | None = None) -> tuple[Diagnosis, ...]:
    """Return what was found, one diagnosis per thing.

    Args:
        dicom: settings of a DICOM node, whose peers and queue alone are looked at; None = the machine.

    Raises:
        UsageError: a peer has no address of one.
    """
    if dicom is not None:
        return (*_peers(dicom), _queue(queue_of(workspace, dicom)))
    extras = [
        _libraries(f"extra {name}", packages, dict.fromkeys(packages, name))
        for name, packages in _extras().items()
    ]
    return (_device(), *_readers(), *extras, _pango(), _templates(), _disk(workspace))


def _peers(settings: ServeSettings) -> list[Diagnosis]:
    """Return which peers answer: DICOM nodes a C-ECHO, DICOMweb servers a query."""
    try:
        from medimg_cli.web.dicom.peers import PeerDownError, PeerRefusesError, peers_of
    except ImportError:
        return [_libraries("extra dicom", _extras()["dicom"], {})]
    found = []
    for peer in peers_of(settings):
        try:
            peer.echo()
            found.append(Diagnosis(peer.name, ok=True, found="answers"))
        except (PeerDownError, PeerRefusesError) as reason:
            advice = "is it up, and does it know our AE title, address and certificate?"
            found.append(Diagnosis(peer.name, ok=False, found=str(reason), advice=advice))
    advice = "name them in medimg.yaml: the list `send_to` of the section `serve`"
    return found or [Diagnosis("peers", ok=False, found="none is named", advice=advice)]


def _queue(folder: Path) -> Diagnosis:
    """Return what waits in the queue, and what in it was put out of the way, with the reasons."""
    from medimg_cli.web.dicom.queue import read_only

    waiting, results, dead = read_only(folder)
    lines = [
        f"{waiting} objects wait for their answer, {results} results for their peer, {len(dead)} in {folder / 'dead'}"
    ]
    lines += [f"{name}: {note.get('reason', '')}" for name, note in sorted(dead.items())[:_MOST_SHOWN]]
    return Diagnosis("queue", ok=True, found="; ".join(lines))


def _device() -> Diagnosis:
    if torch.cuda.is_available():
        return Diagnosis(
            "device", ok=True, found=f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}"
        )
    return Diagnosis("device", ok=True, found=f"{usable_cores()} processor cores, torch {torch.__version__}")


def _readers() -> list[Diagnosis]:
    optional = {package: extra for extra, packages in _extras().items() for package in packages}
    return [_libraries(f"reader {name}", READERS.get(name).needs, optional) for name in READERS.names()]


def _extras() -> dict[str, list[str]]:
    """Return extra → the distributions it brings, by the metadata of medimg; what only its own tests need is left out."""
    extras: dict[str, list[str]] = {}
    for line in requires("medimg") or ():
        if found := re.match(r"""([\w.-]+).*extra == ['"]([\w-]+)['"]""", line):
            extras.setdefault(found[2], []).append(found[1])
    return {name: packages for name, packages in sorted(extras.items()) if name != "test"}


def _libraries(name: str, needs: Iterable[str], optional: Mapping[str, str]) -> Diagnosis:
    """Return what is there of `needs`; what an extra would bring is no fault where it is missing."""
    found, missing = [], []
    for package in needs:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    if missing and all(package in optional for package in missing):
        extra = optional[missing[0]]
        return Diagnosis(name, ok=True, found=f"not installed; optional: pip install 'medimg[{extra}]'")
    return Diagnosis(
        name,
        ok=not missing,
        found=", ".join(found),
        advice=f"pip install {' '.join(missing)}" if missing else "",
    )


def _pango() -> Diagnosis:
    try:
        return Diagnosis("PDF", ok=True, found=check_pango())
    except MachineError as error:
        return Diagnosis("PDF", ok=False, found=error.what, advice=error.hint)


def _templates() -> Diagnosis:
    try:
        return Diagnosis("templates", ok=True, found=str(templates_dir()))
    except MachineError as error:
        return Diagnosis("templates", ok=False, found=error.what, advice=error.hint)


def _disk(workspace: Workspace) -> Diagnosis:
    folder = next(path for path in (workspace.root, *workspace.root.parents) if path.is_dir())
    free = shutil.disk_usage(folder).free
    return Diagnosis(
        "disk",
        ok=free >= _LEAST_FREE_BYTES,
        found=f"{free / 2**30:.0f} GiB free",
        advice="free some space, or choose another --workspace",
    )
