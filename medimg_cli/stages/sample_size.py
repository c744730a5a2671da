"""sample-size: how many test cases a wanted precision needs, and what more training cases would bring."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from medimg_cli.audit.findings import Embedder
from medimg_cli.audit.label_quality import FeatureClassifier, mean_auroc, quick_features, side_by_side
from medimg_cli.audit.measurements.thumbnails import thumbnail
from medimg_cli.audit.shortcuts.separability import folds_by_patient
from medimg_cli.dataset.manifest import Dataset, read_dataset, warn_of_edits
from medimg_cli.errors import DataError, UsageError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.statistics.intervals import clopper_pearson
from medimg_cli.statistics.sample_size import (
    MOST_CASES,
    Forecast,
    cases_for_auroc,
    cases_for_lower_bound,
    cases_for_width,
    design_effect,
    forecast,
)
from medimg_cli.workspace.progress import Progress, SilentProgress, tracked
from medimg_cli.workspace.settings import SampleSizeSettings
from medimg_cli.workspace.threads import map_ordered
from medimg_cli.workspace.workspace import Workspace

SHARES = (1 / 8, 1 / 4, 1 / 2, 3 / 4, 1.0)
_FEWEST_GROUPS = 10
_AHEAD = (2, 4)


@dataclass(frozen=True)
class TestSize:
    """What a test set needs for one figure.

    Args:
        figure: recall, specificity or auroc.
        expected: its expected value, 0..1.
        aim: the precision that is wanted, in words.
        cases: independent positives (of recall), negatives (of specificity) or both; None where it cannot be reached.
        images: the same, with several images a patient.
        patients: patients with these images.
        in_all: images of both kinds at the prevalence; None where that is not known.
        have: positives (negatives, both) in the test split, None without a data set.
        have_low, have_high: the 95 % interval that these would give.
    """

    figure: str
    expected: float
    aim: str
    cases: int | None
    images: int | None
    patients: int | None
    in_all: int | None
    have: int | None = None
    have_low: float | None = None
    have_high: float | None = None


@dataclass(frozen=True)
class CurvePoint:
    """A measured size of the learning curve: mean AUROC on patients the model has not seen, and its range over folds."""

    patients: int
    images: int
    auroc: float
    low: float
    high: float


@dataclass(frozen=True)
class SampleSize:
    """What was found.

    Args:
        prevalence: of the positives, 0..1, None where unknown.
        curve: empty where there is none; `without_curve` says why.
        forecasts: of the AUROC at twice and four times the training patients.
    """

    test: tuple[TestSize, ...]
    prevalence: float | None
    images_per_patient: float
    icc: float
    curve: tuple[CurvePoint, ...]
    forecasts: tuple[Forecast, ...]
    without_curve: str


def sample_size(
    workspace: Workspace,
    settings: SampleSizeSettings,
    embed: Embedder | None = None,
    progress: Progress = SilentProgress(),
) -> SampleSize:
    """Plan the size of a test set, and of a data set in the workspace measure and forecast the learning curve.

    The curve comes from frozen features and logistic regression, in folds by patient of train and validation: it tells
    the shape of the gain, not the figure of a fine-tuned network. The test split is counted and not looked at.

    Args:
        embed: paths → features of a pre-trained network; None takes simple features of brightness and edges.

    Raises:
        UsageError: without a data set, a figure whose aim needs the prevalence.
        DataError: an image can no longer be read.
    """
    dataset = read_dataset(workspace) if workspace.manifest_path.exists() else None
    warn_of_edits(dataset.edited if dataset is not None else (), progress)
    facts = _facts(dataset, settings)
    test = tuple(_test_sizes(settings, facts))
    curve: tuple[CurvePoint, ...] = ()
    forecasts: tuple[Forecast, ...] = ()
    why = "there is no data set in this workspace"
    if dataset is not None:
        why = _no_curve(dataset, settings)
        if not why:
            curve, forecasts = _curve(workspace, dataset, settings, embed, progress)
    return SampleSize(test, facts.prevalence, facts.images, settings.icc, curve, forecasts, why)


@dataclass(frozen=True)
class _Facts:
    """What is known of the study: prevalence, images a patient, positives and negatives in test."""

    prevalence: float | None
    images: float
    have: tuple[int, int] | None


def _facts(dataset: Dataset | None, settings: SampleSizeSettings) -> _Facts:
    if dataset is None:
        return _Facts(settings.prevalence, settings.images_per_patient or 1.0, None)
    rows, positives = dataset.usable, dataset.labels.positives
    is_positive = rows["label"].isin(positives)
    known = dataset.info.patients_known and bool(len(rows))
    own = len(rows) / rows["patient_id"].nunique() if known else 1.0
    test = rows["split"] == "test"
    have = (int((is_positive & test).sum()), int((~is_positive & test).sum())) if positives else None
    prevalence = settings.prevalence or (float(is_positive.mean()) if positives else None)
    return _Facts(prevalence, settings.images_per_patient or own, have)


def _test_sizes(settings: SampleSizeSettings, facts: _Facts) -> list[TestSize]:
    effect = design_effect(facts.images, settings.icc)

    def size(
        figure: str, expected: float, aim: str, cases: int | None, share: float | None, have: int | None
    ) -> TestSize:
        if cases is None and ": never" not in aim:
            aim += f": more than {MOST_CASES:,} cases"
        images = None if cases is None else math.ceil(cases * effect)
        patients = None if images is None else math.ceil(images / facts.images)
        in_all = None if images is None or not share else math.ceil(images / share)
        if not have:
            return TestSize(figure, expected, aim, cases, images, patients, in_all, have)
        independent = max(round(have / effect), 1)
        low, high = clopper_pearson(round(expected * independent), independent, settings.confidence)
        return TestSize(figure, expected, aim, cases, images, patients, in_all, have, low, high)

    prevalence = facts.prevalence
    shares = (prevalence, None if prevalence is None else 1 - prevalence)
    found = []
    for place, figure in enumerate(("recall", "specificity")):
        expected = getattr(settings, figure)
        have = None if facts.have is None else facts.have[place]
        cases: int | None = cases_for_width(expected, settings.width, settings.confidence)
        aim = f"{settings.confidence:.0%} interval at most {settings.width:g} wide"
        found.append(size(figure, expected, aim, cases, shares[place], have))
        if figure == "recall" and settings.lower_bound is not None:
            bound = settings.lower_bound
            cases = cases_for_lower_bound(expected, bound, settings.confidence, settings.assurance)
            aim = f"lower end at {bound:g} or above with a chance of {settings.assurance:.0%}"
            aim += f": never, as {expected:g} is expected" if expected <= bound else ""
            found.append(size(figure, expected, aim, cases, shares[place], have))
    if settings.auroc is not None:
        if prevalence is None:
            raise UsageError("--auroc needs the prevalence", "give --prevalence, or ingest with --positive")
        cases = cases_for_auroc(settings.auroc, prevalence, settings.width, settings.confidence)
        aim = f"{settings.confidence:.0%} interval at most {settings.width:g} wide"
        found.append(size("auroc", settings.auroc, aim, cases, 1.0, None))
    return found


def _no_curve(dataset: Dataset, settings: SampleSizeSettings) -> str:
    """Return why there is no learning curve, empty where there is one."""
    if not settings.curve:
        return "it was not asked for"
    if dataset.info.multi_label:
        return "images carry several labels"
    groups = dataset.of_split("train", "val").groupby("label")["patient_id"].nunique()
    few = groups[groups < _FEWEST_GROUPS]
    if len(few) or len(groups) < 2:
        named = ", ".join(map(str, few.index)) or "a second class"
        return f"fewer than {_FEWEST_GROUPS} patients of {named} in train and validation"
    return ""


def _curve(
    workspace: Workspace,
    dataset: Dataset,
    settings: SampleSizeSettings,
    embed: Embedder | None,
    progress: Progress,
) -> tuple[tuple[CurvePoint, ...], tuple[Forecast, ...]]:
    rows = dataset.of_split("train", "val").reset_index(drop=True)
    features = _features([workspace.absolute(path) for path in rows["path"]], embed, progress)
    labels = dataset.labels.encode(rows["label"].tolist())
    patients = rows["patient_id"].tolist()
    folds = folds_by_patient(labels.astype(str).tolist(), patients, seed=settings.seed)
    counts, images, values = _measured(
        features, labels, patients, folds, settings.draws, settings.seed, progress
    )
    points = tuple(
        CurvePoint(int(n), int(k), float(each.mean()), float(each.min()), float(each.max()))
        for n, k, each in zip(counts, images, values.T, strict=True)
    )
    whole = len(set(patients))
    wanted = [whole * times for times in (1, *_AHEAD)]
    return points, tuple(forecast(counts, values, wanted, seed=settings.seed))


def _measured(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    patients: Sequence[str],
    folds: NDArray[np.int64],
    draws: int,
    seed: int,
    progress: Progress,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return patients (S,) and images (S,) taught at each share, and the AUROC (K, S) on each fold, mean of the draws."""
    names = np.asarray(patients)
    classes = len(np.unique(labels))
    taught: list[list[tuple[int, int]]] = []
    values: list[list[float]] = []
    tasks = [(int(fold), share) for fold in np.unique(folds) for share in SHARES]
    for fold, share in tracked(tasks, progress, "learning curve", total=len(tasks)):
        if share == SHARES[0]:
            taught.append([])
            values.append([])
        held = folds == fold
        generator = np.random.default_rng((seed, fold))
        drawn = [_subset(labels, names, ~held, share, generator) for _ in range(draws if share < 1 else 1)]
        scores = [_auroc(features, labels, own, held, classes) for own in drawn]
        values[-1].append(float(np.mean(scores)))
        taught[-1].append((len(set(names[drawn[0]])), int(drawn[0].sum())))
    sizes = np.asarray(taught, dtype=np.float64).mean(axis=0)
    return sizes[:, 0], sizes[:, 1], np.asarray(values)


