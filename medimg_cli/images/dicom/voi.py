"""Grey DICOM values to what a viewer shows: modality, then VOI, each by look-up table or by formula.

The order is PS3.4 N.2: stored values, modality LUT (PS3.3 C.11.1), VOI LUT (PS3.3 C.11.2), presentation LUT. What
the header says about display never costs the image: what cannot be applied is skipped, and the words say so.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medimg_cli.images.dicom.attributes import Unusable, numbers, one_number, shown, table_of, value_of, word
from medimg_cli.images.greyscale import describe_beyond, stretch, window_edges
from medimg_cli.images.image import UnreadableImage

_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass
class Grey:
    """One frame on its way from stored values to what is shown.

    Args:
        values: (H, W), stored or modality values.
        low, high: the least and greatest that they can be, whatever this image holds.
        is_stored: nothing was applied to them.
        trusted: False where a modality transform is stated and cannot be applied: windows and tables, which are in
            its unit, do not go with `values` then.
        skipped: what could not be applied, and why.
    """

    values: NDArray[Any]
    low: float
    high: float
    is_stored: bool = True
    trusted: bool = True
    skipped: list[str] = field(default_factory=list)


def functional_groups(dataset: Dataset, frame: int, keyword: str) -> list[Dataset]:
    """Return what may hold a frame's values of one macro: its own item, the shared one, the data set itself.

    Enhanced multi-frame images keep rescale and window per frame or shared (PS3.3 C.7.6.16).
    """
    found = []
    for groups, position in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = value_of(dataset, groups)
        if isinstance(items, list | tuple) or hasattr(items, "__getitem__"):
            macro = value_of(items[position], keyword) if position < len(items) else None
            found += [item for item in (macro or [])[:1] if isinstance(item, Dataset)]
    return [*found, dataset]


def to_modality_values(stored: NDArray[Any], dataset: Dataset, frame: int) -> Grey:
    """Return stored values (H, W) in the modality's unit, Hounsfield for CT (PS3.3 C.11.1).

    Of a rescale one half may be missing: the slope is 1 then, the intercept 0.
    """
    grey = Grey(stored, *_range_of(stored, dataset))
    groups = value_of(dataset, "PerFrameFunctionalGroupsSequence")
    if hasattr(groups, "__len__") and 0 < len(groups) <= frame:
        grey.skipped.append(f"functional groups: none of frame {frame + 1}")
    for holder in functional_groups(dataset, frame, "PixelValueTransformationSequence"):
        for item in value_of(holder, "ModalityLUTSequence") or ():
            try:
                table = table_of(item, grey.low, grey.high)
                if table is not None:
                    return Grey(table(stored), 0.0, float((1 << max(table.bits, table.said_bits)) - 1), False)
            except Unusable as error:
                grey.skipped.append(f"Modality LUT: {error}")
                grey.trusted = False
        try:
            slope, intercept = one_number(holder, "RescaleSlope"), one_number(holder, "RescaleIntercept")
            if slope is None and intercept is None:
                continue
            slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
            if slope == 0:
                raise Unusable("Rescale Slope is 0")
        except Unusable as error:
            grey.skipped.append(str(error))
            grey.trusted = False
            return grey
        if (slope, intercept) == (1.0, 0.0):
            return Grey(stored, grey.low, grey.high, skipped=grey.skipped)
        low, high = sorted((grey.low * slope + intercept, grey.high * slope + intercept))
        return Grey(stored.astype(np.float64) * slope + intercept, low, high, False, skipped=grey.skipped)
    return grey


def to_shown(grey: Grey, dataset: Dataset, frame: int) -> tuple[NDArray[np.float64], str] | None:
    """Return (values (H, W) in 0..1, words for the manifest) by the file's first usable VOI LUT or window.

    The table comes first where there are both; output is scaled by the range the table or window defines,
    never by what one image happens to hold. None when the file says nothing usable (PS3.3 C.11.2.1.2).
    """
    for holder in functional_groups(dataset, frame, "FrameVOILUTSequence"):
        for item in value_of(holder, "VOILUTSequence") or ():
            try:
                table = table_of(item, grey.low, grey.high)
                if table is None:
                    continue
                _refuse_untrusted(grey)
                mapped = stretch(table(grey.values), 0.0, float((1 << table.bits) - 1))
                return mapped, f"VOI LUT{table.words()}"
            except Unusable as error:
                grey.skipped.append(f"VOI LUT: {error}")
        try:
            window = _window_of(holder, grey)
        except Unusable as error:
            grey.skipped.append(f"window: {error}")
            continue
        if window is not None:
            return window
    return None


def to_given(grey: Grey, centre: float, width: float) -> tuple[NDArray[np.float64], str]:
    """Return (values (H, W) in 0..1, words for the manifest) by a caller's window in modality values.

    Raises:
        UnreadableImage: the values are in another unit, as what makes modality values of them cannot be applied.
    """
    if not grey.trusted:
        raise UnreadableImage(f"a window is asked for, and {grey.skipped[0]}")
    display = windowed(grey.values.astype(np.float64), centre, width, "LINEAR")
    return display, f"{centre:g},{width:g} (given)" + describe_beyond(display, grey.values)


def padding_mask(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_] | None:
    """Return where stored values (H, W) are padding, not anatomy (PS3.3 C.7.5.1.1.2), or None.

    The padding value has the sign of Pixel Representation, whatever its own representation says.

    Raises:
        Unusable: it cannot be told.
    """
    kind = next(
        (name for name in ("DoubleFloat", "Float") if f"{name}PixelData" in dataset), ""
    )  # PS3.3 C.7.6.24-25
    value = one_number(dataset, f"{kind}PixelPaddingValue")
    if value is None:
        return None
    limit = one_number(dataset, f"{kind}PixelPaddingRangeLimit")
    low, high = sorted(
        _in_range(edge, stored, dataset) for edge in (value, value if limit is None else limit)
    )
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    if mask.all():
        raise Unusable("Pixel Padding Value: every sample would be padding")
    return mask


def windowed(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Return 0..1 by one of the three functions of PS3.3 C.11.2.1.2.1 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    if function == "LINEAR_EXACT":
        return stretch(values, centre - width / 2, centre + width / 2)
    if width == 1:  # the formula's slope is infinite: a step
        return (values > centre - 0.5).astype(np.float64)
    return stretch(values, *window_edges(centre, width))


def _range_of(stored: NDArray[Any], dataset: Dataset) -> tuple[float, float]:
    """Return the least and greatest stored value there can be; of floating-point pixels, that there is."""
    if stored.dtype.kind not in "iu":
        finite = stored[np.isfinite(stored)]
        return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    bits = int(dataset.get("BitsStored") or stored.dtype.itemsize * 8)
    if stored.dtype.kind == "i":
        return -float(1 << (bits - 1)), float((1 << (bits - 1)) - 1)
    return 0.0, float((1 << bits) - 1)


def _in_range(value: float, stored: NDArray[Any], dataset: Dataset) -> float:
    """Return a padding value as the stored values' type would hold it: 63488 is -2048 among signed ones of 16 bits."""
    low, high = _range_of(stored, dataset)
    if stored.dtype.kind not in "iu" or low <= value <= high:
        return value
    for bits in (stored.dtype.itemsize * 8, 16, int(dataset.get("BitsStored") or 16)):
        for turned in (value - (1 << bits), value + (1 << bits)):
            if low <= turned <= high:
                return turned
    return value


