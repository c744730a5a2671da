"""Names that group images are found, ranked and turned into a pattern to copy; other names give nothing away."""

import random
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import read_info
from medimg_cli.dataset.name_groups import groups_in_names, looking, rank_patterns, touched
from medimg_cli.dataset.patients import patient_pattern
from medimg_cli.errors import UsageError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.stages.ingest import dry_run
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.stages.ingest_cohort import draw, run

RANDOM = random.Random(7)
Two = ("a", "b")
SPLITS, TUMOURS = ("train", "valid", "test"), ("glioma", "meningioma", "notumor", "pituitary")


def nothing(_: int) -> None:
    return None


def best(paths: list[str], label: Callable[[str], str] = lambda path: path.split("/")[0]) -> str | None:
    found = rank_patterns(paths, [label(path) for path in paths], nothing)
    return found[0].regex if found else None


GROUPING = {
    "persons": (
        [f"{'ab'[p % 2]}/person{p}_{'virus' if p % 2 else 'bacteria'}_{3 * p + v}.jpeg" for p in range(40) for v in range(2)],
        "a/person12_bacteria_36.jpeg",
        "person12",
    ),
    "articles": (
        [f"covid/2020.03.{a % 28 + 1:02d}.2002{a:04d}-p{a}-{RANDOM.randint(30, 99)}_1%{i}.png" for a in range(40) for i in range(3)]
        + [f"covid/PMC{7000000 + a}-fig{i}.png" for a in range(9) for i in range(4)]
        + [f"other/{i}.jpg" for i in range(90)],
        "covid/2020.03.01.20029769-p21-73_1%1.png",
        "2020.03.01.20029769",
    ),
    "articles by the end of a DOI": (
        [f"sick/radiol.20202{a:05d}.fig{i}a.png" for a in range(20) for i in range(3)]
        + [f"well/j.ejrad.2020.{108000 + a}-p{i}-{RANDOM.randint(10, 99)}.png" for a in range(20) for i in range(3)]
        + [f"well/j.chest.2020.04.{a:03d}_gr{i}.png" for a in range(20) for i in range(3)],
        "well/j.chest.2020.04.003_gr1.png",
        "j.chest.2020.04.003",
    ),
    "augmented": (
        [f"{c}/{c}{i:03d}{made}.png" for c in Two for i in range(30) for made in ("", "_aug_1", "_rot90", "_flip_2")],
        "a/a007_aug_1.png",
        "a007",
    ),
    "augmented first": (
        [f"{c}/{made}{c}{i:03d}.png" for c in Two for i in range(30) for made in ("", "aug_1_", "aug_3_")],
        "a/aug_3_a007.png",
        "a007",
    ),
    "copies": (
        [f"{c}/{c}{i}{made}.png" for c in Two for i in range(30) for made in ("", " (2)", " (3)")],
        "b/b11 (2).png",
        "b11",
    ),
    "number before the last": ([f"{'ab'[p % 2]}/{p:03d}_{v}.png" for p in range(40) for v in range(3)], "a/012_1.png", "012"),
    "day first": ([f"{'ab'[p % 2]}/2023-05-{(3 * p + v) % 28 + 1:02d}_P{1000 + p}_{v}.png" for p in range(40) for v in range(3)], "a/2023-05-01_P1012_1.png", "P1012"),
    "views": ([f"{'ab'[p % 2]}/M{p}_{v}.png" for p in range(40) for v in ("CC", "MLO")], "a/M12_CC.png", "M12"),
    "words of another script": ([f"{c}/细胞{i:03d}_{v}.png" for c in ("良性", "恶性") for i in range(20) for v in ("原图", "旋转", "翻转")], "良性/细胞007_旋转.png", "良性/细胞007"),
    "words with accents": ([f"{'ab'[i % 2]}/{('núcleo', 'célula')[i % 2]}{i}-{v}.png" for i in range(40) for v in ("original", "girado", "espejo")], "a/núcleo2-girado.png", "núcleo2"),
    "folders": ([f"{'ab'[p % 2]}/case_{p}/{v}.png" for p in range(20) for v in range(3)], "a/case_7/1.png", "case_7"),
    "counts anew in each class": ([f"{c}/{p}_{v}.png" for c in Two for p in range(30) for v in range(3)], "a/12_1.png", "a/12"),
}  # fmt: skip


