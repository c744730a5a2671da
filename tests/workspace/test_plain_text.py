"""Texts of strangers: what terminals and spreadsheets get, and that nothing is lost on the way back."""

import csv
import io
import json
import random
import re
import tracemalloc
from pathlib import Path

import pandas as pd
import pytest

from medimg_cli.cli.views.render import LineProgress, SafeConsole, json_text
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.predictions.resumable_table import RowFile
from medimg_cli.reporting.cases import predictions_csv
from medimg_cli.workspace import tables
from medimg_cli.workspace.files import sha256_of_text, templates_dir
from medimg_cli.workspace.plain_text import plural, shielded, unshielded, visible, visible_line
from medimg_cli.workspace.spreadsheets import read_spreadsheet
from medimg_cli.workspace.tables import cells_sha256, csv_sha256, read_table, safe_csv, write_table

EVIL = [
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "＝1+1",
    "a;=1+1",
    "'=1",
    "''@x",
    '=HYPERLINK("http://x","y")',
]
PLAIN = ["", "sick", "-1.5", "+3", "1e-5", "'tis", "O'Neil=x", "a - b", "x@y", "patient-1", ".5"]
HOSTILE = [
    "a\x1b[31mred",
    "x\x9b2J",
    "abc\u202etxt.exe",
    "bell\x07",
    "\u2066a\u2069",
    "line\u2028break",
    "\x7f",
    "bad\udce9",
]


def runs_in_a_spreadsheet(cell: str) -> bool:
    """Return whether a cell, or what follows a semicolon in it, would be a formula."""
    try:
        float(cell)
    except ValueError:
        return any(part[:1] in tuple("=+-@\t\r\n＝＋－＠") for part in cell.split(";") if part)
    return False


@pytest.mark.parametrize("cell", EVIL)
def test_a_cell_that_would_run_is_shielded_and_comes_back(cell: str) -> None:
    assert not runs_in_a_spreadsheet(shielded(cell))
    assert unshielded(shielded(cell)) == cell


@pytest.mark.parametrize("cell", PLAIN)
def test_numbers_and_ordinary_texts_stay_as_they_are(cell: str) -> None:
    assert shielded(cell) == unshielded(cell) == cell


def test_any_text_comes_back_from_a_shield() -> None:
    draw = random.Random(5)
    for _ in range(20_000):
        cell = "".join(draw.choices("'=+-@\t\r\n;a1.＝ ,", k=draw.randint(0, 7)))
        assert unshielded(shielded(cell)) == cell
        assert not runs_in_a_spreadsheet(shielded(cell))


def test_a_table_comes_back_exactly_and_holds_nothing_that_runs(tmp_path: Path) -> None:
    cells = [*EVIL, *PLAIN]
    table = pd.DataFrame({"image_id": cells, "=A1": cells[::-1], "n": range(len(cells))})
    write_table(tmp_path / "t.csv", table)
    back = read_table(tmp_path / "t.csv")
    assert back.columns.tolist() == ["image_id", "=A1", "n"]
    assert back["image_id"].tolist() == cells
    assert back["=A1"].tolist() == cells[::-1]
    with (tmp_path / "t.csv").open(newline="") as stream:
        assert not any(runs_in_a_spreadsheet(cell) for row in csv.reader(stream) for cell in row)


def test_a_long_table_is_written_and_hashed_in_pieces_to_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw = random.Random(6)
    cells = [*EVIL, *PLAIN, *["".join(draw.choices("'=;\r\n\"1a é,", k=3)) for _ in range(40)]]
    for texts in (cells, [cell.replace("\r", "") for cell in cells]):
        table = pd.DataFrame({"image_id": texts, "=n": [0.1 + number for number in range(len(texts))]})
        whole = safe_csv(table)
        monkeypatch.setattr(tables, "_ROWS_AT_ONCE", 7)
        write_table(tmp_path / "t.csv", table)
        assert (tmp_path / "t.csv").read_bytes() == whole.encode()
        assert csv_sha256(table, "end", index=False) == sha256_of_text(table.to_csv(index=False) + "end")
        assert cells_sha256(table["image_id"]) == sha256_of_text("\0".join(texts))
        monkeypatch.undo()
    write_table(tmp_path / "t.csv", table.iloc[:0])
    assert (tmp_path / "t.csv").read_text() == "image_id,'=n\n"


