"""How a table may say the class: one column, a column a class, a column a reader."""

from pathlib import Path
from typing import Any

import pytest

from medimg_cli.dataset.layouts import LAYOUTS
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.errors import UsageError
from medimg_cli.workspace.settings import IngestSettings


def listed(root: Path, table: str, **settings: Any) -> Listing:
    for name in "abcd":
        (root / "images").mkdir(exist_ok=True)
        (root / "images" / f"{name}.png").touch()
    path = root / "labels.csv"
    path.write_text(table)
    return LAYOUTS.get("csv").list_images([Source(root / "images")], IngestSettings(labels=path, **settings))


def labels(listing: Listing) -> dict[str, str]:
    return {entry.image_id[0]: entry.label for entry in listing.entries}


def reasons(listing: Listing) -> dict[str, str]:
    return {Path(row.path).stem: row.reason for row in listing.rejected}


ONE_HOT = "file,Sick,Well\na.png,1,0\nb.png,0,1\nc.png,1.0,\nd.png,0,1\n"


@pytest.mark.parametrize("settings", [{}, {"label_col": "Sick,Well"}, {"label_col": "Sick, Well"}])
def test_a_column_a_class_is_read_in_the_order_of_the_columns(
    tmp_path: Path, settings: dict[str, Any]
) -> None:
    listing = listed(tmp_path, ONE_HOT, **settings)
    assert labels(listing) == {"a": "Sick", "b": "Well", "c": "Sick", "d": "Well"}
    assert listing.classes == ("Sick", "Well")
    assert listing.entries[0].extra == {}
    assert "one column a class: Sick, Well (--label-kind readers takes them for readers)" in listing.notes


@pytest.mark.parametrize(("yes", "no"), [("WAHR", "falsch"), ("vrai", "FAUX"), ("(x)", ""), ("[X]", "")])
def test_truth_in_another_language_and_crosses_in_brackets_are_marks(
    tmp_path: Path, yes: str, no: str
) -> None:
    listing = listed(tmp_path, f"file,Sick,Well\na.png,{yes},{no}\nb.png,{no},{yes.lower()}\n")
    assert labels(listing) == {"a": "Sick", "b": "Well"}


@pytest.mark.parametrize(
    ("cells", "settings", "option"),
    [
        (("x", "y", "x;y"), {}, "--multi-label --label-sep ';'"),
        (("x", "y", "x|y"), {}, "--multi-label"),
        (("x", "y", "y+x"), {"multi_label": True}, "--label-sep '+'"),
        (("x;z", "y", "x"), {}, ""),
        (("x", "y", "x, not z"), {}, ""),
    ],
)
def test_cells_that_hold_several_of_the_classes_are_said_with_what_reads_them(
    tmp_path: Path, cells: tuple[str, ...], settings: dict[str, Any], option: str
) -> None:
    rows = [f'{file}.png,"{cell}"' for file, cell in zip("abc", cells, strict=True)]
    (note,) = listed(tmp_path, "\n".join(["file,label", *rows]), **settings).notes[1:] or ("",)
    assert (f"({option} reads them as several)" in note) == bool(option)
    assert bool(note) == bool(option)


