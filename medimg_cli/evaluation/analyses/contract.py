"""Whether recall kept its target, and what changed from validation to here beyond chance."""

from typing import Literal

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.evaluation.results.decisions import Change, Contract, Expected
from medimg_cli.predictions.threshold_choice import least_for_bound, promise_of
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.intervals import difference

_FIGURES = ("recall", "specificity", "auroc")


@ANALYSES.register("contract")
def contract(subject: Subject) -> Contract | str:
    """Return the contract of the positive class, or label."""
    here, decided_on = subject.here, subject.here.positive_threshold
    if isinstance(decided_on, str):
        return decided_on
    positive, threshold = decided_on
    view, target = here.view_of(positive), threshold.target_recall
    before = None if subject.tuning is None else subject.tuning.view_of(positive)
    recall = METRICS.get("recall")(view)
    verdict = _verdict(recall, target)
    change = {} if before is None else _changes(before, view, threshold)
    images, patients = threshold.positives or (None, None)
    exact = subject.settings.ci == "exact"
    between = threshold.expected_recall
    return Contract(
        positive=positive,
        target=target,
        positives=images,
        patients=patients,
        expected=None if between is None else Expected(low=between[0], high=between[1]),
        reaches=threshold.reaches_target,
        least_for_bound=None if target is None else least_for_bound(target, exact=exact),
        verdict=verdict,
        change=change,
        promise=promise_of(threshold, exact=exact),
        outcome=_outcome(verdict, target, recall, change),
    )


def _verdict(recall: Estimate, target: float | None) -> Literal["met", "missed", "cannot be told", ""]:
    if target is None or recall.value is None:
        return ""
    if recall.low is not None and recall.low >= target:
        return "met"
    return "missed" if recall.high is not None and recall.high < target else "cannot be told"


def _changes(before: OneVsRest, view: OneVsRest, threshold: Threshold) -> dict[str, Change]:
    found = {}
    for name in _FIGURES:
        val, here = METRICS.get(name)(before), METRICS.get(name)(view)
        if val.value is None or here.value is None:
            continue
        if name == "recall" and threshold.expected_recall is not None:
            # The threshold was chosen for this recall: what validation says of the recall to come is its order statistic's.
            low, high = threshold.expected_recall
            low, high = min(low, val.value), max(high, val.value)
            val = val.model_copy(update={"low": low, "high": high, "method": "order statistic"})
        gap = difference(here, val)
        known = gap.low is not None and gap.high is not None
        beyond = bool(gap.low > 0 or gap.high < 0) if known else None  # type: ignore[operator]
        found[name] = Change(val=val, here=here, difference=gap, beyond_chance=beyond)
    return found


def _outcome(verdict: str, target: float | None, recall: Estimate, change: dict[str, Change]) -> str:
    parts = []
    if verdict and recall.low is not None and recall.high is not None:
        between = f"recall {recall.value:.3f}, interval {recall.low:.3f} to {recall.high:.3f}"
        words = {
            "met": f"target {target:g} met",
            "missed": f"target {target:g} missed",
            "cannot be told": f"whether the target {target:g} is met cannot be told",
        }
        parts.append(f"{words[verdict]} ({between})")
    moved = [
        f"{name} {one.val.value:.3f} → {one.here.value:.3f}"
        for name, one in change.items()
        if one.beyond_chance
    ]
    if moved:
        parts.append(f"changed from validation beyond chance: {', '.join(moved)}")
    elif change:
        parts.append("no change from validation beyond chance")
    return "; ".join(parts)
