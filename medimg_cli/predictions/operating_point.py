"""The operating threshold: chosen on validation by a rule, never on test."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import DataError, UsageError
from medimg_cli.predictions.threshold_choice import (
    NoThresholdError,
    place_by,
    positives_of,
    recall_bound,
    steps_of,
)
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import ThresholdRule
from medimg_cli.workspace.settings import TrainSettings

SO_FEW = ", which so few positives cannot give"


@dataclass(frozen=True)
class OperatingPoint:
    """Where probabilities become decisions.

    Args:
        threshold: of P(positive), of one label an image; None where the most probable class is the answer.
        thresholds: of several labels an image, class → its own; none of a class that validation shows no image of.
        unmet: of several labels, class → why no threshold is what the rule asks for.
    """

    threshold: Threshold | None = None
    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    unmet: Mapping[str, str] = field(default_factory=dict)

    @property
    def every(self) -> tuple[Threshold, ...]:
        return (self.threshold,) if self.threshold else tuple(self.thresholds.values())

    def figures(self) -> dict[str, float | None]:
        """Return recall and specificity where they were chosen, the mean over classes of several labels."""
        if not self.every:
            return {}
        return {
            "recall_at_threshold": _mean_of_known([each.achieved_recall for each in self.every]),
            "specificity_at_threshold": _mean_of_known([each.achieved_specificity for each in self.every]),
        }


def given_point(labels: LabelSpace, value: float) -> OperatingPoint:
    """Return a threshold that was fixed in advance, of several labels for each of them.

    Raises:
        UsageError: there is nothing to decide on: none of the classes is positive.
    """
    threshold = Threshold(
        value=value, rule="given", split="", achieved_recall=None, achieved_specificity=None
    )
    if labels.several:
        return OperatingPoint(thresholds=dict.fromkeys(labels.classes, threshold))
    if labels.positive is None:
        raise UsageError(f"--threshold {value:g} needs a positive class", "name it with --positive CLASS")
    return OperatingPoint(threshold)


def operating_point(
    labels: LabelSpace,
    targets: NDArray[np.int64] | NDArray[np.float32],
    probabilities: NDArray[np.float64],
    *,
    target_recall: float,
    split: str,
    assurance: float | None = None,
    sampling: Sampling | None = None,
) -> OperatingPoint:
    """Return the thresholds that reach a wanted recall on a split, if its kind of labels has any; as `point_by`.

    Args:
        assurance: probability that the recall to come reaches it. Where the split has too few positives for that, all of
            them are called, and the threshold's rule says so.
    """
    if assurance is None:
        rule = ThresholdRule("recall", target_recall)
        return point_by(rule, labels, targets, probabilities, split=split, sampling=sampling)
    rule = ThresholdRule("recall_assured", target_recall, assurance)
    try:
        point = point_by(rule, labels, targets, probabilities, split=split, sampling=sampling)
    except NoThresholdError:
        point = OperatingPoint(unmet={"": ""})
    if not point.unmet:
        return point
    every = point_by(
        ThresholdRule("recall", 1.0), labels, targets, probabilities, split=split, sampling=sampling
    )
    changes = {
        "rule": f"{rule.words}{SO_FEW}: all are called",
        "target_recall": target_recall,
        "reaches_target": None,
    }
    if every.threshold is not None:
        return OperatingPoint(every.threshold.model_copy(update=changes))
    found = {name: every.thresholds[name].model_copy(update=changes) for name in point.unmet}
    return OperatingPoint(thresholds={**point.thresholds, **found})


def usual_point(
    labels: LabelSpace,
    chosen: TrainSettings,
    split: str,
    targets: NDArray[np.int64] | NDArray[np.float32],
    probabilities: NDArray[np.float64],
    sampling: Sampling,
) -> OperatingPoint:
    """Return the thresholds that training takes on a split, of its images or of its exams."""
    target, assurance = chosen.target_recall, chosen.assurance
    return operating_point(
        labels,
        targets,
        probabilities,
        target_recall=target,
        split=split,
        assurance=assurance,
        sampling=sampling,
    )


def point_by(
    rule: ThresholdRule,
    labels: LabelSpace,
    targets: NDArray[np.int64] | NDArray[np.float32],
    probabilities: NDArray[np.float64],
    *,
    split: str,
    sampling: Sampling | None = None,
) -> OperatingPoint:
    """Return the thresholds that a rule takes on a split, if its kind of labels has any.

    Args:
        targets: (N,) class indices, or (N, C) of 1, 0 and NaN for unknown.
        probabilities: (N, C).
        sampling: how the N images were drawn; None = each is of another patient.

    Raises:
        UsageError, DataError: as `threshold_by` has it; of several labels a class without any is left out.
    """
    if labels.several:
        return _point_of_labels(rule, labels, targets, probabilities, split, sampling)
    if labels.positive is None:
        return OperatingPoint()
    truth = labels.is_positive[targets.astype(np.int64)]
    return OperatingPoint(
        threshold_by(rule, truth, labels.positive_score(probabilities), split=split, sampling=sampling)
    )


def _point_of_labels(
    rule: ThresholdRule,
    labels: LabelSpace,
    targets: NDArray[np.int64] | NDArray[np.float32],
    probabilities: NDArray[np.float64],
    split: str,
    sampling: Sampling | None,
) -> OperatingPoint:
    thresholds, unmet = {}, {}
    for index, name in enumerate(labels.classes):
        known = ~np.isnan(targets[:, index])
        truth, score = targets[known, index] == 1, probabilities[known, index]
        if not truth.any():
            continue
        drawn_from = sampling.of(known) if sampling else None
        try:
            thresholds[name] = threshold_by(rule, truth, score, split=split, sampling=drawn_from)
        except NoThresholdError as error:  # the other labels have theirs; this one's reason is reported
            unmet[name] = error.what
    return OperatingPoint(thresholds=thresholds, unmet=unmet)


def choose_threshold(
    truth: NDArray[np.bool_], score: NDArray[np.float64], *, target_recall: float, split: str
) -> Threshold:
    """Return the highest threshold whose recall on a split reaches the target, in 0..1; as `threshold_by`."""
    return threshold_by(ThresholdRule("recall", target_recall), truth, score, split=split)


def threshold_by(
    rule: ThresholdRule,
    truth: NDArray[np.bool_],
    score: NDArray[np.float64],
    *,
    split: str,
    sampling: Sampling | None = None,
) -> Threshold:
    """Return the threshold that a rule takes on a split.

    Args:
        truth: (N,), True where the reference standard says positive.
        score: (N,), probability of the positive class; called positive when at least the threshold.
        split: where truth and score come from.
        sampling: how the N images were drawn; None = each is of another patient.

    Raises:
        UsageError: the split is test.
        DataError: the split has no positive image, or no threshold is what the rule asks for.
    """
    if split == "test":
        raise UsageError("a threshold cannot be chosen on the test split", "choose it on validation")
    if not truth.any():
        raise DataError(
            f"no positive image in {split}",
            "give the split at least one, or ingest again with another --seed",
        )
    steps = steps_of(truth, score)
    of_positives = (sampling or Sampling(None, len(truth))).of(truth)
    positives = positives_of(score[truth], of_positives)
    place = place_by(rule, steps, recall_bound(score[truth], of_positives), positives)
    found, target = int(steps.found[place]), rule.target_recall
    return Threshold(
        value=float(steps.value[place]),
        rule=rule.words,
        split=split,
        target_recall=rule.target_recall,
        target_specificity=rule.target_specificity,
        achieved_recall=steps.recall(place),
        achieved_specificity=steps.specificity(place),
        positives=(positives.images, positives.patients),
        expected_recall=positives.expected(found),
        reaches_target=None if target is None else positives.reaches(found, target),
    )


def _mean_of_known(figures: Sequence[float | None]) -> float | None:
    known = [figure for figure in figures if figure is not None]
    return float(np.mean(known)) if known else None
