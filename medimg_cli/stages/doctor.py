"""doctor: what this machine can do."""

import shutil
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import torch

from medimg_cli.errors import MachineError
from medimg_cli.images.readers import READERS
from medimg_cli.reporting.pdf import check_pango
from medimg_cli.workspace.files import templates_dir
from medimg_cli.workspace.threads import usable_cores
from medimg_cli.workspace.workspace import Workspace

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


def doctor(workspace: Workspace) -> tuple[Diagnosis, ...]:
    """Return what was found, one diagnosis per thing."""
    return (_device(), *_readers(), _pango(), _templates(), _disk(workspace))


def _device() -> Diagnosis:
    if torch.cuda.is_available():
        return Diagnosis(
            "device", ok=True, found=f"{torch.cuda.get_device_name(0)}, torch {torch.__version__}"
        )
    return Diagnosis("device", ok=True, found=f"{usable_cores()} processor cores, torch {torch.__version__}")


def _readers() -> list[Diagnosis]:
    return [_reader(name, READERS.get(name).needs) for name in READERS.names()]


def _reader(name: str, needs: tuple[str, ...]) -> Diagnosis:
    found, missing = [], []
    for package in needs:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            missing.append(package)
    return Diagnosis(
        f"reader {name}",
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
