"""Labels in spreadsheets as hospitals keep them."""

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.dataset.layouts import LAYOUTS
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.errors import DataError, MedimgError, UsageError
from medimg_cli.workspace.settings import IngestSettings
from tests.dataset.layouts.workbook import Rows, write_ods, write_xlsx

RIGHT = {"a.png": "sick", "b.png": "well", "c.png": "sick"}
PLAIN: Rows = [["image", "label"], *map(list, RIGHT.items())]


def listed(root: Path, table: Path, files: Sequence[str] = tuple(RIGHT), **settings: Any) -> Listing:
    (root / "images").mkdir(exist_ok=True)
    for file in files:
        (root / "images" / file).touch()
    chosen = IngestSettings(labels=table, **settings)
    return LAYOUTS.get("csv").list_images([Source(root / "images")], chosen)


def labels(listing: Listing) -> dict[str, str]:
    return {entry.image_id: entry.label for entry in listing.entries}


def test_a_workbook_is_read_as_it_is(tmp_path: Path) -> None:
    listing = listed(tmp_path, write_xlsx(tmp_path / "t.xlsx", {"Sheet1": PLAIN}))
    assert labels(listing) == RIGHT
    assert labels(listed(tmp_path, write_ods(tmp_path / "t.ods", PLAIN))) == RIGHT


def test_titles_above_and_totals_and_a_legend_below_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    rows = [
        ["Melanoma study, export of 3 March"],
        ["Ward", "7"],
        [],
        ["image", "sick", "well", "age"],
        ["a.png", "X", None, 71],
        ["b.png", None, "X", 64.5],
        ["c.png", "x", None, None],
        ["Total", 2, 1, None],
        [],
        ["Legend: X = diagnosed"],
        [None, "kept by Dr. X"],
    ]
    listing = listed(tmp_path, write_xlsx(tmp_path / "t.xlsx", {"Data": rows}, corner=(3, 2)))
    assert labels(listing) == RIGHT
    assert listing.rejected == ()
    assert listing.entries[1].extra == {"age": "64.5"}
    assert "t.xlsx (Data): row 6 names the columns, what stands above it is left out" in listing.notes
    assert "t.xlsx (Data): rows 10 to 13 below the table left out: 'Total' …" in listing.notes


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_text_may_have_lines_above_and_below_too(tmp_path: Path, separator: str) -> None:
    rows = [["Export"], ["von:", "Klinik"], [], ["Bildname", "Diagnose", "Alter"], ["a.png", "sick", "7,5"]]
    rows += [["b.png", "well", "61"], ["c.png", "sick", "1.050,25"], [], ["Summe", "3", ""]]
    path = tmp_path / "t.csv"
    path.write_bytes("\r\n".join(separator.join(row) for row in rows).encode("utf-16"))
    listing = listed(tmp_path, path)
    assert labels(listing) == RIGHT
    assert [entry.extra["Alter"] for entry in listing.entries] == ["7.5", "61", "1050.25"]
    assert "t.csv: decimal commas are read as points: Alter" in listing.notes


@pytest.mark.parametrize("cells", [["1,234", "2,345"], ["1,5", "x"], ["1.5", "2"], ["1,2,3", "4,5"]])
def test_commas_that_may_be_something_else_stay(tmp_path: Path, cells: list[str]) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"image;label;n\na.png;sick;{cells[0]}\nb.png;well;{cells[1]}\n")
    assert [entry.extra["n"] for entry in listed(tmp_path, path).entries] == cells


def test_merged_cells_hold_in_every_row_and_empty_ones_only_their_own(tmp_path: Path) -> None:
    rows = [
        ["patient", "image", "Diagnosis", None],
        [None, None, "sick", "well"],
        ["P1", "a.png", "x", None],
        [None, "b.png", None, "x"],
        [None, "c.png", "x", None],
    ]
    path = write_xlsx(tmp_path / "t.xlsx", {"S": rows}, merged=["A1:A2", "B1:B2", "C1:D1", "A3:A4"])
    spans = {(0, 0): (2, 1), (0, 1): (2, 1), (0, 2): (1, 2), (2, 0): (2, 1)}
    for table in (path, write_ods(tmp_path / "t.ods", rows, spans)):
        listing = listed(tmp_path, table)
        assert labels(listing) == RIGHT
        assert [entry.patient_id for entry in listing.entries] == ["P1", "P1", None]


