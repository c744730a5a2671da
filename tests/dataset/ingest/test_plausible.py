"""Classes that cannot be meant raise a question; ordinary data sets raise none."""

import shlex
from pathlib import Path

import pytest

from medimg_cli.dataset.ingest.plausible import is_misspelt, open_questions
from medimg_cli.dataset.layouts import LAYOUTS, name_sources
from medimg_cli.dataset.layouts.folders import find_masks
from medimg_cli.workspace.settings import IngestSettings
from tests.dataset.layouts.workbook import write_xlsx


def questions(root: Path, *files: str, **settings: str) -> list[str]:
    """Return question and option of each doubt about a folder of empty files."""
    for file in files:
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0" * 128 + b"DICM" if file.endswith(".dcm") else b"")
    chosen = IngestSettings.model_validate(settings)
    layout = "folders" if chosen.labels is None else "csv"
    listing = LAYOUTS.get(layout).list_images(name_sources([root]), chosen)
    return [f"{doubt.question} => {doubt.option}" for doubt in open_questions(listing, layout)]


def folders(names: list[str], images: int = 4, suffix: str = "png") -> list[str]:
    return [f"{name}/{abs(hash(name)) % 97}x{i}.{suffix}" for name in names for i in range(images)]


IMPLAUSIBLE = {
    "cases": ([f"IMD{n:03d}" for n in range(30)], "identifiers", "--labels"),
    "patients": (["patient_1", "patient_2", "patient_3"], "cases or patients", "--labels"),
    "subjects": ([f"sub-{n:02d}" for n in range(12)], "cases or patients", "--labels"),
    "numbered": ([str(n) for n in range(1, 60)], "look like cases", "--labels"),
    "persons": (
        [f"{a}{b} {c}" for a in "LMR" for b in ("ena", "iro") for c in "abcdefgh"],
        "cases",
        "--labels",
    ),
    "uids": (["1.2.840.113619.2.1", "1.2.840.113619.2.2"], "identifiers", "--labels"),
    "hashes": (["9f86d081884c7d65", "2c26b46b68ffc68f"], "identifiers", "--labels"),
    "years": (["2018", "2019", "2020"], "years", "--labels"),
    "dates": (["2021-03-04", "2021-03-05"], "dates", "--labels"),
    "months": ([f"{n:02d}" for n in range(3, 13)], "months", "--labels"),
    "sites": (["site_A", "site_B", "Hospital 3"], "sites", "--labels"),
    "sites of other languages": (["Praxis Nord", "Klinikum Süd", "Hôpital St. Anne"], "sites", "--labels"),
    "vendors": (["GE", "Siemens", "Philips"], "sites, devices", "--labels"),
    "parts": (["HAM_part_1", "HAM_part_2"], "parts of the data set", "--labels"),
    "modalities": (["CT", "MR", "US"], "modalities", "--labels"),
    "sequences": (["T1", "T2", "FLAIR"], "modalities or views", "--labels"),
    "masks": (["images", "masks"], "segmentation masks", "--labels"),
    "one split": (["train", "extra"], "called as a split", "--labels"),
}


@pytest.mark.parametrize("kind", IMPLAUSIBLE)
def test_folders_that_are_no_classes_raise_a_question_with_an_option(tmp_path: Path, kind: str) -> None:
    names, what, option = IMPLAUSIBLE[kind]
    found = questions(tmp_path, *folders(names))
    assert len(found) == 1, found
    assert what in found[0]
    assert f"=> {option}" in found[0]


DISEASES = [
    "acne",
    "eczema",
    "psoriasis",
    "melanoma",
    "nevus",
    "rosacea",
    "scabies",
    "vitiligo",
    "warts",
    "impetigo",
    "melasma",
    "urticaria",
    "lupus",
    "lichen",
    "pemphigus",
    "cellulitis",
    "folliculitis",
    "keratosis",
    "lentigo",
    "hemangioma",
    "lipoma",
    "neurofibroma",
    "xanthoma",
    "chickenpox",
    "shingles",
    "ringworm",
    "alopecia",
    "dermatitis",
    "erythema",
    "ichthyosis",
]


