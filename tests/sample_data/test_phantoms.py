"""Phantoms: what is drawn lies where it is told to lie, and both file forms show the same picture."""

import io

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.pixels.processing import apply_voi_lut

from medimg_cli.sample_data.phantoms.cohort import Header, dicom_bytes, png_bytes
from medimg_cli.sample_data.phantoms.draw import SIDE_PX, Pose, draw_chest, draw_pose, expose

UPRIGHT = Pose(turn=0.0, shift_x=0.0, shift_y=0.0, zoom_x=1.0, zoom_y=1.0)
TURNED = Pose(turn=9.0, shift_x=0.08, shift_y=-0.06, zoom_x=0.95, zoom_y=1.05)
HEADER = Header("test", {})


def test_disease_leaves_the_anatomy_alone() -> None:
    ill, well = (draw_chest(np.random.default_rng(3), diseased=diseased) for diseased in (True, False))
    assert ill.opacities
    assert not well.opacities
    far = np.ones_like(well.density, dtype=bool)
    axis = np.linspace(-1.25, 1.25, len(far))
    for opacity in ill.opacities:
        far &= np.hypot(axis[None, :] - opacity.x, axis[:, None] - opacity.y) > 4 * opacity.radius
    assert far.any()
    assert np.abs(ill.density - well.density)[far].max() < 1e-3


@pytest.mark.parametrize("pose", [UPRIGHT, TURNED])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_opacity_shows_where_the_pose_puts_it(pose: Pose, seed: int) -> None:
    ill, well = (draw_chest(np.random.default_rng(seed), diseased=diseased) for diseased in (True, False))
    seen = expose(ill, pose, np.random.default_rng(0)) - expose(well, pose, np.random.default_rng(0))
    y, x = (place / (SIDE_PX / 2) - 1 for place in np.unravel_index(int(seen.argmax()), seen.shape))
    distances = [
        np.hypot(x - centre_x, y - centre_y) / opacity.radius
        for opacity in ill.opacities
        for centre_x, centre_y in [pose.to_image(opacity.x, opacity.y)]
    ]
    assert min(distances) < 1.2


def test_an_image_uses_its_range_and_keeps_to_it() -> None:
    generator = np.random.default_rng(5)
    image = expose(draw_chest(generator, diseased=False), draw_pose(generator), generator)
    assert image.shape == (SIDE_PX, SIDE_PX)
    assert image.min() >= 0.0
    assert image.max() <= 1.0
    assert image.max() - image.min() > 0.5


@pytest.mark.parametrize("monochrome1", [False, True])
def test_png_and_dicom_show_the_same_picture(monochrome1: bool) -> None:
    image = np.linspace(0.0, 1.0, 32 * 48, dtype=np.float32).reshape(32, 48)
    dataset = dcmread(io.BytesIO(dicom_bytes(image, HEADER, monochrome1=monochrome1)))
    shown = apply_voi_lut(dataset.pixel_array, dataset) / 4095
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        shown = 1.0 - shown
    png = np.asarray(Image.open(io.BytesIO(png_bytes(image)))) / 255
    assert (dataset.PhotometricInterpretation == "MONOCHROME1") == monochrome1
    assert np.abs(shown - png).max() < 0.003


def test_a_stored_value_fits_into_twelve_bits() -> None:
    image = np.array([[0.0, 1.0]], dtype=np.float32)
    dataset = dcmread(io.BytesIO(dicom_bytes(image, HEADER, monochrome1=False)))
    assert dataset.pixel_array.tolist() == [[300, 3500]]
    assert (dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit) == (16, 12, 11)


def test_identifiers_come_from_the_name_of_the_image() -> None:
    image = np.zeros((2, 2), dtype=np.float32)
    same = dicom_bytes(image, HEADER, monochrome1=False)
    other = dicom_bytes(image, Header("another", {}), monochrome1=False)
    assert dicom_bytes(image, HEADER, monochrome1=False) == same != other
