"""What the header of a JPEG gives away, against files written with known settings."""

import io
import math

import numpy as np
import pytest
from PIL import Image, JpegImagePlugin

from medimg_cli.audit.shortcuts.file_traits import estimated_quality, subsampling


def _saved(colour: bool = True, **options: int) -> JpegImagePlugin.JpegImageFile:
    shape = (40, 32, 3) if colour else (40, 32)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="JPEG", **options)
    stream.seek(0)
    return JpegImagePlugin.JpegImageFile(stream)


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90, 96, 100])
def test_the_quality_a_file_was_saved_with_is_read_off_its_table(quality: int) -> None:
    assert estimated_quality(_saved(quality=quality).quantization) == quality


def test_without_a_table_the_quality_is_not_known() -> None:
    assert math.isnan(estimated_quality({}))


@pytest.mark.parametrize(("setting", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_the_subsampling_is_named_as_people_do(setting: int, name: str) -> None:
    assert subsampling(_saved(subsampling=setting).layer) == name


def test_grey_has_no_subsampling() -> None:
    assert subsampling(_saved(colour=False).layer) == ""
