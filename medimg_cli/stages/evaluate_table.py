"""evaluate --predictions: a table of predictions, of any software, and its metrics with intervals.

Beside `stages.evaluate`, which has a model answer: here nothing that answers is loaded.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace, guess_positive
from medimg_cli.dataset.leakage import leak_of
from medimg_cli.dataset.manifest import EXAM
from medimg_cli.errors import DataError, GateError, UsageError
from medimg_cli.evaluation.analyses import Subject
from medimg_cli.evaluation.analyses.comparison import find_table, read_compared
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluate import evaluation_of
from medimg_cli.evaluation.evaluation import Evaluation, Leakage, write_evaluation
from medimg_cli.evaluation.requirements import parse_requirements, unmet_of
from medimg_cli.evaluation.subgroup_levels import asked_columns
from medimg_cli.predictions.decide import joined
from medimg_cli.predictions.exams import Targets, exams_chosen
from medimg_cli.predictions.import_table import ForeignPredictions, read_foreign_predictions
from medimg_cli.predictions.operating_point import OperatingPoint, given_point, point_by
from medimg_cli.predictions.predictions import PROBABILITY_PREFIX, TRUTH_PREFIX, Recorded
from medimg_cli.runs.run import Exams
from medimg_cli.statistics.sampling import Sampling, sampling_of
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.operating_settings import EvaluateSettings

ALL = "all"
_ANSWERS = ("y_pred", "confidence", "decision", "status", "flags", "message", "path")


@dataclass(frozen=True)
class TableResult:
    """What evaluating a table did.

    Args:
        evaluation: as the file holds it.
        unmet: requirements that are not met, as text.
        path: of the file.
    """

    evaluation: Evaluation
    unmet: tuple[str, ...]
    path: Path


def evaluate_table(
    path: Path, settings: EvaluateSettings, *, out: Path | None = None, sheet: str | None = None
) -> TableResult:
    """Write the metrics of a table of predictions beside it.

    Where it has a column `split`, the rows of the split in the settings are evaluated (test by default), and those of
    val are there to choose a threshold on and to calibrate conformal sets; else all rows are.

    Args:
        path: a CSV or workbook with y_true and prob_<class>, as `predictions.import_table` reads it.
        settings: threshold or rule, positive class, subgroups, requirements.
        out: where the metrics go instead of `<name>.metrics.json` beside the table.
        sheet: of a workbook, by name or number.

    Raises:
        DataError: the table cannot be used, or it has no row of the split, or the one to compare is of other images.
        UsageError: a threshold is wanted that it cannot give, or a class or column is not there.
        GateError: splits share patients or files, and neither `allow_leak` nor `without_leaked` is on.
    """
    requirements = parse_requirements(settings.require)
    read = read_foreign_predictions(path, sheet)
    labels = _labels(read, settings)
    asked_columns(settings.subgroups, read.table.columns)
    split = settings.split if read.splits_known else ALL
    if not read.splits_known and "split" in settings.model_fields_set:
        raise UsageError(
            f"--split {settings.split}: {path} has no column split", "leave it out, or add the column"
        )
    leakage, read = _leakage(read, split, settings)
    point = _point(read, labels, settings)
    here = _scored(read, labels, point, settings, split)
    if not here.n:
        there = ", ".join(f"{name} {count:,}" for name, count in read.table["split"].value_counts().items())
        raise DataError(f"{path} has no row whose split is {split}", f"there are {there}; say --split NAME")
    tuning = _scored(read, labels, point, settings, "val") if split == "test" else None
    subject = Subject(
        here=here,
        settings=settings,
        tuning=tuning if tuning is not None and tuning.n else None,
        metadata=_metadata(here),
        exams=_exams(read, labels, settings),
        other_model=read_compared(find_table(settings.compare), here) if settings.compare else None,
    )
    recorded = Recorded(
        run=path.stem,
        split=split,
        dataset_hash="",
        predictions_sha256=sha256_of_file(path),
        weights_sha256="",
    )
    remarks = _remarks(read, labels, point, settings)
    evaluation = evaluation_of(subject, recorded=recorded, leakage=leakage, remarks=remarks)
    target = out or path.with_name(f"{path.stem}.metrics.json")
    write_evaluation(target, evaluation)
    unmet = unmet_of(requirements, evaluation.decided.metrics, evaluation.decided.per_class)
    return TableResult(evaluation, unmet, target)


def _labels(read: ForeignPredictions, settings: EvaluateSettings) -> LabelSpace:
    guess = None if read.several else guess_positive(read.classes)
    return LabelSpace(read.classes, settings.positive or guess, read.several)


def _leakage(
    read: ForeignPredictions, split: str, settings: EvaluateSettings
) -> tuple[Leakage, ForeignPredictions]:
    """Return what stands in another split too, patients and files by their `sha256`, and what is measured.

    Raises:
        GateError: there is some, and that is neither allowed nor left out.
        UsageError: it is to be left out, and the table has no splits.
        DataError: none is left.
    """
    known, table = read.patients_known, read.table
    if not read.splits_known:
        why = "the table names no other split"
        if settings.without_leaked:
            raise UsageError(
                f"--without-leaked: {why}", "add column split with rows of train, or leave it out"
            )
        return Leakage(patients_known=known, shared_patients=0, shared_files=0, not_compared=why), read
    files = table["sha256"].str.strip() if "sha256" in table else pd.Series("", index=table.index)
    rows = table.assign(sha256=files.where(files != "", table["image_id"]))
    leak = leak_of(rows, (split,), patients_known=known)
    left_out = frozenset(leak.ids if settings.without_leaked else ())
    rows = rows[~rows["image_id"].isin(left_out)]
    ours = rows["split"] == split
    if left_out and not ours.any():
        raise DataError(leak.line(split), "none is left to measure on: correct column split")
    shared = {
        name: set(rows.loc[ours, name]) & set(rows.loc[~ours, name]) for name in ("patient_id", "sha256")
    }
    patients, same = (shared["patient_id"] if known else set()), shared["sha256"]
    if (patients or same) and not settings.allow_leak:
        text = f"{len(patients)} patients of the {split} split stand in other splits too: {min(patients or same)}, for one"
        if not patients:
            text = f"{len(same)} files of the {split} split stand in other splits too"
        raise GateError(
            f"{text}; {leak.line(split)}",
            "correct column split or patient_id; --without-leaked measures on the rest, --allow-leak on all and says so",
        )
    leakage = Leakage(
        patients_known=known,
        shared_patients=len(patients),
        shared_files=len(same),
        allowed=settings.allow_leak,
        leak=replace(leak, ids=()),
        left_out=len(left_out),
        not_compared="" if (files != "").any() else "the table holds no files to compare",
    )
    return leakage, replace(read, table=table[~table["image_id"].isin(left_out)].reset_index(drop=True))


def _point(read: ForeignPredictions, labels: LabelSpace, settings: EvaluateSettings) -> OperatingPoint:
    """Return the threshold that was given, or one that a rule takes on the rows of val; none without either."""
    if settings.keep_threshold:
        raise UsageError("--keep-threshold: a table has no model to write a threshold into", "leave it out")
    on_val = _scored(read, labels, OperatingPoint(), settings, "val") if read.splits_known else None
    if settings.threshold is not None:
        return _tried(given_point(labels, settings.threshold), on_val)
    rule = settings.rule
    if rule is None:
        return OperatingPoint()
    if not labels.several and labels.positive is None:
        raise UsageError("a threshold needs a positive class", "name it with --positive CLASS")
    if on_val is None or not on_val.n:
        raise UsageError(
            "a threshold is chosen on rows whose split is val, and the table has none",
            "add column split with rows of val, or fix the threshold in advance: --threshold X",
        )
    targets: NDArray[np.int64] | NDArray[np.float32] = on_val.marks if labels.several else on_val.truth
    return point_by(rule, labels, targets, on_val.probabilities, split="val", sampling=on_val.sampling)


def _exams(read: ForeignPredictions, labels: LabelSpace, settings: EvaluateSettings) -> Exams | None:
    """Return how exams are decided on, chosen on the rows of val; None without these or a column `exam_id`."""
    on_val = _scored(read, labels, OperatingPoint(), settings, "val") if read.splits_known else None
    if on_val is None or not on_val.n or EXAM not in read.table:
        return None

    def choose(targets: Targets, probabilities: NDArray[np.float64], sampling: Sampling) -> OperatingPoint:
        if settings.threshold is not None:
            return given_point(labels, settings.threshold)
        rule = settings.rule
        if rule is None:
            return OperatingPoint()
        return point_by(rule, labels, targets, probabilities, split="val", sampling=sampling)

    return exams_chosen(on_val.table, labels, f"column {EXAM}", "val", choose, known=read.patients_known)


def _tried(point: OperatingPoint, on_val: ScoredPredictions | None) -> OperatingPoint:
    """Return a given threshold with its figures on validation, where there are rows of it."""
    threshold = point.threshold
    if on_val is None or not on_val.n or threshold is None:
        return point
    view = next(iter(on_val.questions.values()))
    called = view.score >= threshold.value
    figures = {
        "achieved_recall": float(called[view.truth].mean()) if view.truth.any() else None,
        "achieved_specificity": float((~called[~view.truth]).mean()) if not view.truth.all() else None,
    }
    return OperatingPoint(threshold.model_copy(update={"split": "val", **figures}))


def _scored(
    read: ForeignPredictions,
    labels: LabelSpace,
    point: OperatingPoint,
    settings: EvaluateSettings,
    split: str,
) -> ScoredPredictions:
    """Return the answers to the images of one split."""
    table = read.table
    if split != ALL:
        table = table[table["split"] == split].reset_index(drop=True)
    sampling = sampling_of(table, known=read.patients_known, exact=settings.ci == "exact")
    return ScoredPredictions(table, labels, point, sampling)


def _metadata(here: ScoredPredictions) -> pd.DataFrame:
    """Return what the table says beside the answers, and the label as a manifest has it."""
    kept = [
        name
        for name in here.table.columns
        if not name.startswith((PROBABILITY_PREFIX, TRUTH_PREFIX)) and name not in (*_ANSWERS, "y_true")
    ]
    if here.labels.several:
        label = [joined(carried, here.classes) for carried in here.marks == 1]
    else:
        label = here.table["y_true"].tolist()
    return here.table[kept].assign(label=label)


def _remarks(
    read: ForeignPredictions, labels: LabelSpace, point: OperatingPoint, settings: EvaluateSettings
) -> list[str]:
    """Return what was taken for granted."""
    found = list(read.notes)
    if labels.positive is not None and settings.positive is None:
        found.append(f"'{labels.positive}' is taken for the disease class (--positive names another)")
    if labels.positive is not None and not point.every and not labels.several:
        found.append("no threshold was given: the most probable class is called")
    if read.unanswered:
        found.append(f"{read.unanswered:,} rows are left out: their images could not be read")
    return found