@pytest.mark.parametrize("kind", GROUPING)
def test_names_that_group_give_a_pattern(kind: str) -> None:
    paths, example, group = GROUPING[kind]
    regex = best(paths)
    assert regex is not None
    assert patient_pattern(regex).search(example)[1] == group  # type: ignore[index]


@pytest.mark.parametrize(
    "paths",
    [
        [f"{'ab'[i % 2]}/{'ab'[i % 2]} ({i}).png" for i in range(200)],
        [f"{'ab'[i % 2]}/ISIC_{i:07d}.jpg" for i in range(200)],
        [f"{'ab'[i % 2]}/{RANDOM.getrandbits(64):016x}.jpg" for i in range(200)],
        [f"{'ab'[i % 2]}/image-{i}.png" for i in range(300)],
        [f"{c}/{i}_{c}.png" for c in ("normal", "sick") for i in range(100)],
        [f"{'ab'[i % 2]}/Te-{'gl' if i % 2 else 'me'}_{i:04d}.jpg" for i in range(200)],
        [
            f"{'ab'[i % 2]}/2021-0{i % 9 + 1}-{i % 27 + 1:02d}_{i % 24:02d}{i % 60:02d}.jpg"
            for i in range(400)
        ],
        [f"{split}/{c}/{i}.png" for split in ("train", "test") for c in Two for i in range(60)],
        # a short word for the class in each name, again in each split, and some more images
        [
            *[
                f"{s}/{c}/{c[:3]}{i:03d}.jpg"
                for s in SPLITS
                for c in TUMOURS
                for i in range(8 + 12 * (s == "train"))
            ],
            *[f"test/{TUMOURS[i % 4]}/new{i:03d}.jpg" for i in range(12)],
        ],
        [
            f"{s}/{c}/{c[:3]}{i:03d}.jpg"
            for s in SPLITS
            for c in "akiec bcc bkl dermato mel nevus vascular".split()
            for i in range(6)
        ],
        [
            f"all/{c}_{i:03d}.jpg"
            for c in "akiec bcc bkl dermato mel nevus vascular scc".split()
            for i in range(30)
        ],
    ],
)
def test_names_that_count_images_give_none(paths: list[str]) -> None:
    assert best(paths, lambda path: path.replace("all/", "").replace("_", "/").split("/")[-2]) is None


def picture(seed: int, angle: float) -> NDArray[np.uint8]:
    """Return blobs (48, 48), turned; the corners that turn in are black."""
    generator = np.random.default_rng(seed)
    drawn = np.full((48, 48), 40, np.uint8)
    for _ in range(6):
        middle = tuple(int(value) for value in generator.integers(8, 40, 2))
        cv2.circle(drawn, middle, int(generator.integers(3, 9)), float(generator.integers(60, 250)), -1)
    turn = cv2.getRotationMatrix2D((24, 24), angle, 1)
    return np.asarray(cv2.warpAffine(drawn, turn, (48, 48)), dtype=np.uint8)


def test_pictures_decide_where_names_alone_do_not() -> None:
    """`_source_random`, as Keras names copies, could as well be a date and a time."""
    paths, pictures, others = [], [], []
    for label in Two:
        for source in range(25):
            for angle in (0, 90, 20, -25):
                paths.append(f"{label}/_{source}_{RANDOM.randint(1, 9999)}.jpeg")
                pictures.append(picture(source + 100 * (label == "b"), angle))
                others.append(picture(RANDOM.randint(1000, 10**6), angle))
    labels = [path[0] for path in paths]

    def of(pixels: list[NDArray[np.uint8]]) -> list[str]:
        by_path = dict(zip(paths, pixels, strict=True))
        return [found.regex for found in rank_patterns(paths, labels, looking(paths, by_path.__getitem__))]

    assert groups_in_names(["a/_3_77.jpeg"], of(pictures)[0]) == ["a/_3"]
    assert of(others) == []


