"""What a result was made with: versions, machine, source commit, command line."""

import os
import platform
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from medimg_cli.workspace.plain_text import redacted
from medimg_cli.workspace.threads import usable_cores

_PACKAGES = ("medimg", "torch", "torchvision", "numpy", "pandas", "scikit-learn", "pillow", "pydicom")


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that decide results."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def machine_facts() -> dict[str, str | int]:
    """Return operating system, processor architecture, cores and memory; no host or user name."""
    facts: dict[str, str | int] = {
        "system": f"{platform.system()} {platform.release()}",
        "processor": platform.machine(),
        "cores": usable_cores(),
    }
    if "SC_PHYS_PAGES" in getattr(os, "sysconf_names", ()):
        facts["memory_mib"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return facts


def command_line() -> str:
    """Return how this process was called, as a shell would take it; without the credentials of addresses."""
    return shlex.join([Path(sys.argv[0]).name, *map(redacted, sys.argv[1:])])


def git_commit(folder: Path) -> str | None:
    """Return the commit checked out around `folder`, or None outside a repository."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None


def now() -> str:
    """Return the time in UTC as ISO 8601, to the second: "2026-03-01T09:30:00Z"."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
