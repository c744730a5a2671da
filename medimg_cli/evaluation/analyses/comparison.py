"""This model against another one on the same images, a run's or a table's of any software: differences and intervals first."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.evaluation.analyses import ANALYSES, ComparedModel, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluation import read_evaluation
from medimg_cli.evaluation.metrics import METRICS, OneVsRest, rate, table_influence
from medimg_cli.evaluation.metrics.counts import balanced_accuracy_of
from medimg_cli.evaluation.metrics.ranking import macro_auroc, mean_area_influence
from medimg_cli.evaluation.results.decisions import Comparison, Difference
from medimg_cli.evaluation.summary import mean_recall
from medimg_cli.predictions.operating_point import SO_FEW, OperatingPoint, operating_point, point_by
from medimg_cli.predictions.predictions import (
    PROBABILITY_PREFIX,
    TRUTH_PREFIX,
    classes_of,
    marks_of,
    read_predictions,
)
from medimg_cli.runs.run import Run, Threshold
from medimg_cli.runs.run_folders import find_run
from medimg_cli.statistics.areas import area_variance, auroc_influence
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import difference
from medimg_cli.statistics.paired_tests import (
    correlation,
    holm,
    mcnemar,
    mcnemar_by_patient,
    paired_correlation,
    two_sided,
)
from medimg_cli.statistics.sampling import Sampling, sampling_of
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.operating_settings import ThresholdRule, rule_in_words
from medimg_cli.workspace.tables import table_sha256
from medimg_cli.workspace.workspace import Workspace

_TABLE = ".csv"


@dataclass(frozen=True)
class ComparedFile:
    """Where another model's answers stand.

    Args:
        name: of the run, or of the file.
        own: thresholds of a run's model; none of a table.
        tuning: the predictions its threshold was chosen on, of a table the table itself, whose rows of val are taken.
    """

    name: str
    path: Path
    own: OperatingPoint
    tuning: Path

    def sha256(self) -> str:
        return table_sha256(self.path)


def find_compared(workspace: Workspace, named: str, split: str) -> ComparedFile:
    """Return where the answers to compare with stand.

    Args:
        named: a run's name or folder, or a table of predictions (.csv).

    Raises:
        RunError: there is no such run, or it was not evaluated on the split.
        DataError: there is no such table.
    """
    if is_table(named):
        return find_table(named)
    run: Run = find_run(workspace, named)
    path = run.predictions_path(split)
    evaluation = read_evaluation(run, split)
    if evaluation is None or not path.is_file():
        raise RunError(
            f"run '{run.name}' has no answers to {split}",
            f"`medimg evaluate {run.name}` on the same images first",
        )
    if evaluation.predictions_sha256 != table_sha256(path):
        raise RunError(f"{path} is not as medimg wrote it", f"`medimg evaluate {run.name}` makes it again")
    card = run.read_card()
    return ComparedFile(run.name, path, OperatingPoint(card.threshold, card.thresholds), run.tuning_path)


def find_table(named: str) -> ComparedFile:
    """Return where a table of predictions stands.

    Raises:
        UsageError: it is no table but, by its name, a run.
        DataError: there is none.
    """
    if not is_table(named):
        raise UsageError(
            f"--compare {named} names a run, and a table is compared with a table",
            "name a CSV, such as the run's predictions-test.csv",
        )
    path = Path(named)
    if not path.is_file():
        raise DataError(f"--compare: {path} is not there", "name a run, or a table of predictions")
    return ComparedFile(path.name, path, OperatingPoint(), path)


def is_table(named: str) -> bool:
    """Return whether `--compare` names a table of predictions rather than a run."""
    return named.lower().endswith(_TABLE)


def read_compared(file: ComparedFile, here: ScoredPredictions) -> ComparedModel:
    """Return the other answers in the order of the images of `here`.

    Raises:
        DataError: they are of other images, other classes, or another reference standard.
    """
    table = read_predictions(file.path)
    if set(classes_of(table)) != set(here.classes):
        raise DataError(
            f"{file.path} knows the classes {', '.join(sorted(classes_of(table)))}",
            f"the ones compared have to be {', '.join(here.classes)}",
        )
    if "split" in table and "split" in here.table:
        table = table[table["split"].isin(here.table["split"].unique())]
    own, other = _standard(here.table), _standard(table)
    same_images = sha256_of_text("\n".join(f"{name}\t{truth}" for name, truth in sorted(own.items())))
    if own != other:
        raise DataError(
            f"{file.path} cannot be compared: {_unlike(own, other)}", "both must answer the same images"
        )
    order = table.set_index(table["image_id"].astype(str)).loc[here.table["image_id"].astype(str).tolist()]
    columns = [PROBABILITY_PREFIX + name for name in here.classes]
    alike = here.table.assign(**{column: order[column].to_numpy() for column in columns})
    undecided = ScoredPredictions(alike, here.labels, OperatingPoint(), here.sampling)
    point, rule = _same_rule(file, here, undecided)
    return ComparedModel(file.name, replace(undecided, point=point), same_images, file.sha256(), rule)


def _same_rule(
    file: ComparedFile, here: ScoredPredictions, other: ScoredPredictions
) -> tuple[OperatingPoint, str]:
    """Return how the other model decides so that both are under one rule, and that rule in words.

    At its own threshold where the rule of this one's chose it on its validation; else where it finds as many of the
    positives of these images as this one.
    """
    if not here.point.every:
        return OperatingPoint(), "both call " + (
            "labels at 0.5" if here.labels.several else "the most probable class"
        )
    words, why = here.point.every[0].rule, "it has no answers to validation"
    if file.own.every and {each.rule for each in (*file.own.every, *here.point.every)} == {words}:
        point: OperatingPoint | None = file.own
    else:
        rule = rule_in_words(words.partition(SO_FEW)[0])
        point, why = (
            (None, f"its rule is not known: {words}")
            if rule is None
            else _by_rule(rule, file, here.labels, why)
        )
    matched = _matched(here, other)
    if point is None:
        return (
            matched,
            f"both at the sensitivity of this model on these images (matched), as of {file.name} {why}",
        )
    missing = matched.thresholds.keys() - point.thresholds.keys()
    kept = {name: (matched if name in missing else point).thresholds[name] for name in matched.thresholds}
    beside = f"; {', '.join(sorted(missing))} at matched sensitivity" if missing else ""
    text = f"each at its own threshold, chosen on its validation: {words}{beside}"
    return OperatingPoint(point.threshold, kept), text


def _by_rule(
    rule: ThresholdRule, file: ComparedFile, labels: LabelSpace, why: str
) -> tuple[OperatingPoint | None, str]:
    """Return the thresholds that a rule takes on the other model's answers to validation; None and why where none."""
    table = read_predictions(file.tuning) if file.tuning.is_file() else pd.DataFrame()
    if file.tuning == file.path:
        table = table[table["split"] == "val"] if "split" in table else table.iloc[:0]
    if table.empty:
        return None, why
    targets = marks_of(table, labels.classes) if labels.several else labels.encode(table["y_true"].tolist())
    probabilities = table[[PROBABILITY_PREFIX + name for name in labels.classes]].to_numpy(dtype=np.float64)
    sampling = sampling_of(table, known="patient_id" in table)
    try:
        if rule.name == "recall_assured":
            target, assurance = rule.wanted, rule.assurance
            return operating_point(
                labels,
                targets,
                probabilities,
                target_recall=target,
                assurance=assurance,
                split="val",
                sampling=sampling,
            ), ""
        return point_by(rule, labels, targets, probabilities, split="val", sampling=sampling), ""
    except DataError as error:
        return None, f"validation has no such threshold: {error.what}"


