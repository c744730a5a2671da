"""An evaluation in the terminal: recall first, every figure with its interval."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from medimg_cli.cli.views.render import plain_table
from medimg_cli.workspace.plain_text import plural

if TYPE_CHECKING:
    from medimg_cli.evaluation.evaluation import Evaluation, ExamFigures
    from medimg_cli.evaluation.results.decisions import AtPrevalence, PatientLevels, TradeOff
    from medimg_cli.evaluation.results.surroundings import Baseline, Robustness, Subgroups
    from medimg_cli.statistics.estimate import Estimate

_SHOWN_IDS = 10
_ACCURACY_AGAIN = ("micro_recall", "micro_precision", "micro_f1", "weighted_recall")
_RULES = {"max": "the highest probability of their images", "mean": "the mean of it"}
_RECALLS = ("recall", "macro_recall")
_REFERRED = 0.1


def draw_evaluation(console: Console, evaluation: "Evaluation", path: Path | None = None) -> None:
    """Show an evaluation: headline, figures, operating point, matrix, and what else was measured."""
    _draw_headline(console, evaluation)
    each: tuple[Evaluation | ExamFigures, ...] = tuple(filter(None, (evaluation.exams, evaluation)))
    for figures in each:
        title = None if evaluation.exams is None else "by exam" if figures is evaluation.exams else "by image"
        table = plain_table("metric", ">value", "95 % interval", ">n", title=title)
        for name, estimate in figures.metrics.items():
            # With one label an image these are accuracy by definition, and stand in the JSON.
            if not (name in _ACCURACY_AGAIN and not evaluation.several_labels):
                figure = value_text(estimate), interval_text(estimate)
                table.add_row(name.replace("_", " "), *figure, f"{estimate.n:,}")
        console.print()
        console.print(table)
        if len(evaluation.classes) > 2 and not evaluation.several_labels:
            console.print()
            _draw_classes(console, figures)
    console.print()
    if evaluation.protocol is not None:
        auc, acc = (_four_digits(value) for value in (evaluation.protocol.auc, evaluation.protocol.acc))
        console.print(f"by the protocol of {evaluation.protocol.name}: AUC {auc}, ACC {acc}\n")
    _draw_operating(console, evaluation)
    _draw_answers(console, evaluation)
    _draw_comparison(console, evaluation)
    draw_certainty(console, evaluation)
    _draw_surroundings(console, evaluation)
    _draw_lines(console, _useful(evaluation), _baseline(evaluation), _shift(evaluation))
    for warning in evaluation.warnings:
        console.print(f"[yellow]note:[/yellow] {escape(warning)}")
    if path is not None:
        console.print(f"metrics: {path}", markup=False)
    if console.is_terminal:  # the beginning has scrolled away
        console.print()
        _draw_verdict(console, evaluation)


def _draw_answers(console: Console, evaluation: "Evaluation") -> None:
    """Show the confusion matrix, or each label where an image may carry several."""
    if evaluation.confusion is None:
        _draw_labels(console, evaluation)
    else:
        labels = evaluation.confusion.labels
        confusion = plain_table("reference standard", *(f">called {escape(label)}" for label in labels))
        for label, row in zip(labels, evaluation.confusion.matrix, strict=True):
            confusion.add_row(escape(label), *(f"{count:,}" for count in row))
        console.print(confusion)
    console.print()


def _draw_classes(console: Console, figures: "Evaluation | ExamFigures") -> None:
    """Show each of several classes on its own: recall first."""
    table = plain_table("class", ">n", ">recall", "95 % interval", ">precision", ">auroc")
    for name, found in figures.per_class.items():
        recall, others = found["recall"], (value_text(found["precision"]), value_text(found["auroc"]))
        count = f"{figures.class_counts[name]:,}"
        table.add_row(escape(name), count, value_text(recall), interval_text(recall), *others)
    console.print(table)


def _draw_labels(console: Console, evaluation: "Evaluation") -> None:
    """Show each label on its own, where an image may carry several."""
    table = plain_table("label", ">images", ">unknown", ">auroc", "95 % interval", ">recall", ">specificity")
    for name, figures in evaluation.per_class.items():
        table.add_row(
            escape(name),
            f"{evaluation.class_counts[name]:,}",
            f"{evaluation.unknown_labels[name]:,}",
            value_text(figures["auroc"]),
            interval_text(figures["auroc"]),
            value_text(figures["recall"]),
            value_text(figures["specificity"]),
        )
    console.print(table)


def _draw_verdict(console: Console, evaluation: "Evaluation") -> None:
    """Show the recall that was reached, and whether that is what was aimed at."""
    decided, exams = evaluation.decided, evaluation.exams
    missed = decided.missed
    if missed is None:
        recall = decided.metrics["macro_recall"]
        console.print(f"[bold]macro recall {value_text(recall)}[/bold] {interval_text(recall)}")
    else:
        recall, by = decided.metrics["recall"], " by exam" if exams else ""
        console.print(
            f"[bold]recall of {escape(str(evaluation.positive))}{by} {value_text(recall)}[/bold] "
            f"{interval_text(recall)}, [bold]missed {missed.count} of {missed.of}[/bold]"
        )
    if decided.contract is not None and decided.contract.outcome:
        console.print(f"[bold]{escape(decided.contract.outcome)}[/bold]")


def _draw_headline(console: Console, evaluation: "Evaluation") -> None:
    decided, exams = evaluation.decided, evaluation.exams
    _draw_verdict(console, evaluation)
    if (missed := decided.missed) is not None and missed.count:
        more = f" … ({missed.count - _SHOWN_IDS} more)" if missed.count > _SHOWN_IDS else ""
        console.print(f"[dim]missed: {escape(', '.join(missed.ids[:_SHOWN_IDS]))}{more}[/dim]")
    if exams is not None:
        text = f"{plural(exams.n, 'exam')} ({exams.source}), pooled by {exams.pooling}: {exams.why}"
        console.print(text, markup=False)
    if (threshold := decided.threshold) is not None:
        where = "" if threshold.rule == "given" else f" on {threshold.split}"
        console.print(f"threshold {threshold.value:.4f}: {escape(threshold.rule)}{where}")
    if decided.contract is not None and decided.contract.promise:
        console.print(decided.contract.promise, markup=False)
    console.print(_tested_on(evaluation), markup=False)


def _tested_on(evaluation: "Evaluation") -> str:
    """Return run, split, images and patients; of images that name no patient how many these are."""
    line = f"{evaluation.run} on {evaluation.split}: {plural(evaluation.n, 'image')}"
    if not evaluation.leakage.patients_known:
        return f"{line}, patients not known"
    nameless = evaluation.leakage.nameless
    unknown = f" ({nameless:,} images name no patient, each counts as one)" if nameless else ""
    return f"{line} of {plural(evaluation.patients, 'patient')}{unknown}"


def _draw_operating(console: Console, evaluation: "Evaluation") -> None:
    """Show trade-offs and prevalences of the positive class, and its patients; nothing without one."""
    operating = evaluation.operating
    if operating is not None and evaluation.positive in operating.by_class:
        of_positive = operating.by_class[evaluation.positive]
        _draw_trade_offs(console, evaluation.split, of_positive.trade_offs)
        _draw_prevalences(console, of_positive.at_prevalences)
    if evaluation.patient_level is not None:
        console.print(escape(_patients(evaluation.patient_level)))
        console.print()


def _draw_trade_offs(console: Console, split: str, trade_offs: "tuple[TradeOff, ...]") -> None:
    table = plain_table(f"curve of {split}, to describe it", ">value", "95 % interval", ">threshold")
    too_few = []
    for each in trade_offs:
        other = "recall" if each.fixed == "specificity" else "specificity"
        figure = each.recall if each.fixed == "specificity" else each.specificity
        threshold = "none" if each.threshold is None else f"{each.threshold:.4f}"
        name = f"{other} at {each.fixed} {each.wanted:.2f}"
        if figure.reason:
            too_few.append(name)
        else:
            table.add_row(name, value_text(figure), interval_text(figure), threshold)
    if table.rows:
        console.print(table)
    if too_few:
        console.print(f"too few images of {split} for {', '.join(too_few)}", markup=False)
    console.print()


def _draw_prevalences(console: Console, at_prevalences: "tuple[AtPrevalence, ...]") -> None:
    table = plain_table(
        ">prevalence", "precision", "npv", ">false alarms per 100 patients", ">positive answers per true one"
    )
    for each in at_prevalences:
        to_read = each.number_needed_to_read
        alarms = each.alarms_per_100.value
        table.add_row(
            f"{each.prevalence:.4g}" + (" (observed)" if each.observed else ""),
            figure_text(each.precision),
            figure_text(each.npv),
            "not defined" if alarms is None else f"{alarms:.1f}",
            "not defined" if to_read is None else f"{to_read:.2f}",
        )
    console.print(table)
    console.print()


def _patients(levels: "PatientLevels") -> str:
    """Return one line on how many of the patients with the disease would have been called."""
    each_rule = [
        f"by {_RULES[each.rule]} {figure_text(each.metrics['recall'])}, missed {len(each.missed)} of {each.positives}"
        for each in levels.levels
    ]
    return f"recall of {levels.positive} by patient: " + "; ".join(each_rule)


def _draw_comparison(console: Console, evaluation: "Evaluation") -> None:
    """Show both figures, their difference with its interval, and the p value last; nothing where none was asked."""
    compared = evaluation.comparison
    if compared is None:
        return
    table = plain_table(
        "difference", ">this run", f">{escape(compared.against)}", ">difference", "95 % interval", ">p (Holm)"
    )
    for row in compared.differences:
        table.add_row(
            escape(_title(row.name)),
            _four_digits(row.first),
            _four_digits(row.second),
            value_text(row.difference),
            interval_text(row.difference),
            ""
            if row.p_adjusted is None
            else f"{row.p_adjusted:.4f}"
            if row.p_adjusted >= 1e-4
            else "< 0.0001",
        )
    console.print(table)
    console.print(compared.rule, markup=False)
    console.print()


def _title(name: str) -> str:
    """Return a figure's name in words; the class it is of keeps its spelling."""
    metric, of, label = name.partition(" of ")
    return metric.replace("_", " ") + of + label