def _window_of(holder: Dataset, grey: Grey) -> tuple[NDArray[np.float64], str] | None:
    """Return what the first usable window of a holder shows and its words, None where it has none.

    Raises:
        Unusable: none of its windows can be used.
    """
    centres, widths = numbers(holder, "WindowCenter"), numbers(holder, "WindowWidth")
    if not centres and not widths:
        return None
    _refuse_untrusted(grey)
    function = word(holder, "VOILUTFunction").replace(" ", "_").replace("-", "_") or "LINEAR"
    if function not in _FUNCTIONS:
        grey.skipped.append(
            f"VOI LUT Function {shown(value_of(holder, 'VOILUTFunction'))} is unknown, LINEAR instead"
        )
        function = "LINEAR"
    pairs = [pair for pair in zip(centres, widths, strict=False) if not np.isnan(pair).any()]
    for centre, width in pairs:
        if not width > 0 or (function == "LINEAR" and width < 1):
            continue
        display = windowed(grey.values.astype(np.float64), centre, width, function)
        words = f"center {centre:g}, width {width:g}" + ("" if function == "LINEAR" else f", {function}")
        return display, words + describe_beyond(display, grey.values)
    if not pairs:
        raise Unusable(f"Window {'Center' if centres else 'Width'} alone")
    raise Unusable(f"width {pairs[0][1]:g}, too narrow for {function}")


def _refuse_untrusted(grey: Grey) -> None:
    if not grey.trusted:
        raise Unusable("in modality values, which are not known")
