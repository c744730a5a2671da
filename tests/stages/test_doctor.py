"""doctor: every diagnosis says what was found or what to do."""

import gc
import json
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from medimg_cli.errors import ExitCode
from medimg_cli.images.readers import READERS
from medimg_cli.stages.doctor import doctor
from medimg_cli.web.dicom.queue import Queue
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.web.dicom_peer import listening_peer


def test_every_reader_device_and_disk_is_looked_at(tmp_path: Path) -> None:
    diagnoses = {item.name: item for item in doctor(Workspace(tmp_path / "not" / "yet"))}
    assert {"device", "PDF", "templates", "disk"} <= set(diagnoses)
    assert {f"reader {name}" for name in READERS.names()} <= set(diagnoses)
    for item in diagnoses.values():
        assert item.found if item.ok else item.advice


def test_what_only_an_extra_brings_is_no_fault_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def version(name: str) -> str:
        if name in ("nibabel", "rapidocr"):
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr("medimg_cli.stages.doctor.version", version)
    diagnoses = {item.name: item for item in doctor(Workspace(tmp_path))}
    for name, extra in (("reader nifti", "nifti"), ("extra nifti", "nifti"), ("extra ocr", "ocr")):
        assert diagnoses[name].ok
        assert f"'medimg[{extra}]'" in diagnoses[name].found
    assert "extra test" not in diagnoses
    medimg(tmp_path, "doctor")
    assert "'medimg[ocr]'" in capsys.readouterr().out


# pynetdicom leaves a socket to the garbage collector where nobody answers.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_peers_of_a_dicom_node_are_asked_and_its_queue_is_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    queue = Queue(tmp_path / "dicom-queue", 0)
    key = str(queue.put("1.2.3", [b"a"]))
    queue.bury(queue.object(key), "no image")
    with listening_peer() as peer:
        words = ("doctor", "--dicom", "--json", "--set", f"serve.send_to=dicom://PEER@127.0.0.1:{peer.port}")
        assert medimg(tmp_path, *words) == 0
        there, found = json.loads(capsys.readouterr().out)["checks"]
    assert there["ok"]
    assert f"{key}: no image" in found["found"]
    assert medimg(tmp_path, *words) == ExitCode.MACHINE
    assert "it does not answer" in capsys.readouterr().out
    gc.collect()


def test_a_dicom_node_without_peers_is_a_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert medimg(tmp_path, "doctor", "--dicom") == ExitCode.MACHINE
    assert "the list `send_to` of the section `serve`" in capsys.readouterr().err
