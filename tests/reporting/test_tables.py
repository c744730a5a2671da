"""Tables put together from records."""

from dataclasses import replace
from pathlib import Path

import pandas as pd

from medimg_cli.audit.findings import AuditResult, Finding, read_audit
from medimg_cli.dataset.manifest import Dataset, read_dataset
from medimg_cli.evaluation.evaluation import Confusion
from medimg_cli.reporting.tables.tables import (
    audit_table,
    class_counts,
    class_table,
    code_book_table,
    exclusion_table,
    mix_up_table,
    numeric_history,
    performance_table,
    setting_facts,
    source_names,
    split_table,
)
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.section import LabelCode
from tests.reporting.cohort import make_cohort


def test_sources_are_told_by_folder_name_only() -> None:
    sources = ("/home/jane.doe/chest_xray", r"C:\Users\jane\scans", "relative", "/")
    assert source_names(sources) == ("chest_xray", "scans", "relative", "(unnamed)")


def test_the_split_table_counts_usable_images_and_patients(tmp_path: Path) -> None:
    dataset = read_dataset(make_cohort(tmp_path).workspace)
    table = split_table(dataset)
    assert table.rows == (
        ("NORMAL", "39", "40", "40", "119"),
        ("PNEUMONIA", "40", "40", "40", "120"),
        ("All images", "79", "80", "80", "239"),
        ("Patients", "79", "80", "80", "239"),
    )


def test_unknown_patients_are_not_counted(tmp_path: Path) -> None:
    dataset = read_dataset(make_cohort(tmp_path, patients_known=False).workspace)
    assert [row[0] for row in split_table(dataset).rows] == ["NORMAL", "PNEUMONIA", "All images"]


def test_an_image_with_two_labels_counts_for_both(tmp_path: Path) -> None:
    dataset = read_dataset(make_cohort(tmp_path, per_class=2).workspace)
    rows = dataset.rows.assign(label="NORMAL|PNEUMONIA")
    info = dataset.info.model_copy(update={"multi_label": True})
    assert class_counts(Dataset(rows, info))["test"] == {"NORMAL": 4, "PNEUMONIA": 4}


def test_exclusions_are_grouped_by_kind_of_reason(tmp_path: Path) -> None:
    dataset = read_dataset(make_cohort(tmp_path).workspace)
    table = exclusion_table(dataset)
    assert table is not None
    assert table.rows == (("duplicate", "1"),)
    clean = Dataset(dataset.rows.assign(status="ok"), dataset.info)
    assert exclusion_table(clean) is None


def test_audit_findings_are_listed(tmp_path: Path) -> None:
    audit = read_audit(make_cohort(tmp_path).workspace)
    assert audit is not None
    assert audit_table(audit).rows == (("duplicates", "warning", "3", "3 images stand twice"),)


def test_of_many_findings_alike_the_first_are_shown_and_the_rest_counted() -> None:
    infos = [Finding("dicom-headers", "info", f"attribute {number}", "a", (), number) for number in range(40)]
    grave = Finding("leaks", "error", "one patient on both sides", "a", (), 1)
    rows = audit_table(AuditResult((*infos, grave), False, ("leaks",), (), "")).rows
    assert rows[0] == ("leaks", "error", "1", "one patient on both sides")
    assert [row[3] for row in rows[1:]] == [
        *(f"attribute {number}" for number in range(6)),
        "and 34 more, listed in audit/findings.csv",
    ]
    seven = audit_table(AuditResult(tuple(infos[:7]), True, (), (), "")).rows
    assert [row[3] for row in seven] == [f"attribute {number}" for number in range(7)]


def test_a_long_finding_is_cut_between_its_parts_or_words() -> None:
    parts = Finding("a", "info", "x" * 200 + "; " + "y" * 100 + "; " + "z" * 100, "a", (), 1)
    words = Finding("b", "info", "word " * 100, "a", (), 1)
    first, second = audit_table(AuditResult((parts, words), True, (), (), "")).rows
    assert first[3] == "x" * 200 + "; " + "y" * 100 + " …"
    assert second[3].endswith("word …")
    assert len(second[3]) <= 322


def test_performance_starts_with_sensitivity_and_explains_what_is_not_defined(tmp_path: Path) -> None:
    rows = {row[0]: row[1:] for row in performance_table(make_cohort(tmp_path).evaluation).rows}
    assert next(iter(rows)) == "Sensitivity (recall)"
    assert rows["Sensitivity (recall)"] == ("92.5 %", "85.5–97.5", "37 of 40", "Wilson")
    assert rows["Matthews correlation"] == ("not defined", "–", "n = 80", "only one class was predicted")
    assert "Brier score" not in rows


def test_without_a_positive_class_the_mean_sensitivity_comes_first(tmp_path: Path) -> None:
    table = performance_table(make_cohort(tmp_path, positive=None, per_class=2).evaluation)
    assert [row[0] for row in table.rows] == [
        "Sensitivity (recall), macro average",
        "AUROC, macro average",
        "Accuracy",
    ]


def test_the_class_table_starts_with_the_weakest_class(tmp_path: Path) -> None:
    table = class_table(make_cohort(tmp_path).evaluation)
    assert [row[0] for row in table.rows] == ["PNEUMONIA", "NORMAL"]
    assert table.rows[0][1:3] == ("40", "92.5 % (85.5–97.5)")


def test_the_class_table_stops_at_a_hundred_rows_and_says_so(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path, per_class=2).evaluation
    figures = {f"class {index}": {"recall": Estimate(value=0.5, n=2)} for index in range(130)}
    table = class_table(evaluation.model_copy(update={"per_class": figures}))
    assert (len(table.rows), table.beyond) == (100, 30)


def test_the_most_frequent_confusions_come_first() -> None:
    confusion = Confusion(labels=("a", "b", "c"), matrix=((5, 1, 0), (7, 2, 0), (0, 0, 3)))
    table = mix_up_table(confusion)
    assert table is not None
    assert table.rows == (("b", "a", "7"), ("a", "b", "1"))
    assert mix_up_table(Confusion(labels=("a", "b"), matrix=((5, 0), (0, 5)))) is None


def test_nested_settings_become_flat_lines() -> None:
    facts = setting_facts({"train": {"lr": 1e-3, "freeze": None}, "seed": 3})
    assert [(fact.label, fact.text) for fact in facts] == [
        ("train.lr", "0.001"),
        ("train.freeze", "not set"),
        ("seed", "3"),
    ]


def test_only_numeric_columns_of_a_history_are_kept() -> None:
    history = pd.DataFrame({"epoch": ["1", "2"], "val_loss": ["0.5", ""], "note": ["warm", "cold"]})
    assert list(numeric_history(history).columns) == ["epoch", "val_loss"]


def test_the_code_book_says_what_classes_mean(tmp_path: Path) -> None:
    dataset = read_dataset(make_cohort(tmp_path).workspace)
    assert code_book_table(dataset) is None
    book = {
        "PNEUMONIA": LabelCode(definition="opacity read as infection", code="233604007", system="SNOMED CT")
    }
    coded = replace(dataset, info=dataset.info.model_copy(update={"code_book": book}))
    table = code_book_table(coded)
    assert table is not None
    assert table.rows == (("PNEUMONIA", "opacity read as infection", "SNOMED CT 233604007", "–"),)
