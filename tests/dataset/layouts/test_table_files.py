"""Which file a cell means: exactly first, then loosely where only one file fits."""

import unicodedata
from pathlib import Path
from typing import Any

import pytest

from medimg_cli.dataset.class_names import label_space, refuse_empty_classes
from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.dataset.layouts import LAYOUTS
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.errors import DataError
from medimg_cli.workspace.settings import IngestSettings

NFD = unicodedata.normalize("NFD", "Müller_ở.png")


def listed(root: Path, names: list[str], files: list[str], **settings: Any) -> Listing:
    for file in files:
        (root / "images" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "images" / file).touch()
    path = root / "labels.csv"
    rows = [f'"{name}",{"sick" if number % 2 else "well"}' for number, name in enumerate(names)]
    path.write_text("\n".join(["file,label", *rows]), encoding="utf-8")
    return LAYOUTS.get("csv").list_images([Source(root / "images")], IngestSettings(labels=path, **settings))


@pytest.mark.parametrize(
    ("value", "file", "how"),
    [
        (unicodedata.normalize("NFC", NFD), NFD, "Unicode form"),
        (f"Bücher/{NFD}", f"{unicodedata.normalize('NFD', 'Bücher')}/{NFD}", "Unicode form"),
        ("a1.PNG", "a1.png", "Unicode form, case or spaces"),
        ("Deep/A1.png", "deep/a1.PNG", "case"),
        ("a1\u00a0b.png", "a1 b.png", "spaces"),
        ("ＡＢ.png", "ab.png", "Unicode form"),
        ("D:\\Study\\a\\001.png", "a/001.png", "path of another place"),
        ("\\\\server\\share\\x\\001.png", "001.png", "path of another place"),
        ("/home/bob/scans/a/001.png", "a/001.png", "path of another place"),
        ("file:///mnt/a/001.png", "a/001.png", "path of another place"),
        ("c:001.png", "001.png", "path of another place"),
        ("data/images/a/001.png", "a/001.png", "path of another place"),
        ("scan%201.png", "scan 1.png", "percent-encoded"),
        ("M%C3%BCller.png", "Müller.png", "percent-encoded"),
        ("ISIC_0001.png", "ISIC_0001.jpg", "other suffix"),
        ("isic_0001", "ISIC_0001.jpg", "without suffix"),
        ("vol.nii.gz", "vol.dcm", "other suffix"),
        ("7", "0007.png", "number without its zeros"),
        ("7.0", "0007.png", "number without its zeros"),
    ],
)
def test_one_file_that_differs_in_form_only_is_taken_and_it_is_said(
    tmp_path: Path, value: str, file: str, how: str
) -> None:
    listing = listed(tmp_path, [value, "other.png"], [file, "other.png"])
    assert sorted(entry.image_id for entry in listing.entries) == sorted([file, "other.png"])
    assert any("1 file names are not as written" in note and how in note for note in listing.notes)


@pytest.mark.parametrize("value", ["./x.png", "././x.png", ".\\x.png", "100%.png", "x"])
def test_what_is_written_as_it_is_called_is_not_remarked_on(tmp_path: Path, value: str) -> None:
    listing = listed(tmp_path, [value], ["100%.png" if "%" in value else "x.png"])
    assert len(listing.entries) == 1
    assert not any("not as written" in note for note in listing.notes)


def test_the_exact_name_goes_before_the_loose_one(tmp_path: Path) -> None:
    listing = listed(tmp_path, ["a.png", "A.png", "1.png", "01.png"], ["a.png", "A.png", "1.png", "01.png"])
    assert [entry.image_id for entry in listing.entries] == ["a.png", "A.png", "1.png", "01.png"]


@pytest.mark.parametrize(
    ("value", "files"),
    [
        ("test/a.png", ["train/a.png"]),
        ("D:/set/test/a.png", ["train/a.png"]),
        ("D:/set/NORMAL/a.png", ["PNEUMONIA/a.png", "NORMAL/b.png"]),
        ("p2/a.png", ["p1/a.png"]),
        ("b.png", ["a.png"]),
        ("1.2", ["1.3"]),
    ],
)
def test_a_file_in_a_folder_that_contradicts_is_not_taken(
    tmp_path: Path, value: str, files: list[str]
) -> None:
    assert listed(tmp_path, [value], files).entries == ()


def test_the_more_of_a_path_fits_the_better(tmp_path: Path) -> None:
    listing = listed(tmp_path, ["E:/x/a/1.png", "E:/x/b/1.png"], ["a/1.png", "b/1.png", "c/1.png"])
    assert [entry.image_id for entry in listing.entries] == ["a/1.png", "b/1.png"]


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["C1/1.png", "C1/2.png", "C2/1.png"], ["C1/1.png", "C1/2.png"]),
        (["C1/s1/1.png", "C1/s2/1.png", "C2/s/1.png"], ["C1/s1/1.png", "C1/s2/1.png"]),
        (["C1/img/1.png", "C1/mask/1.png", "C2/img/1.png"], ["C1/img/1.png"]),
        (["C1/1.png", "C1/old/2.png", "C2/1.png"], ["C1/1.png"]),
    ],
)
def test_a_folder_means_its_images_at_any_depth_but_no_masks(
    tmp_path: Path, files: list[str], found: list[str]
) -> None:
    listing = listed(tmp_path, ["C1", "C2"], files)
    assert [entry.relative for entry in listing.entries if "C1" in entry.relative] == found
    assert {entry.exam for entry in listing.entries} <= {"C1", "C2", ""}