def _matched(here: ScoredPredictions, other: ScoredPredictions) -> OperatingPoint:
    """Return the highest thresholds at which the other model finds as many positives of these images as this one."""
    found: dict[str, Threshold] = {}
    names = here.point.thresholds if here.labels.several else here.questions
    for name in names:
        mine, theirs = here.view_of(name), other.view_of(name)
        count, ranked = int((mine.called & mine.truth).sum()), np.sort(theirs.score[theirs.truth])[::-1]
        value = float(ranked[count - 1]) if count else float(np.nextafter(theirs.score.max(initial=1.0), 2.0))
        called = theirs.score >= value
        found[name] = Threshold(
            value=value,
            rule="matched sensitivity",
            split="",
            achieved_recall=float(called[theirs.truth].mean()) if theirs.truth.any() else None,
            achieved_specificity=float((~called[~theirs.truth]).mean()) if not theirs.truth.all() else None,
        )
    if here.labels.several:
        return OperatingPoint(thresholds=found)
    return OperatingPoint(next(iter(found.values())))


def _standard(table: pd.DataFrame) -> dict[str, str]:
    """Return image id → reference standard, as one text.

    Raises:
        DataError: there is no column image_id, or an image stands there twice.
    """
    if "image_id" not in table:
        raise DataError(
            "the answers to compare have no column 'image_id'", "without it images cannot be paired"
        )
    columns = sorted(name for name in map(str, table) if name == "y_true" or name.startswith(TRUTH_PREFIX))
    rows = zip(*(table[name].astype(str) for name in ["image_id", *columns]), strict=True)
    standard = {row[0]: "\t".join(row[1:]) for row in rows}
    if len(standard) < len(table):
        raise DataError("the answers to compare name an image twice", "one row for each image")
    return standard


