"""Spellings of one class, and classes that a user puts together."""

import unicodedata
from collections import Counter

import pytest

from medimg_cli.dataset.class_names import ClassNames, clean, mark_of, respelt
from medimg_cli.dataset.listing import Entry, Listing
from medimg_cli.errors import UsageError


def classes(texts: list[str], **mapping: str) -> list[str]:
    names = ClassNames(Counter(texts), mapping)
    return [names.of(text) for text in texts]


@pytest.mark.parametrize(
    ("texts", "right"),
    [
        (["0", "1", "1.0", "0.0"], ["0", "1", "1", "0"]),
        (["0.0", "1.0", "2.00"], ["0", "1", "2"]),
        (["1", "01", "2", "+2"], ["1", "1", "2", "2"]),
        (["01", "02"], ["01", "02"]),
        (["1,0", "1", "0,5", "0.5"], ["1", "1", "0.5", "0.5"]),
        (["-1", "-1.0", "−1"], ["-1", "-1", "−1"]),
        (["1e1", "10", "10."], ["10", "10", "10"]),
        (["12345678901234567890", "12345678901234567891"], ["12345678901234567890", "12345678901234567891"]),
        (["1_0", "10"], ["1_0", "10"]),
        (["TRUE", "1", "0", "FALSE", "0", "1.0"], ["1", "1", "0", "0", "0", "1"]),
        (["Yes", "yes", "No"], ["Yes", "Yes", "No"]),
        (["True", "False"], ["True", "False"]),
        (["T", "N", "F"], ["T", "N", "F"]),
        (["yes", "no", "maybe", "Yes"], ["yes", "no", "maybe", "Yes"]),
    ],
)
def test_equal_numbers_and_answers_are_one_class(texts: list[str], right: list[str]) -> None:
    assert classes(texts) == right


@pytest.mark.parametrize(
    "other",
    ["me\u0301lanome", "mélanome\u200b", "mélanome\u00a0", "ｍélanome", "\ufeffmélanome", "méla\u00adnome"],
)
def test_what_looks_alike_is_one_class(other: str) -> None:
    assert classes(["mélanome", "mélanome", other]) == ["mélanome"] * 3


def test_what_only_resembles_stays_apart() -> None:
    assert classes(["T1²", "T12", "Sick", "sick", "a b", "a  b"]) == [
        "T1²",
        "T12",
        "Sick",
        "sick",
        "a b",
        "a b",
    ]


@pytest.mark.parametrize("gap", ["", "NaN", "n/a", "#N/A", "<NA>", "null", "?", "k.A.", " NA "])
def test_a_gap_is_no_class_unless_it_is_called_one(gap: str) -> None:
    assert classes(["sick", gap]) == ["sick", ""]
    if gap:
        assert classes(["sick", gap], **{gap: "well"}) == ["sick", "well"]


def test_a_class_called_none_stays() -> None:
    assert classes(["none", "None", "edema"]) == ["none", "None", "edema"]


def test_a_mapping_joins_classes_however_they_are_spelt() -> None:
    assert classes(["1", "1.0", "2", "0"], **{"1": "malignant", "2.0": "malignant", "0": "benign"}) == [
        *["malignant"] * 3,
        "benign",
    ]
    assert classes(["a", "b"], a="b", b="a") == ["b", "a"]


def test_an_unknown_label_of_a_mapping_is_refused_with_the_closest() -> None:
    with pytest.raises(UsageError, match="--map benigne=0: no label is 'benigne'") as caught:
        classes(["benign", "malignant"], benigne="0")
    assert caught.value.hint == "did you mean 'benign'?"


def test_what_was_joined_is_said_with_its_counts() -> None:
    names = ClassNames({"1": 3, "1.0": 2, "x": 1, "NaN": 4}, {})
    assert names.notes == (
        "one class, '1': '1' (3), '1.0' (2)",
        "taken for no label: 'NaN' (4); --map OLD=NEW makes a class of one",
    )


@pytest.mark.parametrize("cell", ["1", "1.0", "X", "x", "yes", "JA", "+", "true", "✓", "positiv", " 1 "])
def test_a_yes_is_a_yes(cell: str) -> None:
    assert mark_of(cell) is True


@pytest.mark.parametrize("cell", ["0", "0.0", "0,0", "no", "Nein", "-", "−", "–", "FALSE", "neg"])
def test_a_no_is_a_no(cell: str) -> None:
    assert mark_of(cell) is False


@pytest.mark.parametrize("cell", ["", "2", "sick", "-1", "10"])
def test_anything_else_is_neither(cell: str) -> None:
    assert mark_of(cell) is None


def test_clean_keeps_what_people_see() -> None:
    assert clean(" a\u3000b\tc ") == "a b c"


def test_folders_of_equal_numbers_are_one_class_and_folders_called_null_stay() -> None:
    labels = ("0", "0.0", "1", "null")
    entries = tuple(Entry(f"{n}", f"/{n}", label, f"{n}") for n, label in enumerate(labels))
    listing = respelt(Listing(entries, (), labels), {"1": "ill"}, several=False)
    assert [entry.label for entry in listing.entries] == ["0", "0", "ill", "null"]
    assert listing.classes == ("0", "ill", "null")
    assert listing.notes == ("one class, '0': '0' (1), '0.0' (1)",)


def test_several_labels_are_renamed_one_by_one() -> None:
    entries = (Entry("a", "/a", "edema|mass", "a", extra={"unknown": "nodule"}), Entry("b", "/b", "", "b"))
    listing = respelt(Listing(entries, (), ("edema", "mass", "nodule")), {"nodule": "mass"}, several=True)
    assert [entry.label for entry in listing.entries] == ["edema|mass", ""]
    assert listing.entries[0].extra == {"unknown": "mass"}
    assert listing.classes == ("edema", "mass")


@pytest.mark.parametrize(
    "sign", ["\x1b[31m", "\x00", "\x7f", "\x07", "\x9b", "\u202e", "\u200f", "\u00ad", "\udce9"]
)
def test_no_class_has_signs_that_a_model_card_refuses(sign: str) -> None:
    for name in (f"SP{sign}OT", f"{sign}SPOT", f"SPÖT{sign}"):
        kept = clean(name)
        assert kept.replace("[31m", "") in ("SPOT", "SPÖT")
        assert not any(unicodedata.category(one) in ("Cc", "Cs") for one in kept)
    assert clean("SP\tO\r\nT") == "SP O T"
