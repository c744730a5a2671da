"""Padding that no header declares, in every format whose samples come without a display rule."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.images.greyscale import without_padding
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.readers import read_image
from tests.images.dicom_file import dicom_image, write

BODY = np.random.default_rng(0).normal(100, 300, (64, 64)).clip(-1000, 1500)
OUTSIDE = np.add.outer((np.arange(64) - 32) ** 2, (np.arange(64) - 32) ** 2) > 30**2


def padded(value: float, kind: str, body: NDArray[Any] = BODY) -> NDArray[Any]:
    return np.where(OUTSIDE, value, body).astype(kind)


def as_tiff(samples: NDArray[Any], path: Path) -> DecodedImage:
    tifffile.imwrite(path, samples)
    return read_image(path.as_posix())


def as_npy(samples: NDArray[Any], path: Path) -> DecodedImage:
    np.save(path.with_suffix(".npy"), samples)
    return read_image(path.with_suffix(".npy").as_posix())


def as_dicom(samples: NDArray[Any], path: Path) -> DecodedImage:
    return read_image(write(dicom_image(samples), path).as_posix())


def as_png(samples: NDArray[Any], path: Path) -> DecodedImage:
    Image.fromarray(samples).save(path, "PNG")
    return read_image(path.as_posix())


def as_nifti(samples: NDArray[Any], path: Path) -> DecodedImage:
    nibabel = pytest.importorskip("nibabel")
    nibabel.Nifti1Image(samples[..., None], np.eye(4)).to_filename(path.with_suffix(".nii"))
    return read_image(path.with_suffix(".nii").as_posix())


def levels(image: DecodedImage) -> int:
    """Return how many of 256 greys the middle of a picture shows."""
    return len(np.unique(image.as_uint8()[20:44, 20:44]))


CASES = [
    (as_tiff, padded(-3.4e38, "f4")),
    (as_tiff, padded(-1e30, "f8")),
    (as_tiff, padded(1e20, "f4")),
    (as_tiff, padded(-32768, "i2")),
    (as_tiff, padded(65535, "u2", BODY + 1000)),
    (as_png, padded(65535, "u2", BODY + 1000)),
    (as_npy, padded(-(2**31), "i4")),
    (as_npy, padded(-9999, "f4", BODY / 10)),
    (as_dicom, padded(-32768, "i2")),
    (as_dicom, padded(65535, "u2", BODY + 1000)),
    (as_nifti, padded(-32768, "i2")),
    (as_nifti, padded(-9999, "f4", BODY.clip(0) / 9)),
]


@pytest.mark.parametrize(("save", "samples"), CASES)
def test_padding_nobody_declared_costs_no_contrast_and_is_said(
    save: Any, samples: NDArray[Any], tmp_path: Path
) -> None:
    image = save(samples, tmp_path / "a")
    assert levels(image) > 60
    assert f"; {float(samples.flat[0]):g} taken for padding" in image.facts["window"]


def test_a_ct_with_padding_is_shown_by_the_window_of_ct(tmp_path: Path) -> None:
    assert as_nifti(padded(-32768, "i2"), tmp_path / "a").facts["window"] == (
        "center 40, width 400: values as of CT; -32768 taken for padding"
    )


def test_padding_of_two_kinds_is_told(tmp_path: Path) -> None:
    samples = padded(-9999, "f4", BODY / 10)
    samples[:9, :9], samples[-9:, -9:] = -3.4e38, 1e20
    image = as_tiff(samples, tmp_path / "a")
    assert levels(image) > 60
    assert "; -3.4e+38 and 1e+20 and -9999 taken for padding" in image.facts["window"]


@pytest.mark.parametrize(
    "samples",
    [
        padded(0, "f4", np.arange(64) % 5 + 50.0),  # labels
        padded(0, "f4", np.full((64, 64), 7.0)),  # a mask
        padded(0, "f4", BODY + 1000),  # a black background
        np.where(np.arange(64 * 64).reshape(64, 64) == 9, -1e30, BODY),  # a hole, which the percentiles leave out
        np.full((8, 8), -1e30),
        np.array([[np.nan, np.inf]]),
    ],
)  # fmt: skip
def test_what_is_no_padding_stays(samples: NDArray[Any]) -> None:
    kept, words = without_padding(samples)
    assert words == ""
    assert kept.size == np.isfinite(samples).sum()
