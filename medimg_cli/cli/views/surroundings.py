"""How `medimg evaluate` shows gaps between subgroups and what disturbed images do to recall."""

from typing import TYPE_CHECKING

from rich.markup import escape

from medimg_cli.cli.views.render import plain_table

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.evaluation.evaluation import Evaluation
    from medimg_cli.evaluation.results.subgroups import Subgroups
    from medimg_cli.evaluation.results.surroundings import Robustness
    from medimg_cli.statistics.estimate import Estimate

_RECALLS = ("recall", "macro_recall")


def draw_surroundings(console: "Console", evaluation: "Evaluation") -> None:
    """Show what was measured of subgroups and of disturbed images; nothing where neither was."""
    if evaluation.subgroups is not None:
        console.print()
        _draw_gaps(console, evaluation.subgroups)
    if evaluation.robustness is not None:
        console.print()
        _draw_robustness(console, evaluation.robustness)


def _draw_gaps(console: "Console", subgroups: "Subgroups") -> None:
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
            _value(grouping.largest_gap[name]),
            _interval(grouping.largest_gap[name]),
            f"{escape(lower)} {_value(values[lower])}",
            f"{escape(higher)} {_value(values[higher])}",
            f"{grouping.pairs[name]:,}",
        )
    console.print(table)
    if subgroups.absent:
        console.print(f"[dim]the data say nothing of {', '.join(subgroups.absent)}[/dim]")


def _draw_robustness(console: "Console", robustness: "Robustness") -> None:
    """Show recall with its change, and the other figures: what calls every image positive keeps its recall."""
    names = list(robustness.undisturbed)
    recall, others = names[0], [f">{name.replace('_', ' ')}" for name in names[1:]]
    words = f">{recall.replace('_', ' ')}"
    table = plain_table("disturbed by", "strength", words, ">change", "95 % interval", *others)
    first, *rest = (_value(figure) for figure in robustness.undisturbed.values())
    table.add_row("nothing", "", first, "", "", *rest)
    for row in robustness.rows:
        change = "" if row.change.value is None else f"{row.change.value:+.4f}"
        first, *rest = (_value(row.metrics[name]) for name in names)
        table.add_row(row.disturbance, row.strength, first, change, _interval(row.change), *rest)
    console.print(table)
    console.print(
        f"[dim]{robustness.n:,} images, disturbed after preprocessing ({escape(robustness.pixels)})[/dim]"
    )


def _value(estimate: "Estimate") -> str:
    return "not defined" if estimate.value is None else f"{estimate.value:.4f}"


def _interval(estimate: "Estimate") -> str:
    if estimate.reason:
        return escape(estimate.reason)
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.4f} to {estimate.high:.4f}"
