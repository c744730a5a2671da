"""Trees of DICOM files and the tables that label them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg_cli.dataset.layouts import LAYOUTS, find_layout, name_sources
from medimg_cli.dataset.listing import Listing
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.settings import IngestSettings
from tests.images.dicom_file import dicom_image, write


def tree(root: Path) -> Path:
    """Write two studies of two series of two images, without suffix, beside a DICOMDIR and a text."""
    number = 0
    for study in (1, 2):
        for series in (1, 2):
            for image in (1, 2):
                path = root / f"ST{study}" / f"SE{series}" / f"IM{image}"
                path.parent.mkdir(parents=True, exist_ok=True)
                uids = {
                    "PatientID": f"MR {study}",
                    "AccessionNumber": f"00{study}",
                    "StudyInstanceUID": f"1.2.3.{study}",
                    "SeriesInstanceUID": f"1.2.3.{study}.{series}",
                    "SOPInstanceUID": f"1.2.3.{study}.{series}.{image}",
                }
                write(dicom_image(np.full((2, 2), number, dtype="u1"), **uids), path)
                number += 1
    (root / "DICOMDIR").write_bytes(b"\0" * 128 + b"DICM" + b"\0" * 8)
    (root / "notes.txt").write_text("by hand")
    return root


def listed(root: Path, table: str, **settings: Any) -> tuple[str, Listing]:
    folder = tree(root / "disc")
    path = root / "labels.csv"
    path.write_text(table)
    chosen = IngestSettings(labels=path, **settings)
    sources = name_sources([folder])
    layout = find_layout(sources, chosen)
    return layout, LAYOUTS.get(layout).list_images(sources, chosen)


@pytest.mark.parametrize(
    ("column", "keys", "level"),
    [
        ("StudyInstanceUID", ("1.2.3.1", "1.2.3.2"), "StudyInstanceUID"),
        ("uid", ("1.2.3.1", "1.2.3.2"), "StudyInstanceUID"),
        ("series_uid", ("1.2.3.1.1", "1.2.3.2.2"), "SeriesInstanceUID"),
        ("ID", ("1.2.3.1.1", "1.2.3.2.2"), "SeriesInstanceUID"),
        ("SOPInstanceUID", ("1.2.3.1.1.2", "1.2.3.2.1.1"), "SOPInstanceUID"),
    ],
)
def test_a_table_of_uids_labels_every_file_of_the_level_it_names(
    tmp_path: Path, column: str, keys: tuple[str, str], level: str
) -> None:
    layout, listing = listed(tmp_path, f"{column},label\n{keys[0]},sick\n{keys[1]},well\n")
    assert layout == "dicom"
    assert f"labels.csv: '{column}' names images by {level}" in listing.notes
    per_key = {"StudyInstanceUID": 4, "SeriesInstanceUID": 2, "SOPInstanceUID": 1}[level]
    assert sorted(entry.label for entry in listing.entries) == ["sick"] * per_key + ["well"] * per_key
    reasons = {Path(row.path).name: row.reason for row in listing.rejected}
    assert reasons["DICOMDIR"] == "DICOMDIR: an index of the folder, no image"
    assert reasons["notes.txt"] == "not a DICOM file"
    assert len(listing.entries) + len(listing.rejected) == 10


@pytest.mark.parametrize(
    ("column", "keys", "named", "level"),
    [
        ("PatientID", ("MR 1", "MR 2"), None, "PatientID"),
        ("Patient", ("MR 1", "MR 2"), None, "PatientID"),
        ("患者编号", ("MR 1", "MR 2"), None, "PatientID"),
        ("Código_Paciente", ("MR 1", "MR 2"), None, "PatientID"),
        ("Accession Number", ("001", "002"), None, "AccessionNumber"),
        ("MRN", ("MR 1", "MR 2"), "MRN", "PatientID"),
        ("Order", ("001", "002"), "Order", "AccessionNumber"),
    ],
)
def test_a_table_of_patients_or_accession_numbers_labels_what_headers_name_so(
    tmp_path: Path, column: str, keys: tuple[str, str], named: str | None, level: str
) -> None:
    table = f"{column},label\n{keys[0]},sick\n{keys[1]},well\n"
    _, listing = listed(tmp_path, table, layout="dicom", image_col=named)
    assert f"labels.csv: '{column}' names images by {level}" in listing.notes
    assert sorted(entry.label for entry in listing.entries) == ["sick"] * 4 + ["well"] * 4


def test_without_a_layout_a_table_of_patients_says_which_takes_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column looks like the image") as caught:
        listed(tmp_path, "PatientID,label\nMR 1,sick\nMR 2,well\n")
    assert "--layout dicom" in caught.value.hint


def test_the_order_of_an_examination_goes_before_its_patient(tmp_path: Path) -> None:
    table = "PatientID,AccessionNumber,label\nMR 1,001,sick\nMR 1,002,well\n"
    _, listing = listed(tmp_path, table, layout="dicom")
    assert "labels.csv: 'AccessionNumber' names images by AccessionNumber" in listing.notes
    assert len(listing.entries) == 8


def test_a_patient_with_two_labels_is_refused_and_one_whom_no_header_names_is_a_row(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is 'well' here and 'sick' in row 2"):
        listed(tmp_path, "PatientID,label\nMR 1,sick\nMR 1,well\n", layout="dicom")
    _, listing = listed(tmp_path, "PatientID,label\nMR 1,sick\nMR 2,well\nMR 9,well\n", layout="dicom")
    assert {row.path: row.reason for row in listing.rejected}["MR 9"] == "no file has this PatientID"


def test_files_are_named_too_where_the_layout_is(tmp_path: Path) -> None:
    layout, listing = listed(tmp_path, "file,label\nST1/SE1/IM1,sick\nST2/SE1/IM2,well\n", layout="dicom")
    assert layout == "dicom"
    assert [entry.image_id for entry in listing.entries] == ["ST1/SE1/IM1", "ST2/SE1/IM2"]


def test_the_finest_of_several_uid_columns_is_taken(tmp_path: Path) -> None:
    table = "StudyInstanceUID,SOPInstanceUID,label\n1.2.3.1,1.2.3.1.1.1,sick\n1.2.3.2,1.2.3.2.1.1,well\n"
    _, listing = listed(tmp_path, table)
    assert len(listing.entries) == 2
    assert listing.entries[0].extra == {}
    assert "left out, as they may identify people: StudyInstanceUID" in listing.notes


def test_a_file_name_goes_before_uids_and_a_named_column_before_both(tmp_path: Path) -> None:
    table = "file,StudyInstanceUID,label\nST1/SE1/IM1,1.2.3.1,sick\nST2/SE1/IM1,1.2.3.2,well\n"
    assert listed(tmp_path, table)[0] == "csv"
    layout, listing = listed(tmp_path, table, image_col="StudyInstanceUID")
    assert (layout, len(listing.entries)) == ("dicom", 8)


def test_a_uid_that_no_file_has_is_a_row_and_a_table_of_such_an_error(tmp_path: Path) -> None:
    _, listing = listed(tmp_path, "StudyInstanceUID,label\n1.2.3.1,sick\n1.2.9.9,well\n")
    reasons = {row.path: row.reason for row in listing.rejected}
    assert reasons["1.2.9.9"] == "no file has this StudyInstanceUID"
    with pytest.raises(DataError, match="no UID in 'uid' is in the header of any file"):
        listed(tmp_path, "uid,label\n1.2.9.8,sick\n1.2.9.9,well\n")


def test_a_table_without_any_key_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column looks like a file name, a DICOM UID") as caught:
        listed(tmp_path, "who,label\nx,sick\n", layout="dicom")
    assert "who, label" in caught.value.hint


def test_a_series_with_two_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is 'well' here and 'sick' in row 2"):
        listed(tmp_path, "StudyInstanceUID,label\n1.2.3.1,sick\n1.2.3.1,well\n")