def test_a_name_that_stands_in_two_sources_is_said_to_be_two(tmp_path: Path) -> None:
    listed(tmp_path, ["1.png"], ["1.png"])
    listed(tmp_path / "other", ["1.png"], ["1.png"])
    sources = [Source(tmp_path / "images"), Source(tmp_path / "other" / "images", "other/")]
    listing = LAYOUTS.get("csv").list_images(sources, IngestSettings(labels=tmp_path / "labels.csv"))
    assert listing.missed[0].reason.startswith("several files are called so: ")
    assert f"{tmp_path}/other/images/1.png" in listing.missed[0].reason


def test_two_folders_of_one_name_are_said_to_be_two(tmp_path: Path) -> None:
    listing = listed(tmp_path, ["C1", "C1.png"], ["x/C1/a/1.png", "y/C1/a/1.png"])
    assert [row.reason for row in listing.missed] == [
        "several folders are called so: x/C1, y/C1",
        "file not found",
    ]


@pytest.mark.parametrize(
    ("names", "files"),
    [
        (["D:/a/1.png", "D:/b/1.png"], ["1.png"]),
        (["1", "01.0"], ["001.png"]),
        (["x.tif", "X.bmp"], ["x.png"]),
    ],
)
def test_one_file_that_two_rows_would_mean_loosely_is_meant_by_neither(
    tmp_path: Path, names: list[str], files: list[str]
) -> None:
    listing = listed(tmp_path, names, files)
    assert listing.entries == ()
    assert [
        row.reason.startswith(f"may be a file that another row names: {files[0]}") for row in listing.missed
    ] == [
        True,
        True,
    ]


def test_names_that_fit_several_files_are_the_cause_in_the_error(tmp_path: Path) -> None:
    listing = listed(tmp_path, ["1.png", "2.png", "gone.png"], ["a/1.png", "b/1.png", "a/2.png", "b/2.png"])
    with pytest.raises(DataError) as caught:
        label_space(listing, IngestSettings())
    assert caught.value.what == (
        "no image was found: labels.csv: 3 rows name no single file (2, 3, 4): "
        "row 2 '1.png': several files are called so: a/1.png, b/1.png; row 4 'gone.png': file not found"
    )
    assert "a/1.png" in caught.value.hint


def test_a_class_whose_names_are_ambiguous_says_so(tmp_path: Path) -> None:
    listing = listed(tmp_path, ["3.png", "1.png", "3.png"], ["a/1.png", "b/1.png", "3.png"])
    space = LabelSpace(listing.classes)
    with pytest.raises(
        DataError, match=r"class 'sick' has no readable image: .* \(3\): row 3 '1.png': several"
    ):
        refuse_empty_classes(space, ["well"], ["several files"], listing.missed)


def test_some_rows_without_a_file_are_said_by_number(tmp_path: Path) -> None:
    listing = listed(tmp_path, ["a.png", "x.png", "y.png"], ["a.png"])
    assert listing.notes[-1] == (
        "labels.csv: 2 rows name no single file (3, 4): row 3 'x.png': file not found; row 4 'y.png': file not found"
    )


@pytest.mark.parametrize("value", ["a" * 5000, "nul%00.png", "..", "/", "C:\\"])
def test_a_cell_no_file_can_be_called_by_is_only_not_found(tmp_path: Path, value: str) -> None:
    assert listed(tmp_path, [value, "a.png"], ["a.png"]).missed[0].number == 2


@pytest.mark.parametrize(
    "names", [["x1", "x2", "x3"], ["D:\\\\a\\\\x1.png", "x2.PNG", "x3"], ["1", "2", "3"]]
)
def test_a_column_of_another_name_is_known_by_the_files_it_names(tmp_path: Path, names: list[str]) -> None:
    for stem in ("x1", "x2", "x3", "001", "002", "003"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / f"{stem}.png").touch()
    path = tmp_path / "labels.csv"
    rows = [f"{10 + number},{name},{'ab'[number % 2]}" for number, name in enumerate(names)]
    path.write_text("\n".join(["case,lesion_photo,label", *rows]))
    listing = LAYOUTS.get("csv").list_images([Source(tmp_path / "images")], IngestSettings(labels=path))
    assert len(listing.entries) == 3
    assert "labels.csv: columns taken by name or content: image: lesion_photo, label: label" in listing.notes
