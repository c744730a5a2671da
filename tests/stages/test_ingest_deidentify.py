"""ingest --deidentify: the data set is made of clean copies, and nothing in the workspace names a patient."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread

from medimg_cli.dataset.manifest import read_dataset, read_info, read_quarantine
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.workspace import Workspace
from tests.privacy.dicom_files import write_dicom
from tests.stages.ingest_cohort import cohort, draw, run

_PATIENTS = [("Quintrell^Zebedee", "MRN7734"), ("Fenwick^Isolde", "MRN8812"), ("Oswin^Perp", "MRN9021")] * 4
_SECRETS = ("quintrell", "fenwick", "oswin", "mrn7734", "mrn8812", "mrn9021", "4711.")


def _scans(root: Path) -> Path:
    """Write two DICOM files for each of twelve patients, names and numbers in header, file and folder names."""
    for number, (name, record) in enumerate(_PATIENTS):
        family = name.split("^")[0]
        for view in range(2):
            pixels = np.random.default_rng(number * 2 + view).integers(0, 255, 64, dtype=np.uint8)
            write_dicom(
                root / ("SICK" if number % 2 else "WELL") / f"{family}{number}_{view}.dcm",
                PatientName=f"{name}{number}",
                PatientID=f"{record}{number}",
                SOPInstanceUID=f"1.2.826.0.1.3680043.8.498.4711.{number}.{view}",
                StudyDate="20170911",
                Rows=8,
                Columns=8,
                BitsStored=8,
                HighBit=7,
                PixelRepresentation=0,
                SamplesPerPixel=1,
                PhotometricInterpretation="MONOCHROME2",
                PixelData=pixels.tobytes(),
            )
    return root


def _said(workspace: Path) -> str:
    """Return all that stands in the workspace but for the key and its map: names and contents."""
    parts = []
    for path in sorted(workspace.rglob("*")):
        if path.is_file() and not path.name.startswith("deidentify"):
            parts += [str(path.relative_to(workspace)), path.read_bytes().decode("latin-1")]
    return "\n".join(parts).lower()


def test_the_workspace_names_nobody_and_patients_stay_apart(tmp_path: Path) -> None:
    result, rows = run(tmp_path, _scans(tmp_path / "raw"), deidentify=True)
    assert (result.images, result.patients, result.patients_known) == (24, 12, True)
    assert result.classes == {"SICK": 12, "WELL": 12}
    assert all(path.startswith("dataset/images/raw/") for path in rows["path"])
    assert rows.groupby("patient_id")["split"].nunique().max() == 1
    said = _said(tmp_path / "study")
    assert [secret for secret in _SECRETS if secret in said] == []
    header = dcmread(tmp_path / "study" / rows["path"][0])
    assert header.PatientIdentityRemoved == "YES"


def test_the_same_key_gives_the_same_manifest_in_another_workspace(tmp_path: Path) -> None:
    raw = _scans(tmp_path / "raw")
    run(tmp_path / "one", raw, deidentify=True)
    key = tmp_path / "one" / "study" / "deidentify.key"
    (tmp_path / "two" / "study").mkdir(parents=True)
    (tmp_path / "two" / "study" / "deidentify.key").write_bytes(key.read_bytes())
    run(tmp_path / "two", raw, deidentify=True)
    one, two = (tmp_path / name / "study" / "dataset" / "manifest.csv" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    run(tmp_path / "three", raw, deidentify=True)
    assert (tmp_path / "three" / "study" / "dataset" / "manifest.csv").read_bytes() != one.read_bytes()


def test_again_it_adds_and_forgets_without_being_told(tmp_path: Path) -> None:
    raw = _scans(tmp_path / "raw")
    first, before = run(tmp_path, raw, deidentify=True)
    (raw / "SICK" / "Fenwick1_0.dcm").unlink()
    draw(raw / "WELL" / "new.png", 7)
    again, after = run(tmp_path, raw)
    assert (len(again.changes.added), len(again.changes.vanished), again.reused) == (1, 1, 23)
    assert all(path.startswith("dataset/images/") for path in after["path"])
    kept = before.merge(after, on="image_id", suffixes=("", "_after"))
    assert len(kept) == 23
    assert list(kept["split"]) == list(kept["split_after"])
    assert first.images == again.images == 24


def test_a_data_set_of_originals_takes_no_clean_copies(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    run(tmp_path, raw)
    with pytest.raises(UsageError, match="--deidentify"):
        run(tmp_path, raw, deidentify=True)


def test_a_file_that_cannot_be_cleaned_is_in_quarantine_with_the_reason(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    (raw / "SICK" / "broken.png").write_bytes((raw / "SICK" / "p01_a.png").read_bytes()[:40])
    (raw / "SICK" / "DOE^JANE.txt").write_text("Doe")
    result, _ = run(tmp_path, raw, deidentify=True)
    reasons = read_quarantine(Workspace(tmp_path / "study")).set_index("path")["reason"]
    assert result.quarantined == 2
    assert reasons["SICK/broken.png"].startswith("not de-identified: ")
    assert not any("DOE" in path for path in reasons.index)


def test_metadata_of_pictures_is_gone_and_the_pixels_are_the_same(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    exif = Image.Exif()
    exif[0x013B] = "Quintrell"
    with Image.open(raw / "SICK" / "p01_a.png") as picture:
        picture.load()
    picture.save(raw / "SICK" / "p01_a.png", exif=exif)
    run(tmp_path, raw, deidentify=True)
    copy = tmp_path / "study" / "dataset" / "images" / "raw" / "SICK" / "p01_a.png"
    with Image.open(copy) as clean:
        assert not clean.getexif()
        assert clean.tobytes() == picture.tobytes()


@pytest.mark.parametrize("by", ["name", "uid"])
def test_a_table_of_labels_goes_with_the_copies(by: str, tmp_path: Path) -> None:
    raw = _scans(tmp_path / "raw")
    lines = [f"{'file' if by == 'name' else 'SOPInstanceUID'},label,patient_id,surname,age"]
    for number, (name, record) in enumerate(_PATIENTS):
        for view in range(2):
            family, label = name.split("^")[0], "SICK" if number % 2 else "WELL"
            uid = f"1.2.826.0.1.3680043.8.498.4711.{number}.{view}"
            image = f"{label}/{family}{number}_{view}.dcm" if by == "name" else uid
            lines.append(f"{image},{label},{record}{number},{family},{40 + number}")
    (tmp_path / "labels.csv").write_text("\n".join(lines) + "\n")
    result, rows = run(tmp_path, raw, deidentify=True, labels=tmp_path / "labels.csv")
    assert (result.images, result.patients) == (24, 12)
    said = _said(tmp_path / "study")
    assert [secret for secret in _SECRETS if secret in said] == []
    assert set(rows["age"].astype(str)) == {str(40 + number) for number in range(12)}
    header = dcmread(tmp_path / "study" / rows["path"][0])
    assert rows["patient_id"][0] == header.PatientID


@pytest.mark.parametrize("inner", ["", "series/"])
def test_a_table_of_folders_means_all_copies_in_them(inner: str, tmp_path: Path) -> None:
    for number in range(6):
        for view in range(2):
            draw(tmp_path / "raw" / f"Case{number}" / f"{inner}{view}.png", 10 * number + view)
    lines = [f"Case{number},{'SICK' if number % 2 else 'WELL'}" for number in range(6)]
    (tmp_path / "t.csv").write_text("\n".join(["folder,label", *lines]))
    settings = {"labels": tmp_path / "t.csv", "image_col": "folder", "deidentify": True}
    result, _ = run(tmp_path, tmp_path / "raw", **settings)
    assert (result.images, result.classes) == (12, {"SICK": 6, "WELL": 6})


def test_two_sources_of_one_name_stay_apart(tmp_path: Path) -> None:
    sources = [cohort(tmp_path / name / "raw") for name in ("a", "b")]
    for source, seed in zip(sources, (900, 901), strict=True):
        draw(source / "SICK" / "own.png", seed)
    result, _ = run(tmp_path, *sources, deidentify=True)
    assert result.images == 50
    images = tmp_path / "study" / "dataset" / "images"
    assert sorted(path.name for path in images.iterdir()) == ["raw", "raw-2"]
    info: Any = read_info(Workspace(tmp_path / "study"))
    assert all(source.startswith("dataset/images/") for source in info.sources)
    assert len(read_dataset(Workspace(tmp_path / "study")).rows) == 50


def test_copies_are_not_taken_for_originals(tmp_path: Path) -> None:
    run(tmp_path, cohort(tmp_path / "raw"), deidentify=True)
    copies = tmp_path / "study" / "dataset" / "images" / "raw"
    before = sorted(copies.rglob("*"))
    with pytest.raises(UsageError, match="among the copies"):
        run(tmp_path, copies)
    assert sorted(copies.rglob("*")) == before


def test_a_source_that_is_missing_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        run(tmp_path, tmp_path / "nowhere", deidentify=True)
    assert not (tmp_path / "study" / "deidentify.key").exists()
