"""The audit from files to findings."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medimg_cli.audit.checks import CHECKS, CheckEntry
from medimg_cli.audit.findings import AuditContext, AuditResult, Checked, read_audit
from medimg_cli.dataset.manifest import COLUMNS, QUARANTINE_COLUMNS, Dataset, DatasetInfo, write_dataset
from medimg_cli.errors import DataError, UsageError
from medimg_cli.images.image import DecodedImage
from medimg_cli.stages import label_audit as stage
from medimg_cli.stages.ingest import ingest
from medimg_cli.stages.label_audit import label_audit
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.settings import IngestSettings, LabelAuditSettings
from medimg_cli.workspace.workspace import Workspace

SIZES = {"train": 20, "val": 10, "test": 10}
ALL = LabelAuditSettings()


def _write_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (8, 8), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def _write_cohort(root: Path) -> Workspace:
    """Write a clean cohort of tiny PNG files with its manifest."""
    workspace = Workspace(root)
    rows: list[list[object]] = []
    for split, count in SIZES.items():
        for label in ("healthy", "sick"):
            for _ in range(count):
                number = len(rows)
                path = f"raw/{label}/{split}-{number}.png"
                _write_picture(root / path, number)
                digest = sha256_of_file(root / path)
                image_id = f"{label}/{split}-{number}"
                rows.append([image_id, path, label, image_id, split, 8, 8, 1, 8, digest, "ok", ""])
    info = DatasetInfo(
        classes=("healthy", "sick"),
        positive="sick",
        seed=0,
        layout="folders",
        sources=(str(root / "raw"),),
        patients_known=False,
        split_origin="official",
    )
    _write(workspace, Dataset(pd.DataFrame(rows, columns=list(COLUMNS)), info))
    return workspace


def _write(workspace: Workspace, dataset: Dataset) -> None:
    write_dataset(workspace, dataset, pd.DataFrame(columns=list(QUARANTINE_COLUMNS)))


def _told(result: AuditResult) -> list[tuple[str, str]]:
    return [(finding.check, finding.severity) for finding in result.findings]


def test_a_clean_cohort_passes_without_a_finding(tmp_path: Path) -> None:
    result = label_audit(_write_cohort(tmp_path), LabelAuditSettings(fail_on="warning"))
    assert result.findings == ()
    assert result.passed
    assert result.failed == ()
    skipped = {item.check: item.why for item in result.checks_skipped}
    assert {"dicom-headers", "patients-across-splits"} <= set(skipped)
    assert all(skipped.values())
    assert {*result.checks_run, *skipped} == set(CHECKS.names())


def test_the_audit_is_kept_beside_the_data_set(tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    result = label_audit(workspace, ALL)
    assert read_audit(workspace) == result
    assert (workspace.audit_dir / "findings.csv").is_file()
    assert (workspace.audit_dir / "measurements.npz").is_file()


def test_flaws_in_the_files_are_found_worst_first(tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    blank = np.zeros((8, 8), dtype=np.uint8)
    Image.fromarray(blank).save(tmp_path / "raw/healthy/train-0.png")
    (tmp_path / "raw/healthy/train-1.png").unlink()
    (tmp_path / "raw/healthy/train-2.png").write_bytes(b"no picture")
    result = label_audit(workspace, ALL)
    assert _told(result) == [
        ("splits-and-manifest", "error"),
        ("splits-and-manifest", "error"),
        ("unreadable", "error"),
        ("image-quality", "warning"),
    ]
    assert [finding.image_ids for finding in result.findings] == [
        ("healthy/train-1",),
        ("healthy/train-0", "healthy/train-2"),
        ("healthy/train-2",),
        ("healthy/train-0",),
    ]
    assert not result.passed


def test_the_same_pixels_in_another_format_are_a_duplicate(tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    Image.open(tmp_path / "raw/sick/train-20.png").save(tmp_path / "raw/sick/copy.bmp")
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    place = rows["image_id"] == "healthy/test-60"
    digest = sha256_of_file(tmp_path / "raw/sick/copy.bmp")
    rows.loc[place, ["path", "sha256"]] = ["raw/sick/copy.bmp", digest]
    rows.to_csv(workspace.manifest_path, index=False)
    result = label_audit(workspace, ALL)
    assert _told(result) == [
        ("exact-duplicates", "error"),
        ("exact-duplicates", "error"),
        ("splits-and-manifest", "info"),
    ]
    assert result.findings[0].image_ids == ("sick/train-20", "healthy/test-60")


def test_never_failing_does_not_make_an_audit_with_errors_a_passed_one(tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    (tmp_path / "raw/healthy/train-0.png").write_bytes(b"no image")
    result = label_audit(workspace, LabelAuditSettings(fail_on="never", skip=("burned-in-text",)))
    assert any(finding.severity == "error" for finding in result.findings)
    assert result.passed is False


def test_a_second_audit_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = _write_cohort(tmp_path)
    settings = LabelAuditSettings(skip=("burned-in-text",))  # reads a sample of whole images each time
    first = label_audit(workspace, settings)

    def refuse(path: str) -> DecodedImage:
        raise AssertionError(f"{path} was decoded again")

    monkeypatch.setattr(stage, "read_image", refuse)
    assert label_audit(workspace, settings) == first


@pytest.mark.parametrize(("fail_on", "passed"), [("error", True), ("warning", False), ("never", True)])
def test_a_warning_fails_only_where_asked(fail_on: str, passed: bool, tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    _write_picture(tmp_path / "raw/healthy/train-0.png", 1)
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    rows.loc[0, "sha256"] = sha256_of_file(tmp_path / "raw/healthy/train-0.png")
    rows.to_csv(workspace.manifest_path, index=False)
    result = label_audit(workspace, LabelAuditSettings.model_validate({"fail_on": fail_on}))
    assert ("exact-duplicates", "warning") in _told(result)
    assert result.passed is passed


def test_only_the_checks_asked_for_are_run_and_the_others_are_named(tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    result = label_audit(
        workspace, LabelAuditSettings(checks=("image-quality", "unreadable"), skip=("unreadable",))
    )
    assert result.checks_run == ("image-quality",)
    reasons = {item.check: item.why for item in result.checks_skipped}
    assert reasons["unreadable"] == "left out by --skip"
    assert reasons["class-balance"] == "not among --checks"


@pytest.mark.parametrize("option", ["checks", "skip"])
def test_an_unknown_check_is_answered_with_the_closest_name(option: str, tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    with pytest.raises(UsageError) as error:
        label_audit(workspace, LabelAuditSettings.model_validate({option: "image-qualiti"}))
    assert error.value.hint == "did you mean 'image-quality'?"


def test_a_data_set_without_a_usable_image_is_no_audit(tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    rows.assign(status="excluded").to_csv(workspace.manifest_path, index=False)
    with pytest.raises(DataError, match="no usable image"):
        label_audit(workspace, ALL)


def test_without_a_data_set_the_audit_says_to_ingest(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        label_audit(Workspace(tmp_path), ALL)
    assert "medimg ingest" in error.value.hint


def _audit_of(source: Path, root: Path, settings: IngestSettings) -> AuditResult:
    """Audit real images by the checks these tests are about; the dear ones have proofs of their own."""
    workspace = Workspace(root)
    ingest(workspace, [source], settings)
    checks = ("exact-duplicates", "file-names", "image-quality", "patients-across-splits")
    return label_audit(workspace, LabelAuditSettings(checks=checks))


def _duplicates(result: AuditResult) -> list[tuple[str, int]]:
    return [(f.severity, f.count) for f in result.findings if f.check == "exact-duplicates"]


def test_the_label_conflict_of_the_breast_ultrasounds_is_found(shared_data: Path, tmp_path: Path) -> None:
    result = _audit_of(shared_data / "breast_ultrasound", tmp_path, IngestSettings())
    conflicts = [finding for finding in result.findings if "label conflict" in finding.message]
    assert [finding.image_ids for finding in conflicts] == [
        ("benign/benign (433).png", "malignant/malignant (145).png")
    ]
    assert "file-names" not in {finding.check for finding in result.findings}
    flagged = {image for f in result.findings if f.check == "image-quality" for image in f.image_ids}
    assert len(flagged) <= 7  # 1 % of a good cohort


def test_the_images_pneumoniamnist_has_in_train_and_val_are_found(shared_data: Path, tmp_path: Path) -> None:
    result = _audit_of(shared_data / "medmnist" / "pneumoniamnist.npz", tmp_path, IngestSettings())
    assert _duplicates(result) == [("error", 8), ("warning", 19)]
    across = result.findings[0]
    assert "(train and val: 8)" in across.message
    assert len([image for image in across.image_ids if image.startswith("val/")]) == 8


@pytest.mark.slow
def test_the_copies_among_the_chest_x_rays_are_found_and_nothing_is_made_up(
    shared_data: Path, tmp_path: Path
) -> None:
    settings = IngestSettings(patient_regex=r"(person\d+_[a-z]+)_")
    result = _audit_of(shared_data / "chest_xray", tmp_path, settings)
    assert _duplicates(result) == [("warning", 30)]
    assert not any(f.check in {"file-names", "patients-across-splits"} for f in result.findings)
    assert result.passed


def test_a_quick_audit_leaves_out_what_takes_long_and_measures_nothing_for_it(tmp_path: Path) -> None:
    workspace = _write_cohort(tmp_path)

    def refuse(_: object) -> str:
        raise AssertionError("text was looked for")

    result = label_audit(workspace, LabelAuditSettings(quick=True), find_text=refuse)
    left_out = {skipped.check for skipped in result.checks_skipped if skipped.why == "left out by --quick"}
    assert left_out == {"burned-in-text", "label-errors"}
    named = LabelAuditSettings(quick=True, checks=("burned-in-text",))
    assert label_audit(workspace, named, find_text=lambda _: "").checks_run == ("burned-in-text",)


def _count_runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Have every check say when it runs."""
    ran: list[str] = []
    chosen = stage._choose

    def choose(settings: LabelAuditSettings) -> object:
        entries, left_out = chosen(settings)

        def told(entry: CheckEntry) -> CheckEntry:
            def run(context: AuditContext) -> Checked:
                ran.append(entry.name)
                return entry.run(context)

            return replace(entry, run=run)

        return [told(entry) for entry in entries], left_out

    monkeypatch.setattr(stage, "_choose", choose)
    return ran


