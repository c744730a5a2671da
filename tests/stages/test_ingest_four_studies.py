"""Four studies as they are published, drawn: what the dry run suggests ingests each at the first try, wrong turns stop.

Dermoscopy in nested folders with a workbook of X marks; CT slices cut out of articles; blood cells augmented beforehand;
brain MRI in four classes whose test set holds copies of training images.
"""

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from medimg_cli.cli.app import app
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import UsageError
from medimg_cli.workspace.workspace import Workspace
from tests.audit.bodies import draw as body
from tests.dataset.layouts.workbook import write_xlsx
from tests.stages.ingest_cohort import draw, run

LESIONS = ("Common Nevus", "Atypical Nevus", "Melanoma")


def suggested(tmp_path: Path, *arguments: str) -> Any:
    """Return what a dry run tells."""
    call = ["ingest", *arguments, "--dry-run", "--json", "-q", "-C", str(tmp_path / "dry")]
    done = CliRunner().invoke(app, call)
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def ingested(tmp_path: Path, *arguments: str) -> pd.DataFrame:
    """Return the manifest of an ingest of the command line."""
    done = CliRunner().invoke(app, ["ingest", *arguments, "-q", "-C", str(tmp_path / "w")])
    assert done.exit_code == 0, done.output
    return read_dataset(Workspace(tmp_path / "w")).rows


def of_group_in_one_split(rows: pd.DataFrame, pattern: str) -> bool:
    groups = rows["image_id"].str.extract(pattern, expand=False)
    return bool((rows.groupby(groups)["split"].nunique() == 1).all())


def test_nested_folders_with_a_workbook_of_marks(tmp_path: Path) -> None:
    root = tmp_path / "PH2 Dataset"
    rows: list[list[Any]] = [
        ["Dermoscopic database"],
        ["Legend:"],
        ["X", "diagnosed", None, "0 = symmetric"],
        [],
    ]
    rows.append(["Image Name", "Histology", *LESIONS, "Asymmetry (0/1/2)", "Streaks"])
    for number in range(42):
        name = f"IMD{number + 2:03d}"
        for kind, suffix in (("Dermoscopic_Image", ""), ("lesion", "_lesion")):
            draw(
                root / "images" / name / f"{name}_{kind}" / f"{name}{suffix}.bmp", number + 100 * len(suffix)
            )
        marks = ["X" if number % 3 == place else None for place in range(3)]
        rows.append([name, None, *marks, number % 2, "A" if number % 5 else "P"])
    table = write_xlsx(root / "PH2_dataset.xlsx", {"Folha1": [*rows, [], ["A = absent, P = present"]]})
    with pytest.raises(UsageError, match="look like identifiers, not classes") as caught:
        run(tmp_path, root)
    assert f"--labels {shlex.quote(str(table))}" in caught.value.hint
    (question,) = suggested(tmp_path, str(root))["questions"]
    told = suggested(tmp_path, str(root), *shlex.split(question["option"]))
    assert told["questions"] == []
    assert {name: found["count"] for name, found in told["classes"].items()} == dict.fromkeys(LESIONS, 14)
    found = ingested(tmp_path, str(root), *shlex.split(question["option"]))
    assert len(found) == 42
    assert not found["image_id"].str.contains("lesion").any()
    numbers = found["image_id"].str.extract(r"IMD(\d+)\.bmp", expand=False).astype(int) - 2
    assert found["label"].tolist() == [LESIONS[n % 3] for n in numbers]


def test_slices_out_of_articles_are_grouped_by_article(tmp_path: Path) -> None:
    for article in range(30):
        kind = "CT_COVID" if article % 2 else "CT_NonCOVID"
        for slice_ in range(3):
            name = f"2020.0{article % 4 + 1}.11.2002{article:04d}-p{7 + slice_}-{60 + article}_{slice_}.png"
            draw(tmp_path / "raw" / kind / name, 10 * article + slice_)
    told = suggested(tmp_path, str(tmp_path / "raw"))
    best = told["groups"][0]
    assert (best["groups"], best["largest"], best["explains"]) == (30, 3, 1.0)
    assert best["test_images_touched"] > 0
    found = ingested(tmp_path, str(tmp_path / "raw"), "--patient-regex", best["regex"])
    assert found["patient_id"].nunique() == 30
    assert of_group_in_one_split(found, r"(2020\.\d\d\.11\.2002\d{4})")


