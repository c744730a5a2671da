"""Whether a model is worth acting on, and on whom it was learnt: a few lines under the figures of evaluate."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.evaluation.evaluation import Evaluation
    from medimg_cli.evaluation.results.surroundings import Baseline


def draw_usefulness(console: "Console", evaluation: "Evaluation") -> None:
    """Show the range of useful thresholds, the strongest baseline, and the largest shift if one is large."""
    from rich.markup import escape

    for line in (_useful(evaluation), _baseline(evaluation), _shift(evaluation)):
        if line:
            console.print(escape(line))


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
