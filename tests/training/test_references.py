"""What training leaves to tell images unlike its own, on drawn pictures and without a network."""

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medimg_cli.inference.flags.inverted import is_negative
from medimg_cli.inference.image_features import measure_pixels
from medimg_cli.inference.ood_reference import CONTENT, LAYOUT, TEXTURE, Known, Reference, References, even
from medimg_cli.preprocessing.recipe import Recipe
from medimg_cli.runs.ood_limits import Limits
from medimg_cli.runs.run import Fingerprint, ModelCard, Normalisation
from medimg_cli.training.ood.references import Images, Seen, alter, altered, known_of, limits_of, with_sets

RECIPE = Recipe(size_px=32, channels=1)
Pictures = NDArray[np.uint8]


def discs(count: int, seed: int) -> Pictures:
    """Draw bright discs (N, 32, 32, 1) on dark noise, near the middle."""
    generator = np.random.default_rng(seed)
    down, across = np.mgrid[:32, :32]
    pictures = []
    for _ in range(count):
        top, left = generator.normal(15.5, 1.5, 2)
        inside = np.hypot(down - top, across - left) < generator.uniform(8, 11)
        pictures.append(generator.normal(40, 8, (32, 32)) + 150 * inside)
    return np.stack(pictures).clip(0, 255).astype(np.uint8)[..., None]


def noise(count: int, seed: int) -> Pictures:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 1), dtype=np.uint8)


def seen(pictures: Pictures, seed: int = 0) -> Seen:
    """Return pictures as measured, with features that lie around one direction."""
    features = np.random.default_rng(seed).normal(1, 0.1, (len(pictures), 8)).astype(np.float32)
    return Seen(tuple(measure_pixels(one, RECIPE, 32, 32) for one in pictures), features)


def sizes(count: int = 10, **columns: object) -> pd.DataFrame:
    return pd.DataFrame({"width": [100] * count, "height": [80] * count, "channels": [1] * count} | columns)


def reference(rate: float = 0.05, train: int = 120, val: int = 99) -> Reference:
    learnt, judged = seen(discs(train, 1), 1), seen(discs(val, 2), 2)
    known = known_of(learnt)
    return Reference(known, limits_of(known, learnt, judged, sizes(), rate))


def share_refused(found: Reference, shown: Seen) -> float:
    unlike = [found.unlikeness(*one) for one in zip(shown.measured, shown.features, strict=True)]
    return float(np.mean([max(each.values()) > 1 for each in unlike]))


@pytest.mark.parametrize("rate", [0.05, 0.2])
def test_validation_is_refused_in_the_stated_share_of_images(rate: float) -> None:
    # Of 99 images the limit lies at rank 100 (1 - rate): about 100 rate - 1 lie beyond it.
    refused = share_refused(reference(rate), seen(discs(99, 2), 2))
    assert refused == pytest.approx((100 * rate - 1) / 99, abs=0.02)
    assert share_refused(reference(rate), seen(discs(200, 3), 3)) == pytest.approx(rate, abs=0.06)


def test_few_validation_images_do_not_refuse_more_than_was_stated() -> None:
    learnt, others = seen(discs(120, 1), 1), seen(discs(400, 2), 2)
    known, generator, refused = known_of(learnt), np.random.default_rng(0), []
    for _ in range(12):
        order = generator.permutation(len(others.measured))
        judged, rest = part(others, order[:40]), part(others, order[40:140])
        limits = limits_of(known, learnt, judged, sizes(), 0.05)
        refused.append(share_refused(Reference(known, limits), rest))
    assert np.mean(refused) <= 0.06


def part(shown: Seen, places: NDArray[np.int64]) -> Seen:
    return Seen(tuple(shown.measured[place] for place in places), shown.features[places])


