"""Grey DICOM values to what a viewer shows: modality, then VOI, each by look-up table or by formula.

The order is PS3.4 N.2: stored values, modality LUT (PS3.3 C.11.1), VOI LUT (PS3.3 C.11.2), presentation LUT.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from medimg_cli.images.greyscale import describe_range, robust_range, stretch


def functional_group(dataset: Dataset, frame: int, keyword: str) -> Dataset:
    """Return the item that holds a frame's values of one macro, or the data set itself where there is none.

    Enhanced multi-frame images keep rescale and window per frame or shared (PS3.3 C.7.6.16).
    """
    for groups, position in (
        ("PerFrameFunctionalGroupsSequence", frame),
        ("SharedFunctionalGroupsSequence", 0),
    ):
        items = dataset.get(groups)
        if items and position < len(items) and items[position].get(keyword):
            found: Dataset = items[position].get(keyword)[0]
            return found
    return dataset


def to_modality_values(stored: NDArray[Any], holder: Dataset) -> NDArray[Any]:
    """Return stored values (H, W) in the modality's unit, Hounsfield for CT (PS3.3 C.11.1)."""
    if holder.get("ModalityLUTSequence"):
        return _through_table(stored, holder.ModalityLUTSequence[0])[0]
    slope, intercept = holder.get("RescaleSlope"), holder.get("RescaleIntercept")
    if slope is None or intercept is None:
        return stored
    return stored.astype(np.float64) * float(slope) + float(intercept)


def to_shown(values: NDArray[Any], holder: Dataset) -> tuple[NDArray[np.float64], str] | None:
    """Return (values (H, W) in 0..1, words for the manifest) by the file's first VOI LUT or window.

    The table comes first where there are both; output is scaled by the range the table or window defines,
    never by what one image happens to hold. None when the file says nothing usable (PS3.3 C.11.2.1.2).
    """
    if holder.get("VOILUTSequence"):
        mapped, bits = _through_table(values, holder.VOILUTSequence[0])
        return stretch(mapped, 0.0, float((1 << bits) - 1)), "VOI LUT"
    centre, width = _first(holder.get("WindowCenter")), _first(holder.get("WindowWidth"))
    function = str(holder.get("VOILUTFunction") or "LINEAR")
    if centre is None or width is None or not width > 0 or (function == "LINEAR" and width < 1):
        return None
    words = f"center {centre:g}, width {width:g}" + ("" if function == "LINEAR" else f", {function}")
    return windowed(values.astype(np.float64), centre, width, function), words


def to_robust(values: NDArray[Any], padding: NDArray[np.bool_] | None) -> tuple[NDArray[np.float64], str]:
    """Return (values in 0..1, words for the manifest) over the robust range of what is not padding."""
    measured = values if padding is None or padding.all() else values[~padding]
    low, high = robust_range(measured)
    return stretch(values, low, high), describe_range(low, high)


def padding_mask(stored: NDArray[Any], dataset: Dataset) -> NDArray[np.bool_] | None:
    """Return where stored values (H, W) are padding, not anatomy (PS3.3 C.7.5.1.1.2), or None."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return None
    edge = dataset.get("PixelPaddingRangeLimit")
    low, high = sorted((int(value), int(value if edge is None else edge)))
    mask: NDArray[np.bool_] = (stored >= low) & (stored <= high)
    return mask


def windowed(values: NDArray[np.float64], centre: float, width: float, function: str) -> NDArray[np.float64]:
    """Return 0..1 by one of the three functions of PS3.3 C.11.2.1.2.1 and C.11.2.1.3."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - centre) / width, -700.0, 700.0)))
    if function == "LINEAR_EXACT":
        return stretch(values, centre - width / 2, centre + width / 2)
    if width == 1:  # the formula's slope is infinite: a step
        return (values > centre - 0.5).astype(np.float64)
    return stretch(values, centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2)


def _through_table(values: NDArray[Any], item: Dataset) -> tuple[NDArray[Any], int]:
    """Return (mapped values, bits of the table's output range); PS3.3 C.11.1.1.1 and C.11.2.1.1."""
    entries, first, bits = (int(number) for number in item.LUTDescriptor)
    table = _table_of(item.LUTData, entries or 1 << 16)
    positions = np.clip(np.rint(values).astype(np.int64) - first, 0, len(table) - 1)
    return table[positions], bits


def _table_of(data: Any, entries: int) -> NDArray[Any]:
    """Return a table's entries; they come as numbers (VR US) or as bytes (VR OW), one or two a number."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, dtype=np.int64))[:entries]
    one_byte_each = len(data) in (entries, entries + 1) and entries > 1
    return np.frombuffer(data, dtype=np.uint8 if one_byte_each else "<u2")[:entries]


def _first(value: Any) -> float | None:
    """Return the first of one or several decimal strings; alternatives come in the order of preference."""
    if value is None or value == "":
        return None
    if isinstance(value, str | int | float) or not hasattr(value, "__getitem__"):
        return float(value)
    return float(value[0]) if len(value) else None
