"""What decisions mean in use, as `medimg evaluate` shows it: trade-offs, prevalences, patients."""

from typing import TYPE_CHECKING

from rich.markup import escape

from medimg_cli.cli.views.figures import figure_text, interval_text, value_text
from medimg_cli.cli.views.render import plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.evaluation.evaluation import Evaluation
    from medimg_cli.evaluation.results.decisions import AtPrevalence, PatientLevel, PatientLevels, TradeOff

_RULES = {"max": "the highest probability of their images", "mean": "the mean of it"}


def draw_operating(console: "Console", evaluation: "Evaluation") -> None:
    """Show trade-offs and prevalences of the positive class, and its patients; nothing without one."""
    operating = evaluation.operating
    if operating is not None and evaluation.positive in operating.by_class:
        of_positive = operating.by_class[evaluation.positive]
        _draw_trade_offs(console, evaluation.split, of_positive.trade_offs)
        _draw_prevalences(console, of_positive.at_prevalences)
    if evaluation.patient_level is not None:
        console.print(escape(_patients(evaluation.patient_level)))
        console.print()


def _draw_trade_offs(console: "Console", split: str, trade_offs: "tuple[TradeOff, ...]") -> None:
    table = plain_table(f"curve of {split}, to describe it", ">value", "95 % interval", ">threshold")
    for each in trade_offs:
        other = "recall" if each.fixed == "specificity" else "specificity"
        figure = each.recall if each.fixed == "specificity" else each.specificity
        threshold = "none" if each.threshold is None else f"{each.threshold:.4f}"
        name = f"{other} at {each.fixed} {each.wanted:.2f}"
        table.add_row(name, value_text(figure), interval_text(figure), threshold)
    console.print(table)
    console.print()


def _draw_prevalences(console: "Console", at_prevalences: "tuple[AtPrevalence, ...]") -> None:
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
    return f"recall of {levels.positive} by patient: " + "; ".join(_patient(each) for each in levels.levels)


def _patient(level: "PatientLevel") -> str:
    recall = figure_text(level.metrics["recall"])
    return f"by {_RULES[level.rule]} {recall}, missed {len(level.missed)} of {level.positives}"
