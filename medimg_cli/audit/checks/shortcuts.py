"""Whether the label can be predicted from what is not anatomy, one trait at a time."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.checks import check, label_sets
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding, Severity
from medimg_cli.audit.shortcuts.cohort_traits import traits_of
from medimg_cli.audit.shortcuts.column_traits import Trait, TraitKind
from medimg_cli.audit.shortcuts.separability import (
    Area,
    Binned,
    Part,
    area_by_patient,
    area_of,
    area_together,
    evidence,
    folds_by_patient,
    telling_parts,
    two_sides,
)
from medimg_cli.dataset.manifest import DatasetInfo
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.plain_text import plural

NAME = "shortcuts"
TELLS_AUROC = 0.7
# With few patients an area above 0.7 is often an accident: the interval has to stay well above chance, and chance
# has to be excluded for as many traits as are tried. Without the second, one null cohort of 40 in five cried.
LEAST_LOWER_END = 0.6
FEW_IMAGES = 15
FEW_PATIENTS = 10
# Traits whose evidence correlates so much carry the same information, and are reported together.
SAME_EVIDENCE = 0.75
_EFFECT_BEYOND_CAUSE = 0.03
_MOST_OTHERS = 6
# A threshold describes a number as well as bins do where it loses no more of the area than this.
_LOST_BY_THRESHOLD = 0.05
_FACETS: tuple[TraitKind, ...] = ("content", "edge")  # many figures of one thing: the grey values
_UNSEEN: tuple[TraitKind, ...] = ("name", "column")
_REMARKS: dict[TraitKind, str] = {
    "picture": "it reaches the pixels",
    "edge": "it is in the pixels, and border and corners are seldom anatomy",
    "content": "brightness, detail and noise may be the disease itself: look",
    "origin": "it is not in the pixels, but devices, places and years leave traces there",
    "patient": "the classes hold different patients",
    "name": "it is not in the pixels: no network sees it",
    "column": "it may be the label in other words",
}
_ADVICE: dict[TraitKind, str] = {
    "picture": "bring all images to one format and size the same way, and test on images where the two do not go together",
    "edge": "crop or mask the border and the marks, or match the classes, and test on images without them",
    "content": "look at both ends: if exposure or device makes the difference, match the classes or even it out",
    "origin": "match the classes by it, or evaluate within each value: a model may learn the place instead",
    "patient": "match the classes by it, or report results within each group",
    "name": "nothing to mend for training; do not let a model or a reader see the names",
    "column": "nothing to mend if it is another word for the label; else match the classes by it",
}


@dataclass(frozen=True)
class _Target:
    """A class to be separated from the rest: its name and which images (N,) belong to it."""

    name: str
    truth: NDArray[np.bool_]


@dataclass(frozen=True)
class _PredictiveTrait:
    """A trait that tells a class.

    Args:
        scores: (N,) out-of-fold evidence.
    """

    trait: Trait
    binned: Binned
    target: _Target
    area: Area
    scores: NDArray[np.float64]


@check(
    NAME,
    "the label can be predicted from format, size, device, border or brightness instead of anatomy",
    "looks",
)
def shortcuts(context: AuditContext) -> Checked:
    """Predict the label from every trait alone, out of fold by patient, and tell those that can.

    A trait is reported at an AUROC above 0.7 whose interval stays above 0.6, unless it may be chance among so many
    traits; of several classes, for the one it gives away most.
    What no network sees (file names, other columns) is info.

    Raises:
        CheckSkipped: fewer than two classes have enough images and patients.
    """
    rows, info = context.dataset.usable, context.dataset.info
    targets = _targets(rows, info)
    folds = folds_by_patient(
        rows["label"].tolist(),
        rows["patient_id"].tolist(),
        seed=context.settings.seed,
        multi_label=info.multi_label,
    )
    cohort = traits_of(context, rows)
    varied = [
        (trait, binned)
        for trait, binned in ((trait, trait.binned()) for trait in cohort.traits)
        if np.ptp(binned.codes) > 0
    ]
    patients = pd.factorize(rows["patient_id"])[0].astype(np.int64)
    predictive = _predictive_traits(varied, targets, folds, patients)
    ids = rows["image_id"].to_numpy(dtype=str)
    findings = [_finding(group, ids, len(targets) > 1) for group in _groups(predictive)]
    findings.sort(key=lambda finding: finding.severity == "info")
    did = _did(
        len(rows), cohort.files, varied, predictive, _together(varied, targets, predictive, folds), info
    )
    return Checked(tuple(findings), did)


def _targets(rows: pd.DataFrame, info: DatasetInfo) -> list[_Target]:
    """Return the classes that can be tested; of two that exclude each other, the disease alone."""
    sets = label_sets(rows, info)
    members = {name: np.array([name in labels for labels in sets], dtype=bool) for name in info.classes}
    patients = rows["patient_id"].to_numpy()
    fit = [_Target(name, truth) for name, truth in members.items() if _is_enough(truth, patients)]
    if not fit or (not info.multi_label and len(fit) < 2):
        raise CheckSkipped(
            f"fewer than two classes have {FEW_IMAGES} images of {FEW_PATIENTS} patients to tell a shortcut by"
        )
    if info.multi_label or len(info.classes) > 2:
        return fit
    return [target for target in fit if target.name == info.positive] or fit[1:]


def _is_enough(truth: NDArray[np.bool_], patients: NDArray[np.object_]) -> bool:
    return all(
        side.sum() >= FEW_IMAGES and len(set(patients[side])) >= FEW_PATIENTS for side in (truth, ~truth)
    )


def _predictive_traits(
    varied: Sequence[tuple[Trait, Binned]],
    targets: Sequence[_Target],
    folds: NDArray[np.int64],
    patients: NDArray[np.int64],
) -> list[_PredictiveTrait]:
    """Return the traits above the bar, the strongest first; ties stay in the order of the traits."""
    found = []
    for trait, binned in varied:
        areas = [area_of(target.truth, evidence(binned, target.truth, folds)) for target in targets]
        if max(areas) <= TELLS_AUROC:
            continue
        target = targets[int(np.argmax(areas))]
        scores = evidence(binned, target.truth, folds)
        area = area_by_patient(target.truth, scores, patients)
        if area.low > LEAST_LOWER_END and area.beats_chance(len(varied) * len(targets)):
            found.append(_PredictiveTrait(trait, binned, target, area, scores))
    return sorted(found, key=lambda predictive: -round(predictive.area.value, 2))


def _groups(predictive: Sequence[_PredictiveTrait]) -> list[list[_PredictiveTrait]]:
    """Return traits that say the same thing together, the strongest group first; each group's first leads it."""
    groups: list[list[_PredictiveTrait]] = []
    for one in predictive:
        group = next((group for group in groups if _is_same(group[0], one)), None)
        if group is None:
            groups.append([one])
        else:
            group.append(one)
    return [_led(group) for group in groups]


