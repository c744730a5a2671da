"""What a reader of an evaluation must know beside its numbers."""

from collections.abc import Mapping, Sequence

import numpy as np

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.evaluation import Leakage
from medimg_cli.evaluation.metrics import OneVsRest
from medimg_cli.evaluation.results.calibration import Calibration
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.plain_text import plural

_FEW_POSITIVES = 30
_TOO_FEW_POSITIVES = 10
_FEW_PATIENTS = 20
_CHANCE = 0.5
_NAMED = 6
TELLS_NOTHING = "this decision tells no image from another"
BELOW_CHANCE = "is below 0.5: "


def remarks_of(here: ScoredPredictions, leakage: Leakage) -> list[str]:
    """Return what follows from the tested images, what decides on them and how that came out."""
    positive = here.labels.positive
    positives = None if positive is None else int(here.view_of(positive).truth.sum())
    shown = _remarks_on_labels(here.views) if here.labels.several else remarks_on_classes(here)
    return [
        *remarks_on_positives(positives),
        *shown,
        *remarks_on_decisions(here),
        *remarks_on_data(here, leakage),
        *remarks_on_point(here.point, here.labels),
    ]


def remarks_on_positives(positives: int | None) -> list[str]:
    """Return what follows from how many images of the positive class were tested, None where none was stated."""
    if positives is None:
        return ["no positive class was stated: recall is the mean over classes"]
    if positives < _TOO_FEW_POSITIVES:
        return [f"only {plural(positives, 'positive image')}: read counts, not percentages"]
    if positives < _FEW_POSITIVES:
        return [f"only {positives} positive images: intervals are wide"]
    return []


def remarks_on_classes(here: ScoredPredictions) -> list[str]:
    """Return what follows from classes that no image is of, of one label an image."""
    absent = [name for name, view in here.views.items() if not view.truth.any()]
    if here.n and len(absent) == len(here.classes) - 1:
        only = next(name for name in here.classes if name not in absent)
        return [f"every image is of {only}: figures that need two classes are not defined"]
    return [f"no image is of {', '.join(absent)}: figures that need one are not defined"] if absent else []


def _remarks_on_labels(shown: Mapping[str, OneVsRest]) -> list[str]:
    left_out = [name for name, view in shown.items() if not view.has_both]
    return (
        [f"not shown both with and without in this split, so in no mean: {_named(left_out)}"]
        if left_out
        else []
    )


def remarks_on_decisions(here: ScoredPredictions) -> list[str]:
    """Return which classes are called of every image or of none, against the reference, and how often the first of equals is."""
    found, asked = [], here.questions.items()
    everywhere = [name for name, view in asked if view.n and view.called.all() and not view.truth.all()]
    nowhere = [name for name, view in asked if view.truth.any() and not view.called.any()]
    if everywhere:
        found.append(f"every image is called {_named(everywhere)}: {TELLS_NOTHING}")
    if nowhere:
        found.append(f"no image is called {_named(nowhere)}: {TELLS_NOTHING}")
    if here.n and not here.labels.several and here.point.threshold is None:
        best = here.probabilities == here.probabilities.max(axis=1, keepdims=True)
        if equal := int(np.count_nonzero(best.sum(axis=1) > 1)):
            found.append(
                f"of {plural(equal, 'image')} several classes are the most probable: the first of them is called"
            )
    return found


def remarks_on_point(point: OperatingPoint, labels: LabelSpace) -> list[str]:
    """Return what no threshold of its own decides on, and which thresholds were chosen on next to nothing."""
    found = []
    for name, why in point.unmet.items():
        kept = "keeps the model's own threshold" if name in point.thresholds else "is called at 0.5"
        found.append(f"the label {name} {kept}: {why}")
    known = {*point.thresholds, *point.unmet}
    if undecided := [name for name in labels.classes if labels.several and name not in known]:
        why = "validation showed no image of them" if point.every else "no threshold was given"
        found.append(f"called at 0.5, as {why}: {_named(undecided)}")
    chosen = {labels.positive or "": point.threshold} if point.threshold else point.thresholds
    seen = {name: each.positives[0] for name, each in chosen.items() if each.positives}
    if few := [f"{name} ({seen[name]})" for name in seen if seen[name] < _TOO_FEW_POSITIVES]:
        found.append(
            f"chosen on fewer than {_TOO_FEW_POSITIVES} positive images, a threshold may lie anywhere: {_named(few)}"
        )
    if one_sided := [name for name in seen if chosen[name].achieved_specificity is None]:
        found.append(
            f"chosen without a negative image, so that specificity was not known: {_named(one_sided)}"
        )
    return found


def _named(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def remarks_on_data(here: ScoredPredictions, leakage: Leakage) -> list[str]:
    """Return what follows from whose images they are."""
    found = []
    if not leakage.patients_known:
        found.append(
            "patients are not known: leaks between splits cannot be excluded, and intervals assume that images are "
            "independent"
        )
    if leakage.nameless:
        found.append(
            f"{leakage.nameless:,} of {here.n:,} images name no patient: each counts as a patient of its own, and leaks "
            "between splits cannot be excluded for them"
        )
    if leakage.patients_known and here.sampling.clustered and here.sampling.units < _FEW_PATIENTS:
        found.append(f"only {here.sampling.units} patients: intervals are rough")
    if leakage.shared_patients and not leakage.patients_certain:
        found.append(
            f"{leakage.shared_patients} patient names read from files occur in other splits too: whether they are "
            "the same patients is not known"
        )
    elif leakage.shared_patients or leakage.shared_files:
        found.append(
            f"this split shares {plural(leakage.shared_patients, 'patient')} and {plural(leakage.shared_files, 'file')} "
            "with other splits: the figures are too good"
        )
    if leakage.left_out:
        found.append(f"{leakage.left_out:,} images with a counterpart in another split are left out")
    elif leakage.leak is not None and leakage.leak.images:
        found.append(leakage.leak.line("tested"))
    if leakage.not_compared:
        found.append(f"leaks cannot be excluded: {leakage.not_compared}")
    if leakage.near_duplicates:
        alike = (
            "1 image looks" if leakage.near_duplicates == 1 else f"{leakage.near_duplicates:,} images look"
        )
        found.append(
            f"{alike} like an image of another split, in another file (near duplicates): the figures may be too good"
        )
    return found


def remarks_on_results(
    positive: str | None, metrics: Mapping[str, Estimate], calibration: Calibration | None
) -> list[str]:
    """Return what the figures themselves make one doubt: an area below chance, a temperature that does harm here."""
    found, area = [], metrics.get("auroc" if positive is not None else "macro_auroc")
    if area is not None and area.value is not None and area.value < _CHANCE:
        which = f"is {positive} the positive class, and are its" if positive is not None else "are the"
        found.append(f"AUROC {area.value:.3f} {BELOW_CHANCE}{which} probabilities in the right columns?")
    if calibration is not None and calibration.ece is not None:
        before = calibration.uncalibrated.get("ece")
        if before is not None and calibration.ece > before:
            found.append(
                f"the temperature of {calibration.temperature:.3g} makes calibration worse on these images: "
                f"error {calibration.ece:.4f}, {before:.4f} without it"
            )
    return found
