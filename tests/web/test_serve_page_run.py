"""The page of a running `medimg serve`: what a clinician saves is what the command line says, to the last digit."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from medimg_cli.workspace.workspace import Workspace
from tests.web.looking import expect, upload, wait_for_picture
from tests.web.server_process import running_server

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_the_page_saves_what_predict_says(
    browser: "Browser", trained: Workspace, files: dict[str, Path], tmp_path: Path
) -> None:
    images = dict(enumerate(sorted(trained.root.glob("raw/**/*.png"))[:3]))
    given = {str(number): path for number, path in images.items()}
    given |= {name: files[name] for name in ("dicom", "broken", "colour")}
    with running_server(trained.root) as server:
        page = browser.new_page(locale="en-GB")
        page.goto(server.address)
        upload(page, given, *given)
        wait_for_picture(page)
        page.get_by_role("button", name="Heatmap").click()
        expect(page.locator("#live")).to_contain_text("eatmap")
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save JSON").click()
        on_page = json.loads(saved.value.path().read_text(encoding="utf-8"))["predictions"]
        page.close()
    command = [sys.executable, "-m", "medimg_cli", "predict", "--json", "-q", "-C", str(trained.root)]
    done = subprocess.run(
        [*command, *map(str, given.values())], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    said = json.loads(done.stdout)["predictions"]
    for key in ("status", "label", "confidence", "probabilities", "decision", "prediction_set", "flags"):
        assert [one[key] for one in on_page] == [one[key] for one in said]
    assert [one["status"] for one in on_page][4] == "unreadable"
