"""Limitations read off the records."""

from dataclasses import replace
from pathlib import Path

from medimg_cli.audit.findings import Finding, Severity, read_audit
from medimg_cli.evaluation.evaluation import Leakage
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.limitations import limitations
from medimg_cli.stages.report import gather
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import Cohort, make_cohort
from tests.reporting.results import with_every_result


def _content(cohort: Cohort) -> ReportContent:
    return gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")


def _said(content: ReportContent) -> str:
    return "\n".join(limitations(content))


def test_unknown_patients_a_single_source_and_few_positives_are_limitations(tmp_path: Path) -> None:
    said = _said(_content(make_cohort(tmp_path, per_class=12, patients_known=False)))
    assert "Patients are not known" in said
    assert "Single source" in said
    assert "Few positives: 12 tested images of PNEUMONIA" in said
    assert "guessed from the class names" in said
    assert "1 file could not be used" in said
    assert "Internal testing only" in said


def test_what_does_not_apply_is_not_said(tmp_path: Path) -> None:
    said = _said(_content(make_cohort(tmp_path, sources=("/a/site_1", "/a/site_2"))))
    assert "Single source" not in said
    assert "Few positives" not in said
    assert "Patients are not known" not in said
    assert "audit" not in said


def test_a_missing_and_an_outdated_audit_are_limitations(tmp_path: Path) -> None:
    assert "not audited" in _said(_content(make_cohort(tmp_path / "a", audited=False)))
    cohort = make_cohort(tmp_path / "b")
    audit = read_audit(cohort.workspace)
    assert audit is not None
    content = _content(cohort)
    assert content.dataset is not None
    moved = content.dataset.info.model_copy(update={"content_hash": "another"})
    dataset = type(content.dataset)(content.dataset.rows, moved)
    later = ReportContent(**{**vars(content), "dataset": dataset, "audit": audit})
    assert "earlier state of the data set" in _said(later)


def test_near_duplicates_in_another_split_are_a_limitation(tmp_path: Path) -> None:
    content = _content(make_cohort(tmp_path))
    leak = Leakage(patients_known=True, shared_patients=0, shared_files=0, near_duplicates=12)
    warning = "12 images look like an image of another split, in another file (near duplicates): too good"
    evaluation = content.evaluation.model_copy(update={"leakage": leak, "warnings": (warning,)})
    first, *others = limitations(ReportContent(**{**vars(content), "evaluation": evaluation}))
    assert first.startswith("12 tested images looked like an image of another split")
    assert not [each for each in others if "(near duplicates)" in each]  # said once


def test_a_leak_and_a_split_seen_in_training_are_said_first(tmp_path: Path) -> None:
    content = _content(make_cohort(tmp_path))
    leak = Leakage(patients_known=True, shared_patients=2, shared_files=1, allowed=True)
    evaluation = content.evaluation.model_copy(update={"leakage": leak, "split": "train"})
    first, second, *_ = limitations(ReportContent(**{**vars(content), "evaluation": evaluation}))
    assert "also used in training" in first
    assert "results on the training split" in second


def _with_findings(content: ReportContent, *findings: Finding) -> ReportContent:
    assert content.audit is not None
    audit = replace(content.audit, findings=findings, checks_run=("shortcuts", "label-errors"))
    return ReportContent(**{**vars(content), "audit": audit})


def _shortcut(name: str, severity: Severity = "warning") -> Finding:
    message = f"{name} alone predicts PNEUMONIA (AUROC 0.83): 90% of 40 images (PNG); it reaches the pixels"
    return Finding("shortcuts", severity, message, "match the classes", ("test-0-001",), 40)


def test_shortcuts_are_repeated_with_their_figures(tmp_path: Path) -> None:
    content = _content(make_cohort(tmp_path))
    said = _said(_with_findings(content, _shortcut("file format"), _shortcut("way of naming", "info")))
    assert (
        "A shortcut: file format alone predicts PNEUMONIA (AUROC 0.83): 90% of 40 images (PNG). The" in said
    )
    assert "reaches the pixels" not in said
    assert "way of naming" not in said
    many = _with_findings(content, *(_shortcut(f"trait {number}") for number in range(6)))
    assert "trait 3 alone" in _said(many)
    assert "trait 4 alone" not in _said(many)
    assert "names 2 further shortcuts" in _said(many)


def test_what_was_not_tested_for_is_said(tmp_path: Path) -> None:
    content = _content(make_cohort(tmp_path))
    assert "give the label away was not tested" in _said(content)
    assert "Wrong labels were not looked for" in _said(content)
    tested = _said(_with_findings(content))
    assert "not tested" not in tested
    assert "Wrong labels" not in tested


def test_open_errors_are_counted_by_check(tmp_path: Path) -> None:
    errors = [Finding(check, "error", "m", "a", (), 1) for check in ("leaks", "exact-duplicates", "leaks")]
    said = _said(_with_findings(_content(make_cohort(tmp_path)), *errors))
    assert "left 3 findings of severity error open (exact-duplicates 1, leaks 2)" in said


def test_findings_whose_images_were_excluded_are_no_limitation_any_more(tmp_path: Path) -> None:
    content = _content(make_cohort(tmp_path))  # its image train-0-000 is excluded
    pairs = (("train-0-000", "train-0-001"), ("test-0-001", "test-0-002"))
    copies = Finding("near-duplicates", "warning", "m", "a", tuple(sum(pairs, ())), 2, groups=pairs)
    assert "Nearly identical pictures are in use (2 images)" in _said(_with_findings(content, copies))
    settled = replace(copies, groups=pairs[:1], image_ids=pairs[0])
    assert "Nearly identical" not in _said(_with_findings(content, settled))
    doubtful = Finding("label-errors", "warning", "m", "a", ("train-0-000", "test-0-001"), 2)
    assert "Labels in doubt were left as they are (1 image)" in _said(_with_findings(content, doubtful))


def test_what_was_not_tested_on_and_what_differs_are_limitations(tmp_path: Path) -> None:
    content = _content(make_cohort(tmp_path))
    bare = _said(content)
    assert "not broken down by age, sex, device or site" in bare
    assert "disturbed images was not measured" in bare
    assert "Internal testing only" in bare
    external = content.evaluation.model_copy(update={"split": "external-b"})
    full = _said(replace(content, evaluation=with_every_result(content.evaluation), external=(external,)))
    assert "what the data do not say: age, device" in full
    assert "differ from those the model learnt from: share of PNEUMONIA (74.1 % there, 50.3 % here)." in full
    assert "width" not in full
    assert "disturbed" not in full
    assert "Internal testing only" not in full