@pytest.mark.parametrize(
    ("names", "images"),
    [
        (["NORMAL", "PNEUMONIA"], 30),
        (["benign", "malignant", "normal"], 3),
        (["0", "1", "2", "3", "4"], 3),
        (["A", "B"], 2),
        (["grade_1", "grade_2", "grade_3"], 5),
        (["AbdomenCT", "BreastMRI", "CXR", "ChestCT", "Hand", "HeadCT"], 4),
        (["CT_COVID", "CT_NonCOVID"], 4),
        (["glioma", "meningioma", "notumor", "pituitary"], 4),
        (["EOSINOPHIL", "LYMPHOCYTE", "MONOCYTE", "NEUTROPHIL"], 4),
        (["01_TUMOR", "02_STROMA", "03_COMPLEX", "04_LYMPHO"], 4),
        ([f"{name}_{place}" for name in DISEASES[:25] for place in ("face", "hand")], 3),
        (DISEASES, 3),
        (["cat", "dog"], 30),
        (["left", "right"], 30),
        (["test", "control"], 5),
        ([f"class_{n:02d}" for n in range(50)], 3),
    ],
)
def test_ordinary_class_folders_raise_none(tmp_path: Path, names: list[str], images: int) -> None:
    assert questions(tmp_path, *folders(names, images)) == []
    inside = [f"{split}/{file}" for split in ("train", "test") for file in folders(names, images)]
    assert questions(tmp_path / "split", *inside) == []


def test_dicom_folders_without_a_finding_in_their_names_ask_for_labels(tmp_path: Path) -> None:
    assert "labels?" in questions(tmp_path / "a", *folders(["pydicom-data", "wg04"], suffix="dcm"))[0]
    assert questions(tmp_path / "b", *folders(["normal", "lung opacity"], suffix="dcm")) == []


def test_classes_below_folders_of_sites_are_offered_as_a_layout(tmp_path: Path) -> None:
    files = [f"{site}/{file}" for site in ("Lyon", "Turin") for file in folders(["benign", "malignant"])]
    found = questions(tmp_path, *files)
    assert "'benign', 'malignant' lie in each of 'Lyon', 'Turin'" in found[0]
    assert found[0].endswith("--layout inner-folders")
    listing = LAYOUTS.get("inner-folders").list_images(name_sources([tmp_path]), IngestSettings())
    assert listing.classes == ("benign", "malignant")
    assert {entry.extra["folder"] for entry in listing.entries} == {"Lyon", "Turin"}


def test_masks_beside_their_images_are_left_out_and_no_question(tmp_path: Path) -> None:
    files = [f"{name}/{name} ({n}).png" for name in ("benign", "normal") for n in range(1, 5)]
    masks = [f"{file[:-4]}_mask.png" for file in files] + ["benign/benign (1)_mask_1.png"]
    assert questions(tmp_path, *files, *masks) == []
    listing = LAYOUTS.get("folders").list_images(name_sources([tmp_path]), IngestSettings())
    assert len(listing.entries) == 8
    assert {row.reason.split(":")[0] for row in listing.rejected} == {"a segmentation mask"}
    assert len(listing.rejected) == len(masks)


@pytest.mark.parametrize("word", ["Maske", "máscara", "masque", "maschera", "mask_2"])
def test_masks_are_known_by_more_names(word: str) -> None:
    assert find_masks(["A/x.png", f"A/x_{word}.png"], depth=1) == {f"A/x_{word}.png": "A/x.png"}


@pytest.mark.parametrize("name", ["findings.csv", "Auswertung 2021.xlsx"])
def test_a_table_that_names_the_images_of_folders_that_say_no_finding_is_a_question(
    tmp_path: Path, name: str
) -> None:
    files = folders(["Nord", "West"], 12)
    rows = [["file", "finding"], *([Path(file).stem, "x"] for file in files)]
    if name.endswith(".csv"):
        (tmp_path / name).write_text("\n".join(map(",".join, rows)))
    else:
        write_xlsx(tmp_path / name, {"Deckblatt": [["Studie"]], "Befunde": rows})
    table = shlex.quote(str(tmp_path / name))
    assert questions(tmp_path, *files) == [
        f"{name} names the images: does it hold the labels? => --labels {table}"
    ]
    (tmp_path / name).write_bytes(b"PK\3\4 damaged")
    assert questions(tmp_path, *files) == []


