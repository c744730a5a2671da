"""Metadata of raster files as findings: by kind, masked, in archives too."""

import zipfile
from pathlib import Path

import pytest

from medimg_cli.audit.checks.raster_metadata import raster_metadata
from tests.audit.checks.cohort import clean_cohort, with_rows
from tests.privacy.raster_files import exif_block, png_with, saved

_ARTIST, _SOFTWARE = 0x013B, 0x0131


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_each_kind_is_one_finding_with_its_images_and_letter(tmp_path: Path) -> None:
    named = saved("JPEG", exif=exif_block({_ARTIST: "Roe, Jim", _SOFTWARE: "Scanner 2"}))
    for name in ("val-sick-001", "val-sick-002"):
        _write(tmp_path / "raw" / f"{name}.png", named)
    _write(tmp_path / "raw" / "val-sick-003.png", saved("PNG"))
    checked = raster_metadata(clean_cohort(tmp_path))
    assert [(f.severity, f.count, f.image_ids) for f in checked.findings] == [
        ("info", 2, ("val-sick-001", "val-sick-002")),
        ("warning", 2, ("val-sick-001", "val-sick-002")),
    ]
    equipment, person = checked.findings
    assert "EXIF Software" in equipment.message
    assert "Safe Harbor M" in equipment.message
    assert "EXIF Artist (Safe Harbor A)" in person.message
    assert "3 raster files" in checked.did


def test_no_value_is_shown_not_even_in_the_name_of_a_field(tmp_path: Path) -> None:
    content = png_with(b"tEXt", b"DOE^JANE\0born 1980-02-03, 471123")
    _write(tmp_path / "raw" / "val-sick-001.png", content)
    messages = " ".join(finding.message for finding in raster_metadata(clean_cohort(tmp_path)).findings)
    assert "xxx^xxxx" in messages
    assert not any(part in messages for part in ("DOE", "JANE", "1980", "471123"))


def test_a_member_of_an_archive_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("1.jpg", saved("JPEG", exif=exif_block({_ARTIST: "Roe"})))
    context = with_rows(clean_cohort(tmp_path), ["val-sick-001"], path="set.zip#1.jpg")
    (finding,) = raster_metadata(context).findings
    assert finding.image_ids == ("val-sick-001",)


def test_damaged_metadata_is_a_warning_that_says_so(tmp_path: Path) -> None:
    _write(tmp_path / "raw" / "val-sick-001.png", saved("PNG")[:-20])
    (finding,) = raster_metadata(clean_cohort(tmp_path)).findings
    assert (finding.severity, finding.image_ids) == ("warning", ("val-sick-001",))
    assert "cannot be read" in finding.message


@pytest.mark.parametrize(
    "content", [saved("GIF"), b"P5\n1 1\n255\n0", bytes([92, 1]).ljust(344, b"\0") + b"n+1\0"]
)
def test_a_format_that_is_not_looked_into_is_said(tmp_path: Path, content: bytes) -> None:
    _write(tmp_path / "raw" / "val-sick-001.png", content)
    (finding,) = raster_metadata(clean_cohort(tmp_path)).findings
    assert "cannot be read" in finding.message
