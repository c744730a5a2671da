"""More files of each kind that readers were reported to get wrong: High Bit, half a rescale, look-up tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian

from medimg_cli.images.readers import read_image
from tests.images.dicom_file import dicom_image, write

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

RAMP = np.arange(64 * 64).reshape(64, 64)
TWELVE = (RAMP % 4096).astype(np.uint16)
DOWN = 1023 - np.arange(4096) // 4


def windowed(values: NDArray[Any], centre: float, width: float) -> NDArray[np.float64]:
    """Return grey levels 0..255 by the LINEAR function, PS3.3 C.11.2.1.2.1."""
    return np.asarray(np.clip((values - (centre - 0.5)) / (width - 1) + 0.5, 0, 1) * 255)


def twelve(**elements: Any) -> Dataset:
    return dicom_image(TWELVE, BitsStored=12, HighBit=11, **elements)


def item(descriptor: list[int] | None, data: Any, vr: str = "OW", sign: str = "US") -> Dataset:
    made = Dataset()
    if descriptor is not None:
        made.add_new("LUTDescriptor", sign, descriptor)
    if data is not None:
        made.add_new("LUTData", vr, data)
    return made


def voi(*items: Dataset, **elements: Any) -> Dataset:
    return twelve(VOILUTSequence=Sequence(list(items)), **elements)


def words(entries: NDArray[Any], order: str = "<") -> bytes:
    return entries.astype(f"{order}u2").tobytes()


def big_endian(dataset: Dataset, cells: NDArray[Any]) -> Dataset:
    dataset.PixelData = words(cells, ">")
    dataset["PixelData"].VR = "OW"
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    return dataset


@pytest.mark.parametrize(
    ("allocated", "stored", "high", "signed"),
    [(16, 10, 11, True), (16, 7, 14, False), (32, 12, 20, False), (8, 4, 6, False), (8, 5, 7, True)],
)
def test_samples_lie_below_high_bit(
    tmp_path: Path, allocated: int, stored: int, high: int, signed: bool
) -> None:
    values = RAMP % (1 << stored) - (1 << stored - 1 if signed else 0)
    cells = ((values & ((1 << stored) - 1)) << (high - stored + 1)).astype(f"u{allocated // 8}")
    centre, width = float(values.min() + (1 << stored - 1)), float(1 << stored)
    dataset = dicom_image(cells, BitsStored=stored, HighBit=high, PixelRepresentation=int(signed))
    dataset.WindowCenter, dataset.WindowWidth = centre, width
    shown = read_image(str(write(dataset, tmp_path / "a.dcm"))).pixels[..., 0]
    assert np.abs(shown - windowed(values, centre, width)).max() <= 0.51


def shared(**rescale: float) -> Sequence:
    group, values = Dataset(), Dataset()
    for keyword, value in rescale.items():
        setattr(values, keyword, value)
    group.PixelValueTransformationSequence = Sequence([values])
    return Sequence([group])


WINDOW = {"WindowCenter": 2048, "WindowWidth": 4096}
CASES: dict[str, tuple[Callable[[], Dataset], NDArray[Any]]] = {
    "an empty slope": (
        lambda: twelve(RescaleSlope=None, RescaleIntercept=-1000, WindowCenter=0, WindowWidth=2000),
        windowed(TWELVE - 1000.0, 0, 2000),
    ),
    "an empty intercept": (
        lambda: twelve(RescaleSlope=3, RescaleIntercept=None, WindowCenter=6000, WindowWidth=8000),
        windowed(TWELVE * 3.0, 6000, 8000),
    ),
    "an intercept of all frames": (
        lambda: twelve(
            SharedFunctionalGroupsSequence=shared(RescaleIntercept=-500), WindowCenter=0, WindowWidth=2000
        ),
        windowed(TWELVE - 500.0, 0, 2000),
    ),
    "a big-endian table of numbers": (
        lambda: big_endian(voi(item([4096, 0, 10], DOWN.tolist(), "US")), TWELVE),
        DOWN[TWELVE] * 255 / 1023,
    ),
    "a big-endian modality table": (
        lambda: big_endian(
            twelve(
                ModalityLUTSequence=Sequence([item([4096, 0, 16], words(DOWN * 16, ">"))]),
                WindowCenter=8000,
                WindowWidth=16000,
            ),
            TWELVE,
        ),
        windowed(DOWN[TWELVE] * 16.0, 8000, 16000),
    ),
    "no bits said": (lambda: voi(item([4096, 0, 0], words(DOWN))), DOWN[TWELVE] * 255 / 1023),
    "32 bits said": (lambda: voi(item([4096, 0, 32], words(DOWN))), DOWN[TWELVE] * 255 / 1023),
    "a bit too many said": (
        lambda: voi(item([4096, 0, 10], words(DOWN // 2))),
        DOWN[TWELVE] // 2 * 255 / 511,
    ),
    "a descriptor alone": (lambda: voi(item([4096, 0, 10], None), **WINDOW), windowed(TWELVE, 2048, 4096)),
    "data alone": (lambda: voi(item(None, words(DOWN)), **WINDOW), windowed(TWELVE, 2048, 4096)),
    "an empty item first": (
        lambda: voi(Dataset(), item([4096, 0, 10], words(DOWN))),
        DOWN[TWELVE] * 255 / 1023,
    ),
    "a first value below zero, unsigned in the file": (
        lambda: voi(item([4096, 63536, 10], words(DOWN)), RescaleSlope=1, RescaleIntercept=-2000),
        DOWN[TWELVE] * 255 / 1023,
    ),
    "a first value of 32768, signed in the file": (
        lambda: dicom_image(
            (RAMP * 16).astype(np.uint16),
            VOILUTSequence=Sequence([item([32768, -32768, 16], words(np.arange(32768) * 2), sign="SS")]),
        ),
        np.maximum(RAMP * 16 - 32768, 0) * 2 * 255 / 65535,
    ),
    "a table beyond every value": (
        lambda: voi(item([100, 5000, 10], words(DOWN[:100])), **WINDOW),
        windowed(TWELVE, 2048, 4096),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_case_shows_what_its_formula_says(tmp_path: Path, name: str) -> None:
    made, expected = CASES[name]
    shown = read_image(str(write(made(), tmp_path / "a.dcm"))).pixels[..., 0]
    assert np.abs(shown - expected).max() <= 0.51
