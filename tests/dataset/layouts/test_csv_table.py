"""Tables of labels, as people save them."""

from pathlib import Path
from typing import Any

import pytest

from medimg_cli.dataset.layouts import LAYOUTS
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.errors import DataError, MedimgError, UsageError
from medimg_cli.workspace.settings import IngestSettings


def listed(
    root: Path, table: str | bytes, *, files: tuple[str, ...] = ("a.png", "b.png"), **settings: Any
) -> Listing:
    folder = root / "images"
    for file in files:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    path = root / "labels.csv"
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return LAYOUTS.get("csv").list_images([Source(folder)], IngestSettings(labels=path, **settings))


@pytest.mark.parametrize(
    "content",
    [
        b"image,label\na.png,sick\nb.png,well\n",
        b"\xef\xbb\xbfimage;label\r\na.png;sick\r\nb.png;well\r\n",
        "image\tlabel\na.png\tsick\nb.png\twell".encode("utf-16"),
        b'\n"image","label"\n\n"a.png","sick"\n,\nb.png , well\n',
    ],
)
def test_separators_line_ends_and_byte_order_marks_do_not_matter(tmp_path: Path, content: bytes) -> None:
    listing = listed(tmp_path, content)
    assert {entry.image_id: entry.label for entry in listing.entries} == {"a.png": "sick", "b.png": "well"}
    assert listing.rejected == ()


def test_western_spreadsheets_are_read(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label\na.png,gutartig über\nb.png,x".encode("cp1252"))
    assert listing.entries[0].label == "gutartig über"


@pytest.mark.parametrize(
    ("encoding", "sick", "well"),
    [
        ("cp1251", "пневмония", "норма"),
        ("koi8-r", "Опухоль", "норма"),
        ("gbk", "肺炎", "正常"),
        ("big5", "肺炎患者", "正常"),
        ("euc-kr", "폐렴", "정상"),
        ("iso8859-7", "πνευμονία", "υγιής"),
    ],
)
def test_words_of_an_encoding_that_cannot_be_told_are_refused(
    encoding: str, sick: str, well: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="its words would be misread") as caught:
        listed(tmp_path, f"image,label\na.png,{sick}\nb.png,{well}".encode(encoding))
    assert "CSV UTF-8" in caught.value.hint


def test_one_line_of_another_encoding_does_not_garble_the_others(tmp_path: Path) -> None:
    content = "image,label\na.png,gutartig über\n".encode() + "b.png,bösartig".encode("cp1252")
    assert [entry.label for entry in listed(tmp_path, content).entries] == ["gutartig über", "bösartig"]


@pytest.mark.parametrize(
    "content",
    [
        'image,label\n"=""a.png""","=""sick"""\n"=""b.png""",well\n',
        '"image,label"\n"a.png,sick"\n"b.png,well"\n',
        '"image;label;note"\n"a.png;sick;""x, y"""\n"b.png;well;"\n',
        'image,label,note\na.png,sick,5" probe\nb.png,well,"two\nlines, ""so"""\n',
    ],
)
def test_cells_that_other_programs_wrapped_are_read(tmp_path: Path, content: str) -> None:
    listing = listed(tmp_path, content)
    assert {entry.image_id: entry.label for entry in listing.entries} == {"a.png": "sick", "b.png": "well"}


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        (["image;label;age", ";(text);(years)", "a.png;sick;1"], ["age"]),
        (["id;image;label", "Record;Image file;Final diagnosis", "7;a.png;sick"], ["id"]),
        (["id;image;label", "Nr?;Which image?;What is it?", '{"i":"Q1"};{"i":"Q2"};{"i":"Q3"}', "7;a.png;sick"], ["id"]),
        (["image|label|n", "-----|-----|--", "a.png|sick|2"], ["n"]),
        (["image;Diagnosis;;age", ";sick;well;", "a.png;x;;31"], ["age"]),
        (["image;Diagnosis;;age", ";sick;well;", ";(x);(x);(10^3 h)", "a.png;x;;31"], ["age"]),
    ],
)  # fmt: skip
def test_further_lines_of_the_header_are_none_of_the_rows(
    tmp_path: Path, lines: list[str], names: list[str]
) -> None:
    sign = "|" if "|" in lines[0] else ";"
    last = [
        "b.png" if cell == "a.png" else "well" if cell == "sick" else cell for cell in lines[-1].split(sign)
    ]
    if "x" in last:
        last[1:3] = ["", "x"]
    listing = listed(tmp_path, "\n".join([*lines, sign.join(last)]))
    assert {entry.image_id: entry.label for entry in listing.entries} == {"a.png": "sick", "b.png": "well"}
    assert [list(entry.extra) for entry in listing.entries] == [names, names]
    assert listing.rejected == ()
    assert any("is taken for a line of the header" in note for note in listing.notes)


