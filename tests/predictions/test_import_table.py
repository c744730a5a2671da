"""Tables of predictions that other software wrote: read as meant, or refused in one line."""

import re
from pathlib import Path

import pytest

from medimg_cli.errors import DataError
from medimg_cli.predictions.import_table import read_foreign_predictions

GOOD = "y_true,prob_well,prob_ill\nwell,0.8,0.2\nill,0.3,0.7\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "preds.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def refused(folder: Path, text: str | bytes) -> str:
    with pytest.raises(DataError) as caught:
        read_foreign_predictions(written(folder, text))
    assert "\n" not in caught.value.what + caught.value.hint
    return f"{caught.value.what} ({caught.value.hint})"


def test_the_least_table_has_numbered_rows_and_unknown_patients(tmp_path: Path) -> None:
    read = read_foreign_predictions(written(tmp_path, GOOD))
    assert (read.classes, read.several, read.patients_known, read.splits_known) == (
        ("well", "ill"),
        False,
        False,
        False,
    )
    assert read.table["image_id"].tolist() == read.table["patient_id"].tolist() == ["row-1", "row-2"]
    assert read.table["prob_ill"].tolist() == [0.2, 0.7]


def test_a_spreadsheet_s_export_is_read(tmp_path: Path) -> None:
    text = "image_id;y_true;prob_well;prob_ill;sex\na;well;0,8;0,2;F\nb;ill;0,3;0,7;M\n;;;;\n"
    for content in (b"\xef\xbb\xbf" + text.encode(), text.encode("utf-16")):
        read = read_foreign_predictions(written(tmp_path, content))
        assert read.table["prob_well"].tolist() == [0.8, 0.3]
        assert read.table["sex"].tolist() == ["F", "M"]


def test_columns_without_an_entry_are_not_there(tmp_path: Path) -> None:
    text = "image_id,patient_id,split,y_true,prob_0,prob_1\n,,,1.0,0.1,0.9\n,,,0.0,1,0\n"
    read = read_foreign_predictions(written(tmp_path, text))
    assert (read.patients_known, read.splits_known) == (False, False)
    assert read.table["y_true"].tolist() == ["1", "0"]


def test_splits_are_called_as_medimg_calls_them(tmp_path: Path) -> None:
    text = "split,y_true,prob_a,prob_b\nValidation,a,1,0\nTEST,b,0,1\ntraining,a,1,0\n"
    assert read_foreign_predictions(written(tmp_path, text)).table["split"].tolist() == [
        "val",
        "test",
        "train",
    ]


def test_images_that_could_not_be_read_are_counted_and_left_out(tmp_path: Path) -> None:
    text = "y_true,prob_a,prob_b,status\na,1,0,ok\nb,,,unreadable\n"
    read = read_foreign_predictions(written(tmp_path, text))
    assert (len(read.table), read.unanswered) == (1, 1)


def test_several_labels_may_be_unknown_and_saved_as_decimals(tmp_path: Path) -> None:
    text = "y_true_mass,y_true_edema,prob_mass,prob_edema\n1.0,,0.9,0.8\n0,1,0.9,0.9\n"
    read = read_foreign_predictions(written(tmp_path, text))
    assert read.several
    assert read.table[["y_true_mass", "y_true_edema"]].to_numpy().tolist() == [["1", ""], ["0", "1"]]


BAD: dict[str, tuple[str | bytes, str]] = {
    "no row": ("y_true,prob_a,prob_b\n", "holds no rows"),
    "nothing": ("", "cannot be read|holds no rows"),
    "no reference": ("label,prob_a,prob_b\na,1,0\n", "lacks y_true.*its columns: label"),
    "no probability": ("y_true,a,b\na,1,0\n", "lacks prob_<class>"),
    "one probability": ("y_true,prob_ill\nill,0.9\n", "only one class.*1 - prob_ill"),
    "an empty label": ("y_true,prob_a,prob_b\na,1,0\n,0,1\n", "row 3: y_true is empty"),
    "another label": ("y_true,prob_pneu,prob_b\nPNEU,1,0\n", "row 2: y_true 'PNEU'.*pneu"),
    "joined labels": ("y_true,prob_a,prob_b\na|b,1,0\n", "several labels an image need.*y_true_<class>"),
    "an empty cell": ("y_true,prob_a,prob_b\na,1,0\nb,,1\n", "row 3: prob_a is empty"),
    "a text": ("y_true,prob_a,prob_b\na,high,0\n", "row 2: prob_a is 'high'"),
    "no number": ("y_true,prob_a,prob_b\na,nan,1\n", "row 2: prob_a is 'nan'"),
    "percentages": ("y_true,prob_a,prob_b\na,90,10\nb,5,95\n", "look like percentages: divide them by 100"),
    "logits": ("y_true,prob_a,prob_b\na,3.1,-2\nb,-1,1.5\n", "look like logits: take their softmax"),
    "logarithms": ("y_true,prob_a,prob_b\na,-0.1054,-2.3026\n", "look like logarithms.*exp"),
    "no sum": ("y_true,prob_a,prob_b\na,0.9,0.1\nb,0.9,0.7\n", "row 3: .*sum to 1.6000.*1 of 2 rows"),
    "an image twice": (
        "image_id,y_true,prob_a,prob_b\nx,a,1,0\ny,a,1,0\nx,b,0,1\n",
        "row 4: image_id 'x' stands in row 2 already",
    ),
    "a patient missing": (
        "patient_id,y_true,prob_a,prob_b\np,a,1,0\n,a,1,0\n",
        "row 3: patient_id is empty.*1 lack it",
    ),
    "another split": ("split,y_true,prob_a,prob_b\nfold2,a,1,0\n", "row 2: split 'fold2'"),
    "a column twice": ("y_true,prob_a,prob_a\na,1,0\n", "two columns 'prob_a'"),
    "a cell too many": ("y_true,prob_a,prob_b\na,1,0\nb,0,1,5\n", "Expected 3 fields in line 3, saw 4"),
    "a workbook": (b"PK\x03\x04rest", "save the sheet as CSV"),
    "other bytes": (b"PAR1\x00\x01\x9d\x00", "is no text"),
    "a label without answer": (
        "y_true_a,y_true_b,prob_a\n1,0,0.5\n",
        "y_true_b without prob_b",
    ),
    "an answer without label": ("y_true_a,prob_a,prob_b\n1,0.5,0.5\n", "lacks y_true_b"),
    "another mark": ("y_true_a,prob_a\n1,0.5\n-1,0.5\n", "row 3: y_true_a is '-1'.*empty = unknown"),
    "labels in percent": ("y_true_a,y_true_b,prob_a,prob_b\n1,0,91,3\n", "divide them by 100"),
    "labels as logits": ("y_true_a,y_true_b,prob_a,prob_b\n1,0,2.5,-3\n", "take their sigmoid"),
    "nobody judged": ("y_true_a,prob_a\n,0.5\n,0.6\n", "every y_true_<class> is empty"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, pattern = BAD[name]
    said = refused(tmp_path, text)
    assert re.search(pattern, said), said


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.csv: no such file"):
        read_foreign_predictions(tmp_path / "none.csv")
