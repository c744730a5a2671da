"""From a predictions table to all the numbers of an evaluation."""

from collections.abc import Mapping
from types import MappingProxyType

import pandas as pd

from medimg_cli.core.evaluation import Curve, Evaluation, Leakage
from medimg_cli.core.labels import LabelSpace
from medimg_cli.core.predictions import probabilities_of
from medimg_cli.core.run import Threshold
from medimg_cli.metrics.findings import evaluation_of_findings
from medimg_cli.metrics.panel import Decisions, curves_of, decide_classes, missed_of, overall, per_class
from medimg_cli.metrics.remarks import remarks_on_data, remarks_on_positives


def evaluation_of(
    table: pd.DataFrame,
    *,
    labels: LabelSpace,
    run: str,
    split: str,
    threshold: Threshold | None,
    leakage: Leakage,
    hashes: tuple[str, str, str],
    thresholds: Mapping[str, Threshold] = MappingProxyType({}),
) -> Evaluation:
    """Return all numbers of one predictions table.

    Args:
        table: columns y_true, patient_id, image_id, prob_<class>; of several labels an image y_true_<class> too.
        labels: the classes and the positive one.
        run, split: names to record.
        threshold: operating point; None decides by the most probable class.
        leakage: what the split shares with others.
        hashes: of data set, predictions file and weights.
        thresholds: of several labels an image, class → its own.
    """
    if labels.several:
        return evaluation_of_findings(
            table,
            labels=labels,
            run=run,
            split=split,
            thresholds=thresholds,
            leakage=leakage,
            hashes=hashes,
        )
    positive = labels.positive_index
    truth = labels.encode(table["y_true"].tolist())
    probabilities = probabilities_of(table)
    called = decide_classes(
        probabilities, positive=positive, threshold=threshold.value if threshold else None
    )
    decisions = Decisions(truth, probabilities, called, labels.classes, positive)
    metrics = overall(decisions)
    at_argmax = None
    if threshold is not None:
        most_probable = decide_classes(probabilities, positive=positive, threshold=None)
        at_argmax = Decisions(truth, probabilities, most_probable, labels.classes, positive).confusion()
    roc, precision_recall = _curves(decisions)
    dataset_hash, predictions_sha256, weights_sha256 = hashes
    return Evaluation(
        run=run,
        split=split,
        n=len(table),
        patients=int(table["patient_id"].nunique()),
        classes=labels.classes,
        class_counts={name: int((truth == index).sum()) for index, name in enumerate(labels.classes)},
        positive=labels.positive,
        threshold=threshold,
        metrics=metrics,
        per_class=per_class(decisions),
        confusion=decisions.confusion(),
        confusion_at_argmax=at_argmax,
        missed=None if positive is None else missed_of(decisions.against_rest(positive), table["image_id"]),
        calibration={name: metrics[name].value for name in ("brier", "log_loss", "ece") if name in metrics},
        leakage=leakage,
        roc=roc,
        precision_recall=precision_recall,
        warnings=_warnings(decisions, table, leakage),
        dataset_hash=dataset_hash,
        predictions_sha256=predictions_sha256,
        weights_sha256=weights_sha256,
    )


def _curves(decisions: Decisions) -> tuple[tuple[Curve, ...], tuple[Curve, ...]]:
    """Return ROC and precision–recall curves: of the positive class first, else of every class."""
    wanted = range(len(decisions.classes))
    if decisions.positive is not None and len(decisions.classes) == 2:
        wanted = range(decisions.positive, decisions.positive + 1)
    return curves_of([(decisions.classes[index], decisions.against_rest(index)) for index in wanted])


def _warnings(decisions: Decisions, table: pd.DataFrame, leakage: Leakage) -> tuple[str, ...]:
    positive = decisions.positive
    positives = None if positive is None else int((decisions.truth == positive).sum())
    return (*remarks_on_positives(positives), *remarks_on_data(table, leakage))
