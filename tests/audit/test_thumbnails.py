"""Small pictures: what they show, and that a killed audit leaves them usable."""

from pathlib import Path

import numpy as np
import pytest

from medimg_cli.audit.measurements.thumbnails import SIDE_PX, Thumbnails, appending, stored_count, thumbnail
from medimg_cli.images.image import DecodedImage


def _image(height: int, width: int, channels: int = 1, bits: int = 8) -> DecodedImage:
    random = np.random.default_rng(height * width)
    shape = (height, width, channels)
    if bits == 8:
        return DecodedImage(random.integers(0, 256, shape, dtype=np.uint8), bits)
    return DecodedImage(random.integers(0, 1 << bits, shape, dtype=np.uint16), bits)


@pytest.mark.parametrize("image", [_image(200, 300), _image(7, 5), _image(96, 96, 3), _image(50, 50, 1, 16)])
def test_every_image_becomes_one_small_grey_square(image: DecodedImage) -> None:
    small = thumbnail(image)
    assert small.shape == (SIDE_PX, SIDE_PX)
    assert small.dtype == np.uint8
    assert abs(float(small.mean()) - float(image.as_uint8().mean())) < 3


def test_a_flipped_image_has_the_flipped_thumbnail() -> None:
    image = _image(192, 288)
    flipped = DecodedImage(np.ascontiguousarray(image.as_uint8()[:, ::-1]), 8)
    assert np.array_equal(thumbnail(flipped), thumbnail(image)[:, ::-1])


def test_pictures_come_back_by_image_in_the_order_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "audit" / "thumbnails.u8"
    pictures = [thumbnail(_image(20, side)) for side in (10, 20, 30)]
    with appending(path, keep=0) as writer:
        numbers = {f"image-{i}": writer.append(picture) for i, picture in enumerate(pictures)}
    thumbnails = Thumbnails(path, numbers)
    assert np.array_equal(thumbnails.of(["image-2", "image-0"]), np.stack([pictures[2], pictures[0]]))
    assert thumbnails.of([]).shape == (0, SIDE_PX, SIDE_PX)
    assert ("image-1" in thumbnails, "image-9" in thumbnails) == (True, False)


def test_what_a_killed_audit_left_behind_the_known_ones_goes(tmp_path: Path) -> None:
    path = tmp_path / "thumbnails.u8"
    with appending(path, keep=0) as writer:
        for side in (10, 20):
            writer.append(thumbnail(_image(side, side)))
    with path.open("ab") as stream:
        stream.write(b"half a picture")
    with appending(path, keep=1) as writer:
        assert writer.append(thumbnail(_image(30, 30))) == 1
    assert stored_count(path) == 2
    assert np.array_equal(Thumbnails(path, {"b": 1}).of(["b"])[0], thumbnail(_image(30, 30)))