def _subset(
    labels: NDArray[np.int64],
    patients: NDArray[np.str_],
    open_: NDArray[np.bool_],
    share: float,
    generator: np.random.Generator,
) -> NDArray[np.bool_]:
    """Return which images are taught: whole patients, of each class the same share, at least two."""
    chosen: set[str] = set()
    for label in np.unique(labels):
        own = np.unique(patients[open_ & (labels == label)])
        chosen.update(generator.permutation(own)[: max(2, round(share * len(own)))])
    return open_ & np.isin(patients, list(chosen))


def _auroc(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    own: NDArray[np.bool_],
    held: NDArray[np.bool_],
    classes: int,
) -> float:
    model = FeatureClassifier(features[own], labels[own])
    probabilities = np.zeros((int(held.sum()), classes))
    probabilities[:, model.classes] = model.probabilities(features[held])
    return mean_auroc(labels[held], probabilities)


def _features(paths: Sequence[str], embed: Embedder | None, progress: Progress) -> NDArray[np.float32]:
    def small(path: str) -> NDArray[np.uint8]:
        try:
            return thumbnail(read_image(path))
        except UnreadableImage as reason:
            raise DataError(f"{path}: {reason}", "run `medimg ingest` again") from reason

    pictures = tracked(map_ordered(small, paths), progress, "reading images", total=len(paths))
    quick = quick_features(np.stack(list(pictures)))
    return quick if embed is None else side_by_side(quick, embed(list(paths)))