def test_a_check_looks_once_at_the_same_data_under_the_same_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ran = _write_cohort(tmp_path), _count_runs(monkeypatch)
    shutil.copyfile(tmp_path / "raw/sick/train-20.png", tmp_path / "raw/sick/train-21.png")
    first = label_audit(workspace, ALL)
    everything = set(ran)
    assert everything == set(CHECKS.names())
    ran.clear()
    assert label_audit(workspace, ALL) == first
    strict = label_audit(workspace, LabelAuditSettings(fail_on="never", skip=("shortcuts",)))
    assert ran == []
    assert set(strict.checks_run) == set(first.checks_run) - {"shortcuts"}
    page = workspace.audit_dir / "audit.html"
    assert "--fail-on never" in page.read_text() or strict.passed
    label_audit(workspace, LabelAuditSettings(seed=1))
    assert set(ran) == everything, "another seed is another question"
    ran.clear()
    _write_picture(tmp_path / "raw/sick/train-22.png", 4711)
    changed = label_audit(workspace, ALL)
    assert set(ran) == everything, "a file changed under the manifest"
    assert changed != first


def test_a_damaged_file_of_kept_findings_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, ran = _write_cohort(tmp_path), _count_runs(monkeypatch)
    first = label_audit(workspace, ALL)
    for content in ("{", "[]", '{"checks": {"unreadable": 7}}'):
        (workspace.audit_dir / "kept_findings.json").write_text(content)
        ran.clear()
        assert label_audit(workspace, ALL) == first
        assert set(ran) == set(CHECKS.names())
