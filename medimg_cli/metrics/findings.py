"""Several labels an image: each is a question of its own.

Figures are of the images of which somebody judged the label, and means over labels are of those that the split shows
with and without.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.core.run import Threshold
from medimg_cli.metrics import METRICS, OneVsRest, mean_of
from medimg_cli.metrics.answered import Answered
from medimg_cli.metrics.panel import OF_EACH_CLASS, OF_POSITIVE
from medimg_cli.metrics.proper_scores import label_log_losses

NO_CONFUSION = "several labels an image: none of them excludes another"
_NAMED = 6


def overall_of_labels(answered: Answered) -> dict[str, Estimate]:
    """Return the figures of the positive label where there is one, and means over labels."""
    figures: dict[str, Estimate] = {}
    positive = answered.labels.positive
    if positive is not None:
        view = answered.views[positive]
        figures |= {name: METRICS.get(name)(view) for name in OF_POSITIVE}
    both = [view for view in answered.views.values() if _has_both(view)]
    for name in OF_EACH_CLASS:
        values = [METRICS.get(name)(view).value for view in both]
        # A label that was never called has no precision: its mean leaves it out, as it does a label not shown.
        known = [value for value in values if value is not None]
        mean = float(np.mean(known)) if known else None
        reason = None if known else "no label with and without it in the split"
        figures[f"macro_{name}"] = Estimate(value=mean, n=len(known), reason=reason)
    losses, judged = label_log_losses(answered.probabilities, answered.marks)
    figures["log_loss"] = mean_of(losses, judged, answered.sampling, undefined="nobody judged a label")
    return figures


def remarks_on_labels(shown: Mapping[str, OneVsRest], thresholds: Mapping[str, Threshold]) -> list[str]:
    """Return what a reader must know of labels that are in no mean, or have no threshold of their own."""
    left_out = [name for name, view in shown.items() if not _has_both(view)]
    undecided = [name for name in shown if name not in thresholds]
    found = []
    if left_out:
        found.append(f"not shown both with and without in this split, so in no mean: {_named(left_out)}")
    if undecided:
        found.append(f"called at 0.5, as validation showed no image of them: {_named(undecided)}")
    return found


def _has_both(view: OneVsRest) -> bool:
    return bool(view.truth.any()) and not bool(view.truth.all())


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
