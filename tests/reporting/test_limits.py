"""Limitations read off the records."""

from pathlib import Path

from medimg_cli.core.audit import read_audit
from medimg_cli.core.evaluation import Leakage
from medimg_cli.core.progress import SilentProgress
from medimg_cli.core.settings import ReportSettings
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.limits import limitations
from medimg_cli.stages.report import gather
from tests.reporting.cohort import Cohort, make_cohort


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


def test_a_leak_and_a_split_seen_in_training_are_said_first(tmp_path: Path) -> None:
    content = _content(make_cohort(tmp_path))
    leak = Leakage(patients_known=True, shared_patients=2, shared_files=1, allowed=True)
    evaluation = content.evaluation.model_copy(update={"leakage": leak, "split": "train"})
    first, second, *_ = limitations(ReportContent(**{**vars(content), "evaluation": evaluation}))
    assert "also used in training" in first
    assert "results on the training split" in second
