"""Ingest: every file ends as a row, patients stay together, and the same input gives the same bytes."""

from pathlib import Path

import numpy as np
import pytest

from medimg_cli.dataset.manifest import leaks, read_dataset, read_quarantine
from medimg_cli.images.readers import read_image
from medimg_cli.stages.ingest import ingest
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
from tests.images.dicom_file import dicom_image, write
from tests.stages.ingest_cohort import Listener, cohort, draw, run


def test_class_folders_become_a_manifest_split_by_patient(tmp_path: Path) -> None:
    result, rows = run(tmp_path, cohort(tmp_path / "raw"), patient_regex=r"(p\d+)")
    assert (result.images, result.patients, result.quarantined) == (24, 12, 0)
    assert result.classes == {"SICK": 12, "normal": 12}
    assert sum(result.splits.values()) == 24
    assert min(result.splits.values()) >= 2
    assert rows.groupby("patient_id")["split"].nunique().max() == 1
    first = rows.iloc[0]
    assert (first["width"], first["height"], first["channels"], first["bit_depth"]) == (8, 6, 1, 8)
    assert read_image(first["path"]).pixels.shape == (6, 8, 1)


def test_the_same_input_gives_the_same_bytes_and_another_seed_another_split(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    manifests = []
    for seed in (0, 0, 1):
        result, _ = run(tmp_path, raw, seed=seed, fresh=True)
        manifests.append(result.manifest.read_bytes())
    assert manifests[0] == manifests[1]
    assert manifests[0] != manifests[2]


def test_every_file_ends_as_a_row(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    (raw / "SICK" / "notes.txt").write_text("not an image")
    (raw / "SICK" / "cut.png").write_bytes((raw / "SICK" / "p01_a.png").read_bytes()[:60])
    (raw / "README.md").write_text("about")
    result, rows = run(tmp_path, raw)
    table = read_quarantine(Workspace(tmp_path / "study"))
    reasons = {Path(path).name: reason for path, reason in zip(table["path"], table["reason"], strict=True)}
    assert set(reasons) == {"notes.txt", "cut.png", "README.md"}
    assert reasons["README.md"] == "stands in no class folder"
    assert reasons["notes.txt"].startswith("not an image of a known format")
    assert result.quarantined == 3
    assert len(rows) == 24
    assert (
        dict(zip(table["path"].map(lambda path: Path(path).name), table["bytes"], strict=True))["cut.png"]
        == "60"
    )
    assert table["sha256"].str.len().tolist() == [64, 64, 64]


def test_official_splits_are_kept_and_validation_is_cut_from_train_by_patient(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", patients=20, splits=("train", "test"))
    result, rows = run(tmp_path, raw, patient_regex=r"/(\w+p\d+)_")
    assert result.splits["test"] == 40
    assert set(rows.loc[rows["split"] == "test", "image_id"]) == {
        path.relative_to(raw).as_posix() for path in (raw / "test").rglob("*.png")
    }
    assert 4 <= result.splits["val"] <= 12
    assert leaks(rows) == {"patients": [], "files": []}


def test_a_leaky_official_split_is_kept_and_warned_about(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", splits=("train", "test"))
    listener = Listener()
    ingest(Workspace(tmp_path / "w"), [raw], IngestSettings(patient_regex=r"(p\d+)_"), listener)
    assert any(
        "12 patients and 0 identical files stand in more than one official split" in line
        for line in listener.lines
    )


def test_missing_test_images_are_warned_about(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw", splits=("train", "val"))
    result, _ = run(tmp_path, raw)
    assert result.splits["test"] == 0
    assert "no image is in the test split" in result.notes


def test_images_without_a_patient_in_their_name_count_as_their_own_and_it_is_said(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    result, rows = run(tmp_path, raw, patient_regex=r"SICK/(p\d+)")
    assert result.patients == 6 + 12
    assert result.patients_known
    assert "12 of 24 images name no patient: each counts as a patient of its own" in result.notes
    healthy = rows[rows["label"] == "normal"]
    assert (healthy["patient_id"] == healthy["image_id"]).all()


def test_unknown_patients_are_warned_about(tmp_path: Path) -> None:
    listener = Listener()
    result = ingest(Workspace(tmp_path / "w"), [cohort(tmp_path / "raw")], IngestSettings(), listener)
    assert not result.patients_known
    assert any(line.startswith("warning: patients are not known") for line in listener.lines)
    assert [line.partition(": ")[2] for line in listener.lines] == list(result.notes)


def test_the_same_file_under_two_names_stands_in_one_split(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(40):
        original = draw(raw / "SICK" / f"{number}.png", number)
        draw(raw / "WELL" / f"{number}.png", 100 + number)
        (raw / "SICK" / f"copy{number}.png").write_bytes(original.read_bytes())
    _, rows = run(tmp_path, raw)
    assert leaks(rows)["files"] == []


def test_dicom_patients_are_told_apart_without_keeping_their_ids(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(8):
        path = raw / ("SICK" if number % 4 < 2 else "WELL") / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((2, 2), number, dtype="u1")
        inverted = "MONOCHROME1" if number == 0 else "MONOCHROME2"
        person = {
            "PatientID": f"MRN-{number // 2}",
            "PatientName": "Doe^Jane",
            "PatientBirthDate": "19500101",
        }
        write(dicom_image(pixels, PhotometricInterpretation=inverted, **person), path)
    result, rows = run(tmp_path, raw)
    assert result.patients == 4
    assert rows["patient_id"].str.fullmatch(r"dcm-[0-9a-f]{12}").all()
    written = result.manifest.read_text()
    assert not any(secret in written for secret in ("MRN", "Doe", "1950"))
    assert set(rows.columns) >= {"modality", "transfer_syntax", "window", "inverted"}
    assert rows["inverted"].tolist().count("yes") == 1


def test_one_patient_id_for_everybody_is_taken_for_a_placeholder(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    for number in range(6):
        path = raw / ("SICK" if number % 2 else "WELL") / f"{number}.dcm"
        path.parent.mkdir(parents=True, exist_ok=True)
        write(dicom_image(np.full((2, 2), number, dtype="u1"), PatientID="ANON"), path)
    result, _ = run(tmp_path, raw)
    assert result.patients == 6
    assert "all images carry one DICOM patient id; it is taken for a placeholder" in result.notes


def test_facts_get_columns_only_where_an_image_has_them(tmp_path: Path) -> None:
    _, rows = run(tmp_path, cohort(tmp_path / "raw"))
    assert list(rows.columns)[-1] == "reason"


def test_a_table_carries_patients_splits_and_further_columns(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    lines = ["file,diagnosis,patient,fold,age,window"]
    for path in sorted(raw.rglob("*.png")):
        patient = path.stem[:3]
        fold = "test" if patient in ("p00", "p01") else "train"
        lines.append(f"{path.relative_to(raw)},{path.parent.name},{patient},{fold},50,wide")
    (raw / "labels.csv").write_text("\n".join([*lines, "gone.png,SICK,p99,train,1,wide"]))
    result, rows = run(tmp_path, raw, labels=raw / "labels.csv", use_split_col="fold")
    assert result.layout == "csv"
    assert (result.patients, result.splits["test"], result.quarantined) == (12, 4, 1)
    assert rows["age"].unique().tolist() == ["50"]
    assert rows["window"].unique().tolist() == ["wide"]
    table = read_quarantine(Workspace(tmp_path / "study"))
    assert list(zip(table["path"], table["reason"], strict=True)) == [("gone.png", "file not found")]


def test_images_without_a_split_follow_their_patient(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    lines = ["file,label,patient,split"]
    for path in sorted(raw.rglob("*.png")):
        fold = {"p00_a": "test", "p01_a": "test", "p02_a": "train"}.get(path.stem, "")
        lines.append(f"{path.relative_to(raw)},{path.parent.name},{path.stem[:3]},{fold}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    _, rows = run(tmp_path, raw, labels=tmp_path / "labels.csv", use_split_col="split")
    assert leaks(rows)["patients"] == []
    by_name = dict(zip(rows["image_id"].map(lambda name: Path(name).stem), rows["split"], strict=True))
    assert (by_name["p00_b"], by_name["p01_b"], by_name["p02_b"]) == ("test", "test", "train")


def test_an_archive_keeps_its_splits_and_its_order_of_classes(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    stacks = {
        f"{split}_images": generator.integers(0, 256, (4, 5, 5), dtype=np.uint8)
        for split in ("train", "val", "test")
    }
    labels = {f"{split}_labels": np.array([[1], [0], [1], [0]]) for split in ("train", "val", "test")}
    np.savez(tmp_path / "pneumoniamnist.npz", **stacks, **labels)  # type: ignore[arg-type]
    result, rows = run(tmp_path, tmp_path / "pneumoniamnist.npz")
    assert result.classes == {"normal": 6, "pneumonia": 6}
    assert (result.positive, result.positive_guessed) == ("pneumonia", True)
    assert result.splits == {"train": 4, "val": 4, "test": 4}
    image = read_image(rows["path"].iloc[5])
    assert np.array_equal(image.pixels[..., 0], stacks["val_images"][1])
    assert rows["sha256"].iloc[5] == image.pixel_sha256()


def test_copies_lie_in_the_workspace_and_are_found_relative_to_it(tmp_path: Path) -> None:
    raw = cohort(tmp_path / "raw")
    _, rows = run(tmp_path, raw, copy_images=True)
    work = tmp_path / "study"
    assert rows["path"].iloc[0] == f"dataset/images/{rows['image_id'].iloc[0]}"
    assert all((work / path).is_file() for path in rows["path"])
    stamp = (work / rows["path"].iloc[0]).stat().st_mtime_ns
    run(tmp_path, raw, copy_images=True)
    assert (work / rows["path"].iloc[0]).stat().st_mtime_ns == stamp


def test_an_archive_is_copied_once(tmp_path: Path) -> None:
    stacks = {"train_images": np.zeros((4, 5, 5), dtype=np.uint8), "train_labels": np.array([0, 1, 0, 1])}
    np.savez(tmp_path / "set.npz", **stacks)  # type: ignore[arg-type]
    _, rows = run(tmp_path, tmp_path / "set.npz", copy_images=True)
    assert rows["path"].tolist()[:2] == ["dataset/images/set.npz#train/0", "dataset/images/set.npz#train/1"]
    assert read_image(f"{tmp_path}/study/{rows['path'].iloc[0]}").width == 5


def test_a_workspace_may_be_its_own_source(tmp_path: Path) -> None:
    cohort(tmp_path)
    workspace = Workspace(tmp_path)
    first = ingest(workspace, [tmp_path], IngestSettings())
    content = first.manifest.read_bytes()
    assert ingest(workspace, [tmp_path], IngestSettings()).manifest.read_bytes() == content
    assert read_dataset(workspace).rows["path"].iloc[0] == "SICK/p01_a.png"


def test_several_sources_make_one_data_set(tmp_path: Path) -> None:
    one, two = cohort(tmp_path / "site1"), cohort(tmp_path / "site2")
    result, rows = run(tmp_path, one, two, patient_regex=r"(p\d+)")
    assert result.images == 48
    assert rows["image_id"].is_unique
    assert rows["image_id"].iloc[-1].startswith("site2/")


def test_real_ultrasounds_never_split_a_repeated_file(shared_data: Path, tmp_path: Path) -> None:
    result, rows = run(tmp_path, shared_data / "breast_ultrasound", positive="malignant")
    assert result.classes == {"benign": 437, "malignant": 210, "normal": 133}
    assert rows["sha256"].duplicated().any()
    assert leaks(rows)["files"] == []


def test_a_real_archive_keeps_its_published_splits(shared_data: Path, tmp_path: Path) -> None:
    result, _ = run(tmp_path, shared_data / "medmnist" / "pneumoniamnist.npz")
    assert result.splits == {"train": 4708, "val": 524, "test": 624}
    assert result.classes == {"normal": 1583, "pneumonia": 4273}


@pytest.mark.slow
def test_real_chest_radiographs_keep_their_test_set_and_no_patient_stands_on_both_sides(
    shared_data: Path, tmp_path: Path
) -> None:
    # Numbers restart with each kind of infection: person1_bacteria and person1_virus are two children.
    settings = {"positive": "PNEUMONIA", "patient_regex": r"(person\d+_(?:bacteria|virus))"}
    result, rows = run(tmp_path, shared_data / "chest_xray", **settings)
    assert result.images == 5840
    assert rows.loc[rows["split"] == "test", "label"].value_counts().to_dict() == {
        "PNEUMONIA": 390,
        "NORMAL": 234,
    }
    assert leaks(rows) == {"patients": [], "files": []}
    assert 0.14 < result.splits["val"] / (5840 - 624) < 0.21
