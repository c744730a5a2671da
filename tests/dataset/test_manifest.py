"""Data sets on disk: written whole, read back the same, leaks found."""

from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.dataset.manifest import (
    COLUMNS,
    Dataset,
    DatasetInfo,
    leaks,
    read_dataset,
    read_quarantine,
    warn_of_edits,
    write_dataset,
)
from medimg_cli.errors import DataError
from medimg_cli.workspace.progress import Remarks, SilentProgress
from medimg_cli.workspace.workspace import Workspace

INFO = DatasetInfo(
    classes=("n", "p"),
    positive="p",
    seed=0,
    layout="folders",
    sources=("raw",),
    patients_known=True,
    split_origin="patient-grouped",
)
QUARANTINE = pd.DataFrame([{"path": "x.png", "reason": "truncated", "bytes": 3, "sha256": "f"}])


def rows() -> pd.DataFrame:
    table = pd.DataFrame(
        {"image_id": ["a", "b", "c"], "label": ["n", "p", "p"], "patient_id": ["1", "2", "3"]}
    )
    table["path"] = table["image_id"] + ".png"
    table["split"] = ["train", "val", "test"]
    table["sha256"] = ["aa", "bb", "cc"]
    table["status"] = ["ok", "ok", "excluded"]
    table["reason"] = ["", "", "blank"]
    for column in ("width", "height", "channels", "bit_depth"):
        table[column] = 8
    table["site"] = ["007", "", "NA"]
    return table


def test_a_data_set_survives_the_disk(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    written = write_dataset(workspace, Dataset(rows(), INFO), QUARANTINE)
    found = read_dataset(workspace)
    assert tuple(found.rows.columns) == (*COLUMNS, "site")
    assert found.rows["site"].tolist() == ["007", "", "NA"]
    assert found.rows["width"].tolist() == [8, 8, 8]
    assert found.content_hash() == written.content_hash == found.info.content_hash
    assert found.info.quarantined == 1
    assert read_quarantine(workspace)["reason"].tolist() == ["truncated"]


def test_excluded_rows_are_not_usable() -> None:
    dataset = Dataset(rows(), INFO)
    assert dataset.usable["image_id"].tolist() == ["a", "b"]
    assert dataset.of_split("test").empty


def test_the_hash_follows_what_changes_a_result() -> None:
    before = Dataset(rows(), INFO).content_hash()
    moved = rows()
    moved.loc[0, "split"] = "val"
    annotated = rows().assign(site="x")
    assert Dataset(moved, INFO).content_hash() != before
    assert Dataset(annotated, INFO).content_hash() == before
    assert Dataset(rows().iloc[::-1], INFO).content_hash() == before


def test_patients_and_files_on_both_sides_are_leaks() -> None:
    table = rows().assign(patient_id=["1", "1", "3"], sha256=["aa", "bb", "aa"])
    assert leaks(table) == {"patients": ["1"], "files": ["a", "c"]}
    assert leaks(rows()) == {"patients": [], "files": []}


def test_a_missing_manifest_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        read_dataset(Workspace(tmp_path))
    assert "medimg ingest" in caught.value.hint


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("split", "Test ", "1 row with a split that means nothing: passed over"),
        ("status", "OK", "1 row with a status that means nothing: passed over"),
        ("image_id", "b", "2 rows with an image_id that another row has too"),
    ],
)
def test_rows_that_an_edit_by_hand_loses_or_doubles_are_told(
    tmp_path: Path, column: str, value: str, said: str
) -> None:
    workspace = Workspace(tmp_path)
    write_dataset(workspace, Dataset(rows(), INFO), QUARANTINE)
    table = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    table.loc[0, column] = value
    table.to_csv(workspace.manifest_path, index=False)
    dataset, remarks = read_dataset(workspace), Remarks(SilentProgress())
    warn_of_edits(dataset.edited, remarks, rows=dataset.rows)
    assert f"manifest.csv: {said} (see `medimg label-audit`)" in remarks.messages


def test_a_manifest_without_a_column_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_dataset(workspace, Dataset(rows(), INFO), QUARANTINE)
    rows().drop(columns="label").to_csv(workspace.manifest_path, index=False)
    with pytest.raises(DataError, match="lacks the column 'label'"):
        read_dataset(workspace)


def test_a_damaged_description_is_one_line_that_names_the_field(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    write_dataset(workspace, Dataset(rows(), INFO), QUARANTINE)
    workspace.dataset_path.write_text('{"positive": "p"}')
    with pytest.raises(DataError, match=r"dataset\.json: classes: Field required"):
        read_dataset(workspace)
