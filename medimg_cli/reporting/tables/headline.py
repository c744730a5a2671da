"""The first number a reader sees: how many of the sick were found, and how sure that is."""

from dataclasses import dataclass

from medimg_cli.evaluation.evaluation import Evaluation, Leakage
from medimg_cli.reporting.content import FEW_POSITIVES
from medimg_cli.reporting.tables.number_format import (
    grouped,
    interval,
    measured,
    metric_title,
    number,
    percent,
    plural,
    point,
    split_title,
)
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.estimate import Estimate

_BESIDE = ("specificity", "auroc")
_BESIDE_MACRO = ("accuracy", "macro_auroc")


@dataclass(frozen=True)
class Fact:
    """One labelled line."""

    label: str
    text: str


@dataclass(frozen=True)
class Headline:
    """The verdict.

    Args:
        label: what the figure is.
        figure: in large type.
        between: its interval, right after it, "" without one.
        beside: in large type below it: the counts.
        remark: one sentence in normal type, "" when there is nothing to add.
        flag: short text of a visible mark, "" without one.
        facts: the lines beside the verdict.
    """

    label: str
    figure: str
    between: str
    beside: str
    remark: str
    flag: str
    facts: tuple[Fact, ...]


def headline(evaluation: Evaluation) -> Headline:
    """Return the verdict of an evaluation: of its positive class, else of all classes."""
    if evaluation.positive is None:
        return _over_all_classes(evaluation)
    return _of_positive_class(evaluation, evaluation.positive)


def positive_recall(evaluation: Evaluation) -> Estimate | None:
    """Return sensitivity of the positive class at the operating threshold, else at the argmax."""
    if evaluation.positive is None:
        return None
    return evaluation.metrics.get("recall") or evaluation.per_class.get(evaluation.positive, {}).get("recall")


def positives(evaluation: Evaluation) -> int | None:
    """Return how many images of the positive class were tested, None without a positive class."""
    if evaluation.positive is None:
        return None
    if evaluation.missed is not None:
        return evaluation.missed.of
    return evaluation.class_counts.get(evaluation.positive, 0)


def leakage_line(leakage: Leakage) -> str:
    """Return one sentence on what stands in this split and in another one."""
    line = f"{_leaks(leakage)}; {_near_duplicates(leakage.near_duplicates)}"
    if leakage.leak is not None and leakage.leak.images:
        left_out = "; they are left out of all figures" if leakage.left_out else ""
        line = f"{leakage.leak.line('tested')}{left_out}. Of those measured: {line}"
    return line


def _near_duplicates(count: int | None) -> str:
    if count is None:
        return "near duplicates were not searched for"
    if count == 0:
        return "0 near duplicates"
    return f"NEAR DUPLICATES: {plural(count, 'image')} here like one of another split, in another file"


def _leaks(leakage: Leakage) -> str:
    """Return what is known to stand in two splits: patients and files."""
    found = f"{plural(leakage.shared_patients, 'patient')}, {plural(leakage.shared_files, 'identical file')}"
    if leakage.shared_patients and not leakage.patients_certain and not leakage.shared_files:
        return (
            f"{plural(leakage.shared_patients, 'patient name')} read from files also in another published split "
            "(not known whether the same patients); no identical files"
        )
    if leakage.shared_patients or leakage.shared_files:
        ending = ", evaluated all the same because --allow-leak was given" if leakage.allowed else ""
        return f"LEAK between splits: {found}{ending}"
    if leakage.not_compared:
        return f"not excluded: {leakage.not_compared}"
    if not leakage.patients_known:
        return "patients are not known, so a patient in two splits cannot be excluded; no identical files"
    return "none: 0 patients and 0 identical files stand in two splits"


def threshold_in_force(evaluation: Evaluation) -> Threshold | None:
    """Return the threshold that decides; without one the most probable class does."""
    return evaluation.threshold


def threshold_line(evaluation: Evaluation) -> str:
    """Return the operating threshold and where it comes from."""
    threshold = threshold_in_force(evaluation)
    if evaluation.several_labels:
        splits = {split_title(each.split) for each in evaluation.thresholds.values()}
        chosen = f", chosen on the {' and '.join(sorted(splits))} split" if splits else ""
        return f"each label has its own{chosen}"
    if threshold is None:
        return "none; the class of highest probability is the answer"
    return f"{number(threshold.value)} ({threshold.rule}, chosen on the {split_title(threshold.split)} split)"


