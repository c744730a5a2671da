"""What a model must beat: always the commonest class, and what stands beside the pixels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from medimg_cli.audit.shortcuts.column_traits import OfTwoSets, Values, of_two_sets, same_images
from medimg_cli.dataset.manifest import UNKNOWN_COLUMN
from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS, rate
from medimg_cli.evaluation.metrics.ranking import macro_auroc
from medimg_cli.evaluation.results.surroundings import Baseline, Baselines
from medimg_cli.evaluation.summary import mean_recall
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.predictions.predictions import PROBABILITY_PREFIX
from medimg_cli.runs.run import Threshold
from medimg_cli.statistics.estimate import Estimate

Floats = NDArray[np.float64]
MOST_LEVELS = 20
_MOST_ROWS = 20_000
_DECIMALS = 9  # rows that are alike get scores that are alike, whatever order sums are taken in


@dataclass(frozen=True)
class Features:
    """Numbers a regression can use.

    Args:
        names: of the properties they come from.
        training, here: (M, F) and (N, F), standardised by training.
    """

    names: tuple[str, ...]
    training: Floats
    here: Floats


def seen(values: Values, rows: NDArray[np.int64]) -> int:
    """Return how many different values some rows hold; not known counts as one."""
    return int(pd.Series(values).iloc[rows].nunique(dropna=False))


def features_of(columns: Sequence[OfTwoSets], learnt: NDArray[np.int64]) -> Features:
    """Return standardised numbers and one column for each level of a category, what is not known apart.

    Args:
        columns: properties of M and N images.
        learnt: rows of training that are learnt from; they alone set scales and levels.
    """
    pairs = [
        _numbers(each, learnt) if isinstance(each.training, np.ndarray) else _levels(each, learnt)
        for each in columns
    ]
    sides = [np.concatenate(side, axis=1) for side in zip(*pairs, strict=True)]
    training, here = sides or (np.empty((0, 0)), np.empty((0, 0)))
    return Features(tuple(each.name for each in columns), training, here)


def _numbers(each: OfTwoSets, learnt: NDArray[np.int64]) -> tuple[Floats, Floats]:
    training, here = (np.asarray(side, dtype=np.float64) for side in (each.training, each.here))
    known = training[learnt][np.isfinite(training[learnt])]
    centre, scale = (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)

    def scaled(side: Floats) -> Floats:
        missing = ~np.isfinite(side)
        standard = np.where(missing, 0.0, (side - centre) / (scale or 1.0))
        return np.stack([standard, missing.astype(np.float64)], axis=1)

    return scaled(training), scaled(here)


def _levels(each: OfTwoSets, learnt: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Return one column for each of the commonest levels; rarer and new ones have none of their own."""
    counts = pd.Series(list(each.training), dtype=object).iloc[learnt].value_counts()
    ranked = sorted(counts.index, key=lambda level: (-int(counts[level]), str(level)))
    levels = np.array(ranked[:MOST_LEVELS], dtype=object)

    def marked(side: Values) -> Floats:
        values = np.array(list(side), dtype=object)
        return np.asarray(values[:, None] == levels, dtype=np.float64)

    return marked(each.training), marked(each.here)


def answers_of(
    features: Features, truth: NDArray[np.int64], learnt: NDArray[np.int64], outcomes: int
) -> tuple[Floats, Floats]:
    """Fit on training and return the probabilities of the rows learnt from (L, outcomes) and of here (N, outcomes).

    Args:
        truth: (M,) outcomes 0..outcomes − 1.
        learnt: which rows of training to use; of more than 20,000 a part, drawn with a fixed seed, is fitted.
    """
    rows = learnt
    if len(rows) > _MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).choice(rows, _MOST_ROWS, replace=False))
    model = LogisticRegression(max_iter=2000).fit(features.training[rows], truth[rows])

    def answer(side: Floats) -> Floats:
        found = np.zeros((len(side), outcomes))
        found[:, model.classes_] = np.round(model.predict_proba(side), _DECIMALS)
        return found

    return answer(features.training[learnt]), answer(features.here)


_OF_POSITIVE = ("recall", "specificity", "accuracy", "balanced_accuracy", "auroc")
_NEAR = 0.05
_MOST_RANKED, _NAMED = 20, 3
_UNDECIDED = 0.5


