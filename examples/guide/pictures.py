"""Make the two pictures of the README: python examples/guide/pictures.py WORKSPACE [DIR].

WORKSPACE is what `examples/quickstart.sh` leaves: a cohort of `medimg demo`, a trained and evaluated run. The report is shown
as its HTML page is, the upload page after one drawn X-ray was dropped on it. Chromium and playwright are needed.
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

HERE = Path(__file__).resolve().parent
MEDIMG = [sys.executable, "-m", "medimg_cli"]
WIDTH_PX, HEIGHT_PX = 1100, 1150
KEPT_PX = 760
PORT = 8417
SECONDS = 120.0


def test_picture(workspace: Path) -> Path:
    """Return the first picture of the test split that shows the disease."""
    rows = (workspace / "dataset" / "manifest.csv").read_text(encoding="utf-8").splitlines()[1:]
    cells = next(row.split(",") for row in rows if ",OPACITY," in row and ",test," in row and ".png," in row)
    path = Path(cells[1])
    return path if path.is_absolute() else workspace / path


def kept(picture: bytes, target: Path) -> None:
    """Write a picture small, in few colours: it is looked at on a page of text."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    height = round(image.height * KEPT_PX / image.width)
    small = image.resize((KEPT_PX, height), Image.Resampling.LANCZOS)
    target.parent.mkdir(parents=True, exist_ok=True)
    small.quantize(128, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"wrote {target}: {target.stat().st_size:,} bytes")


def report_page(browser: Browser, workspace: Path, target: Path) -> None:
    """Show the first page of the report."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "eval.html"
        command = [*MEDIMG, "report", "--workspace", str(workspace), "--out", str(out), "--quiet"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(out.as_uri())
        kept(page.screenshot(), target)


def upload_page(browser: Browser, workspace: Path, target: Path) -> None:
    """Show the upload page with one answer."""
    server = subprocess.Popen(
        [*MEDIMG, "serve", "--workspace", str(workspace), "--port", str(PORT), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{PORT}"
        deadline = time.monotonic() + SECONDS
        while not ready(f"{address}/readyz"):
            if server.poll() is not None or time.monotonic() > deadline:
                raise SystemExit("the server did not start")
            time.sleep(0.5)
        page = browser.new_page(viewport={"width": WIDTH_PX, "height": HEIGHT_PX})
        page.goto(address)
        page.set_input_files("input[type=file]", test_picture(workspace))
        page.get_by_text(re.compile("sensitivity", re.IGNORECASE)).first.wait_for(timeout=SECONDS * 1000)
        page.wait_for_timeout(1500)
        kept(page.screenshot(), target)
    finally:
        server.terminate()
        server.wait()


def ready(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def main(workspace: Path, folder: Path) -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        raise SystemExit("no Chromium on the PATH")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        report_page(browser, workspace, folder / "report.png")
        upload_page(browser, workspace, folder / "upload.png")
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]) if len(sys.argv) > 2 else HERE / "pictures")
