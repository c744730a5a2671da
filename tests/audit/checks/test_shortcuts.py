"""Shortcuts: what tells the class without being anatomy is named, the strongest first."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.audit.checks.shortcuts import shortcuts
from medimg_cli.audit.findings import AuditContext, CheckSkipped, Finding
from medimg_cli.audit.measurements.measurements import measure_images
from medimg_cli.dataset.manifest import Dataset, read_dataset, read_quarantine
from medimg_cli.images.readers import read_image
from medimg_cli.sample_data.phantoms.cohort import Header, dicom_bytes
from medimg_cli.stages.demo import demo
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.audit.checks.cohort import clean_cohort, ids, with_info, with_measurements, with_rows
from tests.conftest import medimg

ALL = {"train": 30, "val": 12, "test": 12}


def _of_class(label: str) -> list[str]:
    return [image for split, count in ALL.items() for image in ids(split, label, count)]


def _told(context: AuditContext) -> tuple[Finding, ...]:
    return shortcuts(context).findings


def _ingested(workspace: Path, raw: Path, *options: str) -> AuditContext:
    assert medimg(workspace, "ingest", str(raw), *options) == 0
    found = Workspace(workspace)
    dataset = read_dataset(found)
    measured = measure_images(found, dataset.usable, read_image, SilentProgress())
    return AuditContext(
        found, dataset, read_quarantine(found), measured.table, measured.thumbnails, read_image
    )


def _phantoms(tmp_path: Path, *, patients: int = 60, seed: int = 0) -> Path:
    demo(tmp_path / "demo", patients=patients, seed=seed)
    return tmp_path / "demo" / "images"


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the images of a clean cohort; tests must leave them as they are."""
    return _phantoms(tmp_path_factory.mktemp("phantoms"))


def test_one_class_saved_as_png_is_named_first(phantoms: Path, tmp_path: Path) -> None:
    raw = shutil.copytree(phantoms, tmp_path / "raw")
    for file in sorted(raw.rglob("*.dcm")):
        file.unlink()
    for number, file in enumerate(sorted((raw / "NORMAL").glob("*.png"))):
        if number % 20:  # one healthy image in twenty is PNG as well
            Image.open(file).save(file.with_suffix(".jpg"), quality=90)
            file.unlink()
    context = _ingested(tmp_path / "ws", raw, "--patient-regex", r"(patient\d+)")
    first, *_ = _told(context)
    assert first.severity == "warning"
    assert first.message.startswith("file format alone predicts OPACITY (AUROC ")
    assert float(first.message.split("AUROC ")[1].split(",")[0]) >= 0.95
    assert "0% of " in first.message
    assert "(JPEG)" in first.message
    assert "(PNG)" in first.message
    assert "it reaches the pixels; along with it " in first.message
    assert "file suffix" in first.message
    assert sum("file suffix" in finding.message for finding in _told(context)) == 1