def test_masks_in_a_folder_below_the_class_are_left_out_but_never_a_class_folder() -> None:
    files = ["COVID/images/a.png", "COVID/masks/a.png", "normal/b.png", "lesion/b.png", "lesion/c_mask.png"]
    assert find_masks(files, depth=1) == {"COVID/masks/a.png": "COVID/images/a.png"}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ([f"2021-03-{n:02d}" for n in range(1, 13)], "holds dates"),
        ([f"P{n:05d}" for n in range(12)], "holds identifiers"),
        ([f"{n * 0.37:.2f}" for n in range(24)], "holds measurements"),
        (["2019", "2020", "2021"] * 3, "holds years"),
        (["Hospital A", "Hospital B"] * 4, "holds sites, devices or parts of the data set"),
        (["Dr. Weber", "Prof. Ito"] * 4, "holds people"),
        (["Ann", "Bob", "Cid", "Dee", "Eve", "Fay", "Gus", "Hal"], "something else of nearly each image"),
    ],
)
def test_a_label_column_that_holds_no_classes_raises_a_question(
    tmp_path: Path, values: list[str], what: str
) -> None:
    table = tmp_path / "t.csv"
    lines = [f"{n}.png,{value},{'ab'[n % 2]}" for n, value in enumerate(values)]
    table.write_text("\n".join(["image,label,sort", *lines]))
    names = [f"{n}.png" for n in range(len(values))]
    found = questions(tmp_path / "images", *names, labels=str(table))
    assert what in found[0]
    assert found[0].endswith("--label-col sort")
    assert questions(tmp_path / "images", labels=str(table), label_col="sort") == []


def test_more_images_outside_the_class_folders_than_inside_and_classes_in_one_split_are_questions(
    tmp_path: Path,
) -> None:
    outside = [f"{n}.png" for n in range(9)]
    (found,) = questions(tmp_path / "a", *folders(["normal", "tumor"]), *outside, "README.md")
    assert found.startswith("9 files stand outside the class folders, 8 inside 'normal', 'tumor'")
    inside = [f"train/{label}/{n}.png" for label in "ab" for n in range(4)]
    (found,) = questions(tmp_path / "b", *inside, "unlabelled/1.png")
    assert found == (
        "'train' is called as a split: are 'a', 'b' in it the classes? => SOURCE/train in place of SOURCE"
    )


def test_a_label_column_of_splits_is_offered_as_such(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        "\n".join(["image,class", *(f"{n}.png,{['train', 'Test'][n % 2]}" for n in range(8))])
    )
    names = [f"{n}.png" for n in range(8)]
    found = questions(tmp_path / "images", *names, labels=str(tmp_path / "t.csv"))
    assert found == ["the label column class ('train', 'Test') holds splits => --use-split-col class"]


@pytest.mark.parametrize(("every", "asked"), [(3, True), (2, False), (1, False)])
def test_a_patient_that_stands_in_the_first_of_their_rows_alone_is_a_question(
    tmp_path: Path, every: int, asked: bool
) -> None:
    lines = [f"{'' if n % every else f'P{n}'},{n}.png,{'ab'[n % 2]}" for n in range(12)]
    (tmp_path / "t.csv").write_text("\n".join(["patient,image,label", *lines]))
    found = questions(tmp_path / "images", *(f"{n}.png" for n in range(12)), labels=str(tmp_path / "t.csv"))
    assert ["names nobody in 8 of 12 rows, nobody twice" in doubt for doubt in found] == [True] * asked


def test_classes_below_patients_are_offered_as_a_layout_and_series_are_not(tmp_path: Path) -> None:
    inner = [
        f"Patient {n:02d}/{'benign' if n % 2 else 'malignant'}/{side}.png" for n in range(10) for side in "lr"
    ]
    assert questions(tmp_path / "a", *inner)[0].endswith("=> --layout inner-folders")
    series = [f"{n:08d}/S{s}/{i}.png" for n in range(6) for s in range(2) for i in range(2)]
    assert questions(tmp_path / "b", *series)[0].endswith("=> --labels FILE")
    visits = [f"P{n:04d}/visit {s}/{i}.png" for n in range(6) for s in range(2) for i in range(2)]
    assert questions(tmp_path / "c", *visits)[0].endswith("=> --labels FILE")


@pytest.mark.parametrize("copy", ["benign - Kopie", "benign copy", "benign (2)", "benign - Copy (3)"])
def test_a_folder_called_as_a_copy_of_a_class_is_a_question(tmp_path: Path, copy: str) -> None:
    found = questions(tmp_path, *folders(["benign", "malignant", copy]))
    assert found == [f"'{copy}' is called as a copy of 'benign' => --map '{copy}=benign'"]


