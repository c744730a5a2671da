"""How `medimg evaluate` shows two models on the same images."""

from typing import TYPE_CHECKING

from rich.markup import escape

from medimg_cli.cli.views.figures import interval_text, value_text
from medimg_cli.cli.views.render import plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.evaluation.evaluation import Evaluation


def draw_comparison(console: "Console", evaluation: "Evaluation") -> None:
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
            _figure(row.first),
            _figure(row.second),
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


def _figure(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"
