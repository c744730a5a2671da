"""The mean of the classes' average precisions and its interval."""

import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.evaluation.metrics import METRICS, OneVsRest
from medimg_cli.evaluation.metrics.ranking import macro_average_precision
from medimg_cli.statistics.areas import average_precision_influence
from medimg_cli.statistics.sampling import Sampling

SHARES = (0.55, 0.3, 0.15)


def drawn(
    generator: np.random.Generator, patients: int, each: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return classes (N,) and scores (N, 3); images of a patient share class and half of their scores' variance."""
    truth = np.repeat(generator.choice(3, patients, p=SHARES), each)
    shared = np.repeat(generator.normal(0, np.sqrt(0.5), (patients, 3)), each, axis=0)
    return truth, 1.2 * np.eye(3)[truth] + shared + generator.normal(0, np.sqrt(0.5), shared.shape)


def views_of(truth: NDArray[np.int64], score: NDArray[np.float64], sampling: Sampling) -> list[OneVsRest]:
    return [
        OneVsRest(truth == index, score[:, index], score.argmax(axis=1) == index, sampling)
        for index in range(3)
    ]


def test_one_class_has_the_interval_of_its_average_precision() -> None:
    truth, score = drawn(np.random.default_rng(1), 400, 1)
    sampling = Sampling(None, 400)
    view = views_of(truth, score, sampling)[0]
    found, alone = macro_average_precision([view], sampling), METRICS.get("average_precision")(view)
    assert found.value == pytest.approx(alone.value)
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high), abs=1e-12)
    assert found.method == "influence by image, logit scale"


def test_copies_of_images_in_patients_leave_the_interval_as_it_was() -> None:
    truth, score = drawn(np.random.default_rng(2), 200, 1)
    once = macro_average_precision(views_of(truth, score, Sampling(None, 200)), Sampling(None, 200))
    copies = Sampling([f"p{place}" for place in range(200)] * 3, 600)
    views = views_of(np.tile(truth, 3), np.tile(score, (3, 1)), copies)
    thrice = macro_average_precision(views, copies)
    assert (thrice.value, thrice.low, thrice.high) == pytest.approx((once.value, once.low, once.high))
    assert thrice.method == "influence by patient, logit scale"


def test_a_class_that_does_not_occur_leaves_the_mean_undefined() -> None:
    truth, score = drawn(np.random.default_rng(3), 50, 1)
    sampling = Sampling(None, 50)
    found = macro_average_precision(views_of(truth.clip(max=1), score, sampling), sampling)
    assert (found.value, found.reason) == (None, "a class does not occur")


@pytest.mark.slow
@pytest.mark.parametrize(("patients", "each"), [(400, 1), (300, 4)])
def test_intervals_hold_the_true_mean_19_times_in_20(patients: int, each: int) -> None:
    """1,000 cohorts of three classes (55, 30 and 15 %); the truth is that of a million images."""
    generator = np.random.default_rng(23)
    truth, score = drawn(generator, 1_000_000, 1)
    mean = np.mean([average_precision_influence(truth == index, score[:, index])[0] for index in range(3)])
    held = 0
    for _ in range(1000):
        truth, score = drawn(generator, patients, each)
        sampling = Sampling([f"p{place // each}" for place in range(len(truth))], len(truth))
        found = macro_average_precision(views_of(truth, score, sampling), sampling)
        assert found.low is not None and found.high is not None
        held += bool(found.low <= mean <= found.high)
    assert 930 <= held <= 970, held
