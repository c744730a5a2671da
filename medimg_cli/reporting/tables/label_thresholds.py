"""Where each of several labels an image becomes a yes, as a table."""

from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.reporting.content import TABLE_ROWS
from medimg_cli.reporting.tables.number_format import number, percent
from medimg_cli.reporting.tables.tables import Table
from medimg_cli.runs.run import Threshold


def threshold_table(evaluation: Evaluation) -> Table | None:
    """Return the operating point of each label, where an image may carry several; None where it carries one."""
    if not evaluation.several_labels:
        return None
    shown = evaluation.classes[:TABLE_ROWS]
    rows = tuple((name, *_threshold_cells(evaluation.thresholds.get(name))) for name in shown)
    head = ("Label", "Threshold", "Aimed at", "Sensitivity there", "Specificity there")
    caption = "The threshold of each label, and its figures where it was chosen"
    return Table(caption, head, rows, len(evaluation.classes) - len(shown), figures=(1, 2, 3, 4))


def _threshold_cells(threshold: Threshold | None) -> tuple[str, ...]:
    if threshold is None:
        return ("0.5", "–", "–", "–")
    return (
        number(threshold.value, 4),
        _aim(threshold),
        percent(threshold.achieved_recall),
        percent(threshold.achieved_specificity),
    )


def _aim(threshold: Threshold) -> str:
    """Return what the threshold was to reach: sensitivity, unless another figure is named."""
    if threshold.target_recall is not None:
        return percent(threshold.target_recall)
    if threshold.target_specificity is not None:
        return f"specificity {percent(threshold.target_specificity)}"
    return "–"