def _draw_surroundings(console: Console, evaluation: "Evaluation") -> None:
    """Show what was measured of subgroups and of disturbed images; nothing where neither was."""
    if evaluation.subgroups is not None:
        console.print()
        _draw_gaps(console, evaluation.subgroups)
    if evaluation.robustness is not None:
        console.print()
        _draw_robustness(console, evaluation.robustness)


def _draw_gaps(console: Console, subgroups: "Subgroups") -> None:
    """Show the largest gap of each column, and of a column without one why it has none."""
    table = plain_table("subgroups by", ">largest gap in recall", "95 % interval", "from", "to", ">of pairs")
    for grouping in subgroups.groupings:
        name = next((name for name in _RECALLS if name in grouping.largest_gap), None)
        if name is None:
            shown = sum(not group.suppressed for group in grouping.groups)
            table.add_row(
                escape(grouping.column), "none", f"{shown} of {len(grouping.groups)} groups have figures"
            )
            continue
        lower, higher = grouping.between[name]
        values = {group.level: group.metrics[name] for group in grouping.groups if name in group.metrics}
        table.add_row(
            escape(grouping.column),
            value_text(grouping.largest_gap[name]),
            _interval(grouping.largest_gap[name]),
            f"{escape(lower)} {value_text(values[lower])}",
            f"{escape(higher)} {value_text(values[higher])}",
            f"{grouping.pairs[name]:,}",
        )
    console.print(table)
    if subgroups.absent:
        console.print(f"[dim]the data say nothing of {', '.join(subgroups.absent)}[/dim]")