def _unlike(own: dict[str, str], other: dict[str, str]) -> str:
    shared = own.keys() & other.keys()
    differ = sum(own[name] != other[name] for name in shared)
    return (
        f"{len(own) - len(shared)} images only here, {len(other) - len(shared)} only there, "
        f"{differ} with another reference standard"
    )


NOT_ASKED = "ask for it with --compare RUN"


@ANALYSES.register("comparison")
def comparison(subject: Subject) -> Comparison | str:
    """Return the differences to the other answers, both decided by one rule."""
    other_model = subject.other_model
    if other_model is None:
        return NOT_ASKED
    here, other = subject.here, other_model.scored
    rows = _of_labels(here, other) if here.labels.several else _of_classes(here, other)
    adjusted = holm([row.p for row in rows])
    return Comparison(
        against=other_model.name,
        rule=other_model.rule,
        n=here.n,
        patients=int(here.table["patient_id"].nunique()),
        same_images=other_model.same_images,
        predictions_sha256=other_model.predictions_sha256,
        differences=tuple(
            row.model_copy(update={"p_adjusted": p}) for row, p in zip(rows, adjusted, strict=True)
        ),
    )


def _of_classes(here: ScoredPredictions, other: ScoredPredictions) -> list[Difference]:
    """Return recall, specificity and AUROC of the positive class where there is one, else means over classes."""
    right, also = here.truth == here.called, other.truth == other.called
    everyone = np.ones(here.n, dtype=bool)
    rows = [_of_rates("accuracy", right, also, everyone, here.sampling)]
    positive = here.labels.positive
    if positive is None:
        return [_of_balanced(here, other), *rows, _of_mean_area(here, other)]
    view, against = here.view_of(positive), other.view_of(positive)
    decided, other_decided = view.called == view.truth, against.called == against.truth
    return [
        _of_rates("recall", decided, other_decided, view.truth, here.sampling),
        _of_rates("specificity", decided, other_decided, ~view.truth, here.sampling),
        *rows,
        _of_areas("auroc", view, against),
    ]


def _of_labels(here: ScoredPredictions, other: ScoredPredictions) -> list[Difference]:
    """Return recall and AUROC of each label."""
    rows = []
    for name, view in here.views.items():
        against = other.views[name]
        found, also = view.called & view.truth, against.called & against.truth
        rows += [
            _of_rates(f"recall of {name}", found, also, view.truth, view.sampling),
            _of_areas(f"auroc of {name}", view, against),
        ]
    return rows


