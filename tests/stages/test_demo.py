"""The demo cohort: the same bytes every time, no hint of the class but the opacity, and every flaw as told."""

import json
from collections import Counter
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, UnidentifiedImageError
from pydicom import dcmread

from medimg_cli.audit.findings import Finding
from medimg_cli.errors import UsageError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.stages.demo import DemoResult, demo
from medimg_cli.stages.ingest import ingest
from medimg_cli.stages.label_audit import label_audit
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import IngestSettings, LabelAuditSettings
from medimg_cli.workspace.workspace import Workspace

PATIENTS = 16
PLANTED_CHECKS = ("image-quality", "dicom-headers", "exact-duplicates", "file-names", "unreadable")


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return demo(tmp_path_factory.mktemp("clean"), patients=PATIENTS)


@pytest.fixture(scope="module")
def flawed(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    return demo(tmp_path_factory.mktemp("flawed"), patients=4, flaws=True)


def truth_of(result: DemoResult) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((result.folder / "truth.json").read_text(encoding="utf-8"))
    return content


def digests(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256(path.read_bytes()).hexdigest() for path in files}


def files_of(result: DemoResult, kind: str) -> list[Path]:
    return [result.folder / file for flaw in result.flaws if flaw.kind == kind for file in flaw.files]


def audited(result: DemoResult, folder: Path) -> tuple[Finding, ...]:
    workspace = Workspace(folder)
    settings = IngestSettings(patient_regex=r"(patient\d+)")
    ingested = ingest(workspace, [result.folder / "images"], settings)
    assert ingested.patients_known
    assert ingested.positive == "OPACITY"
    return label_audit(workspace, LabelAuditSettings(checks=PLANTED_CHECKS)).findings


def test_an_audit_of_the_clean_cohort_finds_nothing(cohort: DemoResult, tmp_path: Path) -> None:
    assert audited(cohort, tmp_path) == ()


def test_an_audit_names_the_planted_files_under_the_check_that_was_told(
    flawed: DemoResult, tmp_path: Path
) -> None:
    findings = audited(flawed, tmp_path)
    for flaw in flawed.flaws:
        named = {image for finding in findings if finding.check == flaw.check for image in finding.image_ids}
        if flaw.check not in (None, "unreadable"):
            assert {file.removeprefix("images/") for file in flaw.files} <= named, flaw.kind
    assert [finding.count for finding in findings if finding.check == "unreadable"] == [3]


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path, flawed: DemoResult) -> None:
    demo(tmp_path / "again", patients=4, flaws=True)
    assert digests(tmp_path / "again") == digests(flawed.folder)


def test_another_seed_draws_other_pictures(tmp_path: Path) -> None:
    for seed in (0, 1):
        demo(tmp_path / str(seed), patients=2, seed=seed)
    first, second = (set(digests(tmp_path / str(seed) / "images").values()) for seed in (0, 1))
    assert not first & second


def test_every_file_stands_in_the_truth(cohort: DemoResult) -> None:
    told = {row["path"] for row in truth_of(cohort)["images"]}
    assert told | {"truth.json"} == set(digests(cohort.folder))
    assert cohort.images == len(told)


def test_the_truth_names_the_class_and_patient_that_the_path_shows(cohort: DemoResult) -> None:
    for row in truth_of(cohort)["images"]:
        assert row["path"].startswith(f"images/{row['label']}/{row['patient_id']}_")


def test_a_patient_stands_in_one_class_with_one_to_four_images(cohort: DemoResult) -> None:
    rows = truth_of(cohort)["images"]
    patients = Counter(row["patient_id"] for row in rows)
    assert len(patients) == cohort.patients == PATIENTS
    assert set(patients.values()) == {1, 2, 3, 4}
    assert len({(row["patient_id"], row["label"]) for row in rows}) == PATIENTS