def test_a_label_that_most_rows_leave_out_is_a_question(tmp_path: Path) -> None:
    lines = [f"{n}.png,{'' if n % 5 else ['sick', 'well'][n // 5 % 2]}" for n in range(20)]
    (tmp_path / "t.csv").write_text("\n".join(["image,label", *lines]))
    names = [f"{n}.png" for n in range(20)]
    found = questions(tmp_path / "images", *names, labels=str(tmp_path / "t.csv"))
    assert "says nothing in 16 of 20 rows" in found[0]


def test_a_rare_class_that_is_a_frequent_one_misspelt_is_a_question(tmp_path: Path) -> None:
    files = [*folders(["NORMAL", "PNEUMONIA"], 20), *folders(["NROMAL", "pneumona"], 3)]
    assert questions(tmp_path / "raw", *files) == [
        "'NROMAL' (3 images) may be 'NORMAL' (20), misspelt => --map NROMAL=NORMAL",
        "'pneumona' (3 images) may be 'PNEUMONIA' (20), misspelt => --map pneumona=PNEUMONIA",
    ]
    assert not questions(
        tmp_path / "apart", *folders(["typical", "grade 1"], 20), *folders(["atypical", "grade 2"], 3)
    )


def test_classes_that_differ_in_spaces_and_signs_alone_are_a_question(tmp_path: Path) -> None:
    one = questions(tmp_path / "a", *folders(["no tumor", "no_tumor", "non-small cell", "nonsmall cell."]))
    assert [doubt.split(" => ")[1] for doubt in one] == [
        "--map 'no_tumor=no tumor'",
        "--map 'nonsmall cell.=non-small cell'",
    ]
    assert not questions(tmp_path / "b", *folders(["HER2+ tumor", "HER2- tumor", "grade 1.5", "grade 15"]))


@pytest.mark.parametrize(
    "pair",
    [
        ("pituitary microadenoma", "pituitary macroadenoma"),
        ("left_esotropia", "left_exotropia"),
        ("entropion", "ectropion"),
        ("hepatoma", "hematoma"),
        ("mesial", "medial"),
        ("afferent", "efferent"),
    ],
)
def test_two_terms_of_medicine_that_begin_alike_are_no_misspelling(pair: tuple[str, str]) -> None:
    assert not is_misspelt(*pair) and not is_misspelt(*reversed(pair))


def test_a_wrong_letter_early_in_the_name_of_a_known_finding_is_a_misspelling() -> None:
    assert is_misspelt("Nirmal", "Normal") and is_misspelt("bonign", "benign")


@pytest.mark.parametrize(
    ("files", "option"),
    [
        ([f"{a}/{k}_{n}.png" for a in "ab" for k in ("benign", "malignant") for n in range(4)], "(benign|malignant)"),
        ([f"p{n}_{'tumor' if n % 2 else 'normal'}/{i}.png" for n in range(12) for i in range(3)], "(normal|tumor)"),
        ([f"patient{n}/study1_{'sick' if n % 2 else 'normal'}/1.png" for n in range(12)], "(normal|sick)"),
        ([f"{a}/{a}_{n}_normal.png" for a in ("nevus", "benign") for n in range(4)], ""),
        ([f"{a}/{a}_{n}.png" for a in ("cat", "tumordog") for n in range(4)], ""),
    ],
)  # fmt: skip
def test_words_of_findings_in_names_under_folders_that_say_none_are_a_question(
    tmp_path: Path, files: list[str], option: str
) -> None:
    found = questions(tmp_path, *files)
    assert [doubt.split(" => ")[1] for doubt in found] == ([f"--label-regex '{option}'"] if option else [])


def test_labels_in_names_that_count_patients_are_a_question(tmp_path: Path) -> None:
    listing = LAYOUTS.get("names").list_images(
        name_sources([_of_files(tmp_path, [f"p{n:03d}_{n}.png" for n in range(6)])]),
        IngestSettings(label_regex=r"(p\d+)_"),
    )
    (question,) = open_questions(listing, "names")
    assert "look like identifiers, not classes" in question.question
    assert question.option == "--label-regex RE"


def _of_files(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).touch()
    return root