def test_a_name_of_a_column_in_two_lines_is_one_line(tmp_path: Path) -> None:
    rows = [["image\xa0", "diagnosis\n(final)", "age"], *([*row, 4] for row in PLAIN[1:])]
    path = write_xlsx(tmp_path / "t.xlsx", {"S": rows})
    assert labels(listed(tmp_path, path, label_col="diagnosis (final)")) == RIGHT


def test_a_sheet_whose_lines_stand_in_one_column_is_read(tmp_path: Path) -> None:
    rows = [["Export of 1 May"], ["image,label"], ["a.png,sick"], ["b.png,well"], ["c.png,sick"]]
    assert labels(listed(tmp_path, write_xlsx(tmp_path / "t.xlsx", {"S": rows}))) == RIGHT


def test_the_sheet_with_the_table_is_taken_and_another_can_be_named(tmp_path: Path) -> None:
    other: Rows = [["image", "label"], ["a.png", "old"], ["b.png", "older"]]
    sheets = {"Legend": [["code", "meaning"], ["sick", "x"]], "Data": PLAIN, "Old": other}
    path = write_xlsx(tmp_path / "t.xlsx", sheets, hidden=["Old"])
    listing = listed(tmp_path, path)
    assert labels(listing) == RIGHT
    assert "t.xlsx: sheet 'Data' of 3 is read; hidden: Old (--sheet names another)" in listing.notes
    for sheet in ("Old", "3"):
        assert labels(listed(tmp_path, path, sheet=sheet)) == {"a.png": "old", "b.png": "older"}
    with pytest.raises(UsageError, match=r"--sheet Dta: .* has no such sheet") as caught:
        listed(tmp_path, path, sheet="Dta")
    assert caught.value.hint == "did you mean 'Data'? (1 Legend, 2 Data, 3 Old)"


def test_a_sheet_of_mere_remarks_is_not_taken_for_the_table(tmp_path: Path) -> None:
    rows: Rows = [["Histology", "Scan of"], ["sick", "a.png"], ["well", "b.png"], ["sick", "c.png"]]
    path = write_xlsx(tmp_path / "t.xlsx", {"Remarks": [["not to be passed on"]], "Data": rows})
    assert labels(listed(tmp_path, path, label_col="Histology")) == RIGHT


def test_two_sheets_with_such_a_table_are_a_question(tmp_path: Path) -> None:
    path = write_xlsx(tmp_path / "t.xlsx", {"2023": PLAIN, "2024": PLAIN})
    with pytest.raises(UsageError, match="which of the sheets '2023', '2024' holds the table") as caught:
        listed(tmp_path, path)
    assert "--sheet" in caught.value.hint
    assert labels(listed(tmp_path, path, sheet="2024")) == RIGHT


def test_numbers_dates_and_truth_come_as_people_read_them(tmp_path: Path) -> None:
    rows = [["image", "label", "seen", "left"], [1, 1.0, date(2024, 3, 31), True], [2, 0, None, False]]
    path = write_xlsx(tmp_path / "t.xlsx", {"S": rows})
    listing = listed(tmp_path, path, files=("0001.png", "0002.png"))
    assert labels(listing) == {"0001.png": "1", "0002.png": "0"}
    assert listing.entries[0].extra == {"seen": "2024-03-31", "left": "true"}


def test_an_error_names_file_sheet_row_column_and_value(tmp_path: Path) -> None:
    rows = [["image", "label", "fold"], ["a.png", "sick", "train"], ["b.png", "well", "holdout"]]
    path = write_xlsx(tmp_path / "t.xlsx", {"S 1": rows})
    with pytest.raises(DataError) as caught:
        listed(tmp_path, path, use_split_col="fold")
    assert caught.value.what == f"{path}, sheet 'S 1', row 3, column 'fold': 'holdout' is no split"


def test_a_workbook_that_asks_for_all_memory_is_an_error_not_the_end(tmp_path: Path) -> None:
    rows: list[list[Any]] = [["image", "label"], ["a.png", "sick"]]
    path = write_xlsx(tmp_path / "t.xlsx", {"S": rows})
    from openpyxl import load_workbook

    book = load_workbook(path)
    book["S"]["XFD1048576"] = "x"
    book.save(path)
    with pytest.raises(DataError, match="memory"):
        listed(tmp_path, path)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04 not a workbook", "no workbook that can be read"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "no workbook that can be read"),
        (b"\x00\x01\x80", "is no text"),
    ],
)
def test_damaged_workbooks_are_told(tmp_path: Path, content: bytes, what: str) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(content)
    with pytest.raises(MedimgError, match=what):
        listed(tmp_path, path)


