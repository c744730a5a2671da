"""Labels in the names of files, and what is proposed where no layout fits."""

import zipfile
from pathlib import Path

import pytest

from medimg_cli.dataset.layouts import LAYOUTS, find_layout, name_sources
from medimg_cli.dataset.layouts.file_names import words_that_part
from medimg_cli.errors import DataError, UsageError
from medimg_cli.workspace.settings import IngestSettings


def files(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_the_first_group_is_the_label_and_what_has_none_is_named(tmp_path: Path) -> None:
    files(tmp_path, "train/IM-1-covid.png", "train/normal_2.png", "test/normal_3.png", "test/readme.txt")
    sources = name_sources([tmp_path])
    settings = IngestSettings(label_regex="(normal|covid)")
    assert find_layout(sources, settings) == "names"
    listing = LAYOUTS.get("names").list_images(sources, settings)
    found = {(entry.relative, entry.label, entry.split) for entry in listing.entries}
    assert found == {
        ("train/IM-1-covid.png", "covid", "train"),
        ("train/normal_2.png", "normal", "train"),
        ("test/normal_3.png", "normal", "test"),
    }
    assert [row.reason for row in listing.rejected] == ["its path has nothing that --label-regex finds"]
    assert listing.classes == ("covid", "normal")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([f"{kind}{k}.png" for kind in ("benign", "malignant") for k in range(9)], {"benign": 9, "malignant": 9}),
        ([f"person{k}_{(k % 3 and 'virus') or 'bacteria'}.png" for k in range(9)], {"bacteria": 3, "virus": 6}),
        ([f"IM-{k}.png" for k in range(9)], {}),
        ([f"{'left' if k % 2 else 'right'}_{'sick' if k % 3 else 'well'}.png" for k in range(12)], {"sick": 8, "well": 4}),
        ([f"name{chr(97 + k)}x.png" for k in range(20)], {}),
    ],
)  # fmt: skip
def test_words_that_part_the_files_may_be_classes(names: list[str], words: dict[str, int]) -> None:
    assert words_that_part(names) == words


def test_where_nothing_fits_the_option_that_would_is_proposed(tmp_path: Path) -> None:
    files(tmp_path / "flat", *(f"{kind}_{k}.png" for kind in ("covid", "normal") for k in range(5)))
    with pytest.raises(DataError) as caught:
        find_layout(name_sources([tmp_path / "flat"]), IngestSettings())
    assert "covid (5), normal (5): --label-regex '(covid|normal)'" in caught.value.hint
    (tmp_path / "packed").mkdir()
    for kind in ("covid", "normal"):
        with zipfile.ZipFile(tmp_path / "packed" / f"{kind}.zip", "w") as archive:
            archive.writestr("1.png", b"")
    with pytest.raises(DataError) as caught:
        find_layout(name_sources([tmp_path / "packed"]), IngestSettings())
    assert "unpack covid.zip" in caught.value.hint


@pytest.mark.parametrize(
    "settings",
    [
        {"label_regex": "normal"},
        {"label_regex": "(normal"},
        {"label_regex": "(normal)|(covid)"},
        {"label_regex": "(?:(left)_)?(normal|covid)"},
        {"label_regex": "(a)", "labels": Path("x.csv")},
        {"label_regex": "(a)", "layout": "npz"},
    ],
)
def test_a_pattern_that_cannot_be_used_is_one_line(tmp_path: Path, settings: dict[str, object]) -> None:
    files(tmp_path, "normal.png")
    sources = name_sources([tmp_path])
    with pytest.raises(UsageError):
        LAYOUTS.get(find_layout(sources, IngestSettings(**settings))).list_images(
            sources, IngestSettings(**settings)
        )


@pytest.mark.parametrize(
    ("labels", "names", "pattern"),
    [
        (["normal", "covid"], ["study_covid/normal_{}.png", "study_covid/covid_{}.png"], "(covid|normal)"),
        (["normal", "covid"], ["train/normal_{}.png", "test/covid_{}.png"], "(covid|normal)"),
        (["no", "yes"], ["a{}/no/1.png", "b{}/yes/1.png"], ""),
        (["sick", "well"], ["p{}/study_sick/1.png", "q{}/study_well/1.png"], "(sick|well)"),
        (["tumor", "tumorfree"], ["tumor_{}.png", "tumorfree_{}.png"], "(tumorfree|tumor)"),
    ],
)
def test_a_proposed_pattern_finds_the_words_it_was_proposed_for(
    tmp_path: Path, labels: list[str], names: list[str], pattern: str
) -> None:
    true = {name.format(n): label for name, label in zip(names, labels, strict=True) for n in range(4)}
    (source,) = name_sources([files(tmp_path, *true)])
    assert (f"--label-regex '{pattern}'" in LAYOUTS.get("names").suggestion(source)) == bool(pattern)
    listing = LAYOUTS.get("names").list_images([source], IngestSettings(label_regex=pattern or "(no|yes)"))
    assert {entry.relative: entry.label for entry in listing.entries} == true


def test_of_several_groups_the_one_called_label_counts(tmp_path: Path) -> None:
    files(tmp_path, "p001_covid.png", "p002_normal.png", "p003_.png")
    settings = IngestSettings(label_regex=r"(?P<patient>p\d+)_(?P<label>[a-z]*)")
    listing = LAYOUTS.get("names").list_images(name_sources([tmp_path]), settings)
    assert listing.classes == ("covid", "normal")
    assert [row.reason for row in listing.rejected] == ["its path has no label where --label-regex finds it"]


def test_a_word_of_the_name_goes_before_that_of_a_folder_and_it_is_said(tmp_path: Path) -> None:
    files(tmp_path, "covid vs normal/normal_1.png", "covid vs normal/covid_2.png", "normal/3.png")
    settings = IngestSettings(label_regex="(normal|covid)")
    listing = LAYOUTS.get("names").list_images(name_sources([tmp_path]), settings)
    assert [entry.label for entry in listing.entries] == ["covid", "normal", "normal"]
    assert listing.notes == (
        "in 1 paths --label-regex finds something else before the name, which counts: "
        "'covid vs normal/normal_1.png' is normal",
    )


def test_a_label_pattern_that_takes_for_ever_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medimg_cli.dataset.patients._SECONDS", 0.05)
    files(tmp_path, f"{'a' * 50}!.png")
    with pytest.raises(UsageError, match=r"--label-regex .* takes too long"):
        LAYOUTS.get("names").list_images(name_sources([tmp_path]), IngestSettings(label_regex="((?:a+)+)b"))
