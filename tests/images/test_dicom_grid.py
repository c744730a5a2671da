"""DICOM against two readers that share no line with ours: pydicom's processing functions and dcmtk's dcm2pnm.

A grid of every way to say how stored values become what is seen. Every difference is one of `EXPLAINED`, or a fault.
"""

import itertools
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from medimg_cli.images.readers import read_image
from tests.images.dicom_file import dicom_image

# pydicom warns of what the grid is made of: odd values, and files that break the standard.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SIDE = 32
SYNTAXES = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
)
BITS = (
    (8, 8, 7),
    (8, 6, 5),
    (16, 9, 8),
    (16, 12, 11),
    (16, 16, 15),
    (16, 12, 15),
    (16, 10, 13),
    (32, 32, 31),
)
MODALITIES = ("none", "rescale", "fraction", "slope", "intercept", "table")
DISPLAYS = (
    *("none", "linear", "exact", "sigmoid", "step", "several"),
    *("table OW", "table US", "table and window", "bits"),
)

# What a reference does otherwise, and why: it is given the same picture without the fault, and must agree then.
AMENDED = {
    "pydicom": {
        "half a rescale": "apply_rescale does nothing unless slope and intercept are both there (pydicom 3.0.2)",
        "High Bit": "its decoders mask the lower bits, whatever High Bit is (pydicom 3.0.2)",
        "bits in use": "its range is the descriptor's, also where the entries use a part of it (as Agfa writes, dicom-rs#825)",
        "first value": "in implicit VR it reads the descriptor's second value by Pixel Representation alone",
    },
    "dcmtk": {
        "half a rescale": "it does nothing unless slope and intercept are both there (dcmtk 3.6.7)",
        "bits in use": "it takes the entries' range where it exceeds the descriptor's, not where it is a part of it",
        "LINEAR_EXACT": "dcm2pnm has LINEAR and SIGMOID; it is asked for the LINEAR window with the same two ends",
    },
}
# Where a reference cannot be asked at all.
NOT_ASKED = {
    "JPEG 2000": "dcm2pnm does not decode it",
    "JPEG-LS of less than 8 bits": "dcml2pnm calls it invalid",
    "positions beyond 65535": "pydicom holds positions in a table in 16 bits, where they overflow",
    "32 bits": "dcmtk holds modality values in 32 bits, where a rescale overflows",
}


@dataclass(frozen=True)
class Case:
    bits: tuple[int, int, int]
    signed: bool
    inverted: bool
    modality: str
    display: str
    syntax: UID
    frames: int
    padded: bool

    def __str__(self) -> str:
        sign = "signed" if self.signed else "unsigned"
        kind = "MONOCHROME1" if self.inverted else "MONOCHROME2"
        rest = (
            f"{self.modality}, {self.display}, {self.syntax.name}, {self.frames} frames, padded={self.padded}"
        )
        return f"{'/'.join(map(str, self.bits))} {sign} {kind}, {rest}"


def cases() -> Iterator[Case]:
    """Yield every combination of bits, sign, photometric interpretation, modality and display, each in two syntaxes."""
    product = itertools.product(BITS, (False, True), (False, True), MODALITIES, DISPLAYS)
    for number, (bits, signed, inverted, modality, display) in enumerate(product):
        for turn in (0, 3):
            syntax = SYNTAXES[(number + turn) % len(SYNTAXES)]
            if bits[0] == 32 and ("table" in (modality, display[:5]) or display == "bits"):
                continue  # tables have 16 bits at most
            if bits[0] == 32 and syntax in (JPEGLSLossless, JPEG2000Lossless, RLELossless):
                syntax = ExplicitVRLittleEndian
            if bits[2] != bits[1] - 1 and syntax in (JPEGLSLossless, JPEG2000Lossless):
                syntax = RLELossless
            yield Case(
                bits, signed, inverted, modality, display, syntax, 1 + 2 * (number % 3 == 0), number % 4 == 1
            )


