"""From a predictions table of several labels an image to all the numbers of an evaluation.

Each label is a question of its own: figures are of the images of which somebody judged it, and means over labels
are of those that the split shows with and without.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.core.answers import log_loss_of
from medimg_cli.core.evaluation import Estimate, Evaluation, Leakage
from medimg_cli.core.findings import called_labels, marks_of
from medimg_cli.core.labels import LabelSpace
from medimg_cli.core.predictions import probabilities_of
from medimg_cli.core.run import Threshold
from medimg_cli.metrics import METRICS, OneVsRest
from medimg_cli.metrics.panel import OF_EACH_CLASS, OF_POSITIVE, curves_of, missed_of
from medimg_cli.metrics.remarks import remarks_on_data, remarks_on_positives

NO_CONFUSION = "several labels an image: none of them excludes another"
_NAMED = 6


def evaluation_of_findings(
    table: pd.DataFrame,
    *,
    labels: LabelSpace,
    run: str,
    split: str,
    thresholds: Mapping[str, Threshold],
    leakage: Leakage,
    hashes: tuple[str, str, str],
) -> Evaluation:
    """Return all numbers of one predictions table.

    Args:
        table: columns patient_id, image_id, y_true_<class>, prob_<class>.
        labels: the classes, and the positive one if there is one.
        run, split: names to record.
        thresholds: class → its operating point; a class without one is called at 0.5.
        leakage: what the split shares with others.
        hashes: of data set, predictions file and weights.
    """
    marks, probabilities = marks_of(table, labels.classes), probabilities_of(table)
    called = called_labels(probabilities, labels.classes, thresholds)
    positive = labels.positive_index
    views = _views(marks, probabilities, called)
    shown = dict(zip(labels.classes, views, strict=True))
    dataset_hash, predictions_sha256, weights_sha256 = hashes
    metrics = _overall(views, labels)
    metrics["log_loss"] = Estimate(value=log_loss_of(probabilities, marks), n=len(table))
    roc, precision_recall = curves_of(shown.items())
    return Evaluation(
        run=run,
        split=split,
        n=len(table),
        patients=int(table["patient_id"].nunique()),
        classes=labels.classes,
        class_counts={name: int(view.truth.sum()) for name, view in shown.items()},
        positive=labels.positive,
        threshold=None,
        thresholds=dict(thresholds),
        several_labels=True,
        unknown_labels={name: len(table) - view.n for name, view in shown.items()},
        metrics=metrics,
        per_class={
            name: {metric: METRICS.get(metric)(view) for metric in OF_EACH_CLASS}
            for name, view in shown.items()
        },
        confusion=None,
        confusion_absent=NO_CONFUSION,
        missed=None
        if positive is None
        else missed_of(views[positive], table["image_id"][~np.isnan(marks[:, positive])]),
        calibration={"log_loss": metrics["log_loss"].value},
        leakage=leakage,
        roc=roc,
        precision_recall=precision_recall,
        warnings=(
            *remarks_on_positives(
                None if labels.positive is None else int(shown[labels.positive].truth.sum())
            ),
            *_remarks(shown, thresholds),
            *remarks_on_data(table, leakage),
        ),
        dataset_hash=dataset_hash,
        predictions_sha256=predictions_sha256,
        weights_sha256=weights_sha256,
    )


def _views(
    marks: NDArray[np.float32], probabilities: NDArray[np.float64], called: NDArray[np.bool_]
) -> list[OneVsRest]:
    """Return each label among the images of which it was judged."""
    known = ~np.isnan(marks)
    return [
        OneVsRest(marks[rows, index] == 1, probabilities[rows, index], called[rows, index])
        for index, rows in enumerate(known.T)
    ]


def _overall(views: Sequence[OneVsRest], labels: LabelSpace) -> dict[str, Estimate]:
    """Return the figures of the positive label where there is one, and means over labels."""
    figures: dict[str, Estimate] = {}
    if labels.positive_index is not None:
        view = views[labels.positive_index]
        figures |= {name: METRICS.get(name)(view) for name in OF_POSITIVE}
    both = [view for view in views if _has_both(view)]
    for name in OF_EACH_CLASS:
        values = [METRICS.get(name)(view).value for view in both]
        # A label that was never called has no precision: its mean leaves it out, as it does a label not shown.
        known = [value for value in values if value is not None]
        mean = float(np.mean(known)) if known else None
        reason = None if known else "no label with and without it in the split"
        figures[f"macro_{name}"] = Estimate(value=mean, n=len(known), reason=reason)
    return figures


def _has_both(view: OneVsRest) -> bool:
    return bool(view.truth.any()) and not bool(view.truth.all())


def _remarks(shown: Mapping[str, OneVsRest], thresholds: Mapping[str, Threshold]) -> list[str]:
    """Return what a reader must know of labels that are in no mean, or have no threshold of their own."""
    left_out = [name for name, view in shown.items() if not _has_both(view)]
    undecided = [name for name in shown if name not in thresholds]
    found = []
    if left_out:
        found.append(f"not shown both with and without in this split, so in no mean: {_named(left_out)}")
    if undecided:
        found.append(f"called at 0.5, as validation showed no image of them: {_named(undecided)}")
    return found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
