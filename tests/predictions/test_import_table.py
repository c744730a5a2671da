"""Tables of predictions that other software wrote: read as meant, or refused in one line."""

import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.errors import DataError
from medimg_cli.predictions.import_table import read_foreign_predictions
from medimg_cli.workspace.spreadsheets import read_spreadsheet
from tests.dataset.layouts.workbook import write_xlsx

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
    "some percentages": ("y_true,prob_a,prob_b\na,90,10\nb,0.5,0.5\nc,20,80\n", "percentages, but not all"),
    "two decimals too far": ("y_true,prob_a,prob_b\na,0.90,0.13\n", "row 2: .*sum to 1.0300"),
    "four decimals": ("y_true,prob_a,prob_b\na,0.9012,0.0879\n", "row 2: .*sum to 0.9891"),
    "answers of 0 and 1": ("y_true,prob_a,prob_b\na,1,1\n", "row 2: .*sum to 2"),
    "one class twice": ("y_true,prob_1,prob_1.0\n1,1,0\n", "prob_1 and prob_1.0 are one class"),
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
    "a cell too many": ("y_true,prob_a,prob_b\na,1,0\nb,0,1,5\n", "row 3 has 4 cells, the header 3"),
    "a workbook": (b"PK\x03\x04rest", "no workbook that can be read"),
    "other bytes": (b"PAR1\x00\x01\x9d\x00", "is no text"),
    "a label without answer": (
        "y_true_a,y_true_b,prob_a\n1,0,0.5\n",
        "y_true_b without prob_b",
    ),
    "an answer without label": ("y_true_a,prob_a,prob_b\n1,0.5,0.5\n", "lacks y_true_b"),
    "another mark": ("y_true_a,prob_a\n1,0.5\n-1,0.5\n", "row 3: y_true_a is '-1'.*empty = unknown"),
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


def probabilities(
    folder: Path, text: str | bytes, column: str = "prob_a"
) -> tuple[list[float], tuple[str, ...]]:
    read = read_foreign_predictions(written(folder, text))
    return read.table[column].tolist(), read.notes


@pytest.mark.parametrize(
    ("cells", "sums"),
    [
        (["0.33,0.66", "0.50,0.51"], "0.99 to 1.01"),
        (["0.5,0.48", "1,0.02"], "0.98 to 1.02"),
        (["0.9,0.2", "0.5,0.5"], "1.00 to 1.10"),
    ],
)
def test_rounded_probabilities_are_taken_as_they_are_and_it_is_said(
    tmp_path: Path, cells: list[str], sums: str
) -> None:
    found, notes = probabilities(tmp_path, "y_true,prob_a,prob_b\n" + "".join(f"a,{row}\n" for row in cells))
    assert found == [float(row.split(",")[0]) for row in cells]
    assert f"rows sum to {sums}, taken as they are" in notes[0]


def test_seven_classes_of_two_decimals_may_be_off_by_half_a_hundredth_each(tmp_path: Path) -> None:
    header = "y_true," + ",".join(f"prob_{name}" for name in "abcdefg")
    found, _ = probabilities(tmp_path, f"{header}\na,0.71,0.04,0.04,0.04,0.04,0.04,0.06\n")
    assert found == [0.71]
    assert "sum to 0.9600" in refused(tmp_path, f"{header}\na,0.71,0.04,0.04,0.04,0.04,0.04,0.05\n")


@pytest.mark.parametrize(
    "text",
    [
        "y_true,prob_a,prob_b\na,90,10\nb,5,95\n",
        "y_true,prob_a,prob_b\na,90 %,10 %\nb,5%,95%\n",
        "y_true;prob_a;prob_b\na;90,0;10,0\nb;5,0;95,0\n",
        "y_true_a,y_true_b,prob_a,prob_b\n1,0,90,3\n0,1,5,30\n",
    ],
)
def test_percentages_are_divided_and_it_is_said(tmp_path: Path, text: str) -> None:
    found, notes = probabilities(tmp_path, text)
    assert found == pytest.approx([0.9, 0.05])
    assert notes == ("probabilities are read as percentages and divided by 100",)


@pytest.mark.parametrize(
    ("truth", "name"),
    [
        ("1.0", "1"),
        ("1", "1.0"),
        (" krank ", "krank"),
        ("mu\u0308de", "müde"),
        ("kr\u200bank", "krank"),
        ("01", "1"),
    ],
)
def test_a_label_is_its_class_however_it_is_spelt(tmp_path: Path, truth: str, name: str) -> None:
    read = read_foreign_predictions(written(tmp_path, f"Y_True,Prob_{name}, prob_x\n{truth},0.8,0.2\n"))
    assert read.table["y_true"].tolist() == [name]