def test_the_form_of_a_file_says_nothing_about_the_class(cohort: DemoResult) -> None:
    rows = truth_of(cohort)["images"]
    normal, opacity = (
        Counter(row["form"] for row in rows if row["label"] == label) for label in ("NORMAL", "OPACITY")
    )
    assert normal == opacity == {"png": 15, "monochrome2": 3, "monochrome1": 2}
    assert cohort.classes == {"NORMAL": 20, "OPACITY": 20}


def test_only_images_of_opacity_have_opacities_and_they_lie_inside(cohort: DemoResult) -> None:
    for row in truth_of(cohort)["images"]:
        assert bool(row["opacities"]) == (row["label"] == "OPACITY")
        for opacity in row["opacities"]:
            assert 0 < opacity["x_px"] < 256
            assert 0 < opacity["y_px"] < 256


def test_brightness_and_contrast_say_little_about_the_class(cohort: DemoResult) -> None:
    pictures: dict[str, list[np.ndarray[Any, Any]]] = {"NORMAL": [], "OPACITY": []}
    for row in truth_of(cohort)["images"]:
        if row["form"] == "png":
            pictures[row["label"]].append(np.asarray(Image.open(cohort.folder / row["path"])) / 255)
    for figure in (np.mean, np.std):
        normal, opacity = (np.array([figure(image) for image in pictures[label]]) for label in pictures)
        # A brighter OPACITY in more than 80 % of all pairs would be a shortcut even for 15 against 15.
        assert 0.2 < np.mean(opacity[:, None] > normal[None, :]) < 0.8


def test_pngs_are_square_and_grey(cohort: DemoResult) -> None:
    pngs = sorted((cohort.folder / "images").rglob("*.png"))
    assert pngs
    for path in pngs:
        with Image.open(path) as image:
            assert (image.mode, image.size) == ("L", (256, 256))


def test_a_clean_header_names_nobody_and_no_date(cohort: DemoResult) -> None:
    headers = sorted((cohort.folder / "images").rglob("*.dcm"))
    assert len(headers) == 10
    for path in headers:
        header = dcmread(path, stop_before_pixels=True)
        assert header.PatientIdentityRemoved == "YES"
        assert not header.PatientID
        named = [element.keyword for element in header if element.VR in {"PN", "DA", "DT"} and element.value]
        assert not named


def test_no_two_dicom_files_share_an_instance(cohort: DemoResult) -> None:
    headers = [dcmread(path, stop_before_pixels=True) for path in cohort.folder.rglob("*.dcm")]
    assert len({header.SOPInstanceUID for header in headers}) == len(headers)


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep", encoding="utf-8")
    with pytest.raises(UsageError, match="is not empty"):
        demo(tmp_path, patients=2)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_file_is_refused_as_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UsageError, match="is a file"):
        demo(tmp_path / "file", patients=2)


