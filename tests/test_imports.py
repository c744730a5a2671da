"""Imports only fall, and the door opens without the heavy libraries."""

import ast
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
