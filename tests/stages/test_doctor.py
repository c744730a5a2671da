"""doctor: every diagnosis says what was found or what to do."""

from pathlib import Path

from medimg_cli.images.readers import READERS
from medimg_cli.stages.doctor import doctor
from medimg_cli.workspace.workspace import Workspace


def test_every_reader_device_and_disk_is_looked_at(tmp_path: Path) -> None:
    diagnoses = {item.name: item for item in doctor(Workspace(tmp_path / "not" / "yet"))}
    assert {"device", "PDF", "templates", "disk"} <= set(diagnoses)
    assert {f"reader {name}" for name in READERS.names()} <= set(diagnoses)
    for item in diagnoses.values():
        assert item.found if item.ok else item.advice
