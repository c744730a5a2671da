"""`medimg serve --dicom-port` as a shell starts it: the answers of `predict`, in the study, at a PACS."""

import json
import os
import shutil
import socket
import subprocess
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import JPEG2000Lossless

from medimg_cli.errors import ExitCode
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.faults.dicom_kills import ServedNode
from tests.web.dicom_peer import encoded, image, listening_peer, send

SECONDS = 60.0


def until(true: Any, seconds: float = SECONDS) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def chances_of(report: Dataset) -> list[float]:
    """Return the probabilities of a structured report, in its order."""
    found = []
    for item in report.ContentSequence:
        if "MeasuredValueSequence" in item:
            found.append(float(item.MeasuredValueSequence[0].NumericValue))
        elif "ContentSequence" in item:
            found += chances_of(item)
    return found


def test_results_say_what_predict_says_and_nothing_is_left(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = [image(number) for number in range(4)]
    images[3].compress(JPEG2000Lossless)
    sources = tmp_path / "sources"
    sources.mkdir()
    for number, each in enumerate(images):
        (sources / f"{number}.dcm").write_bytes(encoded(each))
    assert medimg(trained.root, "predict", str(sources), "--json") == 0
    predicted = json.loads(capsys.readouterr().out)["predictions"]
    damaged = image(9, PixelData=b"\0" * 10)
    log, queue = tmp_path / "audit.jsonl", tmp_path / "queue"
    options = ("--set", f"serve.audit_log={log}", "--set", f"serve.dicom_queue={queue}")
    with listening_peer() as peer, ServedNode(trained.root, peer.port, options=options) as node:
        assert send(node.port, [*images, damaged]) == [0] * 5
        until(lambda: len(peer.held) == 8 and len(list(queue.glob("dead/*.json"))) == 1)
        until(lambda: not list(queue.glob("outgoing/*")))
        assert node.stop() < 15  # 5 s on a machine that does nothing else
    for one, source in zip(predicted, images, strict=True):
        reports = [each for each in peer.held.values() if each.StudyInstanceUID == source.StudyInstanceUID]
        (capture,), (report,) = (
            [each for each in reports if ("PixelData" in each) == kind] for kind in (True, False)
        )
        assert str(capture.PatientName) == "Doe^Jane"
        chances = [] if one["status"] != "ok" else sorted(one["probabilities"].values())
        assert sorted(chances_of(report)) == pytest.approx(chances)
    recorded = [json.loads(line) for line in log.read_text().splitlines()]
    assert len(recorded) == 4
    assert "Doe" not in log.read_text() + "\n".join(node.said)
    (note,) = (json.loads(path.read_text()) for path in queue.glob("dead/*.json"))
    assert note["reason"]


def test_a_second_server_on_the_same_queue_is_refused(
    trained: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from medimg_cli.workspace.lock import locked

    queue = tmp_path / "queue"
    with locked(queue / ".lock", doing="serving"):
        words = [
            "serve",
            "--dicom-port",
            "0",
            "--send-to",
            "dicom://P@127.0.0.1:104",
            "--set",
            f"serve.dicom_queue={queue}",
        ]
        assert medimg(trained.root, *words, "--port", "0") == ExitCode.MACHINE
    assert "another medimg" in capsys.readouterr().err


def test_a_server_without_page_and_dicom_is_refused(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg(trained.root, "serve", "--set", "serve.page=false") == ExitCode.USAGE
    assert "nothing would be served" in capsys.readouterr().err


def test_options_of_a_node_without_its_port_are_refused(
    trained: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (("--send-to", "dicom://P@127.0.0.1:104"), ("--ae", "NODE")):
        assert medimg(trained.root, "serve", *words, "--port", "0") == ExitCode.USAGE
        assert "no --dicom-port" in capsys.readouterr().err


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


ROUTE = """
function OnStoredInstance(instance, tags, metadata, origin)
  if origin['RequestOrigin'] ~= 'Lua' and tags['Manufacturer'] ~= 'medimg' then
    SendToModality(instance, 'medimg')
  end
end
"""


def of_dcmtk(name: str) -> str:
    """Return a program of dcmtk; pynetdicom brings some of the same names into the virtual environment."""
    found = shutil.which(name, path=os.defpath)
    if found is None:
        pytest.skip("dcmtk is not installed: apt-get install dcmtk")
    return found


def test_an_archive_of_dcmtk_moves_its_images_to_the_node_and_has_the_results_in_their_studies(
    trained: Workspace, tmp_path: Path
) -> None:
    port, archive = _free_port(), _free_port()
    (tmp_path / "kept").mkdir()
    settings = f"""
        NetworkTCPPort = {archive}
        MaxPDUSize = 16384
        MaxAssociations = 8
        HostTable BEGIN
        medimg = (MEDIMG, 127.0.0.1, {port})
        HostTable END
        VendorTable BEGIN
        VendorTable END
        AETable BEGIN
        ARCHIVE {tmp_path / "kept"} RW (100, 64mb) ANY
        AETable END
    """
    (tmp_path / "dcmqrscp.cfg").write_text(textwrap.dedent(settings))
    deflated, big_endian = (tmp_path / f"{number}.dcm" for number in range(2))
    for option, path, seed in (("+td", deflated, 0), ("+tb", big_endian, 1)):
        path.with_suffix(".raw").write_bytes(encoded(image(seed)))
        subprocess.run([of_dcmtk("dcmconv"), option, path.with_suffix(".raw"), path], check=True)
    at = ["-aec", "ARCHIVE", "127.0.0.1", str(archive)]
    where = f"dicom://ARCHIVE@127.0.0.1:{archive}"
    words = ("--set", f"serve.dicom_queue={tmp_path / 'queue'}", "--send-to", where)
    with subprocess.Popen([of_dcmtk("dcmqrscp"), "-c", tmp_path / "dcmqrscp.cfg"]) as process:
        try:
            until(lambda: subprocess.run([of_dcmtk("echoscu"), *at], check=False).returncode == 0)
            subprocess.run([of_dcmtk("storescu"), "-xd", *at, deflated], check=True)
            subprocess.run([of_dcmtk("storescu"), "-xb", *at, big_endian], check=True)
            with ServedNode(trained.root, 1, port=port, options=words):
                for number in range(2):
                    study = f"StudyInstanceUID={image(number).StudyInstanceUID}"
                    keys = ["-S", "-k", "QueryRetrieveLevel=STUDY", "-k", study]
                    subprocess.run([of_dcmtk("movescu"), *keys, "-aem", "MEDIMG", *at], check=True)
                until(lambda: len([*(tmp_path / "kept").glob("*_*")]) == 6)
        finally:
            process.terminate()
    kept = [dcmread(path) for path in (tmp_path / "kept").glob("*_*")]
    for number in range(2):
        uid = image(number).StudyInstanceUID
        assert sorted(one.Modality for one in kept if one.StudyInstanceUID == uid) == ["CR", "OT", "SR"]


class Orthanc:
    """A PACS on loopback that routes what is stored to medimg."""

    def __init__(self, folder: Path, medimg_port: int) -> None:
        plugin = next(Path("/").glob("usr/share/orthanc/plugins/libOrthancDicomWeb.so"), None)
        program = shutil.which("Orthanc")
        if program is None or plugin is None:
            pytest.skip("Orthanc is not installed: apt-get install orthanc orthanc-dicomweb")
        self.http, self.dicom = _free_port(), _free_port()
        self.url = f"http://127.0.0.1:{self.http}"
        (folder / "route.lua").write_text(ROUTE)
        settings = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "LuaScripts": [str(folder / "route.lua")],
            "Plugins": [str(plugin)],
            "DicomModalities": {"medimg": ["MEDIMG", "127.0.0.1", medimg_port]},
            "DicomWeb": {"Enable": True},
        }
        (folder / "orthanc.json").write_text(json.dumps(settings))
        self.process = subprocess.Popen(
            [program, str(folder / "orthanc.json")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def get(self, path: str) -> Any:
        """Return what it says at a path, None while it does not answer."""
        try:
            return httpx.get(
                self.url + path, headers={"Accept": "application/dicom+json, application/json"}
            ).json()
        except (httpx.HTTPError, ValueError):
            return None


@pytest.fixture(params=["C-STORE", "STOW-RS"])
def round_trip(
    request: pytest.FixtureRequest, trained: Workspace, tmp_path: Path
) -> Iterator[tuple[Orthanc, ServedNode]]:
    """Yield Orthanc that routes to medimg, and medimg that sends there."""
    port = _free_port()
    orthanc = Orthanc(tmp_path, port)
    try:
        until(lambda: orthanc.get("/system"))
        where = (
            f"dicom://ORTHANC@127.0.0.1:{orthanc.dicom}"
            if request.param == "C-STORE"
            else f"{orthanc.url}/dicom-web"
        )
        words = ("--set", f"serve.dicom_queue={tmp_path / 'queue'}", "--send-to", where)
        with ServedNode(trained.root, 1, port=port, options=words) as node:
            yield orthanc, node
    finally:
        orthanc.process.kill()  # it would take two seconds to end in order
        orthanc.process.wait(SECONDS)


def test_orthanc_routes_a_study_and_finds_the_results_in_it(
    round_trip: tuple[Orthanc, ServedNode], tmp_path: Path
) -> None:
    orthanc, node = round_trip
    echo = [of_dcmtk("echoscu"), "-aec", "MEDIMG", "127.0.0.1", str(node.port)]
    assert subprocess.run(echo, check=False).returncode == 0
    images = [image(number, study="1.2.826.0.1.3680043.8.498.1") for number in range(3)]
    for number, each in enumerate(images):
        (tmp_path / f"{number}.dcm").write_bytes(encoded(each))
    store = [
        of_dcmtk("storescu"),
        "-aec",
        "ORTHANC",
        "127.0.0.1",
        str(orthanc.dicom),
        *map(str, sorted(tmp_path.glob("*.dcm"))),
    ]
    assert subprocess.run(store, check=False).returncode == 0
    query = f"/dicom-web/studies/{images[0].StudyInstanceUID}/instances"
    until(lambda: len(orthanc.get(query) or ()) == 9)
    found = [one["00080016"]["Value"][0] for one in orthanc.get(query)]
    assert found.count("1.2.840.10008.5.1.4.1.1.7") == found.count("1.2.840.10008.5.1.4.1.1.88.33") == 3
    (study,) = orthanc.get("/studies")
    assert len(orthanc.get(f"/studies/{study}")["Series"]) == 3
    if kept := os.environ.get("MEDIMG_ORTHANC_PICTURE"):
        _picture(orthanc, study, Path(kept))


def _picture(orthanc: Orthanc, study: str, path: Path) -> None:
    """Take pictures of Orthanc's page with the study, and of the Secondary Capture."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"{orthanc.url}/app/explorer.html#study?uuid={study}")
        page.wait_for_timeout(4000)
        page.screenshot(path=path)
        for series in orthanc.get(f"/studies/{study}")["Series"]:
            content = orthanc.get(f"/series/{series}")
            if content["MainDicomTags"]["Modality"] == "OT":
                png = httpx.get(f"{orthanc.url}/instances/{content['Instances'][0]}/preview").content
                path.with_name(f"capture-{path.name}").write_bytes(png)
        browser.close()