def _led(group: list[_PredictiveTrait]) -> list[_PredictiveTrait]:
    """Return a group with its strongest in front, but a cause before its effect on size, detail or brightness.

    One class saved as PNG shows in the format and, a little stronger where a few others are PNG as well, in the
    bytes each pixel takes: the format is what has to be mended.
    """
    least = group[0].area.value - _EFFECT_BEYOND_CAUSE
    leader = next((one for one in group if one.trait.kind != "content" and one.area.value >= least), group[0])
    return [leader, *(one for one in group if one is not leader)]


def _is_same(first: _PredictiveTrait, other: _PredictiveTrait) -> bool:
    if first.target is not other.target or _severity(first) != _severity(other):
        return False
    if first.trait.kind == other.trait.kind and first.trait.kind in _FACETS:
        return True
    return bool(np.corrcoef(first.scores, other.scores)[0, 1] > SAME_EVIDENCE)


def _severity(predictive: _PredictiveTrait) -> Severity:
    return "info" if predictive.trait.kind in _UNSEEN else "warning"


def _finding(group: Sequence[_PredictiveTrait], ids: NDArray[np.str_], several: bool) -> Finding:
    """Return one finding on a group; its images are those of the part its message names first."""
    first, *others = group
    surest, least = _parts(first)
    rest = " against the rest" if several else ""
    message = (
        f"{first.trait.title} alone predicts {first.target.name}{rest} (AUROC {first.area.value:.2f}, 95 % "
        f"interval {first.area.low:.2f} to {first.area.high:.2f}): {_described(surest)} and {_described(least)} "
        f"are {first.target.name}; {_REMARKS[first.trait.kind]}"
    )
    if others:
        named = [f"{one.trait.title} {one.area.value:.2f}" for one in others[:_MOST_OTHERS]]
        more = len(others) - len(named)
        message += f"; along with it {', '.join(named)}" + (f" and {more} more" if more else "")
    members = tuple(ids[surest.members].tolist())
    return Finding(NAME, _severity(first), message, _ADVICE[first.trait.kind], members, surest.images)


def _parts(predictive: _PredictiveTrait) -> tuple[Part, Part]:
    """Return what speaks most for or against the class: two sides of a threshold if one will do, else two bins."""
    numbers, truth = predictive.trait.numbers, predictive.target.truth
    if numbers is not None:
        plain = area_of(truth, numbers)
        if max(plain, 1 - plain) >= predictive.area.value - _LOST_BY_THRESHOLD:
            below, above = two_sides(numbers, truth)
            return (below, above) if below.share > above.share else (above, below)
    return telling_parts(predictive.binned, truth)


def _described(part: Part) -> str:
    return f"{part.share:.0%} of {plural(part.images, 'image')} ({mask_identities(part.name)})"


def _together(
    varied: Sequence[tuple[Trait, Binned]],
    targets: Sequence[_Target],
    predictive: Sequence[_PredictiveTrait],
    folds: NDArray[np.int64],
) -> float | None:
    """Return the area of all traits at once that are neither a name nor perhaps the disease; None without any."""
    target = predictive[0].target if predictive else targets[0]
    chosen = [binned for trait, binned in varied if trait.kind not in (*_UNSEEN, "content")]
    return area_together(chosen, target.truth, folds) if chosen else None


def _did(
    images: int,
    files: int,
    varied: Sequence[tuple[Trait, Binned]],
    predictive: Sequence[_PredictiveTrait],
    together: float | None,
    info: DatasetInfo,
) -> str:
    by = "patient" if info.patients_known else "image"
    text = f"{plural(len(varied), 'trait')} that differ between {plural(images, 'image')} "
    text += f"({plural(files, 'header')} read), each tested alone in 5 folds by {by}; {len(predictive)} tell the label"
    if together is not None:
        text += f"; all but names and brightness together: AUROC {together:.2f}"
    return text
