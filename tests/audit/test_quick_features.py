"""Quick features: what they see of a picture, and what they leave out."""

import numpy as np

from medimg_cli.audit.label_quality import quick_features, side_by_side
from medimg_cli.audit.measurements.thumbnails import SIDE_PX


def _pictures(count: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(0).integers(40, 200, (count, SIDE_PX, SIDE_PX)).astype(np.uint8)


def test_a_picture_has_the_same_features_in_any_company_up_to_scale() -> None:
    pictures = _pictures(300)
    features = quick_features(pictures)
    assert features.shape == (300, 24 * 24 + 5 * 5 * 4 * 9)
    turned = quick_features(pictures[::-1].copy())
    assert np.allclose(features, turned[::-1], rtol=1e-4)


def test_brighter_pictures_look_the_same_and_turned_ones_do_not() -> None:
    pictures = _pictures(2)
    features = quick_features(np.concatenate([pictures, pictures + 40, pictures.transpose(0, 2, 1)]))
    assert np.allclose(features[:2], features[2:4], atol=1e-4)
    assert np.abs(features[:2] - features[4:]).max() > 0.01


def test_flat_pictures_and_none_are_borne() -> None:
    assert np.isfinite(quick_features(np.full((3, SIDE_PX, SIDE_PX), 7, dtype=np.uint8))).all()
    assert len(quick_features(np.empty((0, SIDE_PX, SIDE_PX), dtype=np.uint8))) == 0


def test_blocks_of_features_have_the_same_say() -> None:
    generator = np.random.default_rng(0)
    joined = side_by_side(
        generator.normal(0, 100, (50, 3)).astype(np.float32),
        generator.normal(0, 1, (50, 9)).astype(np.float32),
    )
    assert np.isclose(joined[:, :3].var(axis=0).sum(), joined[:, 3:].var(axis=0).sum(), rtol=1e-4)