def _interval(estimate: "Estimate") -> str:
    return escape(interval_text(estimate))


def _draw_robustness(console: Console, robustness: "Robustness") -> None:
    """Show recall with its change, and the other figures: what calls every image positive keeps its recall."""
    names = list(robustness.undisturbed)
    recall, others = names[0], [f">{name.replace('_', ' ')}" for name in names[1:]]
    words = f">{recall.replace('_', ' ')}"
    table = plain_table("disturbed by", "strength", words, ">change", "95 % interval", *others)
    first, *rest = (value_text(figure) for figure in robustness.undisturbed.values())
    table.add_row("nothing", "", first, "", "", *rest)
    for row in robustness.rows:
        change = "" if row.change.value is None else f"{row.change.value:+.4f}"
        first, *rest = (value_text(row.metrics[name]) for name in names)
        table.add_row(row.disturbance, row.strength, first, change, _interval(row.change), *rest)
    console.print(table)
    console.print(
        f"[dim]{plural(robustness.n, 'image')}, disturbed after preprocessing ({escape(robustness.pixels)})[/dim]"
    )


def draw_certainty(console: Console, evaluation: "Evaluation") -> None:
    """Show calibration error before and after the temperature, recall of the rest, and conformal sets."""
    _draw_lines(console, _calibration(evaluation), _rest(evaluation), _sets(evaluation))