def test_copies_augmented_beforehand_stay_with_their_source_and_are_found_where_they_do_not(
    tmp_path: Path,
) -> None:
    for cell in range(40):
        pixels = body(cell)[::2, ::2]
        folder = tmp_path / "raw" / ("EOSINOPHIL" if cell % 2 else "NEUTROPHIL")
        folder.mkdir(parents=True, exist_ok=True)
        for made, degrees in enumerate((0, 12, -25)):  # the corners are left black
            turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC)
            turned.save(folder / (f"_{cell}_aug_{made}.png" if made else f"_{cell}.png"))
    told = suggested(tmp_path, str(tmp_path / "raw"))
    assert told["groups"][0]["groups"] == 40
    apart, _ = run(tmp_path, tmp_path / "raw", seed=1)
    assert any("file names group the images" in note for note in apart.notes)
    call = [
        "label-audit",
        "--json",
        "-q",
        "--checks",
        "augmented-copies,near-duplicates",
        "-C",
        str(tmp_path / "study"),
    ]
    findings = json.loads(CliRunner().invoke(app, call).stdout)["findings"]
    errors = {finding["check"]: finding["count"] for finding in findings if finding["severity"] == "error"}
    assert errors["augmented-copies"] > 5
    assert errors["near-duplicates"] > 5
    found = ingested(tmp_path, str(tmp_path / "raw"), "--patient-regex", told["groups"][0]["regex"])
    assert of_group_in_one_split(found, r"_(\d+)(?:_aug_\d)?\.png")


def test_four_classes_with_a_test_set_that_holds_copies_of_training_images(tmp_path: Path) -> None:
    raw, classes = tmp_path / "raw", ("glioma", "meningioma", "notumor", "pituitary")
    for place, name in enumerate(classes):
        for number in range(12):
            draw(raw / "Training" / name / f"Tr-{name[:2]}_{number:04d}.jpg.png", 100 * place + number)
        for number in range(5):
            draw(raw / "Testing" / name / f"Te-{name[:2]}_{number:04d}.jpg.png", 1000 + 100 * place + number)
        shutil.copy(
            raw / "Training" / name / f"Tr-{name[:2]}_0003.jpg.png", raw / "Testing" / name / "Te-copy.png"
        )
    told = suggested(tmp_path, str(raw))
    assert (told["questions"], told["splits"]["test"]) == ([], 24)
    result, rows = run(tmp_path, raw)
    assert tuple(result.classes) == classes
    assert result.leak is not None
    assert (result.leak.images, result.leak.identical, result.leak.of) == (4, 4, 24)
    assert any(
        "4 of 24 test images have a counterpart in another split (4 identical)" in n for n in result.notes
    )
    assert set(rows.loc[rows["image_id"].str.startswith("Testing"), "split"]) == {"test"}


def test_an_ingest_says_where_the_audit_of_near_duplicates_does_not_hold_any_more(tmp_path: Path) -> None:
    for number in range(20):
        draw(tmp_path / "raw" / ("sick" if number % 2 else "well") / f"{number}.png", number)
    run(tmp_path, tmp_path / "raw")
    call = ["label-audit", "--quick", "-q", "--fail-on", "never", "-C", str(tmp_path / "study")]
    assert CliRunner().invoke(app, call).exit_code == 0
    said = "what the last audit found of near duplicates does not hold here"
    again, _ = run(tmp_path, tmp_path / "raw")
    assert again.leak is not None
    assert again.leak.near == 0
    assert not any(said in note for note in again.notes)
    kept = tmp_path / "study" / "audit" / "near_duplicates.json"
    kept.write_text(kept.read_text().replace('"pictures"', '"picture"'))
    damaged, _ = run(tmp_path, tmp_path / "raw")
    assert damaged.leak is not None
    assert damaged.leak.near is None
    assert any(said in note for note in damaged.notes)
