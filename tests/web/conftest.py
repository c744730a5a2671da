"""A browser at the upload page, over the real application and a stand-in model."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.reading import served, write_pictures

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_EXPECTED = ("Failed to load resource", "Canvas2D: Multiple readback")
"""What Chromium says of refusals, which the page expects, and of tests that look at pixels."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a file for every state of the page."""
    return write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Serve the stand-in and return where."""
    with served() as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Return Chromium, or skip."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: extra [test]"
    )
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        pytest.skip("no Chromium: examples/setup.sh can install it")
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def reading(browser: "Browser", address: str) -> Iterator["Page"]:
    """Return the opened page; at the end, nothing was said on its console and nothing loaded from elsewhere."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    yield page
    context.close()
    assert [text for text in complaints if not text.startswith(_EXPECTED)] == []
    assert [url for url in asked if not url.startswith((address, f"blob:{address}"))] == []
