"""Page 1: how many of the sick were found, how sure that is, whether the target was met, and what speaks against it."""

from dataclasses import dataclass, replace

from medimg_cli.evaluation.evaluation import Evaluation, Leakage
from medimg_cli.evaluation.remarks import BELOW_CHANCE, TELLS_NOTHING
from medimg_cli.reporting.charts.scales import short_name
from medimg_cli.reporting.content import FEW_POSITIVES, Fact, ReportContent
from medimg_cli.reporting.tables.number_format import (
    bounds,
    change,
    grouped,
    measured,
    metric_title,
    number,
    percent,
    point,
    sentence,
    split_title,
)
from medimg_cli.reporting.tables.tables import Table
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.plain_text import plural

_BESIDE = ("specificity", "auroc")
_BESIDE_MACRO = ("accuracy", "macro_specificity", "macro_auroc")
_WARNINGS = 3
_WEAKEST = 4
_NAMELESS, _NEAR = "images name no patient", "in another file (near duplicates)"
# Remarks of an evaluation that `_grave` words by itself, with the figures it has.
_REPORTED = ("patients are not known", "only ", "this split shares", "no positive class", "leaks cannot be")


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
        target: what the threshold was to reach, "" where it aimed at nothing, and whether it did, with the interval.
        outcome: "met", "missed", "cannot be told", or "".
        changes: from validation to here, None where it cannot be told.
        facts: the lines beside the verdict.
    """

    label: str
    figure: str
    between: str
    beside: str
    remark: str
    flag: str
    facts: tuple[Fact, ...]
    target: str = ""
    outcome: str = ""
    changes: Table | None = None


def headline(evaluation: Evaluation) -> Headline:
    """Return the verdict of an evaluation: of its exams where the model decides on them; of the positive class, else all."""
    exams, found = evaluation.exams, _verdict(_as_decided(evaluation))
    if exams is None:
        return found
    text = f"{plural(exams.n, 'exam')} ({exams.source}), pooled by {exams.pooling}: {exams.why}"
    return replace(found, label=f"{found.label}, by exam", facts=(*found.facts, Fact("Exams", text)))


def _as_decided(evaluation: Evaluation) -> Evaluation:
    """Return an evaluation with the figures of its exams for those of images, where the model decides on exams."""
    exams = evaluation.exams
    names = ("metrics", "per_class", "missed", "threshold", "thresholds", "class_counts", "contract")
    return evaluation.model_copy(update={name: getattr(exams, name) for name in names if exams})


def _verdict(evaluation: Evaluation) -> Headline:
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
    said = leakage.leak is not None and leakage.leak.near and not leakage.left_out  # in its own line
    line = _leaks(leakage) + ("" if said else f"; {_near_duplicates(leakage.near_duplicates)}")
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


def threshold_line(evaluation: Evaluation) -> str:
    """Return the operating threshold and where it comes from."""
    threshold = evaluation.threshold
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
    if evaluation.threshold is not None:
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
    target, outcome = _target(evaluation)
    facts = _facts(evaluation, _BESIDE)
    return Headline(
        label, figure, between, beside, remark, flag, facts, target, outcome, change_table(evaluation)
    )


def _figure(recall: Estimate | None) -> tuple[str, str]:
    return (point("recall", recall), bounds("recall", recall)) if recall else ("not defined", "")


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
        name, recall = short_name(weakest[0]), weakest[1]
        beside = f"weakest class: {name}, {' '.join(_figure(recall)).rstrip()}"
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
    return next((each for each in _weakest_first(evaluation) if each[1].value is not None), None)


def _weakest_first(evaluation: Evaluation) -> list[tuple[str, Estimate]]:
    """Return class and sensitivity, undefined ones last."""
    recalls = [(name, each["recall"]) for name, each in evaluation.per_class.items() if "recall" in each]
    return sorted(recalls, key=lambda each: (each[1].value is None, each[1].value or 0.0, each[0]))


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
        effect_text = "" if effect is None else f"; design effect {number(effect, 1)}"
        return f"Intervals: patients resampled with all their images, {images} of {patients}{effect_text}"
    if not evaluation.leakage.patients_known:
        return f"Intervals: images taken as independent, as patients are not known, {images}"
    return f"Intervals: images taken as independent, {images} of {patients}"


def prevalence_line(evaluation: Evaluation) -> str:
    """Return the share of the positive class among the tested images; predictive values hold only there."""
    of = positives(evaluation)
    if of is None or not evaluation.n:
        return ""
    return f"{percent(of / evaluation.n)} ({grouped(of)} of {grouped(evaluation.n)} images)"


def _target(evaluation: Evaluation) -> tuple[str, str]:
    """Return the target with what the tested images say of it, and that in a word."""
    found, recall = evaluation.contract, positive_recall(evaluation)
    if found is None or found.target is None or not found.verdict or recall is None:
        return "", ""
    between = bounds("recall", recall).strip("()").removesuffix(" %")
    if not between:
        return (
            f"It is a sensitivity of at least {100 * found.target:g} %; there is no interval",
            found.verdict,
        )
    between += "\u00a0%"
    why = {
        "met": f"the whole interval, {between}, lies above it",
        "missed": f"the whole interval, {between}, lies below it",
        "cannot be told": f"it lies within the interval, {between}",
    }
    return f"It is a sensitivity of at least {100 * found.target:g} %; {why[found.verdict]}", found.verdict


def change_table(evaluation: Evaluation) -> Table | None:
    """Return figures on validation and here, those changed beyond chance marked; None where validation is not at hand."""
    found = evaluation.contract
    if found is None or not found.change:
        return None
    rows = tuple(
        (
            metric_title(name) + (" †" if each.beyond_chance else ""),
            measured(name, each.val),
            measured(name, each.here),
            change(name, each.difference),
        )
        for name, each in found.change.items()
    )
    head = ("Measure", "Validation", split_title(evaluation.split).capitalize(), "Change")
    return Table("From validation to the tested images", head, rows, figures=(1, 2, 3))


def two_by_two(evaluation: Evaluation) -> Table | None:
    """Return found, missed, false alarms and rightly negative images, or exams; None where the counts are not known."""
    evaluation, what = _as_decided(evaluation), "Exams" if evaluation.exams else "Images"
    if evaluation.positive is None:
        return None
    of_class = evaluation.per_class.get(evaluation.positive, {})
    recall, specificity = positive_recall(evaluation), evaluation.metrics.get("specificity")
    specificity = specificity or of_class.get("specificity")
    if recall is None or specificity is None or recall.count is None or specificity.count is None:
        return None
    hit, rest = recall.count, specificity.count
    missed, alarms = recall.n - hit, specificity.n - rest
    rows = (
        (evaluation.positive, f"{grouped(hit)} found", f"{grouped(missed)} missed", grouped(recall.n)),
        ("Others", f"{grouped(alarms)} false alarms", f"{grouped(rest)} right", grouped(specificity.n)),
        ("All", grouped(hit + alarms), grouped(missed + rest), grouped(recall.n + specificity.n)),
    )
    head = ("Reference", "Called positive", "Called negative", what)
    return Table(f"{what} by reference standard and answer", head, rows, figures=(1, 2, 3))


def weakest_table(evaluation: Evaluation) -> Table:
    """Return the classes that were missed most, where none is the positive one."""
    ordered, of = _weakest_first(_as_decided(evaluation)), "Exams" if evaluation.exams else "Images"
    rows = tuple(
        (
            name,
            grouped(recall.n),
            "–" if recall.count is None else grouped(recall.n - recall.count),
            " ".join(_figure(recall)).rstrip(),
        )
        for name, recall in ordered[:_WEAKEST]
    )
    what = ("Labels", "Label") if evaluation.several_labels else ("Classes", "Class")
    head = (what[1], of, "Missed", "Sensitivity")
    return Table(
        f"{what[0]}, weakest sensitivity first",
        head,
        rows,
        max(0, len(ordered) - len(rows)),
        figures=(1, 2, 3),
    )


def gravest(content: ReportContent) -> tuple[Fact, ...]:
    """Return the three warnings that weigh most on the figures, the gravest first."""
    notes = [Fact("Note", note) for note in further_warnings(content.evaluation)]
    useless = [each for each in notes if TELLS_NOTHING in each.text]
    doubts = [Fact("Below chance", each.text) for each in notes if BELOW_CHANCE in each.text]
    notes = [each for each in notes if TELLS_NOTHING not in each.text and BELOW_CHANCE not in each.text]
    return (*useless, *_grave(content, doubts), *notes, *_light(content))[:_WARNINGS]


def further_warnings(evaluation: Evaluation) -> tuple[str, ...]:
    """Return the warnings of an evaluation that page 1 and the limitations do not word by themselves."""
    leak = evaluation.leakage.leak
    reported = (*_REPORTED, *(() if leak is None else (leak.line("tested"),)))
    return tuple(
        sentence(note)
        for note in evaluation.warnings
        if not note.startswith(reported) and _NAMELESS not in note and _NEAR not in note
    )


def _grave(content: ReportContent, doubts: list[Fact]) -> list[Fact]:
    """Return what may make the figures wrong; `doubts`, what the figures say against themselves, after leaks."""
    evaluation, record = content.evaluation, content.record
    found = [Fact("Out of date", note) for note in content.notes]
    if evaluation.exploration:
        found.append(Fact("Exploration", sentence(evaluation.exploration)))
    found += _of_leaks(evaluation)
    if evaluation.split in ("train", "val"):
        split = split_title(evaluation.split)
        found.append(
            Fact("Not tested", f"These are {split} images: threshold or weights were chosen on them.")
        )
    found += doubts
    if (of := positives(evaluation)) is not None and of < FEW_POSITIVES:
        found.append(
            Fact("Few cases", f"{plural(of, 'tested image')} of {evaluation.positive}: read counts.")
        )
    if record.status != "complete":
        found.append(
            Fact("Cut-off training", f"Training is {record.status}: the best epoch so far was kept.")
        )
    elif record.best_epoch is not None and record.best_epoch == record.epochs_run and record.members == 1:
        ran = "The only epoch" if record.epochs_run == 1 else f"The last of {record.epochs_run} epochs"
        found.append(Fact("Cut-off training", f"{ran} was the best: longer training may give more."))
    return [*found, *_of_patients(evaluation.leakage)]


def _of_leaks(evaluation: Evaluation) -> list[Fact]:
    leakage = evaluation.leakage
    if leakage.leak is not None and leakage.leak.images and not leakage.left_out:
        share = percent(leakage.leak.images / max(1, leakage.leak.of))
        return [Fact("Leak", sentence(f"{share}: {leakage.leak.line('tested')}"))]
    if (leakage.shared_patients or leakage.shared_files) and leakage.patients_certain:
        return [Fact("Leak", sentence(leakage_line(leakage)))]
    return []


def _of_patients(leakage: Leakage) -> list[Fact]:
    found = []
    if not leakage.patients_known:
        why = "a patient may stand in training and test, and intervals take each image as independent"
        found.append(Fact("Unknown patients", sentence(why)))
    elif leakage.nameless:
        nameless = plural(leakage.nameless, "image")
        found.append(Fact("Unknown patients", f"{nameless} without a patient’s name count as one each."))
    elif leakage.shared_patients and not leakage.patients_certain:
        found.append(Fact("Uncertain patients", sentence(leakage_line(leakage))))
    if leakage.not_compared:
        found.append(Fact("Leaks not excluded", sentence(leakage.not_compared)))
    return found


def _light(content: ReportContent) -> list[Fact]:
    """Return what limits the figures without making them wrong."""
    evaluation, found = content.evaluation, []
    if near := evaluation.leakage.near_duplicates:
        share = percent(near / max(1, evaluation.n))
        found.append(
            Fact("Near duplicates", f"{plural(near, 'image')} ({share}) look like one of another split.")
        )
    large = [row for row in evaluation.shift.rows if row.large] if evaluation.shift else []
    changes = evaluation.contract.change if evaluation.contract else {}
    shifts = [
        f"{metric_title(name).lower()} from {point(name, each.val)} to {point(name, each.here)}, beyond chance"
        for name, each in changes.items()
        if each.beyond_chance and name != "auroc"
    ]
    shifts += [f"{row.name}: {row.train} in training, {row.here} here" for row in large[:2]]
    if shifts:
        found.append(
            Fact("Shift", sentence(f"the tested images are unlike the others ({'; '.join(shifts)})"))
        )
    if content.audit is None:
        found.append(Fact("No audit", "Duplicates, wrong labels and shortcuts were not looked for."))
    elif errors := sum(each.severity == "error" for each in content.audit.findings):
        found.append(Fact("Open findings", f"The label audit left {plural(errors, 'error')} open."))
    if not any(each.split.startswith("external") for each in (evaluation, *content.external)):
        found.append(Fact("One place", "Tested on images from the same sources as those learnt from."))
    return found
