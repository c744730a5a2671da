"""Coverage by simulation: of 1,000 sets drawn from known truth, how often the 95 % interval holds that truth.

The standard error of a coverage near 95 % is 0.7 points with 1,000 sets. Patients have 1 to 6 images each, as likely as
one another; what images of one patient have in common is stated as the correlation within patients.
"""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.stats import norm

from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.statistics.sampling import Sampling

SETS = 1000
MOST_IMAGES = 6
pytestmark = pytest.mark.slow


def coverage(truth: float, draw: Callable[[np.random.Generator], Estimate]) -> float:
    """Return the share of the sets whose interval holds `truth`; a set without an interval does not."""
    generator = np.random.default_rng(2026)
    estimates = [draw(generator) for _ in range(SETS)]
    ends = np.array(
        [(np.nan if e.low is None else e.low, np.nan if e.high is None else e.high) for e in estimates]
    )
    return float(np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1])))


def patients_with_images(generator: np.random.Generator, patients: int) -> np.ndarray:
    """Return the patient (N,) of each image."""
    return np.repeat(np.arange(patients), generator.integers(1, MOST_IMAGES + 1, patients))


def clustered_recall(generator: np.random.Generator, *, ill: int, recall: float, within: float) -> Estimate:
    """Return recall of `ill` patients beside as many healthy ones, each patient's own chance drawn from a beta.

    Args:
        within: correlation of two images of a patient: 1 / (a + b + 1) of Beta(a, b).
    """
    patient = patients_with_images(generator, 2 * ill)
    total = 1 / within - 1
    chance = generator.beta(recall * total, (1 - recall) * total, 2 * ill)
    called = generator.random(len(patient)) < chance[patient]
    view = OneVsRest(patient < ill, called.astype(float), called, Sampling(patient, len(patient)))
    return METRICS.get("recall")(view)


def clustered_area(generator: np.random.Generator, *, ill: int, area: float, within: float) -> Estimate:
    """Return AUROC of `ill` patients and as many healthy ones: normal scores with a part that the patient shares."""
    patient = patients_with_images(generator, 2 * ill)
    shared, own = generator.normal(size=2 * ill)[patient], generator.normal(size=len(patient))
    score = np.sqrt(within) * shared + np.sqrt(1 - within) * own
    truth = patient < ill
    score[truth] += np.sqrt(2) * norm.ppf(area)
    return METRICS.get("auroc")(OneVsRest(truth, score, score > 0, Sampling(patient, len(patient))))


@pytest.mark.parametrize("recall", [0.8, 0.95])
@pytest.mark.parametrize("n", [50, 200])
def test_wilson_covers_a_proportion_of_independent_images(n: int, recall: float) -> None:
    """Design: n positive images, each found with the same chance."""

    def draw(generator: np.random.Generator) -> Estimate:
        called = generator.random(n) < recall
        return METRICS.get("recall")(OneVsRest(np.ones(n, bool), called.astype(float), called))

    assert 0.93 <= coverage(recall, draw) <= 0.97


@pytest.mark.parametrize("area", [0.8, 0.95])
def test_delong_on_the_logit_scale_covers_an_area_of_independent_images(area: float) -> None:
    """Design: 40 positive and 60 negative images, normal scores of equal variance."""
    truth = np.arange(100) < 40

    def draw(generator: np.random.Generator) -> Estimate:
        score = generator.normal(size=100) + truth * np.sqrt(2) * norm.ppf(area)
        return METRICS.get("auroc")(OneVsRest(truth, score, score > 0))

    assert 0.93 <= coverage(area, draw) <= 0.97


@pytest.mark.parametrize("recall", [0.8, 0.9, 0.95])
@pytest.mark.parametrize("ill", [40, 80])
def test_patients_drawn_with_their_images_cover_recall(ill: int, recall: float) -> None:
    """Design: 40 or 80 ill patients beside as many healthy ones, correlation 0.3 within patients.

    The seed, the number of sets and the design are fixed, and the interval is the one users get: 2,000 replicates.
    """
    found = coverage(
        recall, lambda generator: clustered_recall(generator, ill=ill, recall=recall, within=0.3)
    )
    assert 0.93 <= found <= 0.97


@pytest.mark.parametrize("area", [0.8, 0.95])
@pytest.mark.parametrize("ill", [20, 40])
def test_delong_by_patient_covers_an_area(ill: int, area: float) -> None:
    """Design: 20 or 40 ill patients and as many healthy ones, correlation 0.3 within patients."""
    found = coverage(area, lambda generator: clustered_area(generator, ill=ill, area=area, within=0.3))
    assert 0.93 <= found <= 0.97