def test_writing_and_hashing_a_table_hold_no_text_of_the_whole(tmp_path: Path) -> None:
    table = pd.DataFrame({"image_id": [f"{number:0200}" for number in range(300_000)]})
    for use in (
        lambda: write_table(tmp_path / "t.csv", table),
        lambda: csv_sha256(table),
        lambda: cells_sha256(table["image_id"]),
    ):
        tracemalloc.start()
        use()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 40e6  # of 60 MB of text


def test_a_table_of_medimg_s_is_read_as_it_was_where_tables_of_any_software_are(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", pd.DataFrame({"image": ["=1.png", "a.png"], "label": ["+", "-"]}))
    table = read_spreadsheet(tmp_path / "t.csv")
    assert [cells for _, cells in table.rows] == [
        {"image": "=1.png", "label": "+"},
        {"image": "a.png", "label": "-"},
    ]


@pytest.mark.parametrize("name", EVIL)
def test_rows_of_predict_and_the_report_s_table_hold_nothing_that_runs(tmp_path: Path, name: str) -> None:
    prediction = Prediction("unreadable", None, None, {"a": 0.5, "b": 0.5}, message=f"={name}")
    with RowFile(tmp_path / "p.csv", ("a", "b"), "m") as rows:
        rows.write(name, prediction)
    with RowFile(tmp_path / "p.csv", ("a", "b"), "m", resume=True) as again:
        assert [(done.path, done.prediction.message) for done in again.done()] == [(name, f"={name}")]
    attached = predictions_csv(pd.DataFrame({"image_id": [name], "patient_id": [name]})).decode()
    written = [(tmp_path / "p.csv").read_bytes().decode(), attached]
    for text in written:
        assert not any(
            runs_in_a_spreadsheet(cell) for row in csv.reader(io.StringIO(text, newline="")) for cell in row
        )


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_a_stranger_wrote_controls_a_terminal(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    console = SafeConsole(force_terminal=True, width=200, file=io.StringIO(), highlight=False)
    console.print(text, markup=False)
    assert isinstance(console.file, io.StringIO)
    LineProgress().warn(f"{text}\nerror: all is lost")
    shown = [console.file.getvalue(), capsys.readouterr().err, json_text({"name": text})]
    for output in shown:
        assert visible(output.rstrip("\n")) == output.rstrip("\n")
        output.encode()
    assert shown[1].count("\n") == 1
    assert json.loads(shown[2]) == {"name": text}


def test_one_line_stays_one_line() -> None:
    assert visible_line("a\nb\tc\x00") == "a\\nb\\tc\\x00"


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "image", "0 images"),
        (1, "class", "1 class"),
        (3, "class", "3 classes"),
        (2, "study", "2 studies"),
        (2, "day", "2 days"),
        (2, "box", "2 boxes"),
        (1200, "patch", "1,200 patches"),
    ],
)
def test_a_count_stands_with_its_noun(count: int, noun: str, text: str) -> None:
    assert plural(count, noun) == text


_PLURAL = re.compile(r"\{(n|count|of)\} (places|images|Stellen|Bilder)\b")


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_page_sets_no_noun_in_the_plural_behind_a_count_that_may_be_one(language: str) -> None:
    lines = (templates_dir() / "serve" / "strings" / f"{language}.yaml").read_text(encoding="utf-8")
    assert [line for line in lines.splitlines() if _PLURAL.search(line) and "{of}" not in line] == []
