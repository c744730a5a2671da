"""Several labels an image, a code book, folds: what a data set says beyond one class an image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import leaks, read_dataset
from medimg_cli.errors import DataError, UsageError
from medimg_cli.stages.ingest import IngestResult, ingest
from medimg_cli.workspace.config import load_settings
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg


def findings(tmp_path: Path, images: int = 60) -> Path:
    """Draw images of 20 patients, and a table of what is seen on them."""
    generator = np.random.default_rng(0)
    lines = ["file,label,patient"]
    (tmp_path / "raw").mkdir()
    for number in range(images):
        pixels = generator.integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "raw" / f"{number}.png")
        seen = [name for name, odd in (("mass", 0.5), ("edema", 0.3)) if generator.random() < odd] or ["none"]
        lines.append(f"{number}.png,{'|'.join(seen)},p{number % 20}")
    (tmp_path / "t.csv").write_text("\n".join(lines))
    return tmp_path / "raw"


def run(tmp_path: Path, **settings: Any) -> IngestResult:
    labels = {"labels": tmp_path / "t.csv", "multi_label": True}
    return ingest(
        Workspace(tmp_path / "study"), [findings(tmp_path)], IngestSettings(**{**labels, **settings})
    )


def test_images_with_several_labels_are_split_by_patient_and_each_label_is_everywhere(tmp_path: Path) -> None:
    result = run(tmp_path)
    dataset = read_dataset(Workspace(tmp_path / "study"))
    assert dataset.info.multi_label
    assert dataset.info.classes == ("edema", "mass", "none")
    assert "edema|mass" in set(dataset.rows["label"])
    assert sum(result.classes.values()) > result.images == 60
    assert leaks(dataset.rows)["patients"] == []
    for split in ("train", "val", "test"):
        seen = "|".join(dataset.rows.loc[dataset.rows["split"] == split, "label"])
        assert {"edema", "mass", "none"} <= set(seen.split("|"))


def test_the_audit_looks_at_a_data_set_of_several_labels(tmp_path: Path) -> None:
    run(tmp_path)
    assert medimg(tmp_path / "study", "label-audit", "--fail-on", "never") == 0


def test_a_label_left_open_is_kept_until_the_table_judges_it(tmp_path: Path) -> None:
    raw = findings(tmp_path, images=12)
    table = tmp_path / "t.csv"
    lines = [f"{number}.png,p{number},{number % 2},{number // 2 % 2}" for number in range(12)]
    lines[0] = "0.png,p0,1,"
    table.write_text("\n".join(["file,patient,x,y", *lines]))
    settings = IngestSettings(labels=table, multi_label=True, label_col="x,y")
    ingest(Workspace(tmp_path / "w"), [raw], settings)
    before = read_dataset(Workspace(tmp_path / "w"))
    first = before.rows.set_index("image_id").to_dict("index")["0.png"]
    assert (first["label"], first["unknown"]) == ("x", "y")
    lines[0] = "0.png,p0,1,0"
    table.write_text("\n".join(["file,patient,x,y", *lines]))
    ingest(Workspace(tmp_path / "w"), [raw], settings)
    after = read_dataset(Workspace(tmp_path / "w"))
    assert "unknown" not in after.rows
    assert np.isnan(before.targets(before.rows)).sum() == 1
    assert before.content_hash() != after.content_hash()


def test_a_class_with_the_sign_between_labels_in_its_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"class 'mass\|edema' has '\|' in its name"):
        run(tmp_path, label_sep=";")


def test_marks_in_an_archive_are_several_labels(tmp_path: Path) -> None:
    marks = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 0]])
    images = np.random.default_rng(0).integers(0, 256, (4, 5, 5), dtype=np.uint8)
    np.savez(tmp_path / "own.npz", train_images=images, train_labels=marks)
    with pytest.raises(DataError, match="holds 3 labels an image") as caught:
        ingest(Workspace(tmp_path / "study"), [tmp_path / "own.npz"], IngestSettings())
    assert "--multi-label" in caught.value.hint
    ingest(
        Workspace(tmp_path / "study"),
        [tmp_path / "own.npz"],
        IngestSettings(multi_label=True, split=(1, 0, 0)),
    )
    assert read_dataset(Workspace(tmp_path / "study")).rows["label"].tolist() == ["0|2", "", "1", "0|1"]


def test_the_code_book_goes_along_with_the_data_set(tmp_path: Path) -> None:
    raw = findings(tmp_path)
    (tmp_path / "medimg.yaml").write_text(
        "labels:\n  mass:\n    definition: a lesion above 3 cm\n    code: 309529002\n    system: SNOMED CT\n"
        "ingest:\n  multi_label: true\n"
    )
    assert medimg(tmp_path, "ingest", str(raw), "--labels", str(tmp_path / "t.csv")) == 0
    book = read_dataset(Workspace(tmp_path)).info.code_book
    assert book == {"mass": LabelCode(definition="a lesion above 3 cm", code="309529002", system="SNOMED CT")}
    (tmp_path / "medimg.yaml").unlink()
    assert medimg(tmp_path, "ingest", str(raw)) == 0
    assert read_dataset(Workspace(tmp_path)).info.code_book == book


def test_a_code_for_no_class_is_refused(tmp_path: Path) -> None:
    raw = findings(tmp_path)
    settings = IngestSettings(labels=tmp_path / "t.csv", multi_label=True)
    with pytest.raises(UsageError, match="labels: 'mas' is not one of the classes") as caught:
        ingest(Workspace(tmp_path / "w"), [raw], settings, code_book={"mas": LabelCode()})
    assert "'mass'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("labels: {mass: {meaning: x}}", "labels: 'mass' cannot hold meaning.'x'"),
        ("labels: {mass: x}", "labels: 'mass' cannot hold 'x'"),
    ],
)
def test_a_code_book_of_another_form_is_explained(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "medimg.yaml").write_text(text)
    with pytest.raises(UsageError) as caught:
        load_settings(Workspace(tmp_path))
    assert caught.value.what == what
    assert "definition, code, system, source" in caught.value.hint


def test_more_folds_than_patients_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"--folds 50: train and val hold 1\d patients"):
        run(tmp_path, folds=50)
