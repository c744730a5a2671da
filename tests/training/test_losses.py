"""What training minimises: the published formulas, worked out another way."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from medimg_cli.statistics.probabilities import of_grades
from medimg_cli.training.batches import PixelBatches
from medimg_cli.training.fitting.losses import (
    balanced_positives,
    binary_cross_entropy,
    cross_entropy,
    focal,
    mix,
    ordinal,
)

LOGITS = torch.tensor([[2.0, 0.0], [0.5, 0.0], [-1.0, 1.0]])
TARGETS = torch.tensor([0, 1, 1])
EVEN = torch.ones(2)


def test_cross_entropy_by_hand() -> None:
    by_hand = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(0.5)), math.log(1 + math.exp(-2))]
    assert float(cross_entropy(EVEN, 0.0)(LOGITS, TARGETS)) == pytest.approx(sum(by_hand) / 3)


def test_focal_loss_by_hand() -> None:
    probabilities = [1 / (1 + math.exp(-2)), 1 / (1 + math.exp(0.5)), 1 / (1 + math.exp(-2))]
    by_hand = [-((1 - p) ** 2) * math.log(p) for p in probabilities]
    assert float(focal(EVEN, 0.0, 2.0)(LOGITS, TARGETS)) == pytest.approx(sum(by_hand) / 3)


@pytest.mark.parametrize("weights", [EVEN, torch.tensor([0.3, 1.7])])
def test_focal_without_gamma_is_the_cross_entropy(weights: torch.Tensor) -> None:
    plain = cross_entropy(weights, 0.0)(LOGITS, TARGETS)
    assert torch.allclose(focal(weights, 0.0, 0.0)(LOGITS, TARGETS), plain)


def test_focal_loss_has_a_gradient_that_pushes_the_right_way() -> None:
    logits = LOGITS.clone().requires_grad_(True)
    focal(EVEN, 0.1, 2.0)(logits, TARGETS).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    right = logits.grad.gather(1, TARGETS[:, None])
    assert bool((right[1] < 0).all())


def test_mixing_blends_inputs_and_names_the_other_target() -> None:
    inputs = torch.arange(4, dtype=torch.float32).reshape(4, 1, 1, 1)
    mixed = mix(inputs, torch.arange(4), 1.0, torch.Generator().manual_seed(0))
    blended = mixed.share * torch.arange(4) + (1 - mixed.share) * mixed.others
    assert torch.allclose(mixed.inputs.flatten(), blended)
    assert 0 < mixed.share < 1
    assert sorted(mixed.others.tolist()) == [0, 1, 2, 3]


def test_mixing_rests_on_the_generator_alone() -> None:
    inputs, targets = torch.rand(4, 1, 2, 2), torch.arange(4)
    first, again = (mix(inputs, targets, 0.4, torch.Generator().manual_seed(3)) for _ in range(2))
    assert (first.share, first.others.tolist()) == (again.share, again.others.tolist())


def test_a_loss_of_mixed_images_is_the_mixture_of_losses() -> None:
    loss = cross_entropy(EVEN, 0.1)
    soft = 0.3 * functional.one_hot(TARGETS, 2) + 0.7 * functional.one_hot(1 - TARGETS, 2)
    whole = functional.cross_entropy(LOGITS, soft.float(), label_smoothing=0.1)
    parts = torch.lerp(loss(LOGITS, 1 - TARGETS), loss(LOGITS, TARGETS), 0.3)
    assert torch.allclose(parts, whole)


def test_an_even_sampler_draws_rare_classes_as_often() -> None:
    targets = np.array([0] * 190 + [1] * 10)
    pixels = np.arange(200, dtype=np.uint8).reshape(200, 1, 1, 1)
    drawn = PixelBatches(pixels, np.arange(200), targets=targets, batch_size=200, even=True)
    shares = [
        float(batch.targets.float().mean())
        for seed in range(30)
        for batch in drawn.shuffled(torch.Generator().manual_seed(seed))
    ]
    assert 0.46 < float(np.mean(shares)) < 0.54
    once = PixelBatches(pixels, np.arange(200), targets=targets, batch_size=200)
    (batch,) = once.shuffled(torch.Generator().manual_seed(0))
    assert sorted(batch.inputs.flatten().tolist()) == list(range(200))


MARKS = torch.tensor([[1.0, 0.0], [float("nan"), 1.0], [0.0, float("nan")]])


def test_binary_cross_entropy_by_hand_leaves_out_what_is_unknown() -> None:
    known = [math.log(1 + math.exp(-2)), math.log(2), math.log(2), math.log(1 + math.exp(-1))]
    assert float(binary_cross_entropy(EVEN, 0.0)(LOGITS, MARKS)) == pytest.approx(sum(known) / 4)


def test_what_is_unknown_moves_nothing() -> None:
    logits = LOGITS.clone().requires_grad_(True)
    binary_cross_entropy(EVEN, 0.1)(logits, MARKS).backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None
    assert torch.equal(logits.grad == 0, torch.isnan(MARKS))
    nothing = binary_cross_entropy(EVEN, 0.1)(LOGITS, torch.full_like(MARKS, float("nan")))
    assert float(nothing) == 0


def test_positives_of_a_label_count_by_its_weight() -> None:
    loss = binary_cross_entropy(torch.tensor([3.0, 1.0]), 0.0)(LOGITS, MARKS)
    parts = [3 * math.log(1 + math.exp(-2)), math.log(2), math.log(2), math.log(1 + math.exp(-1))]
    assert float(loss) == pytest.approx(sum(parts) / 6)


def test_focal_loss_of_several_labels_by_hand() -> None:
    chances = [1 / (1 + math.exp(-2)), 0.5, 0.5, 1 / (1 + math.exp(-1))]
    by_hand = [-((1 - chance) ** 2) * math.log(chance) for chance in chances]
    assert float(focal(EVEN, 0.0, 2.0)(LOGITS, MARKS)) == pytest.approx(sum(by_hand) / 4)


def test_rare_positives_weigh_as_much_as_all_negatives_up_to_a_limit() -> None:
    marks = np.full((200, 3), np.nan, dtype=np.float32)
    marks[:40, 0], marks[:10, 0] = 0, 1
    marks[:, 1], marks[0, 1] = 0, 1
    marks[:5, 2] = 0
    assert balanced_positives(marks).tolist() == [3, 30, 5]


@pytest.mark.parametrize("weights", [torch.ones(3), torch.tensor([0.2, 1.0, 3.0])])
def test_the_loss_of_grades_is_the_likelihood_of_their_probabilities(weights: torch.Tensor) -> None:
    logits, grades = torch.randn(20, 3, generator=torch.Generator().manual_seed(0)), torch.arange(20) % 3
    likelihood = of_grades(logits.double().numpy())[np.arange(20), grades.numpy()]
    share = weights[grades].double().numpy()
    expected = -(share * np.log(likelihood)).sum() / share.sum()
    assert float(ordinal(weights, 0.0)(logits, grades)) == pytest.approx(expected, rel=1e-5)


def test_smoothing_keeps_the_loss_of_a_sure_answer_above_zero() -> None:
    sure = torch.tensor([[50.0, -50.0]])
    marks = torch.tensor([[1.0, 0.0]])
    assert float(binary_cross_entropy(EVEN, 0.0)(sure, marks)) == pytest.approx(0, abs=1e-9)
    assert float(binary_cross_entropy(EVEN, 0.1)(sure, marks)) == pytest.approx(0.05 * 50)
    assert float(ordinal(EVEN, 0.1)(sure, torch.tensor([1]))) == pytest.approx(0.05 * 50)