@pytest.mark.parametrize("row", ["gone.png,rare", "P07,rare", "gone,sick"])
def test_a_first_row_whose_file_is_missing_is_no_line_of_the_header(tmp_path: Path, row: str) -> None:
    listing = listed(tmp_path, f"image,label\n{row}\na.png,sick\nb.png,well\n")
    assert [(missed.number, missed.reason) for missed in listing.missed] == [(2, "file not found")]


def test_columns_are_taken_by_their_names_and_it_is_said(tmp_path: Path) -> None:
    listing = listed(
        tmp_path, "Patient ID,Image Index,Finding Labels,Age\n7,a.png,sick,31\n8,b.png,well,44\n"
    )
    assert [entry.patient_id for entry in listing.entries] == ["7", "8"]
    assert [entry.extra for entry in listing.entries] == [{"Age": "31"}, {"Age": "44"}]
    assert listing.notes == (
        "labels.csv: columns taken by name or content: image: Image Index, label: Finding Labels, patient: Patient ID",
    )


def test_named_columns_go_before_guesses(tmp_path: Path) -> None:
    table = "file,label,truth\na.png,1,sick\nb.png,2,well\n"
    listing = listed(tmp_path, table, label_col="truth")
    assert [entry.label for entry in listing.entries] == ["sick", "well"]
    assert listing.entries[0].extra == {"table_label": "1"}


@pytest.mark.parametrize(
    ("table", "settings", "what", "hint"),
    [
        ("image,label,class\na.png,1,2\n", {}, "label, class: which is the label?", "--label-col"),
        ("image,grade\na.png,1\n", {}, "no column looks like the label", "image, grade"),
        ("image,label,patient,subject\na.png,1,2,3\n", {}, "which is the patient?", "--patient-col"),
        ("image,label\na.png,1\n", {"label_col": "lable"}, "no column 'lable'", "did you mean 'label'?"),
        ("image,label\na.png,1\n", {"label_col": "LABEL"}, "no column 'LABEL'", "did you mean 'label'?"),
        ("image_id,label\na,1\n", {"label_col": "image_label"}, "no column", "there are image_id, label"),
        ("image,label\na.png,1\n", {"use_split_col": "fold"}, "no column 'fold'", "there are image, label"),
        ("image,label,label\na.png,1,2\n", {}, "two columns 'label'", "rename"),
        ("image,label\na.png,1,2,3\n", {}, "row 2 has 4 cells, the header 2", "quotes"),
        ("image,label\n", {}, "holds no rows", "columns"),
        ("a.png,sick\nb.png,well\n", {}, "row 1 names no columns: 'a.png' is a file", "first line"),
        ("<table><tr><td>image</td></tr></table>", {}, "is HTML, XML or JSON, no table", "CSV"),
        ('[{"image": "a.png", "label": "sick"}]', {}, "is HTML, XML or JSON, no table", "CSV"),
        (
            'image,label,n\na.png,x,"o\nb.png,y,o\nc.png,y,o\n',
            {},
            "row 2: unexpected end",
            "close every quote",
        ),
        (
            'image,label,n\na.png,x,"o\nb.png,y,"o\nc.png,y,o\n',
            {},
            "row 2: ',' expected",
            "close every quote",
        ),
        ("image,label\na.png,x\na.png,y\n", {}, "a.png is 'y' here and 'x' in row 2", "one row"),
        ("image,label,s\na.png,x,holdout\n", {"use_split_col": "s"}, "'holdout' is no split", "train"),
    ],
)
def test_a_table_that_cannot_be_understood_says_where_and_what_to_do(
    tmp_path: Path, table: str, settings: dict[str, Any], what: str, hint: str
) -> None:
    with pytest.raises(MedimgError) as caught:
        listed(tmp_path, table, **settings)
    assert what in caught.value.what
    assert hint in caught.value.hint