def test_a_sheet_is_of_workbooks_only(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("image,label\na.png,sick\n")
    with pytest.raises(UsageError, match="is no workbook"):
        listed(tmp_path, path, sheet="1")


def test_a_workbook_with_the_suffix_of_a_text_is_read_and_the_reverse(tmp_path: Path) -> None:
    assert (
        labels(listed(tmp_path, write_xlsx(tmp_path / "x.xlsx", {"S": PLAIN}).rename(tmp_path / "t.csv")))
        == RIGHT
    )
    (tmp_path / "t.xls").write_text("image\tlabel\na.png\tsick\nb.png\twell\nc.png\tsick\n")
    assert labels(listed(tmp_path, tmp_path / "t.xls")) == RIGHT


READERS: Rows = [
    ["image", "Reader 1", "Reader 2", "Reader 3"],
    ["a.png", "+", "+", "-"],
    ["b.png", "-", "-", "-"],
    ["c.png", "+", "+", "+"],
]


def test_readers_are_known_by_name_and_said(tmp_path: Path) -> None:
    listing = listed(tmp_path, write_xlsx(tmp_path / "t.xlsx", {"S": READERS}))
    assert labels(listing) == {"a.png": "+", "b.png": "-", "c.png": "+"}
    assert listing.entries[0].extra == {f"label_Reader {n}": "++-"[n - 1] for n in (1, 2, 3)}
    assert any("is the label (by their names; --label-kind one-hot" in note for note in listing.notes)


@pytest.mark.parametrize("marks", [("1", "0"), ("yes", "no"), ("ja", "nein"), ("x", None), ("TRUE", "FALSE")])
def test_columns_that_mostly_agree_are_readers_and_those_that_exclude_each_other_classes(
    tmp_path: Path, marks: tuple[str, str | None]
) -> None:
    yes, no = marks
    agreeing = [["image", "AB", "CD"], ["a.png", yes, yes], ["b.png", no, no], ["c.png", yes, yes]]
    listing = listed(tmp_path, write_xlsx(tmp_path / "t.xlsx", {"S": agreeing}), label_col="AB,CD")
    assert len(set(labels(listing).values())) == 2
    assert labels(listing)["a.png"] == labels(listing)["c.png"]
    assert any("all of them are marked in 2 rows, one alone in 0" in note for note in listing.notes)
    excluding = [["image", "sick", "well"], ["a.png", yes, no], ["b.png", no, yes], ["c.png", yes, no]]
    path = write_xlsx(tmp_path / "u.xlsx", {"S": excluding})
    assert labels(listed(tmp_path, path)) == RIGHT
    forced = listed(tmp_path, path, label_col="sick,well", label_kind="readers")
    assert not any("one column a class" in note for note in forced.notes)


def test_a_mark_of_another_kind_is_no_class_beside_the_columns_of_classes(tmp_path: Path) -> None:
    rows = [["image", "smoker", "sick", "well"], ["a.png", 1, 1, 0], ["b.png", 0, 0, 1], ["c.png", 1, 1, 0]]
    listing = listed(tmp_path, write_xlsx(tmp_path / "t.xlsx", {"S": rows}))
    assert labels(listing) == RIGHT
    assert listing.entries[0].extra == {"smoker": "1"}


def test_columns_of_classes_are_mapped_to_one(tmp_path: Path) -> None:
    rows = [["image", "mel", "bcc", "nev"], ["a.png", 1, 0, 0], ["b.png", 0, 0, 1], ["c.png", 1, 1, 0]]
    path = write_xlsx(tmp_path / "t.xlsx", {"S": rows})
    listing = listed(
        tmp_path, path, label_col="mel,bcc,nev", map_classes=["mel=sick", "bcc=sick", "nev=well"]
    )
    assert labels(listing) == RIGHT
    assert listing.classes == ("sick", "well")


def test_formulas_that_nobody_worked_out_are_told_with_their_first_cell(tmp_path: Path) -> None:
    rows = [
        ["image", "score", "label"],
        *([name, 1, f'=IF(B{n}=1,"sick","well")'] for n, name in enumerate(RIGHT, 2)),
    ]
    listing = listed(tmp_path, write_xlsx(tmp_path / "t.xlsx", {"Data": rows}))
    assert listing.entries == ()
    assert (
        f"{len(RIGHT)} formulas hold no value, so their cells count as empty (first: C2)" in listing.notes[0]
    )
    plain = listed(tmp_path, write_xlsx(tmp_path / "u.xlsx", {"Sheet1": PLAIN}))
    assert not any("formulas" in note for note in plain.notes)
