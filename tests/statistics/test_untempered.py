"""Taking a temperature back: the probabilities that a network gives at temperature 1."""

from typing import get_args

import numpy as np
import pytest

from medimg_cli.statistics.probabilities import AnswerKind, probabilities_from
from medimg_cli.statistics.recalibration import without_temperature

LOGITS = np.random.default_rng(4).normal(0, 3, (200, 4))


@pytest.mark.parametrize("kind", get_args(AnswerKind))
@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_the_temperature_is_undone_for_every_kind_of_answer(kind: AnswerKind, temperature: float) -> None:
    tempered = probabilities_from(LOGITS / temperature, kind)
    back = without_temperature(tempered, temperature, kind)
    # A grade's probability is a difference, which rounds off what is far smaller than 1.
    np.testing.assert_allclose(back, probabilities_from(LOGITS, kind), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("kind", get_args(AnswerKind))
def test_certain_answers_stay_certain(kind: AnswerKind) -> None:
    certain = np.eye(4)
    np.testing.assert_allclose(without_temperature(certain, 2.0, kind), certain, atol=1e-12)
