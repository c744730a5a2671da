"""Names of augmented copies, and names that only look so."""

import pytest

from medimg_cli.audit.checks.augmented_copies import families, without_words


def _families(*names: str) -> list[tuple[str, ...]]:
    found = families(names, ["sick"] * len(names))
    return [tuple(names[place] for place in family.all()) for family in found]


def test_copies_as_keras_names_them_go_with_their_source() -> None:
    names = ("sick/scan7.jpeg", "sick/scan7_0_123.jpeg", "sick/scan7_0_4711.jpeg", "sick/scan8.jpeg")
    assert _families(*names) == [names[:3]]


def test_copies_of_one_missing_source_go_together_where_their_numbers_are_random() -> None:
    names = ("a_0_5123.png", "a_0_877.png", "a_0_9012.png", "b_0_44.png", "b_0_7310.png")
    assert _families(*names) == [names[:3], names[3:]]


def test_names_may_begin_with_what_stands_between_words_and_have_no_prefix_at_all() -> None:
    assert _families("_7.png", "_7_aug_1.png", "_8.png") == [("_7.png", "_7_aug_1.png")]
    names = ("_0_1169.jpeg", "_0_5239.jpeg", "_1_44.jpeg", "_1_8671.jpeg", "_1_3020.jpeg")
    assert _families(*names) == [names[:2], names[2:]]


@pytest.mark.parametrize(
    "names",
    [
        ("person1_bacteria_1.jpeg", "person1_bacteria_2.jpeg", "person1_virus_6.jpeg"),
        ("IM-0115-0001.jpeg", "IM-0115-0001-0002.jpeg", "NORMAL2-IM-0095-0001.jpeg"),
        ("benign (433).png", "benign (434).png", "benign.png"),
        tuple(f"case_12_{slice_}.png" for slice_ in range(200, 260)),
        ("00000013_005.png", "00000013_006.png"),
        ("CHNCXR_0327_1.png", "CHNCXR_0328_1.png", "CHNCXR_0001_0.png"),
        ("patient007_0.png", "patient007_1.png"),
        ("crop_1.png", "crop_2.png", "crop_3.png"),
    ],
)
def test_ordinary_numbering_makes_no_family(names: tuple[str, ...]) -> None:
    assert _families(*names) == []


@pytest.mark.parametrize(
    ("stem", "source"),
    [
        ("scan7_aug1", "scan7"),
        ("scan7-flip", "scan7"),
        ("rot90_scan7", "scan7"),
        ("scan 7 noise 2", "scan 7"),
        ("scan7_flip_rot15", "scan7"),
        ("scan7", None),
        ("rotterdam_7", None),
        ("flipchart", None),
        ("aug", None),
    ],
)
def test_words_for_what_was_done_are_taken_out(stem: str, source: str | None) -> None:
    assert without_words(stem) == source


def test_images_of_two_classes_are_of_two_families() -> None:
    assert families(["a/7.png", "b/7_flip.png"], ["healthy", "sick"]) == []