def test_columns_of_marks_that_are_no_partition_are_not_guessed_but_proposed(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column looks like the label") as caught:
        listed(tmp_path, "file,Sick,smoker\na.png,1,1\nb.png,0,0\n")
    assert caught.value.hint == "name the columns of classes: --label-col Sick,smoker"


def test_two_groups_of_columns_that_may_be_the_classes_are_a_question(tmp_path: Path) -> None:
    table = "file,sex_m,sex_f,Sick,Well\na.png,1,0,1,0\nb.png,0,1,1,0\nc.png,0,1,0,1\n"
    with pytest.raises(UsageError, match="several groups of columns") as caught:
        listed(tmp_path, table)
    assert caught.value.hint == "--label-col sex_m,sex_f or --label-col Sick,Well"
    assert listed(tmp_path, table, label_col="Sick,Well").classes == ("Sick", "Well")


def test_marks_that_are_left_out_of_the_classes_are_named(tmp_path: Path) -> None:
    listing = listed(tmp_path, "file,Normal,Edema,smoker\na.png,1,0,1\nb.png,0,1,1\nc.png,0,1,0\n")
    assert "marks, but no classes: smoker (--label-col A,B,C names the classes)" in listing.notes[-1]


def test_no_mark_and_several_marks_are_reasons_for_quarantine(tmp_path: Path) -> None:
    listing = listed(tmp_path, "file,x,y\na.png,1,1\nb.png,0,0\nc.png,1,0\nd.png,0,1\n", label_col="x,y")
    assert reasons(listing) == {
        "a": "several labels: x, y (--multi-label reads them)",
        "b": "no label in the table",
    }


def test_several_marks_are_several_labels_where_that_is_asked_for(tmp_path: Path) -> None:
    listing = listed(tmp_path, "file,x,y\na.png,1,1\nb.png,0,0\nc.png,,\nd.png,0,1\n", multi_label=True)
    assert labels(listing) == {"a": "x|y", "b": "", "d": "y"}
    assert reasons(listing) == {"c": "no label in the table"}


def test_labels_in_one_cell_are_parted_and_put_into_one_order(tmp_path: Path) -> None:
    table = "file,label\na.png,Mass; Edema\nb.png,Edema;Mass;Mass\nc.png,Mass\nd.png,\n"
    listing = listed(tmp_path, table, multi_label=True, label_sep=";")
    assert labels(listing) == {"a": "Edema|Mass", "b": "Edema|Mass", "c": "Mass"}
    assert listing.classes == ("Edema", "Mass")
    assert reasons(listing) == {"d": "no label in the table"}


READERS = "file,r1,r2,r3\na.png,Sick,Sick,Well\nb.png,Well,Well,Well\nc.png,Sick,Well,\nd.png,,,\n"


def test_the_majority_of_readers_is_the_label_and_each_ones_own_stays(tmp_path: Path) -> None:
    listing = listed(tmp_path, READERS, label_col="r1,r2,r3")
    assert labels(listing) == {"a": "Sick", "b": "Well"}
    assert listing.entries[0].extra == {"label_r1": "Sick", "label_r2": "Sick", "label_r3": "Well"}
    assert reasons(listing) == {
        "c": "annotators disagree: r1 Sick, r2 Well",
        "d": "no label in the table",
    }
    assert "the majority of r1, r2, r3 is the label; they differ in 2 of 4 rows" in listing.notes


def test_a_class_that_no_majority_names_is_no_class(tmp_path: Path) -> None:
    listing = listed(
        tmp_path, READERS.replace("b.png,Well,Well,Well", "b.png,Well,Odd,Well"), label_col="r1,r2,r3"
    )
    assert listing.classes == ("Sick", "Well")


def test_several_readers_with_several_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--multi-label with several readers: r1, r2"):
        listed(tmp_path, READERS, label_col="r1,r2", multi_label=True)


def test_a_column_with_a_comma_in_its_name_is_one_column(tmp_path: Path) -> None:
    listing = listed(tmp_path, 'file,"x,y"\na.png,Sick\n', label_col="x,y")
    assert labels(listing) == {"a": "Sick"}


def unknown(listing: Listing) -> dict[str, str]:
    return {entry.image_id[0]: entry.extra.get("unknown", "") for entry in listing.entries}


@pytest.mark.parametrize("cell", ["", "-1", "-1.0", "nan", "NA", "u", "?"])
def test_a_label_nobody_judged_is_kept_as_unknown(tmp_path: Path, cell: str) -> None:
    table = f"file,x,y\na.png,1,1\nb.png,0,{cell}\nc.png,{cell},0\nd.png,{cell},{cell}\n"
    listing = listed(tmp_path, table, multi_label=True)
    assert labels(listing) == {"a": "x|y", "b": "", "c": ""}
    assert unknown(listing) == {"a": "", "b": "y", "c": "x"}
    assert reasons(listing) == {"d": "no label in the table"}
    assert any("2 of 8 labels are unknown" in note for note in listing.notes)


def test_an_empty_cell_is_a_no_in_a_column_that_never_says_no(tmp_path: Path) -> None:
    listing = listed(tmp_path, "file,x,y\na.png,1,\nb.png,1,0\nc.png,,1\nd.png,-1,1\n", multi_label=True)
    assert labels(listing) == {"a": "x", "b": "x", "c": "y", "d": "y"}
    assert unknown(listing) == {"a": "y", "b": "", "c": "", "d": "x"}


def test_a_table_that_judges_everything_has_no_column_of_unknown(tmp_path: Path) -> None:
    listing = listed(tmp_path, "file,x,y\na.png,1,1\nb.png,0,0\n", multi_label=True)
    assert [entry.extra for entry in listing.entries] == [{}, {}]


def test_a_column_of_ones_own_called_unknown_gets_another_name(tmp_path: Path) -> None:
    listing = listed(tmp_path, "file,label,unknown\na.png,Sick,7\nb.png,Well,8\n")
    assert listing.entries[0].extra == {"table_unknown": "7"}
