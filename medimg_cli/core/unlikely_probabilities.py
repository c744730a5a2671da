"""Cells that should be probabilities: what else they may be, in one line."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.core.predictions import PROBABILITY_PREFIX
from medimg_cli.errors import DataError

SUM_TOLERANCE = 1e-3


def check_probabilities(
    path: Path, rows: pd.DataFrame, classes: Sequence[str], *, several: bool, decimal_comma: bool
) -> NDArray[np.float64]:
    """Return the probabilities (N, C) of a table of texts.

    Args:
        path: to name in errors.
        rows: columns prob_<class>; index + 2 is the line in the file.
        several: an image may carry several labels, so that a row need not sum to 1.
        decimal_comma: a comma may stand for the decimal point, as it is not what separates cells.

    Raises:
        DataError: a cell is no number or outside 0..1, or a row does not sum to 1 (beyond 0.001).
    """
    columns = [PROBABILITY_PREFIX + name for name in classes]
    numbers = np.stack([_numbers(rows[column], decimal_comma=decimal_comma) for column in columns], axis=1)
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row, column = _first(wrong)
        cell = str(rows[columns[column]].iloc[row])
        said = repr(cell) if cell.strip() else "empty"
        raise DataError(
            f"{path} row {rows.index[row] + 2}: {columns[column]} is {said}",
            f"probabilities are numbers between 0 and 1; {int(wrong.any(axis=1).sum()):,} rows have none",
        )
    outside = (numbers < 0) | (numbers > 1)
    if outside.any():
        row, column = _first(outside)
        raise DataError(
            f"{path} row {rows.index[row] + 2}: {columns[column]} is {numbers[row, column]:g}, not between 0 and 1",
            _what_else(numbers, several=several),
        )
    if not several:
        _check_sums(path, rows, numbers)
    return numbers


def _check_sums(path: Path, rows: pd.DataFrame, numbers: NDArray[np.float64]) -> None:
    sums = numbers.sum(axis=1)
    off = np.abs(sums - 1) > SUM_TOLERANCE
    if off.any():
        row = int(off.argmax())
        raise DataError(
            f"{path} row {rows.index[row] + 2}: the probabilities sum to {sums[row]:.4f}, not to 1 "
            f"({int(off.sum()):,} of {len(rows):,} rows)",
            "one prob_<class> for every class; where an image may carry several labels, use y_true_<class> columns",
        )


def _numbers(cells: pd.Series, *, decimal_comma: bool) -> NDArray[np.float64]:
    """Return numbers (N,), NaN where a cell holds none."""
    numbers = pd.to_numeric(cells, errors="coerce")
    if decimal_comma and numbers.isna().any():
        numbers = pd.to_numeric(cells.str.replace(",", ".", regex=False), errors="coerce")
    found: NDArray[np.float64] = numbers.to_numpy(dtype=np.float64)
    return found


def _first(wrong: NDArray[np.bool_]) -> tuple[int, int]:
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return int(row), int(column)


def _what_else(numbers: NDArray[np.float64], *, several: bool) -> str:
    """Return what numbers (N, C) beyond 0..1 look like, and what makes probabilities of them."""
    low, high, sums = numbers.min(), numbers.max(), numbers.sum(axis=1)
    whole = bool((np.abs(sums - 100) <= 1).all())
    if low >= 0 and high <= 100 and (whole or (several and high > 1.5)):
        return "they look like percentages: divide them by 100"
    if high <= 0 and (several or np.allclose(np.exp(numbers).sum(axis=1), 1, atol=SUM_TOLERANCE)):
        return "they look like logarithms of probabilities: take their exp()"
    if low < 0 and high > 1:
        return f"they look like logits: take their {'sigmoid' if several else 'softmax'} first"
    return "probabilities are numbers between 0 and 1"