def test_marks_may_be_words(tmp_path: Path) -> None:
    read = read_foreign_predictions(written(tmp_path, "y_true_a,prob_a\nyes,0.5\n-,0.2\nn/a,0.1\nX,0.3\n"))
    assert read.table["y_true_a"].tolist() == ["1", "0", "", "1"]


@pytest.mark.parametrize(
    "end", ["Mean,,,0.4,0.6", "Summe,2,2,0.8,1.2", "Average:,1,a,0.4,0.6", "moyenne,,,0.4,0.6"]
)
def test_sums_and_means_of_the_answers_at_the_end_are_no_row_and_it_is_said(tmp_path: Path, end: str) -> None:
    rows = "image_id,patient_id,y_true,prob_a,prob_b\n1.png,p,a,0.25,0.75\ntotal knee.png,q,b,0.5,0.5\n"
    read = read_foreign_predictions(written(tmp_path, rows + end + "\n"))
    assert read.table["image_id"].tolist() == ["1.png", "total knee.png"]
    assert any("row 4 below the table left out" in note for note in read.notes)


def test_a_class_called_as_a_sum_keeps_its_rows_and_others_without_a_label_are_refused(
    tmp_path: Path,
) -> None:
    rows = "y_true,prob_total,prob_partial\npartial,0.25,0.75\ntotal,0.5,0.5\n"
    assert len(read_foreign_predictions(written(tmp_path, rows)).table) == 2
    with pytest.raises(DataError, match="row 4: y_true is empty"):
        read_foreign_predictions(written(tmp_path, rows + ",0.5,0.5\n"))


def test_a_sheet_with_a_title_and_a_total_is_read(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["Answers of 3 May"],
        [],
        ["y_true", "prob_a", "prob_b"],
        ["a", 0.25, 0.75],
        ["b", 0.5, 0.5],
    ]
    path = write_xlsx(tmp_path / "preds.xlsx", {"Notes": [["x", "y"]], "P": [*rows, [], ["n = 2"]]})
    read = read_foreign_predictions(path)
    assert read.table["prob_a"].tolist() == [0.25, 0.5]
    assert any("row 3 names the columns" in note for note in read.notes)
    with pytest.raises(DataError, match="sheet 'P', row 4: prob_a is 'x'"):
        rows[3][1] = "x"
        read_foreign_predictions(write_xlsx(tmp_path / "preds.xlsx", {"P": rows}))


def test_a_file_that_repeats_and_a_called_class_that_is_not_read_are_said(tmp_path: Path) -> None:
    head = "Path,y_true,y_pred,prob_0,prob_1\n"
    rows = ["a.png,0,0.0,.9,.1", "b.png,1,0,.2,.8", "a.png,1,1,.3,.7", "a.png,0,,.6,.4"]
    notes = read_foreign_predictions(written(tmp_path, head + "\n".join(rows))).notes
    assert any("2 rows name a file in 'Path' that stands in another row" in note for note in notes)
    assert any("y_pred is not read: in 1 of 4 rows" in note for note in notes)
    rows = ["a.png,0,0.0,.9,.1", "b.png,1,1,.2,.8"]
    assert read_foreign_predictions(written(tmp_path, head + "\n".join(rows))).notes == ()
    head = "image_id," + head  # the images are told apart by name, and may be frames of one file
    rows = ["1,a.png,0,0,.9,.1", "2,a.png,1,1,.2,.8"]
    assert read_foreign_predictions(written(tmp_path, head + "\n".join(rows))).notes == ()


def test_a_long_table_is_read_without_its_lines_and_repeated_cells_in_memory_again(tmp_path: Path) -> None:
    head = "image_id,y_true,split,prob_a,prob_b\n"
    lines = [f"images/{n:0120},positive-{n % 3},training,0.25,0.75\n" for n in range(20_000)]
    path = written(tmp_path, head + "".join(lines))
    tracemalloc.start()
    rows = read_spreadsheet(path).rows
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [cells["image_id"] for _, cells in rows] == [line.partition(",")[0] for line in lines]
    assert peak < 6.5 * path.stat().st_size  # 7.8 with both