def _of_positive_class(evaluation: Evaluation, positive: str) -> Headline:
    recall = positive_recall(evaluation)
    of = positives(evaluation) or 0
    label = f"{metric_title('recall')} for {positive}"
    if threshold_in_force(evaluation) is not None:
        label += " at the operating threshold"
    flag = f"few positives: {of}, fewer than {FEW_POSITIVES}" if of < FEW_POSITIVES else ""
    figure, between = _figure(recall)
    beside = remark = ""
    if evaluation.missed is not None and of:
        missed = evaluation.missed.count
        beside = f"missed {grouped(missed)} of {grouped(of)}"
        if missed == 0:
            figure, between, beside = beside, "", f"sensitivity {figure} {between}".rstrip()
            remark = _upper_bound(evaluation, recall, of)
    return Headline(label, figure, between, beside, remark, flag, _facts(evaluation, _BESIDE))


def _figure(recall: Estimate | None) -> tuple[str, str]:
    return (point("recall", recall), interval("recall", recall)) if recall else ("not defined", "")


def _upper_bound(evaluation: Evaluation, recall: Estimate | None, of: int) -> str:
    """Say what zero misses allow: with none in n, up to 3/n may be (95 % upper bound, Hanley 1983).

    That is so of independent images; where patients have several, the bound is that of the interval by patient.
    """
    warned = f"0 of {grouped(of)} missed does not mean that none will be"
    if evaluation.resampled == "patient" and recall is not None and recall.low is not None:
        return f"{warned}: at most {percent(1 - recall.low)} (95 % upper bound, {recall.method})."
    return f"{warned}: at most 3/{of} = {percent(min(1.0, 3.0 / of))} (95 % upper bound, rule of three)."


def _over_all_classes(evaluation: Evaluation) -> Headline:
    macro = evaluation.metrics.get("macro_recall") or evaluation.metrics.get("balanced_accuracy")
    figure, between = _figure(macro)
    beside = remark = ""
    weakest = weakest_class(evaluation)
    if weakest is not None:
        name, recall = weakest
        beside = f"weakest class: {name}, {measured('recall', recall)}"
        if recall.count is not None:
            remark = f"Missed {grouped(recall.n - recall.count)} of {plural(recall.n, 'image')} of {name}. "
    if not evaluation.several_labels:
        remark += "No class was stated as the positive one, so no operating threshold was chosen."
    smallest = min(evaluation.class_counts.values(), default=0)
    flag = f"few images of a class: {smallest}" if smallest < FEW_POSITIVES else ""
    facts = _facts(evaluation, _BESIDE_MACRO)
    return Headline(
        "Sensitivity (recall), mean over the classes", figure, between, beside, remark, flag, facts
    )


def weakest_class(evaluation: Evaluation) -> tuple[str, Estimate] | None:
    """Return the class with the lowest sensitivity, None when it is defined for no class."""
    recalls = {
        name: figures["recall"] for name, figures in evaluation.per_class.items() if "recall" in figures
    }
    known = {name: recall for name, recall in recalls.items() if recall.value is not None}
    if not known:
        return None
    return min(known.items(), key=lambda item: (item[1].value or 0.0, item[0]))


def _facts(evaluation: Evaluation, names: tuple[str, ...]) -> tuple[Fact, ...]:
    figures = [
        Fact(metric_title(name), measured(name, evaluation.metrics[name]))
        for name in names
        if name in evaluation.metrics
    ]
    return (
        *figures,
        Fact("Operating threshold", threshold_line(evaluation)),
        Fact("Tested on", tested_on(evaluation)),
        Fact("Leakage", leakage_line(evaluation.leakage)),
    )


def tested_on(evaluation: Evaluation) -> str:
    """Return the size of the tested split."""
    images, split = plural(evaluation.n, "image"), split_title(evaluation.split)
    if not evaluation.leakage.patients_known:
        return f"{images} of the {split} split (patients not known)"
    nameless = evaluation.leakage.nameless
    unknown = (
        f" ({plural(nameless, 'image')} without a patient’s name, each counted as one)" if nameless else ""
    )
    return f"{images} of {plural(evaluation.patients, 'patient')}{unknown}, {split} split"


def resampling_line(evaluation: Evaluation) -> str:
    """Return what the intervals draw again, from how many images and patients, and what that costs."""
    images, patients = plural(evaluation.n, "image"), plural(evaluation.patients, "patient")
    if evaluation.resampled == "patient":
        recall = positive_recall(evaluation) or evaluation.metrics.get("accuracy")
        effect = recall.design_effect if recall is not None else None
        said = "" if effect is None else f"; design effect {number(effect, 1)}"
        return f"Intervals: patients resampled with all their images, {images} of {patients}{said}"
    if not evaluation.leakage.patients_known:
        return f"Intervals: images taken as independent, as patients are not known, {images}"
    return f"Intervals: images taken as independent, {images} of {patients}"


def prevalence_line(evaluation: Evaluation) -> str:
    """Return the share of the positive class among the tested images; predictive values hold only there."""
    of = positives(evaluation)
    if of is None or not evaluation.n:
        return ""
    return f"{percent(of / evaluation.n)} ({grouped(of)} of {grouped(evaluation.n)} images)"
