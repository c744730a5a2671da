"""doctor: every diagnosis says what was found or what to do."""

from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from medimg_cli.images.readers import READERS
from medimg_cli.stages.doctor import doctor
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


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