@ANALYSES.register("baselines")
def baselines(subject: Subject) -> Baselines | str:
    """Return the figures of answers that need no look at the pixels, of the positive label where there are several."""
    here = subject.here
    if here.labels.several and here.labels.positive is None:
        return "several labels an image and none stated as the positive one"
    if not (here.n if here.labels.positive is None else here.view_of(here.labels.positive).n):
        return "no image with a reference standard"
    truth = _truth_of_training(subject)
    beside = _metadata_only(subject, truth)
    rows = [_majority(here, truth)]
    absent = ""
    if isinstance(beside, str):
        absent = f"no metadata-only model: {beside}"
    else:
        rows.append(beside)
    return Baselines(rows=tuple(rows), absent=absent)


def _truth_of_training(subject: Subject) -> NDArray[np.int64] | None:
    """Return class indices (M,) of training, of several labels whether it carries the positive one, −1 if unknown.

    None where training is not known.
    """
    training, labels = subject.training, subject.here.labels
    if training is None or training.empty or "label" not in training:
        return None
    names = training["label"].astype(str).tolist()
    if not labels.several:
        return labels.encode(names)
    unknown = training[UNKNOWN_COLUMN].tolist() if UNKNOWN_COLUMN in training else ()
    marks = labels.marks(names, unknown)[:, labels.positive_index or 0]
    return np.nan_to_num(marks, nan=-1).astype(np.int64)


def _majority(here: ScoredPredictions, truth: NDArray[np.int64] | None) -> Baseline:
    """Return the figures of answering every image by the commonest class of training, of this split without it."""
    learnt = truth is not None and bool((truth >= 0).any())
    if truth is None or not learnt:
        marks = here.marks[:, here.labels.positive_index or 0]
        truth = np.nan_to_num(marks, nan=-1).astype(np.int64) if here.labels.several else here.truth
    commonest = int(np.bincount(truth[truth >= 0]).argmax())
    answers = np.zeros((here.n, _outcomes(here)))
    answers[:, commonest] = 1
    figures = _figures(_instead(here, answers, OperatingPoint()))
    remark = _of_majority(here, commonest, figures)
    if not learnt:
        remark += " (the commonest of this split, as that of training is not known)"
    return Baseline(name="majority class", metrics=figures, remark=remark)


def _of_majority(here: ScoredPredictions, commonest: int, figures: dict[str, Estimate]) -> str:
    """Say what always answering the commonest class comes to."""
    positive = here.labels.positive
    accuracy = figures["accuracy"].value or 0.0
    if here.labels.several:
        answer = f"{positive} for " + ("every" if commonest else "no") + " image"
    else:
        answer = here.classes[commonest]
    text = f"always answering {answer} is right for {100 * accuracy:.1f} % of the images"
    if positive is None:
        return f"{text}, and misses every image of the other classes"
    of = int(here.view_of(positive).truth.sum())
    if figures["recall"].value:
        return f"{text}; it misses no {positive}, and every other image is a false alarm"
    return f"{text}, and misses all {of:,} of {positive}" if of else text


def _metadata_only(subject: Subject, truth: NDArray[np.int64] | None) -> Baseline | str:
    """Return the figures of a logistic regression on what stands beside the pixels, or why there is none."""
    here, training = subject.here, subject.training
    if truth is None or training is None:
        return "the images the model learnt from are not known"
    if same_images(training, subject.metadata):
        return "these are the images it would be fitted on"
    learnt = np.flatnonzero(truth >= 0)
    if len(np.unique(truth[learnt])) < 2:
        return "training shows a single class"
    columns = of_two_sets(training, subject.metadata, here.classes)
    varied = [column for column in columns if seen(column.training, learnt) > 1]
    features = features_of(varied, learnt)
    if not features.names:
        return "nothing that stands beside the pixels differs between images of training"
    fitted, answers = answers_of(features, truth, learnt, _outcomes(here))
    scored = _instead(here, answers, _point(here, fitted, truth[learnt]))
    figures = _figures(scored)
    return Baseline(
        name="metadata only",
        uses=features.names,
        metrics=figures,
        remark=_of_metadata(here, figures, _strongest(here, varied, truth, learnt)),
    )


