"""Tables of the report that are put together from records, ready to print cell by cell."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

import pandas as pd

from medimg_cli.audit.findings import SEVERITIES, AuditResult, Finding
from medimg_cli.dataset.manifest import SPLITS, Dataset
from medimg_cli.evaluation.evaluation import Confusion, Evaluation
from medimg_cli.evaluation.summary import OF_POSITIVE
from medimg_cli.reporting.charts.scales import short_name
from medimg_cli.reporting.content import TABLE_ROWS, Fact
from medimg_cli.reporting.tables.number_format import (
    counted,
    grouped,
    interval,
    measured,
    metric_title,
    number,
    percent,
    plain,
    point,
    split_title,
)
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.estimate import Estimate

_REASONS = 12
_SHORT_ROWS = 16
_ALIKE_FINDINGS = 6
_MESSAGE_SIGNS = 320
_CALIBRATION = ("brier", "log_loss", "ece")
_COLUMN_TITLES = {"recall": "Sensitivity", "precision": "Precision", "f1": "F1"}
_PER_CLASS = ("recall", "precision", "specificity", "f1", "auroc", "average_precision")


@dataclass(frozen=True)
class Table:
    """A table: the first cell of a row is its header.

    Args:
        caption: what it shows.
        head: names of the columns.
        rows: texts, as many as `head`.
        figures: positions of the columns that hold numbers only, to be aligned on the right.
        narrow: few short columns, which a full line would tear apart.
        beyond: rows left out.
    """

    caption: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    beyond: int = 0
    figures: tuple[int, ...] = ()
    narrow: bool = False

    @property
    def short(self) -> bool:
        """Return whether the table is short enough to be kept on one page."""
        return len(self.rows) <= _SHORT_ROWS


def source_names(sources: Sequence[str]) -> tuple[str, ...]:
    """Return sources by folder name only; a full path may name a person or a site."""
    parsers = (PureWindowsPath if "\\" in source else PurePosixPath for source in sources)
    names = [parse(source).name for parse, source in zip(parsers, sources, strict=True)]
    return tuple(name or "(unnamed)" for name in names)


def class_counts(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return split → class → usable images; an image with several labels counts for each."""
    counts: dict[str, dict[str, int]] = {}
    for split in SPLITS:
        tally = dataset.counts(dataset.of_split(split))
        counts[split] = {name: tally.get(name, 0) for name in dataset.info.classes}
    return counts


def split_table(dataset: Dataset, most: int = TABLE_ROWS) -> Table:
    """Return classes × splits, at most `most` classes, with images and patients below."""
    counts = class_counts(dataset)
    shown = dataset.info.classes[:most]
    rows = [_count_row(name, [counts[split][name] for split in SPLITS]) for name in shown]
    rows.append(_count_row("All images", [len(dataset.of_split(split)) for split in SPLITS]))
    if dataset.info.patients_known:
        patients = [dataset.of_split(split)["patient_id"].nunique() for split in SPLITS]
        total = dataset.usable["patient_id"].nunique()
        rows.append(("Patients", *map(grouped, patients), grouped(total)))
    head = ("Class", "Training", "Validation", "Test", "Total")
    caption = "Usable images by class and split"
    beyond = len(dataset.info.classes) - len(shown)
    return Table(caption, head, tuple(rows), beyond, figures=(1, 2, 3, 4))


def _count_row(name: str, counts: list[int]) -> tuple[str, ...]:
    return (name, *map(grouped, counts), grouped(sum(counts)))


