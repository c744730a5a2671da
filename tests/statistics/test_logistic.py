"""Logistic regression: it is scikit-learn's at the strength that folds choose, for every kind of labels."""

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from medimg_cli.statistics.logistic import STRENGTHS, fit_logistic
from medimg_cli.statistics.probabilities import probabilities_from

WIDTH = 30


def drawn(images: int, classes: int, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return features, some of them a thousand times as large as others, the first three of which tell the class."""
    generator = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    features = generator.normal(0, 1, (images, WIDTH))
    features[:, :3] += labels[:, None] * np.array([1.2, -0.8, 0.5])
    return (features * np.geomspace(1, 1000, WIDTH) + 40).astype(np.float32), labels


def folds_of(images: int, classes: int) -> NDArray[np.int64]:
    return np.arange(images) // classes % 5


@pytest.mark.parametrize("classes", [2, 3])
def test_it_answers_as_scikit_learn_does_at_the_strength_it_chose(classes: int) -> None:
    features, labels = drawn(240, classes)
    weights = np.linspace(0.5, 1.5, classes)
    layer = fit_logistic(features, labels, folds_of(240, classes), class_weights=weights)
    assert layer.strengths[0] in STRENGTHS[1:-1]
    standard = (features - features.mean(axis=0)) / features.std(axis=0)
    expected = LogisticRegression(C=layer.strengths[0] / WIDTH, tol=1e-6, max_iter=5000)
    expected.fit(standard, labels, sample_weight=weights[labels])
    answers = probabilities_from(features @ layer.weight.T + layer.bias)
    assert np.abs(answers - expected.predict_proba(standard)).max() < 5e-3


def test_the_chosen_strength_is_better_on_new_images_than_a_weak_and_a_strong_penalty() -> None:
    features, labels = drawn(100, 2)
    fresh, truth = drawn(4000, 2, seed=1)
    layer = fit_logistic(features, labels, folds_of(100, 2), class_weights=np.ones(2))

    def loss(strength: float) -> float:
        centre, scale = features.mean(axis=0), features.std(axis=0)
        model = LogisticRegression(C=strength / WIDTH, max_iter=5000).fit((features - centre) / scale, labels)
        likely = model.predict_proba((fresh - centre) / scale)
        return float(-np.log(likely[np.arange(len(truth)), truth] + 1e-12).mean())

    answers = probabilities_from(fresh @ layer.weight.T + layer.bias)
    own = float(-np.log(answers[np.arange(len(truth)), truth]).mean())
    assert own < min(loss(STRENGTHS[0]), loss(STRENGTHS[-1]))


def test_several_labels_an_image_are_questions_of_their_own_and_unknown_ones_none() -> None:
    features, labels = drawn(240, 2)
    targets = np.stack([labels, 1 - labels, np.zeros(240)], axis=1).astype(np.float32)
    targets[::4, 0] = np.nan
    layer = fit_logistic(features, targets, folds_of(240, 2), kind="sigmoid", class_weights=np.ones(3))
    answers = probabilities_from(features @ layer.weight.T + layer.bias, "sigmoid")
    assert ((answers[:, 0] > 0.5) == (labels == 1)).mean() > 0.7
    assert ((answers[:, 1] > 0.5) == (labels == 0)).mean() > 0.7
    assert answers[:, 2] == pytest.approx(0.5 / 241.0, abs=1e-4)  # nobody has it
    kept = ~np.isnan(targets[:, 0])
    alone = fit_logistic(
        features,
        np.where(kept[:, None], targets, np.nan),
        folds_of(240, 2),
        kind="sigmoid",
        class_weights=np.ones(3),
    )
    assert np.allclose(layer.weight[0], alone.weight[0])


def test_grades_are_steps() -> None:
    features, labels = drawn(300, 3)
    layer = fit_logistic(features, labels, folds_of(300, 3), kind="ordinal", class_weights=np.ones(3))
    answers = probabilities_from(features @ layer.weight.T + layer.bias, "ordinal")
    assert len(layer.strengths) == 2
    assert np.corrcoef(answers @ np.arange(3), labels)[0, 1] > 0.5


def test_a_layer_without_bias_gets_none() -> None:
    features, labels = drawn(120, 2)
    layer = fit_logistic(features - 40, labels, folds_of(120, 2), class_weights=np.ones(2), intercept=False)
    assert np.abs(layer.bias).max() == 0
    assert ((features - 40) @ (layer.weight[1] - layer.weight[0]) > 0)[labels == 1].mean() > 0.5


def test_a_class_of_one_fold_and_a_feature_that_never_varies_are_borne() -> None:
    features, labels = drawn(30, 2)
    features[:, 5] = 7
    labels = np.where(np.arange(30) < 3, 1, 0)
    layer = fit_logistic(features, labels, np.arange(30) // 3, class_weights=np.ones(2))
    assert np.isfinite(layer.weight).all()
    assert layer.strengths == (10.0,)
