"""Several labels an image: what a table of predictions says of each."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.errors import DataError

TRUTH_PREFIX = "y_true_"


def truth_columns(marks: NDArray[np.float32], classes: Sequence[str]) -> dict[str, list[str]]:
    """Return `y_true_<class>` → cells "1", "0", or "" for unknown, of marks (N, C)."""
    said = np.where(np.isnan(marks), "", np.where(marks == 1, "1", "0"))
    return {TRUTH_PREFIX + name: said[:, index].tolist() for index, name in enumerate(classes)}


def marks_of(table: pd.DataFrame, classes: Sequence[str]) -> NDArray[np.float32]:
    """Return the marks (N, C) of a table's `y_true_<class>` columns: 1, 0, and NaN for an empty cell.

    Raises:
        DataError: a column is missing, or holds something else.
    """
    marks = np.zeros((len(table), len(classes)), dtype=np.float32)
    for index, name in enumerate(classes):
        column = TRUTH_PREFIX + name
        if column not in table:
            raise DataError(f"the predictions lack the column '{column}'", "one column for each prob_<class>")
        bad = next((cell for cell in table[column] if str(cell) not in ("", "0", "1")), None)
        if bad is not None:
            raise DataError(f"{column} holds {bad!r}", "1 = there, 0 = not there, empty = unknown")
        marks[:, index] = [np.nan if str(cell) == "" else float(cell) for cell in table[column]]
    return marks