def test_an_image_that_cannot_be_read_is_no_evidence() -> None:
    def read(_: str) -> NDArray[np.uint8]:
        raise UnreadableImage("cut off")

    paths = GROUPING["views"][0]
    assert rank_patterns(paths, ["a"] * len(paths), looking(paths, read))[0].alike is None


def test_test_images_with_one_of_their_group_in_train_or_val_are_counted() -> None:
    assert touched(["g", "g", "h", "", ""], ["train", "test", "test", "val", "test"]) == [
        False,
        True,
        False,
        False,
        False,
    ]


def persons(root: Path) -> Path:
    for split, views in (("train", (1, 2)), ("test", (3,))):
        for person in range(12):
            for view in views:
                label = "SICK" if person % 2 else "WELL"
                draw(root / split / label / f"person{person}_{view}.png", 100 * person + view)
    return root


def test_ingest_warns_of_the_pattern_with_the_images_it_touches_and_remembers_it(tmp_path: Path) -> None:
    raw = persons(tmp_path / "raw")
    told = dry_run(Workspace(tmp_path / "study"), [raw], IngestSettings())
    result, _ = run(tmp_path, raw)
    assert told.groups == result.groups
    assert result.groups[0].regex == r"(person\d+)"
    assert result.groups[0].test_images_touched == 12
    assert any(r"--patient-regex '(person\d+)'" in note and "12 test images" in note for note in result.notes)
    assert read_info(Workspace(tmp_path / "study")).name_pattern == r"(person\d+)"


def test_the_summary_of_an_ingest_holds_pattern_and_leak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg(tmp_path / "study", "ingest", str(persons(tmp_path / "raw"))) == 0
    told = capsys.readouterr().out
    assert r"--patient-regex '(person\d+)'" in told
    assert "12 of 12 test images have a counterpart in another split" in told
    assert "patients: train" not in told


def test_auto_takes_the_best_pattern_says_so_and_keeps_it(tmp_path: Path) -> None:
    raw = persons(tmp_path / "raw")
    result, _ = run(tmp_path, raw, patient_regex="auto")
    assert (result.patients, result.patients_known) == (12, True)
    assert any(re.search(r"auto takes '\(person", note) for note in result.notes)
    info = read_info(Workspace(tmp_path / "study"))
    assert info.settings["patient_regex"] == r"(person\d+)"
    assert info.name_pattern is None
    again, _ = run(tmp_path, raw, patient_regex="auto")
    assert again.patients == 12
    with pytest.raises(UsageError, match="--patient-regex"):
        run(tmp_path, raw, patient_regex="(other)")


def test_auto_without_a_pattern_says_that_there_is_none(tmp_path: Path) -> None:
    for number in range(40):
        draw(tmp_path / "raw" / ("SICK" if number % 2 else "WELL") / f"{number}.png", number)
    result, _ = run(tmp_path, tmp_path / "raw", patient_regex="auto")
    assert not result.patients_known
    assert any("no pattern in the file names" in note for note in result.notes)


def test_chest_xrays_are_grouped_by_person(shared_data: Path, tmp_path: Path) -> None:
    told = dry_run(Workspace(tmp_path), [shared_data / "chest_xray"], IngestSettings())
    assert r"person\d+" in told.groups[0].regex
    assert told.groups[0].test_images_touched > 0
    none = dry_run(Workspace(tmp_path), [shared_data / "breast_ultrasound"], IngestSettings())
    assert none.groups == ()
    assert none.questions == told.questions == ()