def exclusion_table(dataset: Dataset) -> Table | None:
    """Return how many images were excluded for which reason, None when none were."""
    excluded = dataset.rows.loc[dataset.rows["status"] == "excluded", "reason"]
    if excluded.empty:
        return None
    # what follows a colon names the single file ("duplicate of: …"): the kind is before it; the audit's reasons
    # begin with its name, then the check's or "review"
    kinds = excluded.str.extract(r"^((?:label-audit: )?[^:]*)", expand=False).str.strip()
    kinds = kinds.replace("", "no reason recorded")
    tally = kinds.value_counts(sort=True)
    rows = tuple(
        (str(kind), grouped(int(count)))
        for kind, count in sorted(tally.items(), key=lambda each: (-int(each[1]), str(each[0])))
    )
    beyond = max(0, len(rows) - _REASONS)
    return Table("Excluded images", ("Reason", "Images"), rows[:_REASONS], beyond, (1,), narrow=True)


def code_book_table(dataset: Dataset) -> Table | None:
    """Return what each class means, None when nobody wrote it down."""
    book = dataset.info.code_book
    if not book:
        return None
    rows = tuple(
        (
            name,
            code.definition or "–",
            " ".join(part for part in (code.system, code.code) if part) or "–",
            code.source or "–",
        )
        for name, code in book.items()
    )
    return Table("What the classes mean", ("Class", "Definition", "Code", "Source"), rows)


def audit_table(audit: AuditResult) -> Table:
    """Return the findings, gravest first, long ones cut; of many of one check and severity the first few."""
    findings = sorted(audit.findings, key=lambda finding: SEVERITIES.index(finding.severity))
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for found in findings:
        kinds.setdefault((found.check, found.severity), []).append(found)
    rows = []
    for (check, severity), alike in kinds.items():
        shown = alike if len(alike) <= _ALIKE_FINDINGS + 1 else alike[:_ALIKE_FINDINGS]
        rows += [(check, severity, grouped(found.count), _cut(found.message)) for found in shown]
        if left := len(alike) - len(shown):
            rows.append((check, severity, "–", f"and {left:,} more, listed in audit/findings.csv"))
    head = ("Check", "Severity", "Count", "Finding")
    beyond = max(0, len(rows) - TABLE_ROWS)
    return Table("Findings of the label audit", head, tuple(rows[:TABLE_ROWS]), beyond, (2,))


