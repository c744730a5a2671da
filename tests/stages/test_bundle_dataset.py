"""bundle --dataset: what another tool finds, and what stays behind."""

import csv
import hashlib
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import ExitCode
from medimg_cli.images.readers import read_image
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import draw_cohort, medimg


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Return a workspace with 40 images of 20 patients, one of which says in its EXIF data who it is."""
    raw = draw_cohort(tmp_path / "raw", patients=20)
    named = raw / "SPOT" / "patient001_0.png"
    with Image.open(named) as picture:
        exif = picture.getexif()
        exif[0x013B] = "Erika Mustermann"
        picture.save(named, exif=exif)
    root = tmp_path / "study"
    assert medimg(root, "ingest", str(raw), "--positive", "SPOT", "--patient-regex", r"(patient\d+)") == 0
    return root


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_folders_table_and_checksums_agree_with_the_manifest(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert medimg(study, "bundle", "--dataset", "--out", str(out)) == 0
    dataset, rows = read_dataset(Workspace(study)), rows_of(out)
    manifest = dataset.usable
    assert [(row["label"], row["split"]) for row in rows] == list(
        zip(manifest["label"], manifest["split"], strict=True)
    )
    for row, path in zip(rows, manifest["path"], strict=True):
        assert row["file_name"].startswith(f"{row['split']}/{row['label']}/")
        assert hashlib.sha256((out / row["file_name"]).read_bytes()).hexdigest() == row["sha256"]
        shown = read_image(str(out / row["file_name"])).pixels
        np.testing.assert_array_equal(shown, read_image(Workspace(study).absolute(path)).pixels)
    sums = dict(line.split("  ")[::-1] for line in (out / "SHA256SUMS").read_text().splitlines())
    written = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    assert set(sums) == written - {"SHA256SUMS"}
    assert all(hashlib.sha256((out / name).read_bytes()).hexdigest() == told for name, told in sums.items())


def test_images_of_a_patient_stay_together_and_nobody_is_named(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert medimg(study, "bundle", "--dataset", "--out", str(out)) == 0
    splits: dict[str, set[str]] = {}
    for row in rows_of(out):
        splits.setdefault(row["patient_id"], set()).add(row["split"])
    assert len(splits) == 20
    assert all(len(found) == 1 for found in splits.values())
    content = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file())
    assert b"Mustermann" in (tmp_path / "raw" / "SPOT" / "patient001_0.png").read_bytes()
    assert b"Mustermann" not in content
    assert b"patient001" not in content


def test_torchvision_and_pandas_read_it(study: Path, tmp_path: Path) -> None:
    pd = pytest.importorskip("pandas")
    from medimg_cli.training.networks.torchvision_door import torchvision

    out = tmp_path / "out"
    assert medimg(study, "bundle", "--dataset", "--out", str(out)) == 0
    table = pd.read_csv(out / "metadata.csv")
    for split, rows in table.groupby("split"):
        folder = torchvision.datasets.ImageFolder(str(out / split))
        assert folder.classes == ["CLEAR", "SPOT"]
        assert len(folder) == len(rows)
        assert folder[0][0].size == (32, 32)


def test_an_archive_holds_the_same_and_is_the_same_each_time(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for target in (out, tmp_path / "a.zip", tmp_path / "b.zip"):
        assert medimg(study, "bundle", "--dataset", "--out", str(target)) == 0
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        assert {name: archive.read(name) for name in archive.namelist()} == {
            path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()
        }


def test_excluded_images_stay_out_and_the_audit_goes_along(study: Path, tmp_path: Path) -> None:
    manifest = study / "dataset" / "manifest.csv"
    lines = manifest.read_text().splitlines()
    lines[1] = lines[1].replace(",ok,", ",excluded,blank")
    manifest.write_text("\n".join(lines) + "\n")
    assert medimg(study, "label-audit", "--quick", "--fail-on", "never") == 0
    out = tmp_path / "out"
    assert medimg(study, "bundle", "--dataset", "--out", str(out)) == 0
    audit = json.loads((out / "audit.json").read_text())
    assert len(rows_of(out)) == 39
    assert set(audit) == {"passed", "of_these_data", "checks_run", "findings"}
    assert "splits-and-manifest" in audit["checks_run"]


def test_an_image_that_is_gone_is_named_and_the_rest_is_written(
    study: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "raw" / "CLEAR" / "patient000_0.png").unlink()
    out = tmp_path / "out"
    code = run(["bundle", "--dataset", "--out", str(out), "-C", str(study), "--json", "-q"])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert code == ExitCode.PARTIAL
    assert (told["images"], list(told["not_written"])) == (39, ["CLEAR/patient000_0.png"])
    assert len(rows_of(out)) == 39


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--columns", "sexe"], "no 'sexe'"),
        (["--out", "study"], "exists already"),
        (["some-run"], "not run 'some-run'"),
    ],
)
def test_what_cannot_be_done_is_refused(
    arguments: list[str], what: str, study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["bundle", "--dataset", "-C", str(study), *arguments, "-q"]) == ExitCode.USAGE
    assert what in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"raw", "study"}


def test_columns_without_the_data_set_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bundle", "--columns", "sex"]) == ExitCode.USAGE
    assert "--dataset" in capsys.readouterr().err


def test_several_labels_stand_in_the_table_and_columns_travel_when_they_are_named(tmp_path: Path) -> None:
    raw = draw_cohort(tmp_path / "raw", patients=12)
    files = sorted(path.relative_to(raw).as_posix() for path in raw.rglob("*.png"))
    lines = [
        f"{name},{name[-16:-6]},{'a|b' if number % 2 else 'a' if number % 3 else 'b'},F"
        for number, name in enumerate(files)
    ]
    (tmp_path / "labels.csv").write_text("\n".join(["file,patient,finding,sex", *lines]) + "\n")
    options = [
        "--labels",
        str(tmp_path / "labels.csv"),
        "--multi-label",
        "--label-col",
        "finding",
        "--patient-col",
        "patient",
    ]
    assert medimg(tmp_path / "study", "ingest", str(raw), *options) == 0
    out = tmp_path / "out"
    assert medimg(tmp_path / "study", "bundle", "--dataset", "--out", str(out), "--columns", "sex") == 0
    rows = rows_of(out)
    assert {row["label"] for row in rows} == {"a", "b", "a|b"}
    assert all(row["file_name"].count("/") == 1 and row["sex"] == "F" for row in rows)


def test_the_description_is_croissant_and_tells_what_people_said(study: Path, tmp_path: Path) -> None:
    (study / "report.yaml").write_text("data:\n  data_licence: CC0-1.0\nopenness:\n  contact: A. Reader\n")
    out = tmp_path / "out"
    assert medimg(study, "bundle", "--dataset", "--out", str(out)) == 0
    told = json.loads((out / "croissant.json").read_text())
    assert (told["license"], told["creator"]["name"]) == ("CC0-1.0", "A. Reader")
    (table,) = [each for each in told["distribution"] if each["@type"] == "cr:FileObject"]
    assert table["sha256"] == hashlib.sha256((out / "metadata.csv").read_bytes()).hexdigest()
    fields = [
        field["name"] for each in told["recordSet"] if each["@id"] == "images" for field in each["field"]
    ]
    assert fields == list(rows_of(out)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlcroissant = pytest.importorskip("mlcroissant")
        found = mlcroissant.Dataset(jsonld=str(out / "croissant.json"))
        records = [record["images/file_name"].decode() for record in found.records("images")]
    assert not found.metadata.issues.errors
    assert records == [row["file_name"] for row in rows_of(out)]


def test_no_two_classes_share_a_folder_on_any_system(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number, label in enumerate(("NV", "nv", "aux", "class-1")):
        for turn in range(4):
            (raw / label).mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), 9 * turn + number).save(raw / label / f"{turn}.png")
    assert medimg(tmp_path, "ingest", str(raw)) == 0
    assert medimg(tmp_path, "bundle", "--dataset", "--out", str(tmp_path / "out")) == 0
    folders = {row["label"]: row["file_name"].split("/")[1] for row in rows_of(tmp_path / "out")}
    assert folders == {"NV": "NV", "class-1": "class-1", "aux": "class-2", "nv": "class-3"}