def test_a_missing_table_and_a_binary_one_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no text"):
        listed(tmp_path, b"\x00\x01\x80")
    with pytest.raises(DataError, match="no such file"):
        LAYOUTS.get("csv").list_images([Source(tmp_path)], IngestSettings(labels=tmp_path / "no.csv"))


@pytest.mark.parametrize("value", ["deep/x1.png", "x1.png", "x1", "deep/x1", "./deep/x1.png", "deep\\x1.png"])
def test_a_file_is_found_by_path_by_name_and_without_its_suffix(tmp_path: Path, value: str) -> None:
    listing = listed(tmp_path, f"image,label\n{value},sick\n", files=("deep/x1.png", "x10.png"))
    assert [entry.image_id for entry in listing.entries] == ["deep/x1.png"]


def test_a_path_may_count_from_the_folder_of_the_table(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label\nimages/a.png,sick\n")
    assert listing.entries[0].image_id == "a.png"


def test_a_folder_in_the_table_is_not_ignored_when_looking_for_a_name(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label\ntest/a.png,sick\n", files=("train/a.png",))
    assert listing.entries == ()


def test_every_row_and_every_file_that_is_not_used_gets_a_reason(tmp_path: Path) -> None:
    table = "image,label\na.png,sick\ngone.png,well\nb.png,\n,sick\ntwin.png,sick\n"
    listing = listed(tmp_path, table, files=("a.png", "b.png", "1/twin.png", "2/twin.png", "extra.png"))
    reasons = {row.path.removeprefix(tmp_path.as_posix()): row.reason for row in listing.rejected}
    assert reasons == {
        "gone.png": "file not found",
        "/images/b.png": "no label in the table",
        "labels.csv row 5": "no file is named",
        "twin.png": "several files are called so: 1/twin.png, 2/twin.png",
        "/images/1/twin.png": "not in the table of labels",
        "/images/2/twin.png": "not in the table of labels",
        "/images/extra.png": "not in the table of labels",
    }


def test_a_repeated_row_with_the_same_label_is_counted_once_and_said(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label\na.png,sick\na.png,sick\nb.png,well\n")
    assert len(listing.entries) == 2
    assert "1 rows of labels.csv repeat an image with the same label" in listing.notes


def test_a_split_column_is_kept_whatever_it_calls_the_splits(tmp_path: Path) -> None:
    table = "image,label,fold\na.png,sick,Training\nb.png,well,\n"
    listing = listed(tmp_path, table, use_split_col="fold")
    assert [entry.split for entry in listing.entries] == ["train", None]
    assert listing.entries[0].extra == {}


@pytest.mark.parametrize(
    "column",
    "Patienten-Nr.,Pat-ID,PID,Subject No,Proband,N° patient,Nº de paciente,Código paciente,ID paziente,Sujet,Numéro du patient,"
    "患者编号,Номер пациента".split(","),
)
def test_a_column_of_patients_is_known_by_more_names(tmp_path: Path, column: str) -> None:
    listing = listed(tmp_path, f"image,label,{column}\na.png,sick,7\nb.png,well,8\n")
    assert [entry.patient_id for entry in listing.entries] == ["7", "8"]


@pytest.mark.parametrize(
    "column", ["Patient age", "Edad del paciente", "Patients per site", "Patientenalter", "N°"]
)
def test_what_is_said_of_patients_is_none(tmp_path: Path, column: str) -> None:
    listing = listed(tmp_path, f"image,label,{column}\na.png,sick,7\nb.png,well,8\n")
    assert [entry.patient_id for entry in listing.entries] == [None, None]


def test_patients_whose_digits_a_spreadsheet_cut_off_are_said(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label,patient\na.png,sick,1.23E+11\nb.png,well,7\n")
    assert any("such as '1.23E+11' have lost digits" in note for note in listing.notes)


def test_columns_that_identify_people_stay_behind_and_it_is_said(tmp_path: Path) -> None:
    table = "image,label,Patient Name,birth_date,sex\na.png,sick,Doe,1950,F\n"
    listing = listed(tmp_path, table)
    assert listing.entries[0].extra == {"sex": "F"}
    assert (
        listing.notes[-1]
        == "left out, as they may identify people: Patient Name, birth_date (--patient-col 'Patient Name' keeps the images of one together)"
    )


def test_a_table_needs_a_folder(tmp_path: Path) -> None:
    settings = IngestSettings(labels=tmp_path / "x.csv")
    (tmp_path / "a.txt").write_text("x")
    misfit = LAYOUTS.get("csv").misfit(Source(tmp_path / "a.txt"), settings)
    assert misfit == "not a folder, an archive or a stack of images (.npy)"
    assert LAYOUTS.get("csv").misfit(Source(tmp_path), IngestSettings()) == "no --labels FILE"
    (tmp_path / "x.csv").write_text("file,label\na.png,x\n")
    assert LAYOUTS.get("csv").misfit(Source(tmp_path), settings) is None


def test_the_error_of_an_unknown_column_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        listed(tmp_path, "image,label\na.png,1\n", image_col="x")


def test_several_labels_in_a_cell_are_one_class_and_it_is_said(tmp_path: Path) -> None:
    listing = listed(tmp_path, "image,label\na.png,Mass|Effusion\nb.png,well\n")
    assert listing.classes == ("Mass|Effusion", "well")
    assert listing.notes[-1].startswith("labels such as 'Mass|Effusion' count as classes of their own")


@pytest.mark.parametrize("cell", ["N/A", "unknown", "Unbekannt", "-", "anonymous", "?", "#NAME?"])
def test_a_patient_who_is_said_to_be_unknown_is_none_that_images_share(tmp_path: Path, cell: str) -> None:
    table = f"image,label,patient\na.png,sick,{cell}\nb.png,well,0\nc.png,well,{cell}\n"
    listing = listed(tmp_path, table, files=("a.png", "b.png", "c.png"))
    assert [entry.patient_id for entry in listing.entries] == [None, "0", None]


@pytest.mark.parametrize("cell", ["#NAME?", "#DIV/0!", "#WERT!", "#NV", "#SPILL!", "#ZAHL!"])
def test_the_error_of_a_formula_is_no_class(tmp_path: Path, cell: str) -> None:
    table = f"image,label\na.png,sick\nb.png,well\nc.png,{cell}\n"
    listing = listed(tmp_path, table, files=("a.png", "b.png", "c.png"))
    assert listing.classes == ("sick", "well")
    assert any(f"taken for no label: '{cell}' (1)" in note for note in listing.notes)
    assert listed(tmp_path, "image,label\na.png,#1\nb.png,#2\n").classes == ("#1", "#2")


def test_a_column_of_splits_that_is_not_taken_is_told(tmp_path: Path) -> None:
    table = "image,label,Gruppe,arm\na.png,sick,Training,test\nb.png,well,Validierung,control\n"
    told = (
        "labels.csv: column 'Gruppe' names splits, which are not taken (--use-split-col 'Gruppe' takes them)"
    )
    notes = listed(tmp_path, table).notes
    assert told in notes
    assert not any("'arm'" in note for note in notes)
    taken = listed(tmp_path, table, use_split_col="Gruppe")
    assert [entry.split for entry in taken.entries] == ["train", "val"]
    assert told not in taken.notes


@pytest.mark.parametrize(
    ("spellings", "patients"),
    [
        (("12", "12.0", "012"), ["12", "12", "12"]),
        (("p01", "P01", "P 01"), ["p01", "p01", "P 01"]),
        (("Zoe\u0308 K", "Zo\u00eb  k", "Zo\u00eb L"), ["Zoe\u0308 K", "Zoe\u0308 K", "Zo\u00eb L"]),
        (("1.1", "1.10", "1.2"), ["1.1", "1.10", "1.2"]),
    ],
)
def test_a_patient_spelt_in_several_ways_is_one_and_it_is_said(
    tmp_path: Path, spellings: tuple[str, ...], patients: list[str]
) -> None:
    rows = [
        f"{file}.png,{label},{who}"
        for file, label, who in zip("abc", ("x", "y", "y"), spellings, strict=True)
    ]
    listing = listed(tmp_path, "\n".join(["image,label,patient", *rows]), files=("a.png", "b.png", "c.png"))
    assert [entry.patient_id for entry in listing.entries] == patients
    assert any("spelt in several ways" in note for note in listing.notes) == (len(set(patients)) < 3)