def _cut(message: str) -> str:
    """Return a message, shortened at the end of a part or word where it is long."""
    if len(message) <= _MESSAGE_SIGNS:
        return message
    kept = message[:_MESSAGE_SIGNS]
    end = kept.rfind("; ")
    return (kept[:end] if end > _MESSAGE_SIGNS // 2 else kept.rpartition(" ")[0]) + " …"


def performance_table(evaluation: Evaluation) -> Table:
    """Return every metric but those of calibration: value, interval, counts, method."""
    metrics = {name: figure for name, figure in evaluation.metrics.items() if name not in _CALIBRATION}
    ordered = sorted(metrics, key=lambda name: _place(name, averages_first=evaluation.positive is None))
    rows = tuple(_metric_row(name, metrics[name]) for name in ordered)
    head = ("Measure", "Value", "95 % interval", "Counts", "Method, or why not defined")
    caption = f"Performance on the {split_title(evaluation.split)} split"
    return Table(caption, head, rows, figures=(1, 2, 3))


def _place(name: str, *, averages_first: bool) -> tuple[int, int, str]:
    """Return where a metric stands: the headline's kind first, sensitivity before all others."""
    average, _, rest = name.partition("_")
    is_average = average in ("macro", "micro", "weighted")
    stem = rest if is_average else name
    order = OF_POSITIVE.index(stem) if stem in OF_POSITIVE else len(OF_POSITIVE)
    if not is_average:
        return (1, order, name)
    macro = 0 if averages_first else 2
    return (macro if average == "macro" else 3, order, name)


def _metric_row(name: str, estimate: Estimate) -> tuple[str, ...]:
    if estimate.value is None:
        why = estimate.reason or "no images to measure it on"
        return (metric_title(name), "not defined", "–", counted(estimate), why)
    between = interval(name, estimate).strip("()") or "–"
    return (metric_title(name), point(name, estimate), between, counted(estimate), estimate.method or "–")


def class_table(evaluation: Evaluation, most: int = TABLE_ROWS) -> Table:
    """Return one row for each of at most `most` classes, weakest sensitivity first, with the columns the evaluation holds."""
    held = {name for figures in evaluation.per_class.values() for name in figures}
    columns = [name for name in _PER_CLASS if name in held]
    ordered = sorted(evaluation.per_class.items(), key=lambda item: (_recall_of(item[1]), item[0]))
    counts = [evaluation.class_counts, evaluation.unknown_labels][: 2 if evaluation.several_labels else 1]
    rows = [
        (
            name,
            *(grouped(count.get(name, 0)) for count in counts),
            *(measured(column, figures[column]) if column in figures else "–" for column in columns),
        )
        for name, figures in ordered
    ]
    counted_as = ("Images", "Not judged")[: len(counts)]
    head = ("Class", *counted_as, *(_COLUMN_TITLES.get(name) or metric_title(name) for name in columns))
    what = "Each label on its own" if evaluation.several_labels else "Each class against the rest"
    caption = f"{what}, weakest sensitivity first"
    beyond = max(0, len(rows) - most)
    return Table(caption, head, tuple(rows[:most]), beyond, figures=tuple(range(1, len(head))))


def _recall_of(figures: Mapping[str, Estimate]) -> float:
    recall = figures.get("recall")
    return 2.0 if recall is None or recall.value is None else recall.value


def mix_up_table(confusion: Confusion, *, most: int = 10) -> Table | None:
    """Return the most frequent confusions, None when there is none."""
    pairs = [
        (count, truth, answer)
        for truth, row in zip(confusion.labels, confusion.matrix, strict=True)
        for answer, count in zip(confusion.labels, row, strict=True)
        if truth != answer and count
    ]
    if not pairs:
        return None
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    rows = tuple((truth, short_name(answer), grouped(count)) for count, truth, answer in pairs[:most])
    head = ("Reference standard", "Predicted", "Images")
    beyond = max(0, len(pairs) - most)
    return Table("Most frequent confusions", head, rows, beyond, figures=(2,), narrow=True)


def setting_facts(settings: Mapping[str, Any], *, prefix: str = "") -> tuple[Fact, ...]:
    """Return nested settings as flat lines: `train: {lr: 1}` is "train.lr"."""
    facts: list[Fact] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            facts += setting_facts(value, prefix=f"{name}.")
        else:
            facts.append(Fact(name, "not set" if value is None else plain(value)))
    return tuple(facts)


def numeric_history(history: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of a training history that hold numbers, as floats (empty cells NaN)."""
    numbers: pd.DataFrame = history.apply(pd.to_numeric, errors="coerce").astype(float)
    return numbers.dropna(axis="columns", how="all")


def threshold_table(evaluation: Evaluation) -> Table | None:
    """Return the operating point of each label, where an image may carry several; None where it carries one."""
    if not evaluation.several_labels:
        return None
    shown = evaluation.classes[:TABLE_ROWS]
    rows = tuple((name, *_threshold_cells(evaluation.thresholds.get(name))) for name in shown)
    head = ("Label", "Threshold", "Aimed at", "Sensitivity there", "Specificity there")
    caption = "The threshold of each label, and its figures where it was chosen"
    return Table(caption, head, rows, len(evaluation.classes) - len(shown), figures=(1, 2, 3, 4))


def _threshold_cells(threshold: Threshold | None) -> tuple[str, ...]:
    if threshold is None:
        return ("0.5", "–", "–", "–")
    return (
        number(threshold.value, 4),
        _aim(threshold),
        percent(threshold.achieved_recall),
        percent(threshold.achieved_specificity),
    )


def _aim(threshold: Threshold) -> str:
    """Return what the threshold was to reach: sensitivity, unless another figure is named."""
    if threshold.target_recall is not None:
        return percent(threshold.target_recall)
    if threshold.target_specificity is not None:
        return f"specificity {percent(threshold.target_specificity)}"
    return "–"
