"""The answers of a run as a file that may leave the house with the report."""

import pandas as pd

from medimg_cli.workspace.tables import safe_csv

_NAMING = ("path", "message")


def predictions_csv(table: pd.DataFrame) -> bytes:
    """Return a predictions table as CSV without paths and messages, and with patients numbered in order of appearance.

    A path may name a person or a site, and an id of a patient may be that of the hospital. Which images belong to
    one patient is kept, so every figure can be computed again from it.

    Args:
        table: texts, as `dataset.manifest.read_table` returns it.
    """
    shown = table.drop(columns=[name for name in _NAMING if name in table.columns])
    if "patient_id" in shown:
        numbers, _ = pd.factorize(shown["patient_id"])
        shown = shown.assign(patient_id=[f"patient-{number + 1}" for number in numbers])
    return safe_csv(shown).encode("utf-8")
