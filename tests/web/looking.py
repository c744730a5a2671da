"""What tests of the upload page do in a browser."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra [test]")
expect = playwright.expect
expect.set_options(timeout=60_000)


def upload(page: "Page", files: Mapping[str, Path], *names: str) -> None:
    """Give the page files and wait until each is answered."""
    page.set_input_files("#files", [str(files[name]) for name in names])
    expect(page.locator("#progress")).to_have_text(f"{len(names)} of {len(names)} done")


def see(page: "Page", selector: str, text: str) -> None:
    expect(page.locator(selector)).to_contain_text(text)


def pixels_of(page: "Page") -> list[int]:
    """Return the red, green, blue and opacity of some places of the picture as it is drawn."""
    script = """canvas => [0.3, 0.5, 0.7].flatMap(at =>
        [...canvas.getContext('2d').getImageData(canvas.width * at, canvas.height * 0.55, 1, 1).data])"""
    found: list[int] = page.locator("#canvas").evaluate(script)
    return found


def wait_for_picture(page: "Page") -> None:
    page.wait_for_function(
        "() => { const c = document.getElementById('canvas');"
        " return c.getContext('2d').getImageData(c.width / 2, c.height / 2, 1, 1).data[3] === 255; }"
    )