def samples_of(case: Case) -> NDArray[np.int64]:
    """Return the true samples (frames, H, W), over the whole range of Bits Stored."""
    stored = case.bits[1]
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if case.signed else (0, (1 << stored) - 1)
    rng = np.random.default_rng(stored * 2 + case.signed)
    samples = rng.integers(low, high + 1, (case.frames, SIDE, SIDE))
    samples[:, 0, 0], samples[:, 0, 1] = low, high
    return samples


def faults_of(case: Case, reference: str) -> list[str]:
    """Return the kinds of `AMENDED` that a case has for a reference."""
    negative = case.signed or case.modality in ("rescale", "intercept")
    found = {
        "half a rescale": case.modality in ("slope", "intercept"),
        "High Bit": case.bits[2] != case.bits[1] - 1,
        "bits in use": case.display == "bits",
        "first value": case.syntax == ImplicitVRLittleEndian
        and negative
        and "table" in (case.modality, case.display[:5]),
        "LINEAR_EXACT": case.display == "exact",
    }
    return [name for name in AMENDED[reference] if found[name]]


def amended(case: Case, reference: str) -> Case:
    """Return a case that shows the same picture and that the reference reads."""
    faults, modality, display, bits, syntax = (
        faults_of(case, reference),
        case.modality,
        case.display,
        case.bits,
        case.syntax,
    )
    if "half a rescale" in faults:
        modality = f"whole {modality}"
    if "High Bit" in faults:
        bits = (bits[0], bits[1], bits[1] - 1)
    if "bits in use" in faults:
        display = "table OW"
    if "first value" in faults or ("bits in use" in faults and syntax == ImplicitVRLittleEndian):
        syntax = ExplicitVRLittleEndian
    return replace(case, modality=modality, display=display, bits=bits, syntax=syntax)


def written(case: Case, path: Path) -> Dataset:
    allocated, stored, high = case.bits
    samples = samples_of(case)
    kind = f"<{'i' if case.signed else 'u'}{allocated // 8}"
    cells = (samples << (high - stored + 1)).astype(kind)
    dataset = dicom_image(cells if case.frames > 1 else cells[0])
    dataset.BitsStored, dataset.HighBit = stored, high
    dataset.PhotometricInterpretation = "MONOCHROME1" if case.inverted else "MONOCHROME2"
    order = ">" if case.syntax == ExplicitVRBigEndian else "<"
    low, top = modality_of(case, dataset, order)
    display_of(case, dataset, order, low, top)
    if case.padded:
        dataset.add_new("PixelPaddingValue", "SS" if case.signed else "US", int(samples.min()) % (1 << 15))
    if order == ">":
        dataset.PixelData = cells.astype(cells.dtype.newbyteorder(">")).tobytes()
        dataset["PixelData"].VR = "OW"
        if allocated == 8:
            dataset.PixelData = np.frombuffer(dataset.PixelData, "u2").byteswap().tobytes()
    dataset.file_meta.TransferSyntaxUID = case.syntax
    if case.syntax.is_encapsulated:
        dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        dataset.compress(case.syntax)
    dataset.save_as(path, enforce_file_format=True)
    return dataset


def table(entries: NDArray[Any], first: int, bits: int, order: str, vr: str, signed: bool) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(entries), first, bits])
    item.add_new("LUTData", vr, entries.tolist() if vr == "US" else entries.astype(f"{order}u2").tobytes())
    return Sequence([item])


