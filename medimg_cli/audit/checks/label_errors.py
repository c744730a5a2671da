"""Labels that an image's looks contradict: confident learning on probabilities the image had no part in."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding, Severity
from medimg_cli.audit.label_quality import (
    Confident,
    confident_learning,
    mean_auroc,
    out_of_fold,
    quick_features,
    self_confidence,
    side_by_side,
)
from medimg_cli.audit.shortcuts.separability import FOLDS, folds_by_patient
from medimg_cli.dataset.splits import group_identical
from medimg_cli.workspace.plain_text import plural

NAME = "label-errors"
MIN_IMAGES = 50
MIN_GROUPS = 10
MIN_AUROC = 0.65
MAX_LISTED = 500
# Calibrated on sets taken as published and with 5 % of the labels flipped (tests/benchmarks/bench_label_errors.py):
# the right labels that are listed stand closer to a half than the flipped ones do.
STRONG = 0.2
VERY_STRONG = 0.05
FEW = 3
# A warning needs features that tell the classes apart, and more labels than a published set leaves over.
WARNING_AUROC = 0.9
WARNING_SHARE = 0.02


@dataclass(frozen=True)
class _Judged:
    """Images, their labels, and what the folds say of them; all of the length N.

    Args:
        proposed: the class a doubted label should perhaps be, -1 where the label is not doubted.
    """

    rows: pd.DataFrame
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    proposed: NDArray[np.int64]
    found: Confident
    auroc: float


@check(
    NAME,
    "labels that an image's looks contradict with confidence: somebody may have mixed them up",
    quick=False,
)
def label_errors(context: AuditContext) -> Checked:
    """List the images of all splits whose label confident learning finds wrong, worst first.

    Raises:
        CheckSkipped: several labels an image, too few images, or features that cannot tell the classes apart.
    """
    if context.dataset.info.multi_label:
        raise CheckSkipped("images carry several labels: confident learning here knows one an image")
    judged = _judge(context, _rows(context))
    directions = [
        (given, proposed)
        for given in range(len(judged.classes))
        for proposed in range(len(judged.classes))
        if given != proposed
    ]
    findings = [_finding(judged, given, proposed) for given, proposed in directions]
    kept = sorted((found for found in findings if found is not None), key=lambda found: -found.count)
    return Checked(tuple(kept), _did(judged, context))


def _rows(context: AuditContext) -> pd.DataFrame:
    """Return the usable rows that have a picture, of classes with enough groups, and their `group`.

    Raises:
        CheckSkipped: too few are left.
    """
    rows = context.dataset.usable
    rows = rows[rows["image_id"].isin([image for image in rows["image_id"] if image in context.thumbnails])]
    hashes = context.measurements["pixel_sha256"].reindex(rows["image_id"]).fillna("")
    own = [text or image for text, image in zip(hashes, rows["image_id"], strict=True)]
    rows = rows.assign(group=group_identical(list(rows["patient_id"]), own))
    groups = rows.groupby("label")["group"].nunique()
    rows = rows[rows["label"].isin(groups[groups >= MIN_GROUPS].index)]
    unit = "patients" if context.dataset.info.patients_known else "different images"
    if rows["label"].nunique() < 2:
        raise CheckSkipped(f"fewer than 2 classes have {MIN_GROUPS} {unit}: nothing to compare labels with")
    if len(rows) < MIN_IMAGES:
        raise CheckSkipped(
            f"{plural(len(rows), 'image')}: fewer than {MIN_IMAGES} teach nothing about labels"
        )
    return rows


def _judge(context: AuditContext, rows: pd.DataFrame) -> _Judged:
    """Return what models of the other folds say of each label.

    Raises:
        CheckSkipped: they can hardly tell the classes apart.
    """
    occurring = set(rows["label"])
    classes = tuple(name for name in context.dataset.info.classes if name in occurring)
    labels = np.array([classes.index(label) for label in rows["label"]], dtype=np.int64)
    folds = folds_by_patient(labels.astype(str).tolist(), list(rows["group"]), seed=context.settings.seed)
    answers = out_of_fold(
        _features(context, rows), labels, folds, classes=len(classes), progress=context.progress
    )
    auroc = mean_auroc(labels, answers.first)
    if auroc < MIN_AUROC:
        raise CheckSkipped(
            f"the features cannot tell the classes apart (AUROC {auroc:.2f}), so disagreement says nothing"
        )
    confidence = self_confidence(labels, answers.final)
    found = confident_learning(labels, answers.final)
    proposed = _proposed(labels, answers.final, confidence, found)
    return _Judged(rows, classes, labels, confidence, answers.final, proposed, found, auroc)


def _proposed(
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    confidence: NDArray[np.float64],
    found: Confident,
) -> NDArray[np.int64]:
    """Return the class that confident learning proposes, and the likeliest where next to nothing speaks for a label.

    Confident learning alone asks for more than the mean of the other class. Where classes are told apart without
    effort that mean is so near 1 that plainly wrong labels miss it.
    """
    likeliest = probabilities.argmax(axis=1)
    plain = (confidence <= VERY_STRONG) & (likeliest != labels)
    return np.where(found.issues, found.proposed, np.where(plain, likeliest, -1))


def _features(context: AuditContext, rows: pd.DataFrame) -> NDArray[np.float32]:
    quick = quick_features(context.thumbnails.of(list(rows["image_id"])))
    if context.embed is None:
        return quick
    network = context.embed([context.workspace.absolute(path) for path in rows["path"]])
    return side_by_side(quick, network)


def _finding(judged: _Judged, given: int, proposed: int) -> Finding | None:
    """Return the images labelled `given` that look like `proposed`; None where there are few and weak ones."""
    members = np.flatnonzero((judged.labels == given) & (judged.proposed == proposed))
    members = members[np.argsort(judged.confidence[members], kind="stable")]
    strong = int((judged.confidence[members] <= STRONG).sum())
    if strong < FEW and not (judged.confidence[members] <= VERY_STRONG).any():
        return None
    label, other = judged.classes[given], judged.classes[proposed]
    share = strong / int((judged.labels == given).sum())
    warns = judged.auroc >= WARNING_AUROC and strong >= FEW and share >= WARNING_SHARE
    ids = judged.rows["image_id"].to_numpy()
    listed = members[:MAX_LISTED]
    notes = {
        str(
            ids[place]
        ): f"given {label}, looks like {other} ({judged.probabilities[place, proposed]:.2f}); rank {rank}"
        for rank, place in enumerate(listed, start=1)
    }
    verb = "looks" if len(members) == 1 else "look"
    message = f"{plural(len(members), 'image')} labelled {label} {verb} like {other}"
    if strong < len(members):
        message += f", {strong:,} plainly so"
    if len(listed) < len(members):
        message += f" (the first {MAX_LISTED} are listed)"
    doubt = "" if warns else "; some may only be hard to tell"
    advice = f"have a reader look at them, the first of the list before the others{doubt}"
    severity: Severity = "warning" if warns else "info"
    return Finding(NAME, severity, message, advice, tuple(notes), len(members), notes=notes)


def _did(judged: _Judged, context: AuditContext) -> str:
    # The estimate of the joint knows nothing of labels that are listed without reaching a threshold.
    wrong, images = max(judged.found.wrong_labels, int((judged.proposed >= 0).sum())), len(judged.rows)
    features = "pixels" if context.embed is None else "a network and pixels"
    by = "by patient" if context.dataset.info.patients_known else "that share no picture"
    return (
        f"{plural(images, 'label')} against {features} ({FOLDS} folds {by}, AUROC {judged.auroc:.2f}): "
        f"about {wrong:,.0f} may be wrong or hard to tell ({wrong / images:.1%})"
    )
