"""An evaluation in the terminal: recall first, every figure with its interval."""

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from medimg_cli.cli.views.render import plain_table
from medimg_cli.evaluation.results.decisions import OperatingPoints
from medimg_cli.reporting.tables.calibration_tables import prevalence_table, trade_off_table
from medimg_cli.reporting.tables.group_tables import (
    comparison_table,
    gap_table,
    patient_table,
    robustness_table,
    suppressed_lines,
)
from medimg_cli.reporting.tables.tables import Table, class_table
from medimg_cli.workspace.plain_text import plural

if TYPE_CHECKING:
    from medimg_cli.evaluation.evaluation import Evaluation, ExamFigures
    from medimg_cli.evaluation.results.surroundings import Baseline
    from medimg_cli.statistics.estimate import Estimate

_SHOWN_IDS = 10
_ACCURACY_AGAIN = ("micro_recall", "micro_precision", "micro_f1", "weighted_recall")
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
            own = {name: getattr(figures, name) for name in ("per_class", "class_counts")}
            _draw_table(console, class_table(evaluation.model_copy(update=own)))
    console.print()
    if evaluation.protocol is not None:
        auc, acc = (_four_digits(value) for value in (evaluation.protocol.auc, evaluation.protocol.acc))
        console.print(f"by the protocol of {evaluation.protocol.name}: AUC {auc}, ACC {acc}\n")
    _draw_answers(console, evaluation)
    _draw_operating(console, evaluation)
    if (compared := evaluation.comparison) is not None:
        _draw_table(console, comparison_table(compared))
        console.print(compared.rule, markup=False)
    console.print()
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
        _draw_table(console, class_table(evaluation))
    else:
        labels = evaluation.confusion.labels
        confusion = plain_table("reference standard", *(f">called {escape(label)}" for label in labels))
        for label, row in zip(labels, evaluation.confusion.matrix, strict=True):
            confusion.add_row(escape(label), *(f"{count:,}" for count in row))
        console.print(confusion)


def _draw_operating(console: Console, evaluation: "Evaluation") -> None:
    """Show trade-offs and prevalences of the positive class, and its patients; nothing without one."""
    operating, positive = evaluation.operating, evaluation.positive
    if operating is not None and positive in operating.by_class:
        of_positive = OperatingPoints(by_class={positive: operating.by_class[positive]})
        _draw_table(console, trade_off_table(of_positive))
        _draw_table(console, prevalence_table(of_positive))
    if evaluation.patient_level is not None:
        _draw_table(console, patient_table(evaluation.patient_level))


def _draw_surroundings(console: Console, evaluation: "Evaluation") -> None:
    """Show what was measured of subgroups and of disturbed images; nothing where neither was."""
    if (found := evaluation.subgroups) is not None:
        _draw_table(console, gap_table(found))
        without = [grouping for grouping in found.groupings if not grouping.largest_gap]
        alone = (f"{each.column}: no gap, as no two of its groups can be compared" for each in without)
        absent = f"the data say nothing of {', '.join(found.absent)}" if found.absent else ""
        _draw_lines(console, *suppressed_lines(found), *alone, absent)
    if (disturbed := evaluation.robustness) is not None:
        _draw_table(console, robustness_table(disturbed))
        _draw_lines(console, f"disturbed after preprocessing ({disturbed.pixels})")


def _draw_table(console: Console, table: Table | None) -> None:
    """Show a table of the report below an empty line."""
    if table is None:
        return
    head, *rows = (tuple(map(escape, row)) for row in (table.head, *table.rows))
    drawn = plain_table(*(f">{name}" if place in table.figures else name for place, name in enumerate(head)))
    for row in rows:
        drawn.add_row(*row)
    unbound = console.options.update_width(9999)
    if len(rows) < len(head) and console.measure(drawn, options=unbound).maximum > console.width:
        first, *others = zip(head, *rows, strict=True)  # rather long than wide
        drawn = plain_table(*first)
        for row in others:
            drawn.add_row(*row)
    drawn.title = escape(table.caption)
    console.print()
    console.print(drawn)
    _draw_lines(console, f"and {table.beyond:,} more" if table.beyond else "")


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
