"""Out-of-fold probabilities: nobody answers about patients who taught them."""

import numpy as np
import pytest

from medimg_cli.audit.label_quality import mean_auroc, out_of_fold
from medimg_cli.audit.shortcuts.separability import folds_by_patient


def test_a_group_stands_in_one_fold_and_every_fold_has_every_class() -> None:
    labels = np.arange(200) // 10 % 2
    groups = [f"p{number // 5}" for number in range(200)]
    folds = folds_by_patient(labels.astype(str).tolist(), groups, seed=0)
    for group in set(groups):
        assert len({int(fold) for fold, own in zip(folds, groups, strict=True) if own == group}) == 1
    assert all({0, 1} == set(labels[folds == fold]) for fold in range(5))
    assert list(folds) != list(folds_by_patient(labels.astype(str).tolist(), groups, seed=1))


def test_an_image_teaches_nothing_about_itself() -> None:
    """Labels that have nothing to do with the features cannot be told out of fold."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(400, 60)).astype(np.float32)
    labels = generator.integers(0, 2, 400)
    folds = folds_by_patient(labels.astype(str).tolist(), [str(number) for number in range(400)], seed=0)
    # Below a half rather than above it: what the others have more of, the held ones have less of.
    assert 0.3 < mean_auroc(labels, out_of_fold(features, labels, folds, classes=2).first) < 0.6


def test_flipped_labels_get_the_least_confidence_of_all() -> None:
    generator = np.random.default_rng(0)
    truth = np.arange(600) % 3
    features = (generator.normal(size=(600, 10)) + 4 * np.eye(10)[truth]).astype(np.float32)
    labels = truth.copy()
    labels[:20] = (labels[:20] + 1) % 3
    folds = folds_by_patient(labels.astype(str).tolist(), [str(number) for number in range(600)], seed=0)
    probabilities = out_of_fold(features, labels, folds, classes=3).final
    assert probabilities.sum(axis=1) == pytest.approx(1)
    own = probabilities[np.arange(600), labels]
    assert len(set(np.argsort(own)[:20]) & set(range(20))) >= 18