def modality_of(case: Case, dataset: Dataset, order: str) -> tuple[float, float]:
    """Put a modality transform into the data set; return the range of what comes of it."""
    stored = case.bits[1]
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if case.signed else (0, (1 << stored) - 1)
    slope, intercept = {
        "rescale": (1, -1000),
        "fraction": (0.5, 10),
        "slope": (2, None),
        "intercept": (None, -7),
        "whole slope": (2, 0),
        "whole intercept": (1, -7),
    }.get(case.modality, (None, None))
    if slope is not None:
        dataset.RescaleSlope = slope
    if intercept is not None:
        dataset.RescaleIntercept = intercept
    if case.modality == "table":
        count = min(high - low + 1, 4096)
        first = max(low, -32768) if stored <= 16 else 0
        entries = (np.arange(count) * 65535 // max(1, count - 1)).astype(np.int64)
        dataset.ModalityLUTSequence = table(entries, first, 16, order, "OW", first < 0)
        return 0.0, 65535.0
    scale, shift = (1 if slope is None else slope), (intercept or 0)
    return low * scale + shift, high * scale + shift


def display_of(case: Case, dataset: Dataset, order: str, low: float, high: float) -> None:
    width, centre = max(2.0, (high - low) / 2), round((low + high) / 2)
    if case.display in ("linear", "exact", "sigmoid", "table and window"):
        dataset.WindowCenter, dataset.WindowWidth = centre, int(width)
    if case.display in ("exact", "sigmoid"):
        dataset.VOILUTFunction = "LINEAR_EXACT" if case.display == "exact" else "SIGMOID"
    if case.display == "step":
        dataset.WindowCenter, dataset.WindowWidth = centre, 1
    if case.display == "several":
        dataset.WindowCenter, dataset.WindowWidth = [centre, 5], [int(width), 7]
    if "table" in case.display or case.display == "bits":
        count = int(min(high - low + 1, 2048))
        first = int(np.clip(centre - count // 2, -32768, 32767 if low < 0 else 65535))
        entries = np.linspace(1023, 0, count).astype(np.int64)
        said = 16 if case.display == "bits" else 10
        vr = "US" if case.display == "table US" else "OW"
        dataset.VOILUTSequence = table(entries, first, said, order, vr, first < 0)


def of_pydicom(case: Case, path: Path, frame: int) -> NDArray[np.float64] | None:
    """Return 0..1 by pydicom's functions; what it has no function for (no window, the order of inversion) by hand."""
    dataset = dcmread(path)
    stored = dataset.pixel_array[frame] if case.frames > 1 else dataset.pixel_array
    # In 64 bits: its functions compute first values and slopes in the type of the samples, which overflows.
    values = apply_modality_lut(stored.astype(np.int64), dataset)
    if "VOILUTSequence" in dataset and values.max() - dataset.VOILUTSequence[0].LUTDescriptor[1] > 0xFFFF:
        return None
    if "VOILUTSequence" in dataset or "WindowCenter" in dataset:
        shown = apply_voi_lut(values, dataset, index=0).astype(np.float64)
        low, high = 0.0, 1.0
        if "VOILUTSequence" in dataset:
            high = float((1 << dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1)
        else:  # as apply_windowing scales its output, PS3.3 C.11.2.1.2
            low, high = range_of_windowing(case, dataset)
        shown = (shown - low) / (high - low)
    else:
        shown = without_window(case, dataset, stored, values)
    return 1 - shown if case.inverted else shown


def range_of_windowing(case: Case, dataset: Dataset) -> tuple[float, float]:
    if "ModalityLUTSequence" in dataset:
        return 0.0, float((1 << dataset.ModalityLUTSequence[0].LUTDescriptor[2]) - 1)
    stored = case.bits[1]
    low, high = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if case.signed else (0, (1 << stored) - 1)
    if "RescaleSlope" in dataset and "RescaleIntercept" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        return low * slope + intercept, high * slope + intercept
    return float(low), float(high)


def without_window(
    case: Case, dataset: Dataset, stored: NDArray[Any], values: NDArray[Any]
) -> NDArray[np.float64]:
    if case.modality == "none" and case.bits[1] <= 8 and not case.signed:
        whole: NDArray[np.float64] = stored / float((1 << case.bits[1]) - 1)
        return whole
    kept = values[stored != int(dataset.PixelPaddingValue)] if case.padded else values
    low, high = np.percentile(kept, (0.5, 99.5))
    clipped: NDArray[np.float64] = np.clip((values.astype(np.float64) - low) / max(high - low, 1e-9), 0, 1)
    return clipped


def of_dcmtk(case: Case, path: Path, frame: int, image_words: str) -> NDArray[np.float64] | None:
    """Return 0..1 by dcm2pnm, None where it cannot be asked."""
    tool = "dcml2pnm" if case.syntax == JPEGLSLossless else "dcm2pnm"
    small = case.syntax == JPEGLSLossless and case.bits[1] < 8
    if case.syntax == JPEG2000Lossless or small or case.bits[0] == 32 or shutil.which(tool) is None:
        return None
    if "VOI LUT" in image_words:
        how = ["+Wl", "1"]
    elif case.display == "exact":
        centre, width = (float(word) for word in re.findall(r"-?[0-9.]+", image_words)[:2])
        how = ["+Ww", f"{centre + 0.5:.6f}", f"{width + 1:.6f}"]
    elif "center" in image_words:
        how = ["+Wi", "1"]
    elif ": " in image_words and ".." in image_words:
        low, high = (float(edge) for edge in image_words.split(";")[0].rpartition(": ")[2].split(".."))
        how = ["+Ww", f"{low + 0.5 + (high - low) / 2:.6f}", f"{high - low + 1:.6f}"]
    else:
        how = []
    if case.display == "sigmoid":
        how += ["+Wfs"]
    command = [tool, "-q", "+F", str(frame + 1), *how, "+op", path.as_posix(), f"{path.as_posix()}.pgm"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    if done.returncode:
        raise AssertionError(f"dcmtk: {done.stderr.decode()[:200]}")
    content = Path(f"{path.as_posix()}.pgm").read_bytes()
    return np.frombuffer(content[-SIDE * SIDE :], np.uint8).reshape(SIDE, SIDE) / 255.0


def tolerance(case: Case, reference: str, words: str) -> float:
    """Return by how many of 255 grey levels two right answers may differ: the last digit, and what is explained here.

    dcmtk shows unsigned values without a window in steps of 256 over their range: 6 bits in steps of 4, white 252. It
    holds modality values as whole numbers, cut towards zero (DiMonoModality), so that of halves it loses 0.5 before
    the window: of a window of 31.5 that is 4 levels. pydicom cuts them before a table, and we round to the nearest
    entry, so that one entry lies between us.
    """
    stored = case.bits[1]
    if reference == "dcmtk" and case.display == case.modality == "none" and stored < 8 and not case.signed:
        return 4.01
    if case.modality != "fraction":
        return 1.01
    if case.display == "step":
        return 255.0 if reference == "dcmtk" else 1.01
    if "table" in case.display or case.display == "bits":
        return 1.01 + 255 / (min((1 << stored) / 2, 2048.0) - 1)
    if reference == "pydicom":
        return 1.01
    width = re.search(r"width ([0-9.]+)", words)
    edges = re.search(r": (-?[0-9.e+]+)\.\.(-?[0-9.e+]+)", words)
    assert width or edges
    span = float(width[1]) if width else float(edges[2]) - float(edges[1]) if edges else 0.0
    return 1.51 + 255 * 0.5 / span  # what it makes of the rest it cuts, too


def judge(case: Case, path: Path) -> dict[str, tuple[str, float]]:
    """Return reference → (agrees, agrees without a fault, differs, not asked; greatest difference in grey levels)."""
    written(case, path)
    image = read_image(path.as_posix())
    words, frame = image.facts["window"], case.frames // 2
    ours = image.as_uint8()[..., 0].astype(np.float64)
    answers: dict[str, tuple[str, float]] = {}
    for name in ("pydicom", "dcmtk"):
        faultless = amended(case, name)
        written(faultless, path)
        theirs = (
            of_pydicom(faultless, path, frame)
            if name == "pydicom"
            else of_dcmtk(faultless, path, frame, words)
        )
        if theirs is None:
            answers[name] = ("not asked", 0.0)
            continue
        difference = float(np.abs(ours - theirs * 255).max())
        how = " without: ".join(["agrees", *faults_of(case, name)[:1]])
        answers[name] = (how if difference <= tolerance(case, name, words) else "differs", difference)
    return answers


def counted(chosen: Iterator[Case], folder: Path) -> Counter[tuple[str, str]]:
    """Return how often each reference gave each answer; fails at the first difference."""
    counts: Counter[tuple[str, str]] = Counter()
    for case in chosen:
        for name, (answer, difference) in judge(case, folder / "a.dcm").items():
            assert answer != "differs", f"{name}: {difference:.1f} grey levels, {case}"
            counts[name, answer] += 1
    return counts


def test_a_sample_of_the_grid_agrees_with_pydicom_and_dcmtk(tmp_path: Path) -> None:
    counts = counted(itertools.islice(cases(), 0, None, 61), tmp_path)
    assert sum(count for (name, _), count in counts.items() if name == "pydicom") >= 55


@pytest.mark.slow
def test_the_whole_grid_agrees_with_pydicom_and_dcmtk(tmp_path: Path) -> None:
    counts = counted(cases(), tmp_path)
    for (name, answer), count in sorted(counts.items()):
        print(f"{name}: {answer}: {count}")  # noqa: T201 -- the figures are what a reader of this test wants
    assert sum(count for (name, _), count in counts.items() if name == "pydicom") >= 3500
    if shutil.which("dcm2pnm") is None:
        pytest.skip("dcmtk is not installed: pydicom alone was asked")
    assert (
        sum(count for (name, answer), count in counts.items() if name == "dcmtk" and "agrees" in answer)
        >= 2500
    )


@pytest.mark.parametrize("syntax", SYNTAXES[:4], ids=lambda syntax: str(syntax.name))
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("entries", [256, 200])
def test_palettes_agree_with_pydicom(tmp_path: Path, syntax: UID, signed: bool, entries: int) -> None:
    indices = (np.arange(SIDE * SIDE).reshape(SIDE, SIDE) % 256 - (128 if signed else 0)).astype(
        "i1" if signed else "u1"
    )
    dataset = dicom_image(indices, PhotometricInterpretation="PALETTE COLOR")
    order = ">" if syntax == ExplicitVRBigEndian else "<"
    for number, colour in enumerate(("Red", "Green", "Blue")):
        values = (np.random.default_rng(number).permutation(entries) * 65535 // (entries - 1)).astype(
            f"{order}u2"
        )
        name = f"{colour}PaletteColorLookupTable"
        dataset.add_new(f"{name}Descriptor", "SS" if signed else "US", [entries, -100 if signed else 20, 16])
        dataset.add_new(f"{name}Data", "OW", values.tobytes())
    dataset.file_meta.TransferSyntaxUID = syntax
    if order == ">":
        dataset.PixelData = np.frombuffer(dataset.PixelData, "u2").byteswap().tobytes()
        dataset["PixelData"].VR = "OW"
    dataset.save_as(tmp_path / "a.dcm", enforce_file_format=True)
    theirs = dcmread(tmp_path / "a.dcm")
    for colour in ("Red", "Green", "Blue"):  # it reads palettes in the machine's byte order
        element = theirs[f"{colour}PaletteColorLookupTableData"]
        element.value = np.frombuffer(element.value, f"{order}u2").astype("u2").tobytes()
    expected = apply_color_lut(theirs.pixel_array.astype(np.int32), theirs) / 65535 * 255
    assert np.abs(read_image((tmp_path / "a.dcm").as_posix()).pixels - expected).max() <= 0.51
