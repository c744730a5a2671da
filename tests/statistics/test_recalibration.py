"""Adapting probabilities to another place: no more than the cases ask for."""

import numpy as np
import pytest
from scipy.special import expit

from medimg_cli.statistics.probabilities import log_loss_of, recalibrated, softmax
from medimg_cli.statistics.recalibration import adapt


def drawn(seed: int, n: int, *, scale: float = 1.0, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the model's probabilities (n, 2) and the truth, whose logit is scale * logit + shift."""
    generator = np.random.default_rng(seed)
    logit = generator.normal(0, 2, n)
    truth = (generator.random(n) < expit(scale * logit + shift)).astype(np.int64)
    return np.stack([expit(-logit), expit(logit)], axis=1), truth


@pytest.mark.parametrize("n", [30, 200])
def test_a_calibrated_model_is_seldom_changed(n: int) -> None:
    changed = [adapt(*drawn(seed, n)).method != "none" for seed in range(100)]
    assert np.mean(changed) < 0.13


def test_what_is_off_is_found_and_put_right() -> None:
    found = adapt(*drawn(1, 20_000, scale=0.5, shift=1.0))
    assert found.method == "temperature and intercept"
    assert found.scale == pytest.approx(0.5, abs=0.03)
    assert found.shift[1] - found.shift[0] == pytest.approx(1.0, abs=0.06)
    assert adapt(*drawn(2, 3000, shift=1.5)).method == "intercept"


def test_cases_of_few_patients_prove_less() -> None:
    probabilities, truth = drawn(3, 120, shift=0.9)
    assert adapt(probabilities, truth).method != "none"
    assert adapt(probabilities, truth, effective=0.1).method == "none"


@pytest.mark.parametrize("several", [False, True])
def test_what_it_does_lowers_the_loss_on_the_cases_and_new_ones(several: bool) -> None:
    generator = np.random.default_rng(4)
    logits = generator.normal(0, 2, (3000, 3))
    if several:
        told, real = expit(logits), expit(0.6 * logits + [0.0, 1.0, -1.0])
        truth: np.ndarray = (generator.random((3000, 3)) < real).astype(np.float32)
        truth[::7, 1] = np.nan
    else:
        told, real = softmax(logits), softmax(0.6 * logits + [0.0, 1.0, -1.0])
        truth = np.array([generator.choice(3, p=row) for row in real])
    found = adapt(told[:1500], truth[:1500])
    assert found.after < found.before
    after = recalibrated(told[1500:], found.scale, found.shift, several=several)
    assert log_loss_of(after, truth[1500:]) < log_loss_of(told[1500:], truth[1500:])
    assert found.scale == pytest.approx(0.6, abs=0.08)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_class_that_no_case_shows_is_not_ruled_out(missing: int) -> None:
    probabilities, _ = drawn(5, 40)
    found = adapt(probabilities, np.full(40, 1 - missing))
    assert np.isfinite([*found.shift, found.scale]).all()
    assert recalibrated(probabilities, found.scale, found.shift, several=False)[:, missing].min() > 0
