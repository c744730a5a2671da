"""Imports only fall, and the door opens without the heavy libraries."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "medimg_cli"
FLOORS = (
    ("errors", "statistics"),
    ("registry",),
    ("workspace",),
    ("images",),
    ("privacy",),
    ("dataset",),
    ("preprocessing", "audit", "sample_data"),
    ("runs",),
    ("predictions",),
    ("inference", "evaluation"),
    ("training", "reporting"),
    ("web",),
    ("stages",),
    ("api",),
    ("cli",),
)
"""The rooms from the ground up; those of one floor do not import each other."""
LEVELS = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
FORBIDDEN = {
    **dict.fromkeys(LEVELS, ("rich", "typer")),
    "inference": ("rich", "typer", "torch", "torchvision", "pandas", "scipy", "sklearn"),
    "training": ("rich", "typer"),
    "stages": ("rich", "typer"),
    "api": ("rich", "typer"),
    "cli": (),
}
WITH_TORCH = {"training", "stages", "api", "cli"}
HEAVY = ("torch", "torchvision", "pandas", "sklearn", "numpy", "pydicom", "weasyprint", "scipy", "PIL")


def imported_by(path: Path) -> list[tuple[int, str]]:
    """Return (line, dotted name) of everything a file imports, anywhere in it."""
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "medimg_cli":
                names += [(node.lineno, f"medimg_cli.{alias.name}") for alias in node.names]
            else:
                names.append((node.lineno, node.module))
        elif isinstance(node, ast.Import):
            names += [(node.lineno, alias.name) for alias in node.names]
    return names


def room_files() -> list[tuple[str, Path]]:
    """Return (room, file) of every file that stands in a room."""
    found = [(path.relative_to(PACKAGE).with_suffix("").parts[0], path) for path in PACKAGE.rglob("*.py")]
    return [(room, path) for room, path in sorted(found) if not room.startswith("__")]


def test_imports_only_fall() -> None:
    wrong = []
    for own, path in room_files():
        for line, name in imported_by(path):
            if not name.startswith("medimg_cli.") or name.startswith("medimg_cli.__"):
                continue
            room = name.split(".")[1]
            upwards = LEVELS[room] > LEVELS[own]
            sideways = LEVELS[room] == LEVELS[own] and room != own
            between_stages = own == room == "stages"
            if upwards or sideways or between_stages:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert wrong == []


def test_a_room_imports_no_library_that_it_must_not() -> None:
    wrong = []
    for own, path in room_files():
        forbidden = FORBIDDEN[own] + (() if own in WITH_TORCH else ("torch", "torchvision"))
        for line, name in imported_by(path):
            if name.split(".")[0] in forbidden:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} imports {name}")
    assert wrong == []


POSIX_MODULES = frozenset("fcntl grp posix pty pwd readline resource syslog termios tty".split())
POSIX_NAMES = {
    "os": frozenset(
        "chown fchmod fchown fork forkpty getegid geteuid getgid getloadavg getpgid getpgrp getuid killpg mkfifo nice posix_fadvise "
        "posix_fallocate pread pwrite register_at_fork sched_getaffinity sched_setaffinity sendfile setpgid setsid statvfs sync "
        "sysconf sysconf_names uname wait O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC WNOHANG".split()
    ),
    "signal": frozenset(
        "alarm getitimer pause pthread_kill pthread_sigmask setitimer siginterrupt sigwait ITIMER_REAL ITIMER_VIRTUAL SIGALRM SIGCHLD "
        "SIGCONT SIGHUP SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 SIGVTALRM SIGXCPU".split()
    ),
}
"""What Windows lacks: the documentation of Python 3.11 calls its availability Unix."""
ASKED = re.compile(
    r"(?:has|get)attr\((?:os|signal), |sys\.platform|ON_WINDOWS|suppress\(ImportError\)|except ImportError"
)


def test_what_windows_lacks_is_asked_for_before_it_is_used() -> None:
    wrong = []
    for _, path in room_files():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        for statement in ast.parse(text).body:
            if ASKED.search("\n".join(lines[statement.lineno - 1 : statement.end_lineno])):
                continue
            for node in ast.walk(statement):
                modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                name = node.attr if isinstance(node, ast.Attribute) else ""
                owner = getattr(node.value, "id", "") if isinstance(node, ast.Attribute) else ""
                if POSIX_MODULES & set(modules) or name in POSIX_NAMES.get(owner, ()):
                    wrong.append(f"{path.relative_to(PACKAGE)}:{node.lineno} {owner} {name} {modules}")  # type: ignore[attr-defined]
    assert wrong == []


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["--version"]])
def test_help_loads_no_heavy_library(arguments: list[str]) -> None:
    code = (
        "import sys\n"
        "from medimg_cli.cli.app import run\n"
        f"code = run({arguments!r})\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "sys.exit(code or ', '.join(loaded) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