@pytest.mark.parametrize(("patients", "seed", "what"), [(1, 0, "--patients 1"), (2, -1, "--seed -1")])
def test_numbers_out_of_range_are_refused_by_name(
    tmp_path: Path, patients: int, seed: int, what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        demo(tmp_path / "new", patients=patients, seed=seed)
    assert not (tmp_path / "new").exists()


def test_two_patients_are_enough_even_for_flaws(tmp_path: Path) -> None:
    result = demo(tmp_path, patients=2, flaws=True)
    assert result.classes == {"NORMAL": 1, "OPACITY": 1}
    assert len(result.flaws) == 10


def test_progress_hears_of_every_patient(tmp_path: Path) -> None:
    class Counting(SilentProgress):
        steps = 0

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

    progress = Counting()
    demo(tmp_path, patients=3, progress=progress)
    assert progress.steps == 3


def test_the_truth_tells_every_planted_flaw_with_files_that_exist(flawed: DemoResult) -> None:
    told = truth_of(flawed)["flaws"]
    assert [flaw["kind"] for flaw in told] == [flaw.kind for flaw in flawed.flaws]
    assert all((flawed.folder / file).is_file() for flaw in told for file in flaw["files"])


def test_files_that_flaws_add_are_not_counted_as_images(flawed: DemoResult) -> None:
    added = set(digests(flawed.folder)) - {row["path"] for row in truth_of(flawed)["images"]} - {"truth.json"}
    assert added < {file for flaw in flawed.flaws for file in flaw.files}
    assert len(added) == 10


def test_a_label_conflict_is_one_image_in_both_classes(flawed: DemoResult) -> None:
    first, second = files_of(flawed, "label conflict")
    assert first.read_bytes() == second.read_bytes()
    assert {first.parent.name, second.parent.name} == {"NORMAL", "OPACITY"}


@pytest.mark.parametrize(
    ("kind", "patients"), [("duplicate of one patient", 1), ("duplicate across patients", 2)]
)
def test_duplicates_are_one_image_under_two_names_of_a_class(
    flawed: DemoResult, kind: str, patients: int
) -> None:
    first, second = files_of(flawed, kind)
    assert first.read_bytes() == second.read_bytes()
    assert first.parent == second.parent
    assert len({path.name.partition("_")[0] for path in (first, second)}) == patients


def test_the_blank_image_has_one_value(flawed: DemoResult) -> None:
    (path,) = files_of(flawed, "blank image")
    assert len(np.unique(np.asarray(Image.open(path)))) == 1


def test_the_truncated_image_has_a_header_but_ends_too_soon(flawed: DemoResult) -> None:
    (path,) = files_of(flawed, "truncated image")
    with Image.open(path) as image:
        assert min(image.size) > 0
    with pytest.raises(UnreadableImage):
        read_image(str(path))


@pytest.mark.parametrize("kind", ["text named .png", "empty file"])
def test_a_file_that_is_no_image_is_not_one(flawed: DemoResult, kind: str) -> None:
    (path,) = files_of(flawed, kind)
    assert path.suffix == ".png"
    with pytest.raises(UnidentifiedImageError):
        Image.open(path)


def test_the_planted_header_names_a_person_and_says_so(flawed: DemoResult) -> None:
    (path,) = files_of(flawed, "identity in a header")
    header = dcmread(path)
    assert str(header.PatientName) == "Musterfrau^Erika"
    assert header.PatientBirthDate == "19580312"
    assert header.PatientIdentityRemoved == "NO"


def test_the_planted_file_name_holds_a_name_and_a_date(flawed: DemoResult) -> None:
    (path,) = files_of(flawed, "identity in a file name")
    assert path.name.startswith("Mustermann_Max_1961-05-17_patient")


def test_the_inverted_image_has_a_bright_background(flawed: DemoResult, cohort: DemoResult) -> None:
    (path,) = files_of(flawed, "inverted image")
    corner = np.asarray(Image.open(path))[:12, :12].mean()
    upright = [
        np.asarray(Image.open(file))[:12, :12].mean() for file in (cohort.folder / "images").rglob("*.png")
    ]
    assert corner > 200 > max(upright)


def test_of_exams_few_slices_show_what_the_table_says_of_all(tmp_path: Path) -> None:
    demo(tmp_path / "cohort", patients=4, exams=True)
    table = pd.read_csv(tmp_path / "cohort" / "labels.csv")
    truth = json.loads((tmp_path / "cohort" / "truth.json").read_text())["images"]
    shown = pd.Series({row["path"].removeprefix("images/"): row["label"] for row in truth})
    by_exam = (shown == "OPACITY").groupby(table.set_index("image")["exam"]).agg(["sum", "size"])
    ill = table.groupby("exam")["label"].first() == "OPACITY"
    assert ill.any() and not ill.all() and (table.groupby("exam")["label"].nunique() == 1).all()
    assert by_exam.loc[ill, "sum"].between(1, 3).all() and (by_exam.loc[~ill, "sum"] == 0).all()
    assert by_exam["size"].between(6, 14).all()