def test_each_detector_sees_what_the_others_do_not() -> None:
    found, usual = reference(), seen(discs(1, 5), 5)
    picture, features = usual.measured[0], usual.features[0]
    other = measure_pixels(noise(1, 3)[0], RECIPE, 32, 32)
    turned = -features
    assert {name for name, value in found.unlikeness(picture, features).items() if value > 1} == set()
    assert {name for name, value in found.unlikeness(picture, turned).items() if value > 1} == {CONTENT}
    assert {name for name, value in found.unlikeness(other, features).items() if value > 1} == {
        LAYOUT,
        TEXTURE,
    }


def test_too_few_validation_images_say_what_rate_they_can_keep() -> None:
    limits = reference(0.05, val=9).limits
    assert (limits.false_alarms, limits.val_images) == (0.1, 9)


def test_negatives_are_told_where_they_can_be() -> None:
    found = reference()
    shown = [measure_pixels(one, RECIPE, 32, 32) for one in discs(50, 4)]
    negatives = [measure_pixels(255 - one, RECIPE, 32, 32) for one in discs(50, 4)]
    assert np.mean([is_negative(found, one) for one in negatives]) >= 0.9
    assert not any(is_negative(found, one) for one in shown)


def test_pictures_whose_negatives_look_like_them_have_no_limit_for_negatives() -> None:
    learnt, judged = seen(noise(80, 1)), seen(noise(60, 2))
    known = known_of(learnt)
    assert limits_of(known, learnt, judged, sizes(), 0.05).negative is None


def test_sizes_and_colour_of_all_training_images_count() -> None:
    learnt = seen(discs(30, 1))
    known = known_of(learnt)
    rows = sizes(1000, width=[100] * 998 + [900, 3], channels=[1] * 999 + [3])
    limits = limits_of(known, learnt, learnt, rows, 0.05)
    assert (limits.width_px, limits.height_px, limits.ratio) == ((100, 100), (80, 80), (1.25, 1.25))
    assert not limits.grey
    assert limits_of(known, learnt, learnt, sizes(), 0.05).grey


@pytest.mark.parametrize("count", [1, 3])
def test_a_handful_of_images_that_do_not_differ_is_no_reason_to_fail(count: int) -> None:
    learnt = Seen(
        tuple(measure_pixels(one, RECIPE, 32, 32) for one in np.zeros((count, 32, 32, 1), dtype=np.uint8)),
        np.zeros((count, 4), dtype=np.float32),
    )
    known = known_of(learnt)
    found = Reference(known, limits_of(known, learnt, learnt, sizes(), 0.05))
    assert share_refused(found, learnt) == 0
    assert share_refused(found, seen_of(noise(1, 0))) == 1


def seen_of(pictures: Pictures) -> Seen:
    return Seen(
        tuple(measure_pixels(one, RECIPE, 32, 32) for one in pictures),
        np.zeros((len(pictures), 4), dtype=np.float32),
    )


def test_of_many_images_the_same_are_drawn_every_time() -> None:
    images = Images(noise(50, 0), np.arange(50)[::-1], sizes(50))
    some = images.some(5)
    assert some.positions.tolist() == [49, 37, 25, 12, 0]
    assert len(some.rows) == 5
    assert images.some(50) is images


def test_altered_copies_are_always_alike_and_make_a_reference_lenient() -> None:
    pictures = discs(60, 1)
    images = Images(pictures, np.arange(60), sizes(60))
    copies = alter(card("softmax"), images)
    again = alter(card("softmax"), images)
    assert all(np.array_equal(one.figures, other.figures) for one, other in zip(copies, again, strict=True))
    learnt, judged = seen(pictures, 1), seen(discs(99, 2), 2)
    strict, lenient = (
        Reference(known, limits_of(known, learnt, judged, sizes(), 0.05))
        for known in (known_of(learnt), known_of(learnt, copies))
    )
    darker = seen((discs(50, 3) * 0.6).astype(np.uint8), 3)
    assert share_refused(strict, darker) == 1
    for one, own in zip(darker.measured, darker.features, strict=True):
        assert lenient.unlikeness(one, own)[TEXTURE] < 0.5 * strict.unlikeness(one, own)[TEXTURE]
    assert share_refused(lenient, seen(noise(20, 3), 3)) == 1


