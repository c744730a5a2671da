"""An evaluation that does not decide as the model does is an exploration: it stands beside, and never in a report."""

import re
from dataclasses import dataclass

from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.workspace.evaluate_settings import EvaluateSettings


@dataclass(frozen=True)
class Place:
    """Where an evaluation and its predictions are written.

    Args:
        folder: the run's own, or one below its `explorations/`.
        remark: of an exploration, what the model does instead and how to change it; "" else.
    """

    folder: Run
    remark: str = ""


def place_of(run: Run, card: ModelCard, point: OperatingPoint, settings: EvaluateSettings) -> Place:
    """Return where an evaluation at some thresholds belongs."""
    same = point.threshold == card.threshold and dict(point.thresholds) == card.thresholds
    if (same or settings.keep_threshold) and not settings.tta:
        return Place(run)
    rule = settings.rule.words if settings.rule else ""
    words = re.sub(r"[^a-z0-9.]+", "-", rule.replace("≥", "").lower()).strip("-")
    name = "-".join(filter(None, [words, "tta" if settings.tta else ""]))
    folder = run.folder / "explorations" / name
    own = (
        "several of its own"
        if card.thresholds
        else f"{card.threshold.value:.4f}"
        if card.threshold
        else "none"
    )
    remark = f"an exploration: the model's own threshold ({own}) still decides in predict, serve and report"
    if settings.rule is not None and not settings.keep_threshold:
        remark += "; the same command with --keep-threshold puts this one into the model"
        remark += " for --tta" if settings.tta else ""
    return Place(Run(folder), remark)
