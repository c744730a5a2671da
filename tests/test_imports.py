"""Imports only fall, and the door opens without the heavy libraries."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "medimg_cli"
SHELVES = {"layouts", "readers", "checks", "metrics", "architectures", "reporting", "web", "catalogue"}
FLOORS = {
    "errors": 1,
    "registry": 2,
    "core": 2,
    "privacy": 2,
    **dict.fromkeys(SHELVES, 3),
    "learning": 4,
    "inference": 4,
    "stages": 5,
    "cli": 6,
}
HEAVY = ("torch", "torchvision", "pandas", "sklearn", "numpy", "pydicom", "weasyprint", "scipy", "PIL")
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in FLOORS)


def room_of(module: str) -> str:
    """Return the second part of a dotted name: medimg_cli.core.files -> core."""
    return module.split(".")[1]


def imported_by(path: Path) -> list[str]:
    names = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.append(node.module)
        elif isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
    return [name for name in names if name.startswith("medimg_cli.")]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_fall(path: Path) -> None:
    own = path.relative_to(PACKAGE).with_suffix("").parts[0]
    for name in imported_by(path):
        room = room_of(name)
        assert FLOORS[room] <= FLOORS[own], f"{own} imports {name}, which stands higher"
        if own in SHELVES and room in SHELVES:
            assert room == own, f"shelf {own} imports shelf {room}"
        if own == "stages":
            assert room != "stages", f"a stage imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_knows_neither_torch_nor_the_terminal(path: Path) -> None:
    if path.relative_to(PACKAGE).parts[0] not in ("core", "privacy"):
        return
    text = path.read_text(encoding="utf-8")
    for library in ("torch", "rich", "typer"):
        assert f"import {library}" not in text
        assert f"from {library}" not in text


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