def _strongest(
    here: ScoredPredictions, columns: Sequence[OfTwoSets], truth: NDArray[np.int64], learnt: NDArray[np.int64]
) -> str:
    """Return the columns that tell most, each by the AUROC of a regression on it alone; unranked where there are many."""
    if len(columns) > _MOST_RANKED:
        return f"{len(columns)} columns, such as {', '.join(each.name for each in columns[:_NAMED])}"
    found = {}
    for each in columns:
        _, answers = answers_of(features_of([each], learnt), truth, learnt, _outcomes(here))
        found[each.name] = _area(_instead(here, answers, OperatingPoint())).value or 0.0
    best = sorted(found, key=lambda name: -found[name])
    rest = f" and {len(best) - _NAMED} more" if len(best) > _NAMED else ""
    return ", ".join(f"{name} (AUROC {found[name]:.3f})" for name in best[:_NAMED]) + rest


def _area(scored: ScoredPredictions) -> Estimate:
    """Return the area under the ROC curve of the positive class, else the mean over classes."""
    positive = scored.labels.positive
    if positive is None:
        return macro_auroc(scored.views.values(), scored.sampling)
    return METRICS.get("auroc")(scored.view_of(positive))


def _point(here: ScoredPredictions, fitted: Floats, truth: NDArray[np.int64]) -> OperatingPoint:
    """Return the highest threshold whose recall on training is the one the model's own threshold was chosen at."""
    decided_on = here.positive_threshold
    if isinstance(decided_on, str) or decided_on[1].achieved_recall is None:
        return OperatingPoint()
    positive, wanted = decided_on[0], decided_on[1].achieved_recall
    several = here.labels.several
    score = fitted[:, 1] if several else here.labels.positive_score(fitted)
    scores = np.sort(score[truth == 1 if several else here.labels.is_positive[truth]])[::-1]
    value = float(scores[max(1, int(np.ceil(wanted * len(scores) - 1e-9))) - 1])
    chosen = Threshold(
        value=value,
        rule=f"highest threshold with recall ≥ {wanted:g}",
        split="train",
        achieved_recall=float((scores >= value).mean()),
        achieved_specificity=None,
    )
    return OperatingPoint(thresholds={positive: chosen}) if several else OperatingPoint(chosen)


def _of_metadata(here: ScoredPredictions, figures: dict[str, Estimate], named: str) -> str:
    """Say how near the baseline comes to the model, by the area under the ROC curve."""
    model = _area(here)
    baseline = figures["macro_auroc" if here.labels.positive is None else "auroc"]
    if model.value is None or baseline.value is None:
        return "the areas under the ROC curve cannot be compared"
    compared = f"AUROC {baseline.value:.3f} against the model's {model.value:.3f}"
    if baseline.value > model.value - _NEAR:
        reached = (
            "come near the model" if baseline.value < model.value else "do as well as the model or better"
        )
        return f"{compared}: these columns alone {reached}, so the images may not matter; strongest: {named}"
    if baseline.low is not None and baseline.low > _UNDECIDED:
        return f"{compared}: these columns alone tell more than chance; the model may have learnt them from the images; strongest: {named}"
    return f"{compared}: these columns alone tell no more than chance; strongest: {named}"


def _figures(scored: ScoredPredictions) -> dict[str, Estimate]:
    """Return the figures of the positive class and, of several classes, those over all: each as the model's is defined."""
    positive, figures = scored.labels.positive, {}
    if positive is not None:
        figures = {name: METRICS.get(name)(scored.view_of(positive)) for name in _OF_POSITIVE}
    if scored.labels.several or (positive is not None and len(scored.classes) == 2):
        return figures
    recall = mean_recall(scored, "a class does not occur")
    return figures | {
        "macro_recall": recall,
        **({"balanced_accuracy": recall} if figures else {}),
        "accuracy": rate(scored.truth == scored.called, scored.sampling, undefined="no image"),
        "macro_auroc": macro_auroc(scored.views.values(), scored.sampling),
    }


def _outcomes(here: ScoredPredictions) -> int:
    """Return how many answers there are: the classes, of several labels whether the positive one is there."""
    return 2 if here.labels.several else len(here.classes)


def _instead(here: ScoredPredictions, answers: Floats, point: OperatingPoint) -> ScoredPredictions:
    """Return the same images with other answers (N, outcomes)."""
    named = (
        {here.labels.positive: 1} if here.labels.several else {name: k for k, name in enumerate(here.classes)}
    )
    table = here.table.assign(**{f"{PROBABILITY_PREFIX}{name}": answers[:, k] for name, k in named.items()})
    return ScoredPredictions(table, here.labels, point, here.sampling)
