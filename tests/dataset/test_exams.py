"""Which exam an image is of, from tables, headers, folders and files of several frames."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.dataset.manifest import EXAM, leaks, read_dataset
from medimg_cli.errors import UsageError
from medimg_cli.stages.ingest import dry_run, ingest
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
from tests.images.dicom_file import dicom_image, write

PATIENTS = 12


def drawn(tmp_path: Path, row: str, header: str = "image,patient,visit,label") -> Path:
    """Write two visits of two images a patient in a folder each, and a table of rows made by `row`."""
    generator, lines = np.random.default_rng(0), [header]
    for patient in range(PATIENTS):
        for visit in (1, 2):
            for view in (1, 2):
                name = f"p{patient}v{visit}/{view}.png"
                path = tmp_path / "raw" / name
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(generator.integers(0, 255, (8, 8), np.uint8)).save(path)
                lines.append(
                    row.format(name=name, p=patient, v=visit, view=view, label="ab"[patient % 2])
                    if view == 1 or "{view}" in row or "{name}" in row
                    else ""
                )
    (tmp_path / "labels.csv").write_text("\n".join(filter(None, lines)) + "\n")
    return tmp_path / "raw"


def ingested(tmp_path: Path, raw: Path, **settings: Any) -> tuple[pd.DataFrame, tuple[str, ...], str]:
    study = Workspace(tmp_path / "study")
    chosen = IngestSettings(**{"labels": tmp_path / "labels.csv", "assume_yes": True, **settings})
    notes = ingest(study, [raw], chosen).notes
    dataset = read_dataset(study)
    assert not leaks(dataset.rows)["patients"]
    return dataset.rows, notes, dataset.info.exams_from


def test_numbers_of_visits_that_start_again_are_told_apart_by_the_patient(tmp_path: Path) -> None:
    raw = drawn(tmp_path, "{name},{p},{v},{label}")
    rows, notes, source = ingested(tmp_path, raw, exam_col="visit")
    assert rows[EXAM].nunique() == 2 * PATIENTS and source == "column visit"
    assert (rows.groupby(EXAM)["patient_id"].nunique() == 1).all()
    assert any("PATIENT/EXAM" in note for note in notes)
    assert "visit" not in rows


@pytest.mark.parametrize(("exam", "count"), [("patient", PATIENTS), ("folder", 2 * PATIENTS)])
def test_patients_and_folders_are_exams_where_asked(tmp_path: Path, exam: str, count: int) -> None:
    rows, _, source = ingested(tmp_path, drawn(tmp_path, "{name},{p},{v},{label}"), exam_col=exam)
    assert rows[EXAM].nunique() == count and source == exam


def test_without_patients_an_exam_is_one_and_stays_in_one_split(tmp_path: Path) -> None:
    raw = drawn(tmp_path, "{name},x{p}v{v},{label}", "image,exam,label")
    rows, notes, _ = ingested(tmp_path, raw, exam_col="exam")
    assert rows["patient_id"].nunique() == 2 * PATIENTS
    assert (rows.groupby(EXAM)["split"].nunique() == 1).all()
    assert any("each exam counts as one" in note for note in notes)


def test_one_row_of_an_exam_labels_its_other_images(tmp_path: Path) -> None:
    raw = drawn(tmp_path, "{name},{p},x{p}v{v},{label}")
    table = pd.read_csv(tmp_path / "labels.csv", dtype=str)
    table.loc[table["image"].str.endswith("2.png"), "label"] = ""
    table.to_csv(tmp_path / "labels.csv", index=False)
    rows, notes, _ = ingested(tmp_path, raw, exam_col="visit")
    assert len(rows) == 4 * PATIENTS
    assert any(f"{2 * PATIENTS} rows without a label have that of their exam" in note for note in notes)


def test_a_row_that_names_a_folder_labels_the_exam_in_it(tmp_path: Path) -> None:
    raw = drawn(tmp_path, "p{p}v{v},{p},{label}", "image,patient,label")
    rows, _, source = ingested(tmp_path, raw)
    assert len(rows) == 4 * PATIENTS and rows[EXAM].nunique() == 2 * PATIENTS and source == "folder"


def test_a_column_that_is_not_there_is_refused_with_what_it_could_be(tmp_path: Path) -> None:
    raw = drawn(tmp_path, "{name},{p},{v},{label}")
    with pytest.raises(UsageError, match="no column 'vizit'"):
        ingested(tmp_path, raw, exam_col="vizit")
    with pytest.raises(UsageError, match="names a column of a table"):
        ingested(tmp_path, raw, exam_col="vizit", labels=None)


def test_exams_of_one_image_are_no_exams(tmp_path: Path) -> None:
    raw = drawn(tmp_path, "{name},{p},p{p}v{v}-{view},{label}")
    rows, notes, source = ingested(tmp_path, raw, exam_col="visit")
    assert EXAM not in rows and source == ""
    assert any("stay per image" in note for note in notes)


def series(tmp_path: Path) -> Path:
    for number in range(24):
        folder = tmp_path / "raw" / ("ILL" if number % 4 > 1 else "WELL")
        folder.mkdir(parents=True, exist_ok=True)
        uids = {"StudyInstanceUID": f"1.2.{number // 4}", "SeriesInstanceUID": f"1.2.{number // 2}.7"}
        pixels = np.full((4, 4), number, "u1")
        write(dicom_image(pixels, PatientID=f"P{number // 4}", **uids), folder / f"{number}.dcm")
    return tmp_path / "raw"


@pytest.mark.parametrize(("exam", "count"), [("study", 6), ("SeriesInstanceUID", 12)])
def test_studies_and_series_of_dicom_headers_are_exams_under_a_pseudonym(
    tmp_path: Path, exam: str, count: int
) -> None:
    raw = series(tmp_path)
    rows, _, source = ingested(tmp_path, raw, exam_col=exam, labels=None)
    assert rows[EXAM].nunique() == count and source.endswith("InstanceUID")
    assert rows[EXAM].str.fullmatch("exam-[0-9a-f]{12}").all()
    again, _, _ = ingested(tmp_path, raw, labels=None)  # whose headers are not read again
    assert again[EXAM].tolist() == rows[EXAM].tolist()


def test_a_dry_run_of_exams_by_header_says_nothing_wrong(tmp_path: Path) -> None:
    settings = IngestSettings(exam_col="study", assume_yes=True)
    assert dry_run(Workspace(tmp_path / "study"), [series(tmp_path)], settings).listed == 24


def test_volumes_become_exams_of_slices(tmp_path: Path) -> None:
    for number in range(8):
        folder = tmp_path / "raw" / ("ILL" if number % 2 else "WELL")
        folder.mkdir(parents=True, exist_ok=True)
        stack = (np.arange(3) * 50 + number).astype("u1")[:, None, None] * np.ones((1, 2, 2), "u1")
        write(dicom_image(stack, WindowCenter=128, WindowWidth=256), folder / f"{number}.dcm")
    rows, _, source = ingested(tmp_path, tmp_path / "raw", labels=None, frames="all")
    assert (rows[EXAM].nunique(), len(rows), source) == (8, 24, "file")
    none, _, source = ingested(
        tmp_path, tmp_path / "raw", labels=None, frames="all", exam_col="none", fresh=True
    )
    assert EXAM not in none and source == ""
