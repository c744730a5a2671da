"""The review page driven in a browser: decide, take back, load again, apply, and look at what is on the disk."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medimg_cli.audit.decisions import read_decisions
from medimg_cli.workspace.workspace import Workspace
from tests.audit.audit_cohort import cells_of, rows_of, write_study

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: extra [test]")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: examples/setup.sh can install it")
_SECONDS = 60
playwright.expect.set_options(timeout=60_000)


@dataclass
class Sitting:
    """A running `medimg label-audit --review`."""

    workspace: Workspace
    process: subprocess.Popen[str]
    address: str

    @property
    def root(self) -> str:
        return self.address.partition("?")[0]

    def end(self) -> str:
        """Interrupt it as Ctrl-C does, and return its stdout."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=_SECONDS)[0]


@pytest.fixture
def sitting(tmp_path: Path) -> Iterator[Sitting]:
    """Serve a study in which two pairs of images are the same."""
    workspace = write_study(tmp_path)
    for copy, original in (("sick/train-6", "sick/test-21"), ("healthy/train-0", "sick/train-7")):
        shutil.copyfile(tmp_path / f"raw/{original}.png", tmp_path / f"raw/{copy}.png")
    text = workspace.manifest_path.read_text().splitlines()
    rows = rows_of(workspace)
    for copy, original in (("sick/train-6", "sick/test-21"), ("healthy/train-0", "sick/train-7")):
        old, new = rows.loc[copy, "sha256"], rows.loc[original, "sha256"]
        text = [line.replace(str(old), str(new)) for line in text]
    workspace.manifest_path.write_text("\n".join(text) + "\n")
    command = [sys.executable, "-m", "medimg_cli", "label-audit", "--review", "--port", "0", "--checks"]
    process = subprocess.Popen(
        [*command, "exact-duplicates", "--fail-on", "never", "-C", str(tmp_path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield Sitting(workspace, process, _address(process))
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate(timeout=_SECONDS)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if found := re.search(r"http://\S+", line):
            return found[0]
    raise AssertionError("".join(said))


@pytest.fixture
def page(sitting: Sitting) -> Iterator["Page"]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        opened = browser.new_page()
        opened.goto(sitting.address)
        opened.get_by_label("Who decides?").fill("A. Reader")
        opened.get_by_role("button", name="Start").click()
        yield opened
        browser.close()


def _card(page: "Page", image: str) -> "Locator":
    return page.locator(f'.card[aria-label*="{image},"]')


def test_a_reviewer_excludes_relabels_takes_back_and_applies(sitting: Sitting, page: "Page") -> None:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.get_by_role("link", name="exact-duplicates").first.click()
    playwright.expect(page.locator("#progress")).to_have_text("0 of 2 decided")
    conflict = _card(page, "healthy/train-0")
    playwright.expect(conflict.locator("img")).to_have_js_property("complete", True)
    assert conflict.locator("img").evaluate("picture => picture.naturalWidth") == 32

    conflict.get_by_label("Why, for healthy/train-0").fill("seen twice")
    conflict.get_by_label("New class of healthy/train-0").select_option("sick")
    conflict.get_by_role("button", name="Relabel").click()
    playwright.expect(conflict.locator(".decision")).to_contain_text("relabelled sick by A. Reader")
    playwright.expect(page.locator("#progress")).to_have_text("1 of 2 decided")
    page.reload()
    playwright.expect(_card(page, "healthy/train-0").locator(".decision")).to_contain_text("seen twice")

    page.goto(f"{sitting.root}finding/2")
    first, second = _card(page, "sick/train-6"), _card(page, "sick/test-21")
    first.get_by_role("button", name="Exclude").click()
    playwright.expect(first).to_have_attribute("data-action", "exclude")
    second.get_by_role("button", name="Exclude").click()
    playwright.expect(second).to_have_attribute("data-action", "exclude")
    second.get_by_role("button", name="Undo").click()
    playwright.expect(second).to_have_attribute("data-action", "")

    playwright.expect(page.locator("#pending")).to_have_text("2 not yet in the manifest")
    page.get_by_role("button", name="Apply to the manifest").click()
    playwright.expect(page.locator("#pending")).to_have_text("0 not yet in the manifest")
    rows = rows_of(sitting.workspace)
    assert rows.loc["sick/train-6", "status"] == "excluded"
    assert rows.loc["healthy/train-0", "label"] == "sick"
    assert cells_of(sitting.workspace, "sick/test-21", "status", "reason") == ["ok", ""]
    log = [(line.who, line.action, line.image_id) for line in read_decisions(sitting.workspace)]
    assert log == [
        ("A. Reader", "relabel", "healthy/train-0"),
        ("A. Reader", "exclude", "sick/train-6"),
        ("A. Reader", "exclude", "sick/test-21"),
        ("A. Reader", "undo", "sick/test-21"),
    ]
    assert complaints == []


def test_the_keyboard_alone_is_enough_ctrl_c_applies_and_then_nobody_answers(
    sitting: Sitting, page: "Page"
) -> None:
    page.goto(f"{sitting.root}finding/2")
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    first = page.locator(".card").first
    playwright.expect(first).to_be_focused()
    page.keyboard.press("e")
    playwright.expect(first).to_have_attribute("data-action", "exclude")
    page.keyboard.press("u")
    playwright.expect(first).to_have_attribute("data-action", "")
    page.keyboard.press("b")
    playwright.expect(page.locator("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    playwright.expect(page.locator("dialog")).to_be_hidden()
    page.keyboard.press("r")
    page.keyboard.press("Enter")
    playwright.expect(first).to_have_attribute("data-action", "relabel")
    image = "sick/train-6"
    assert rows_of(sitting.workspace).loc[image, "label"] == "sick"
    assert "3 decisions" in sitting.end()
    assert rows_of(sitting.workspace).loc[image, "label"] == "healthy"
    assert (sitting.workspace.audit_dir / "audit.html").is_file()
    page.locator(".card").first.get_by_role("button", name="Keep").click()
    playwright.expect(page.locator("#status")).to_contain_text("does not answer")
