"""Folds: train and val pooled and dealt into parts, so that every image of them can be held out once."""

import pandas as pd

from medimg_cli.dataset.labels import parts_of
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.dataset.splits import assign_folds, group_identical
from medimg_cli.errors import DataError

FOLD = "fold"
OUT_OF_FOLD = "out-of-fold"
"""Names answers about train and val that no member gave who had learnt from the image."""


def dealt_rows(dataset: Dataset, folds: int) -> pd.DataFrame:
    """Return the usable rows of train and val, whose column `fold` says which of "0" … each belongs to.

    The manifest's own column is taken where the data set was ingested with that many folds. Otherwise images of one
    patient, or of the same content, stay together, classes are spread evenly, and the seed of the split decides, so
    that every training on this data set with so many folds has the same ones.

    Raises:
        DataError: fewer patients than folds, or a fold cannot be trained or judged for lack of a class.
    """
    rows = dataset.of_split("train", "val")
    if dataset.info.folds == folds and FOLD in rows and (rows[FOLD] != "").all():
        dealt = rows[FOLD].astype(str).tolist()
    else:
        patients = len(set(_groups(rows)))
        if patients < folds:
            raise DataError(f"--folds {folds}: train and val hold {patients} patients", "choose fewer folds")
        dealt = deal_folds(dataset, rows, folds, seed=dataset.info.seed)
    rows = rows.assign(**{FOLD: dealt})
    _check(rows, folds, dataset)
    return rows


def deal_folds(dataset: Dataset, rows: pd.DataFrame, folds: int, *, seed: int) -> list[str]:
    """Return the fold "0" … of each row of `dataset`: whole patients and copies together, classes spread evenly."""
    return assign_folds(
        rows["label"].tolist(),
        _groups(rows),
        [None] * len(rows),
        folds=folds,
        seed=seed,
        multi_label=dataset.info.multi_label,
    )


def _groups(rows: pd.DataFrame) -> list[str]:
    return group_identical(rows["patient_id"].tolist(), rows["sha256"].tolist())


def _check(rows: pd.DataFrame, folds: int, dataset: Dataset) -> None:
    """Refuse what would end hours later: a class that nothing is learnt of, a fold without the disease."""
    many = dataset.info.multi_label
    holds = [set(parts_of(label)) if many else {label} for label in rows["label"]]
    spread = {
        name: {fold for fold, classes in zip(rows[FOLD], holds, strict=True) if name in classes}
        for name in dataset.info.classes
    }
    few = "choose fewer folds, or add images of that class"
    for name, where in spread.items():
        if len(where) < 2:
            raise DataError(f"--folds {folds}: class '{name}' is in {len(where)} of the folds alone", few)
    ill = set().union(*(spread[name] for name in dataset.labels.positives))
    if dataset.labels.positives and len(ill) < folds:
        raise DataError(
            f"--folds {folds}: class '{dataset.info.positive}' is in {len(ill)} of the folds alone, so the others "
            "could not be judged",
            few,
        )