@pytest.mark.parametrize("mode", ["pad", "stretch"])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_altered_copy_keeps_shape_and_range(mode: str, channels: int) -> None:
    generator = np.random.default_rng(0)
    recipe = Recipe.model_validate({"size_px": 40, "channels": channels, "resize_mode": mode})
    shares = generator.uniform(0.4, 1, (40, 40, channels)).astype(np.float32)
    copies = [altered(shares, recipe, generator) for _ in range(20)]
    assert {(copy.shape, copy.dtype) for copy in copies} == {((40, 40, channels), np.dtype(np.float32))}
    assert min(copy.min() for copy in copies) >= 0
    assert max(copy.max() for copy in copies) <= 1
    bars = [(copy[0] == 0).all() or (copy[:, 0] == 0).all() for copy in copies]
    assert any(bars) is (mode == "pad")


def test_members_are_averaged_and_outvote_one_another() -> None:
    one = reference()
    lenient = one.limits.model_copy(update={"unlike": one.limits.unlike * 3})
    other = Reference(one.known, lenient)
    shown = seen(noise(1, 0))
    measured, features = shown.measured[0], shown.features[0]
    mean = References((one, other)).unlikeness(measured, [features, features, -features])
    alone = one.unlikeness(measured, features)
    assert mean[TEXTURE] == pytest.approx(alone[TEXTURE] * (1 + 1 / 3) / 2)
    assert not References((one, other)).most(lambda member: member is one)
    assert References((one, one, other)).most(lambda member: member is one)


def card(answers: str) -> ModelCard:
    return ModelCard.model_validate(
        {
            "arch": "small-cnn",
            "classes": ("SICK", "WELL"),
            "positive": "SICK",
            "recipe": RECIPE,
            "normalisation": Normalisation(mean=(0.5,), std=(0.2,)),
            "threshold": None,
            "fingerprint": Fingerprint(
                dataset_hash="", train_images=1, train_patients=1, val_images=1, class_counts={}
            ),
            "weights_sha256": "",
            "answers": answers,
        }
    )


def test_sets_rest_on_validation_class_by_class() -> None:
    sick = np.linspace(0.1, 0.9, 9)
    probabilities = np.stack([sick, 1 - sick], axis=1)
    sets = with_sets(card("softmax"), probabilities, np.zeros(9, dtype=np.int64), "val").sets
    assert sets is not None
    assert sets.least == {"SICK": pytest.approx(0.1), "WELL": 0.0}
    assert (sets.counts, sets.split) == ({"SICK": 9, "WELL": 0}, "val")


def test_several_labels_an_image_have_no_sets() -> None:
    given = card("sigmoid")
    assert with_sets(given, np.ones((3, 2)), np.ones((3, 2)), "val") is given


def test_what_the_reference_holds_is_of_its_images() -> None:
    learnt = seen(discs(40, 1))
    known: Known = known_of(learnt)
    thumbnails = np.stack([one.thumbnail for one in learnt.measured])
    assert np.linalg.norm(known.features, axis=1) == pytest.approx(np.ones(40), abs=1e-5)
    assert known.mean == pytest.approx(even(thumbnails).mean(axis=0), abs=1e-6)
    assert even(thumbnails).std(axis=1) == pytest.approx(np.ones(40), abs=0.15)
    assert known.axes @ known.axes.T == pytest.approx(np.eye(len(known.spreads)), abs=1e-5)
    assert known.content(learnt.features[0]) < 0.05
    limits: Limits = limits_of(known, learnt, learnt, sizes(), 0.05)
    assert all(low < high for low, high in limits.quality.values())