def _draw_lines(console: Console, *lines: str) -> None:
    for line in filter(None, lines):
        console.print(escape(line))


def _calibration(evaluation: "Evaluation") -> str:
    found = evaluation.calibration
    if found is None or found.ece is None:
        return ""
    line = f"calibration error {found.ece:.4f}"
    if "ece" in found.uncalibrated and found.temperature is not None:
        line += f" ({found.uncalibrated['ece']:.4f} without the temperature of {found.temperature:.3g})"
    return line


def _rest(evaluation: "Evaluation") -> str:
    if evaluation.abstention is None:
        return ""
    rest = next((each for each in evaluation.abstention.referrals if each.share == _REFERRED), None)
    if rest is None or rest.recall.value is None:
        return ""
    which = "recall" if evaluation.positive is not None else "macro recall"
    missed = "" if rest.missed is None else f", missed {rest.missed} of {rest.recall.n}"
    return f"{100 * rest.share:.0f} % to a reader: {which} of the rest {figure_text(rest.recall)}{missed}"


def _sets(evaluation: "Evaluation") -> str:
    sets = evaluation.conformal
    if sets is None:
        return ""
    line = (
        f"sets meant to hold the right class {1 - sets.alpha:.4g} of the time do {figure_text(sets.coverage)}, "
        f"{sets.mean_size:.2f} classes on average"
    )
    withheld = [
        f"sets that leave out {name} are withheld: such a set {why}" for name, why in sets.withheld.items()
    ]
    return "; ".join([line, *withheld])


def _useful(evaluation: "Evaluation") -> str:
    """Return the line on the positive class: of several classes the table of a report has them all."""
    curves = evaluation.decision_curves
    if curves is None or evaluation.positive not in curves.by_class:
        return ""
    curve = curves.by_class[evaluation.positive]
    if curve.useful_from is None or curve.useful_to is None:
        asked = f"{curve.thresholds[0]:.2f} to {curve.thresholds[-1]:.2f}"
        return f"acting on the answers: no better than acting on all or none at any threshold from {asked}"
    useful = f"{curve.useful_from:.2f} to {curve.useful_to:.2f}"
    return f"acting on the answers: better than acting on all or none at thresholds {useful}"


def _baseline(evaluation: "Evaluation") -> str:
    """Return the line on the metadata-only model where there is one, else on the commonest class."""
    if evaluation.baselines is None or not evaluation.baselines.rows:
        return ""
    strongest: Baseline = evaluation.baselines.rows[-1]
    return f"baseline, {strongest.name}: {strongest.remark}"


def _shift(evaluation: "Evaluation") -> str:
    large = [row for row in evaluation.shift.rows if row.large] if evaluation.shift else []
    if not large:
        return ""
    first = large[0]
    more = f"; {len(large) - 1} more differ much" if len(large) > 1 else ""
    return f"shift: {first.name} {first.here}, in training {first.train} ({first.measure} {first.distance:.2f}){more}"


def _four_digits(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"


def value_text(estimate: "Estimate") -> str:
    """Return the value to four decimals."""
    return _four_digits(estimate.value)


def interval_text(estimate: "Estimate") -> str:
    """Return the interval, "" where there is none, or why there is no value."""
    if estimate.reason:
        return estimate.reason
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.4f} to {estimate.high:.4f}"


def figure_text(estimate: "Estimate") -> str:
    """Return value and interval: "0.9487 (0.9222 to 0.9665)"."""
    interval = interval_text(estimate)
    return value_text(estimate) + (f" ({interval})" if interval else "")