def _of_rates(
    name: str,
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    among: NDArray[np.bool_],
    sampling: Sampling,
) -> Difference:
    """Return the difference of two shares of the same images.

    Args:
        first, second: (N,), which of the images each of the two decided rightly.
        among: (N,), the images that are meant.
    """
    first, second, part = first[among], second[among], sampling.of(among)
    undefined = "no such image"
    mine, theirs = (rate(right, part, undefined=undefined) for right in (first, second))
    if not len(first):
        return _undefined(name, undefined)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if part.clustered:
        added = (part.by_unit(right - right.mean()) for right in (first, second))
        together = correlation(*added)
        gains = part.by_unit(first.astype(np.float64) - second)
        p, test = mcnemar_by_patient(gains.astype(np.int64))
    else:
        together = paired_correlation(first, second)
        p, test = mcnemar(only_first, only_second)
    gap_of = difference(mine, theirs, correlation=together)
    return Difference(
        name=name,
        first=mine.value,
        second=theirs.value,
        difference=gap_of.model_copy(update={"n": len(first)}),
        test=test,
        p=p,
        only_first=only_first,
        only_second=only_second,
    )


def _of_areas(name: str, view: OneVsRest, against: OneVsRest) -> Difference:
    mine, theirs = METRICS.get("auroc")(view), METRICS.get("auroc")(against)
    added = [
        auroc_influence(each.truth, each.score)[1] if mine.value is not None else None
        for each in (view, against)
    ]
    if added[0] is None or added[1] is None:
        return _undefined(name, mine.reason or "only one class occurs")
    sampling = view.sampling
    variance = area_variance(
        view.truth, added[0] - added[1], sampling.unit_of if sampling.clustered else None
    )
    test = "DeLong by patient (Obuchowski), paired" if sampling.clustered else "DeLong, paired"
    return _of_two(name, mine, theirs, (added[0], added[1]), sampling, test=test, variance=variance)


def _of_mean_area(here: ScoredPredictions, other: ScoredPredictions) -> Difference:
    """Return the difference of the mean areas over classes, by what each image adds to the error of both."""
    mine, theirs = (macro_auroc(each.views.values(), each.sampling) for each in (here, other))
    if mine.value is None or theirs.value is None:
        return _undefined("macro_auroc", "a class does not occur")
    placed = [[(view, slice(None)) for view in each.views.values()] for each in (here, other)]
    first, second = (mean_area_influence(each, here.n, auroc_influence)[1] for each in placed)
    test = f"DeLong by {here.sampling.unit}, paired"
    return _of_two("macro_auroc", mine, theirs, (first, second), here.sampling, test=test)


def _of_balanced(here: ScoredPredictions, other: ScoredPredictions) -> Difference:
    """Return the difference of the mean recalls over classes, by what each image adds to the error of both."""
    mine, theirs = (mean_recall(each, "a class does not occur") for each in (here, other))
    if mine.value is None or theirs.value is None:
        return _undefined("macro_recall", "a class does not occur")
    classes = len(here.classes)
    first, second = (table_influence(each.cells, classes, balanced_accuracy_of)[1] for each in (here, other))
    test = f"z, by {here.sampling.unit}"
    return _of_two("macro_recall", mine, theirs, (first, second), here.sampling, test=test)


def _of_two(
    name: str,
    mine: Estimate,
    theirs: Estimate,
    added: tuple[NDArray[np.float64], NDArray[np.float64]],
    sampling: Sampling,
    *,
    test: str,
    variance: float | None = None,
) -> Difference:
    """Return the difference of two figures of the same images, its interval from both and from what they share.

    Args:
        added: (N,), (N,), what each image adds to the error of both.
        variance: of the difference, for the test; None = by image or patient.
    """
    assert mine.value is not None and theirs.value is not None
    first, second = (sampling.by_unit(each) for each in added)
    gap = difference(mine, theirs, correlation=correlation(first, second)).model_copy(
        update={"n": sampling.n}
    )
    spread = sampling.variance(added[0] - added[1]) if variance is None else variance
    p = two_sided(mine.value - theirs.value, spread) if gap.low is not None else None
    return Difference(
        name=name,
        first=mine.value,
        second=theirs.value,
        difference=gap,
        test=test if p is not None else "",
        p=p,
    )


def _undefined(name: str, reason: str) -> Difference:
    return Difference(name=name, first=None, second=None, difference=Estimate(value=None, n=0, reason=reason))
