"""Confident learning: the index set of cleanlab, whatever the table looks like."""

import numpy as np
import pytest
from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]
from numpy.typing import NDArray

from medimg_cli.audit.label_quality import confident_learning, self_confidence

Table = tuple[NDArray[np.int64], NDArray[np.float64]]


def _noisy(seed: int, images: int, classes: int, *, sharp: float = 3.0) -> Table:
    """Return labels, a tenth of them wrong, and probabilities that lean to the right class."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, images)
    logits = generator.normal(0, 1, (images, classes))
    logits[np.arange(images), truth] += sharp
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wrong = generator.random(images) < 0.1
    labels = np.where(wrong, (truth + generator.integers(1, classes, images)) % classes, truth)
    return labels.astype(np.int64), probabilities


def _of_cleanlab(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[int]:
    mask = find_label_issues(labels, probabilities, filter_by="confident_learning", n_jobs=1)
    return [int(place) for place in np.flatnonzero(mask)]


def _ours(labels: NDArray[np.int64], probabilities: NDArray[np.float64]) -> list[int]:
    return [int(place) for place in np.flatnonzero(confident_learning(labels, probabilities).issues)]


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("images", [8, 40, 2000])
@pytest.mark.parametrize("sharp", [0.0, 1.0, 3.0])
def test_the_index_set_is_the_one_of_cleanlab(classes: int, images: int, sharp: float) -> None:
    for seed in range(5):
        labels, probabilities = _noisy(seed, images, classes, sharp=sharp)
        labels[:classes] = np.arange(classes)
        assert _ours(labels, probabilities) == _of_cleanlab(labels, probabilities)


def test_something_is_found_where_labels_are_wrong() -> None:
    labels, probabilities = _noisy(0, 2000, 3)
    assert len(_ours(labels, probabilities)) > 100


@pytest.mark.parametrize("missing", [0, 1, 3])
def test_a_class_that_no_image_is_labelled_with_is_never_proposed(missing: int) -> None:
    labels, probabilities = _noisy(1, 300, 4)
    labels = np.where(labels == missing, (labels + 1) % 4, labels)
    found = confident_learning(labels, probabilities)
    assert missing not in found.proposed
    assert _ours(labels, probabilities) == _of_cleanlab(labels, probabilities)


@pytest.mark.parametrize("steps", [1, 2, 4, 10])
def test_equal_probabilities_are_settled_as_cleanlab_does(steps: int) -> None:
    for seed in range(10):
        labels, probabilities = _noisy(seed, 200, 4, sharp=1.0)
        coarse = np.round(probabilities * steps) + 1e-3
        coarse /= coarse.sum(axis=1, keepdims=True)
        assert _ours(labels, coarse) == _of_cleanlab(labels, coarse)


def test_certain_and_undecided_probabilities_are_settled_as_cleanlab_does() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1])
    undecided = np.full((6, 2), 0.5)
    assert _ours(labels, undecided) == _of_cleanlab(labels, undecided) == []
    certain = np.eye(2)[[0, 1, 0, 1, 1, 0]]
    assert _ours(labels, certain) == _of_cleanlab(labels, certain) == [4, 5]


def test_the_joint_estimates_how_many_labels_are_wrong() -> None:
    labels, probabilities = _noisy(2, 4000, 2, sharp=6.0)
    found = confident_learning(labels, probabilities)
    assert found.joint.sum(axis=1) == pytest.approx(np.bincount(labels))
    assert found.wrong_labels == pytest.approx(400, rel=0.15)


def test_the_thresholds_and_the_joint_of_four_images_are_those_worked_out_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.1, 0.9]])
    found = confident_learning(labels, probabilities)
    assert found.thresholds == pytest.approx([0.55, 0.8])
    # The third image reaches no threshold, so it is sure of nothing.
    assert list(found.proposed) == [0, 1, -1, 1]
    assert list(found.issues) == [False, True, False, False]
    assert found.joint.tolist() == [[1.0, 1.0], [0.0, 2.0]]
    assert list(self_confidence(labels, probabilities)) == [0.9, 0.2, 0.7, 0.9]
