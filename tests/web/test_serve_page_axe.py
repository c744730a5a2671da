"""axe-core's rules on every page, light and dark; fetched by npm where there is one, for it is no library of ours."""

import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web.looking import see, upload
from tests.web.reading import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_PACKAGE = "axe-core@4.10.3"
_FETCH_SECONDS = 20


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the text of axe-core: of the file `AXE_CORE` names, else as npm fetches it."""
    if named := os.environ.get("AXE_CORE"):
        return Path(named).read_text(encoding="utf-8")
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm to fetch axe-core with, and AXE_CORE names no file")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "pack", _PACKAGE, "--silent", "--fetch-retries=0", "--fetch-timeout=5000"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=_FETCH_SECONDS)
    except (subprocess.SubprocessError, OSError) as error:
        pytest.skip(f"npm could not fetch axe-core: {type(error).__name__}")
    with tarfile.open(next(folder.glob("*.tgz"))) as package:
        member = package.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode("utf-8")


def faults(page: "Page", axe: str, rule: str | None = None) -> list[str]:
    """Return what axe finds, with where and why."""
    page.evaluate(axe)
    options = {"resultTypes": ["violations"]} | ({"runOnly": [rule]} if rule else {})
    found = page.evaluate("async options => (await axe.run(document, options)).violations", options)
    return [
        f"{fault['impact']} {fault['id']}: {node['target']} {node['any'][:1] or node['all'][:1]}"
        for fault in found
        for node in fault["nodes"]
    ]


def look(page: "Page", axe: str) -> None:
    """Hold the page against every rule, and in the other appearance against the one that colours can break."""
    assert faults(page, axe) == []
    page.evaluate("() => { document.documentElement.dataset.theme = 'dark'; }")
    assert faults(page, axe, "color-contrast") == []
    page.evaluate("() => { document.documentElement.dataset.theme = 'light'; }")


def test_axe_finds_no_fault_in_any_state(reading: "Page", axe: str, files: dict[str, Path]) -> None:
    reading.emulate_media(reduced_motion="reduce")  # colours are there at once
    look(reading, axe)
    upload(reading, files, "small", "dicom", "colour", "broken", "frames")
    for number in range(1, 6):
        reading.locator(f'.item[data-number="{number}"] .open').click()
        if number in (2, 5):
            reading.locator("#heat").click()
            see(reading, "#live", "shown")
        if number == 2:
            reading.locator("#window").click()
        look(reading, axe)
    reading.keyboard.press("?")
    look(reading, axe)
    reading.goto(reading.url.partition("?")[0] + "card")
    look(reading, axe)


def test_axe_finds_no_fault_on_a_phone_and_at_the_sign_in(
    browser: "Browser", axe: str, files: dict[str, Path]
) -> None:
    with served(token="a-token-of-the-test") as address:
        context = browser.new_context(
            locale="vi-VN",
            viewport={"width": 390, "height": 844},
            has_touch=True,
            reduced_motion="reduce",
        )
        page = context.new_page()
        page.goto(address)
        look(page, axe)
        page.locator("#token").fill("a-token-of-the-test")
        page.keyboard.press("Enter")
        page.locator("#files").wait_for(state="attached")
        page.set_input_files("#files", [str(files["positive"])])
        page.locator(".headline").wait_for()
        look(page, axe)
        context.close()
