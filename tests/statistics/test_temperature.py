"""The temperature: right where it is known, and never a leap to certainty for want of errors."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from medimg_cli.statistics.recalibration import COLDEST, HOTTEST, fit_temperature

Logits = NDArray[np.float64]


def drawn(count: int, classes: int = 2, seed: int = 0) -> tuple[Logits, NDArray[np.int64]]:
    """Return logits and classes that were drawn from their very softmax: a calibrated network."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(0, 2, (count, classes))
    chances = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (generator.random((count, 1)) > chances).sum(axis=1)


def log_loss(logits: Logits, targets: NDArray[np.int64]) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(targets)), targets].mean())


@pytest.mark.parametrize("classes", [2, 5])
def test_a_calibrated_network_is_left_as_it_is(classes: int) -> None:
    assert fit_temperature(*drawn(20_000, classes)).temperature == pytest.approx(1.0, abs=0.04)


@pytest.mark.parametrize("factor", [0.4, 3.0])
def test_logits_times_a_factor_ask_for_a_temperature_times_it(factor: float) -> None:
    logits, targets = drawn(400, 3)
    plain, scaled = fit_temperature(logits, targets), fit_temperature(factor * logits, targets)
    assert scaled.temperature == pytest.approx(factor * plain.temperature, rel=1e-9)
    assert plain.remark == scaled.remark == ""


def test_no_temperature_near_it_has_less_log_loss() -> None:
    logits, targets = drawn(50_000)
    found = fit_temperature(3 * logits, targets).temperature
    losses = [log_loss(3 * logits / (found * factor), targets) for factor in (0.98, 1.0, 1.02)]
    assert losses[1] < min(losses[0], losses[2])
    assert losses[1] < log_loss(3 * logits, targets)


def test_few_images_told_apart_without_an_error_are_no_reason_to_be_certain() -> None:
    targets = np.repeat([0, 1], 4)
    logits = np.where(np.eye(2)[targets] == 1, 1.5, -1.5)
    found = fit_temperature(logits, targets)
    called_right = softmax(logits / found.temperature, axis=1)[np.arange(8), targets]
    np.testing.assert_allclose(called_right, 5 / 6)


@pytest.mark.parametrize(
    ("logits", "targets", "temperature", "said"),
    [
        ([[1.0, 0.0], [2.0, 0.0]], [0, 0], 1.0, "only one class"),
        ([[1.0, np.nan], [2.0, 0.0]], [0, 1], 1.0, "not all numbers"),
        ([[3.0, 3.0], [1.0, 1.0]], [0, 1], 1.0, "do not tell the classes apart"),
        ([[1.0, 0.0], [0.0, 1.0]], [1, 0], HOTTEST, "next to nothing"),
        ([[1e-3, 0.0], [0.0, 1e-3]], [0, 1], COLDEST, "next to nothing"),
    ],
)
def test_where_nothing_can_be_fitted_it_says_so(
    logits: list[list[float]], targets: list[int], temperature: float, said: str
) -> None:
    found = fit_temperature(np.array(logits), np.array(targets))
    assert found.temperature == temperature
    assert said in found.remark