def test_where_a_few_others_have_the_format_too_it_is_still_named_before_what_follows_from_it(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    generator = np.random.default_rng(0)
    for number in range(120):
        label = "sick" if number % 2 else "healthy"
        grey = generator.normal(128, 12, (48, 48)).clip(0, 255).astype(np.uint8)
        if label == "healthy" and number % 60 == 0:
            grey = grey // 16 * 16  # a PNG of few grey levels takes fewer bytes than one of the other class
        suffix = ".png" if label == "sick" or number % 60 == 0 else ".jpg"
        (raw / label).mkdir(parents=True, exist_ok=True)
        Image.fromarray(grey).save(raw / label / f"{number}{suffix}")
    first, *_ = _told(_ingested(tmp_path / "ws", raw, "--positive", "sick"))
    areas = first.message.split("along with it ")[1]
    assert first.message.startswith("file format alone predicts sick (AUROC 0.9")
    assert float(areas.split("bytes per pixel ")[1][:4]) > float(first.message.split("AUROC ")[1][:4])


def test_phantoms_whose_formats_are_drawn_alike_have_no_shortcut(phantoms: Path, tmp_path: Path) -> None:
    context = _ingested(tmp_path / "ws", phantoms, "--patient-regex", r"(patient\d+)")
    checked = shortcuts(context)
    assert checked.findings == ()
    assert "5 folds by patient; 0 tell the label" in checked.did


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("options", [(), ("--patient-regex", r"(patient\d+)")], ids=["images", "patients"])
def test_no_clean_demo_cohort_has_a_shortcut(tmp_path: Path, seed: int, options: tuple[str, ...]) -> None:
    raw = _phantoms(tmp_path, patients=160, seed=seed)
    assert _told(_ingested(tmp_path / "ws", raw, *options)) == ()


@pytest.mark.slow
def test_the_published_chest_images_are_told_by_their_detail_and_named_by_class(
    shared_data: Path, tmp_path: Path
) -> None:
    context = _ingested(
        tmp_path, shared_data / "chest_xray", "--patient-regex", r"(person\d+)", "--positive", "PNEUMONIA"
    )
    first, *_, last = _told(context)
    assert first.message.startswith("bytes per pixel alone predicts PNEUMONIA (AUROC 0.8")
    assert (last.severity, last.message.split(" alone")[0]) == ("info", "way of naming files")


def test_the_full_size_chest_images_are_told_by_their_compression(shared_data: Path, tmp_path: Path) -> None:
    context = _ingested(tmp_path, shared_data / "chest_xray_fullres", "--positive", "PNEUMONIA")
    first, *_ = _told(context)
    assert first.message.startswith("estimated JPEG quality alone predicts PNEUMONIA (AUROC 1.00")
    assert "colour profile 1.00" in first.message


def test_brightness_is_named_with_the_doubt_that_it_may_be_the_disease(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    for number, image in enumerate(_of_class("sick")):
        context = with_measurements(context, [image], mean=0.6 + number / 1000)
    for number, image in enumerate(_of_class("healthy")):
        context = with_measurements(context, [image], mean=0.5 + number / 400)
    (finding,) = _told(context)
    assert finding.message.startswith("mean brightness alone predicts sick (AUROC 0.8")
    assert "may be the disease itself" in finding.message
    assert set(finding.image_ids) <= set(_of_class("sick")) | set(_of_class("healthy"))
    assert finding.count == len(finding.image_ids)


def test_a_size_that_goes_with_the_class_names_the_images_it_is_surest_of(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), _of_class("sick"), width=16)
    (finding,) = _told(context)
    assert finding.message.startswith(
        "width (px) alone predicts sick (AUROC 1.00, 95 % interval 0.93 to 1.00)"
    )
    assert "100% of 54 images (above 8) and 0% of 54 images (up to 8) are sick" in finding.message
    assert "side ratio 1.00" in finding.message
    assert set(finding.image_ids) == set(_of_class("sick"))


def test_marks_in_a_corner_are_seen(tmp_path: Path) -> None:
    raw = tmp_path / "marked"
    generator = np.random.default_rng(0)
    for label in ("sick", "healthy"):
        (raw / label).mkdir(parents=True)
        for number in range(30):
            pixels = generator.integers(40, 90, (64, 64), dtype=np.uint8)
            if label == "sick":
                pixels[2:5, 57:61] = 255
            Image.fromarray(pixels).save(raw / label / f"{number}.png")
    first, *_ = _told(_ingested(tmp_path / "ws", raw, "--positive", "sick"))
    assert "bright marks in the corner top right" in first.message


def test_a_folder_that_goes_with_the_class_is_named_without_the_folders_of_class_and_split(
    tmp_path: Path,
) -> None:
    raw = tmp_path / "raw"
    generator = np.random.default_rng(0)
    for number in range(60):
        label = "sick" if number % 2 else "healthy"
        place = "clinic_b" if number % 2 or number > 50 else "clinic_a"
        target = raw / label / place / f"{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 256, (32, 32), dtype=np.uint8)).save(target)
    findings = _told(_ingested(tmp_path / "ws", raw, "--layout", "folders", "--positive", "sick"))
    (finding,) = [finding for finding in findings if finding.message.startswith("folder alone predicts sick")]
    assert "0% of 26 images (clinic_a)" in finding.message


def test_a_way_of_naming_that_goes_with_the_class_is_information(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    rows = context.dataset.rows.copy()
    sick = rows["label"].eq("sick")
    numbers = [f"raw/{'person' if ill else 'IM'}-{number}.png" for number, ill in enumerate(sick)]
    (finding,) = _told(replace(context, dataset=Dataset(rows.assign(path=numbers), context.dataset.info)))
    assert finding.severity == "info"
    assert finding.message.startswith("way of naming files alone predicts sick")
    assert "(person-#)" in finding.message
    assert "no network sees it" in finding.message


def test_a_class_in_the_name_or_folder_is_how_it_was_labelled_and_no_shortcut(tmp_path: Path) -> None:
    context = clean_cohort(tmp_path)
    assert all(label in "|".join(context.dataset.rows["path"]) for label in ("sick", "healthy"))
    assert _told(context) == ()


def test_a_site_is_named_and_a_persons_name_is_not(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), _of_class("sick"), site="Example Hospital")
    context = with_rows(context, _of_class("healthy"), site="Other House")
    (finding,) = _told(context)
    assert finding.message.startswith("column 'site' alone predicts sick")
    assert finding.severity == "warning"
    assert "Hospital" not in finding.message
    assert "(value " in finding.message


def test_an_institution_in_the_headers_is_found_and_never_shown(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    generator = np.random.default_rng(0)
    for label, place in (("sick", "Example Hospital"), ("well", "Other House")):
        (raw / label).mkdir(parents=True)
        for number in range(20):
            image = generator.random((32, 32), dtype=np.float32)
            header = Header(f"{label}{number}", {"InstitutionName": place})
            (raw / label / f"{number}.dcm").write_bytes(dicom_bytes(image, header, monochrome1=False))
    findings = _told(_ingested(tmp_path / "ws", raw, "--positive", "sick"))
    assert any(finding.message.startswith("institution alone predicts sick") for finding in findings)
    assert not any("Example" in finding.message or "Other" in finding.message for finding in findings)


def test_a_column_nobody_knows_is_information(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), _of_class("sick"), stage="II")
    context = with_rows(context, _of_class("healthy"), stage="0")
    (finding,) = _told(context)
    assert (finding.severity, "label in other words" in finding.message) == ("info", True)


def test_of_three_classes_the_one_that_is_given_away_is_named(tmp_path: Path) -> None:
    context = with_info(clean_cohort(tmp_path), classes=("healthy", "mild", "sick"), positive=None)
    mild = [image for image in _of_class("sick") if int(image[-1]) % 2]
    context = with_rows(with_rows(context, mild, label="mild"), mild, bit_depth=16)
    (finding,) = _told(context)
    assert finding.message.startswith("bit depth alone predicts mild against the rest (AUROC 1.00")


def test_with_several_labels_an_image_each_class_is_tested_against_its_absence(tmp_path: Path) -> None:
    context = with_info(clean_cohort(tmp_path), classes=("mass", "oedema"), positive=None, multi_label=True)
    rows = context.dataset.rows.copy()
    mass, oedema = np.arange(len(rows)) % 2 == 0, np.arange(len(rows)) % 3 == 0
    rows["label"] = [
        "|".join(name for name, has in (("mass", m), ("oedema", o)) if has)
        for m, o in zip(mass, oedema, strict=True)
    ]
    rows["height"] = np.where(oedema, 12, 8)
    (finding,) = _told(replace(context, dataset=Dataset(rows, context.dataset.info)))
    assert finding.message.startswith("height (px) alone predicts oedema against the rest (AUROC 1.00")


def test_few_images_or_patients_are_no_ground_for_a_verdict(tmp_path: Path) -> None:
    small = clean_cohort(tmp_path / "a", {"train": 8, "val": 3, "test": 3})
    with pytest.raises(CheckSkipped, match="15 images of 10 patients"):
        shortcuts(small)
    few = clean_cohort(tmp_path / "b")
    for number in range(3):
        few = with_rows(few, _of_class("sick")[number::3], patient_id=f"p{number}")
    with pytest.raises(CheckSkipped, match="15 images of 10 patients"):
        shortcuts(few)


def test_images_that_are_gone_are_judged_by_the_manifest_alone(tmp_path: Path) -> None:
    context = with_rows(clean_cohort(tmp_path), _of_class("sick"), channels=3)
    shutil.rmtree(tmp_path / "raw", ignore_errors=True)
    checked = shortcuts(context)
    (finding,) = checked.findings
    assert finding.message.startswith("colour or grey alone predicts sick")
    assert "(0 headers read)" in checked.did
