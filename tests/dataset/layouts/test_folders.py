"""Class folders, alone and below split folders."""

from pathlib import Path

import pytest

from medimg_cli.dataset.layouts import LAYOUTS
from medimg_cli.dataset.listing import Listing, Source
from medimg_cli.workspace.settings import IngestSettings


def touched(root: Path, *files: str) -> Path:
    for file in files:
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).touch()
    return root


def listed(root: Path) -> Listing:
    return LAYOUTS.get("folders").list_images([Source(root)], IngestSettings())


def labels(listing: Listing) -> dict[str, tuple[str, str | None]]:
    return {entry.image_id: (entry.label, entry.split) for entry in listing.entries}


def test_the_class_is_the_folder_at_any_depth_below_it(tmp_path: Path) -> None:
    listing = listed(touched(tmp_path, "SICK/p1/a.png", "WELL/a.png"))
    assert labels(listing) == {"SICK/p1/a.png": ("SICK", None), "WELL/a.png": ("WELL", None)}
    assert listing.classes == ("SICK", "WELL")
    assert listing.entries[0].path == (tmp_path / "SICK/p1/a.png").as_posix()


@pytest.mark.parametrize(
    "names",
    [("train", "val", "test"), ("Training", "VALID", "Testing"), ("entrenamiento", "Validación", "prueba")],
)
def test_split_folders_of_any_spelling_are_official_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    listing = listed(touched(tmp_path, *(f"{name}/{label}/a.png" for name in names for label in "AB")))
    assert [entry.split for entry in listing.entries if entry.label == "A"].count("val") == 1
    assert {entry.split for entry in listing.entries} == {"train", "val", "test"}
    assert listing.classes == ("A", "B")


def test_splits_right_below_every_class_are_official_and_it_is_said(tmp_path: Path) -> None:
    listing = listed(
        touched(tmp_path, *(f"{label}/{name}/a.png" for name in ("train", "Test") for label in "AB"))
    )
    assert {(entry.label, entry.split) for entry in listing.entries} == {
        ("A", "train"), ("B", "train"), ("A", "test"), ("B", "test")
    }  # fmt: skip
    assert listing.notes == ("the folders below the classes are taken for splits: Test, train",)
    other = listed(touched(tmp_path / "o", "A/train/1.png", "A/test/2.png", "B/1.png"))
    assert {entry.split for entry in other.entries} == {None}


@pytest.mark.parametrize(("classes", "fits"), [("ab", True), ("abcdef", False)])
def test_inner_folders_below_patients_are_classes_where_few_names_come_again(
    tmp_path: Path, classes: str, fits: bool
) -> None:
    source = Source(touched(tmp_path, *(f"p{n}/{classes[n % len(classes)]}/1.png" for n in range(6))))
    chosen = IngestSettings(layout="inner-folders")
    assert (LAYOUTS.get("inner-folders").misfit(source, chosen) is None) == fits


def test_one_folder_called_test_is_a_class_among_others(tmp_path: Path) -> None:
    listing = listed(touched(tmp_path, "test/a.png", "control/a.png"))
    assert labels(listing) == {"control/a.png": ("control", None), "test/a.png": ("test", None)}


def test_a_folder_that_only_wraps_the_classes_is_looked_through_and_it_is_said(tmp_path: Path) -> None:
    listing = listed(touched(tmp_path, "download/images/A/1.png", "download/images/B/1.png", "LICENSE"))
    assert listing.classes == ("A", "B")
    assert listing.entries[0].image_id == "download/images/A/1.png"
    assert listing.notes == ("class folders are those in download/images",)
    assert [row.reason for row in listing.rejected] == ["stands outside the class folders"]


def test_files_outside_the_class_folders_get_a_reason(tmp_path: Path) -> None:
    listing = listed(
        touched(tmp_path, "train/A/1.png", "test/A/1.png", "train/x.png", "other/2.png", "README")
    )
    assert {Path(row.path).name: row.reason for row in listing.rejected} == {
        "x.png": "stands in no class folder",
        "2.png": "stands outside the train, val and test folders",
        "README": "stands outside the train, val and test folders",
    }


def test_what_systems_leave_behind_is_no_file(tmp_path: Path) -> None:
    litter = ("A/.DS_Store", "A/Thumbs.db", "__MACOSX/A/._1.png", ".git/config", "B/desktop.ini")
    listing = listed(touched(tmp_path, "A/1.png", "B/1.png", *litter))
    assert len(listing.entries) == 2
    assert listing.rejected == ()
    assert listing.classes == ("A", "B")


def test_hidden_pictures_are_rows_and_what_systems_leave_is_none(tmp_path: Path) -> None:
    listing = listed(
        touched(tmp_path, "A/1.png", "B/1.png", "A/.2.png", "B/.x/3.png", "B/._1.png", "B/.1.json")
    )
    assert [Path(row.path).name for row in listing.rejected] == [".2.png"]
    assert listing.rejected[0].reason == "a hidden file: its name begins with a dot"


def test_an_empty_class_folder_is_still_a_class(tmp_path: Path) -> None:
    (tmp_path / "C").mkdir()
    assert listed(touched(tmp_path, "A/1.png", "B/1.png")).classes == ("A", "B", "C")


def test_a_loop_of_links_ends_and_is_said(tmp_path: Path) -> None:
    touched(tmp_path, "A/1.png", "B/1.png")
    (tmp_path / "A" / "again").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "A" / "gone.png").symlink_to(tmp_path / "nowhere")
    listing = listed(tmp_path)
    assert len(listing.entries) == 2
    assert [row.reason for row in listing.rejected] == [
        "a link to a folder that was read already",
        "a broken link",
    ]


def test_links_to_files_and_folders_elsewhere_are_followed(tmp_path: Path) -> None:
    store = touched(tmp_path / "store", "x/1.png", "y.png")
    source = tmp_path / "source"
    (source / "B").mkdir(parents=True)
    (source / "A").symlink_to(store / "x", target_is_directory=True)
    (source / "B" / "y.png").symlink_to(store / "y.png")
    assert set(labels(listed(source))) == {"A/1.png", "B/y.png"}


def test_a_name_that_is_no_text_gets_a_reason(tmp_path: Path) -> None:
    touched(tmp_path, "A/1.png", "B/1.png")
    try:
        Path(f"{tmp_path}/A/bad\udcff.png").touch()
    except OSError:
        pytest.skip("this file system keeps only names in UTF-8")
    listing = listed(tmp_path)
    assert [row.reason for row in listing.rejected] == ["the file name is not valid UTF-8"]
    assert listing.rejected[0].path.encode("utf-8")


def test_ignored_paths_are_not_looked_into(tmp_path: Path) -> None:
    touched(tmp_path, "A/1.png", "B/1.png", "cache/1/2.png")
    source = Source(tmp_path, ignored=frozenset([tmp_path / "cache"]))
    assert LAYOUTS.get("folders").list_images([source], IngestSettings()).classes == ("A", "B")


def test_classes_are_in_natural_order(tmp_path: Path) -> None:
    listing = listed(touched(tmp_path, *(f"grade{number}/a.png" for number in (10, 2, 1))))
    assert listing.classes == ("grade1", "grade2", "grade10")
