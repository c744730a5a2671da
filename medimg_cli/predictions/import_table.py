"""A table of predictions that any software wrote: found out, checked, and brought into medimg's own form."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.dataset.class_names import is_stated, key_of, mark_of
from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.dataset.official_splits import SPLIT_NAMES
from medimg_cli.errors import DataError
from medimg_cli.predictions.predictions import PROBABILITY_PREFIX, TRUTH_PREFIX, classes_of
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.spreadsheets import Table, is_sum, read_spreadsheet, without_remarks

_UNANSWERED = "unreadable"
_FILES = ("path", "file", "filename", "file_name", "image")
_OWN = ("image_id", "patient_id", "split", "y_true", "status")
_SHAPE = (
    "y_true and one prob_<class> for each class; several labels an image: y_true_<class> with 1, 0 or nothing"
)


@dataclass(frozen=True)
class ForeignPredictions:
    """N images that something answered.

    Args:
        table: image_id, patient_id, y_true (of several labels an image y_true_<class>: "1", "0", ""), prob_<class> as
            numbers, split as medimg calls it where there is one; further columns are texts, as they were.
        classes: in the order of their columns.
        several: an image may carry several of the classes, or none.
        patients_known: else each image counts as a patient of its own.
        splits_known: column `split` is there.
        unanswered: rows left out, as they say that the image could not be read.
        notes: what was decided on reading it, for people.
    """

    table: pd.DataFrame
    classes: tuple[str, ...]
    several: bool
    patients_known: bool
    splits_known: bool
    unanswered: int
    notes: tuple[str, ...] = ()


def read_foreign_predictions(file: Path, sheet: str | None = None) -> ForeignPredictions:
    """Read predictions of any software: a CSV, or a sheet of a workbook.

    Columns: y_true and prob_<class> for each class, or y_true_<class> with 1, 0 or nothing where an image may carry
    several labels; image_id, patient_id and split may be there, others are carried along. Where image_id is not, rows
    are called row-1, row-2, … A column without a single entry counts as not there. Percentages are divided by 100.
    Probabilities that somebody rounded are taken as they are, not divided by their sum: a threshold was chosen on these.

    Raises:
        DataError: a column is missing; a cell is empty, no probability or an unknown label; an image stands there
            twice; one patient's images cannot be told. One line that names the row.
    """
    table = read_spreadsheet(file, sheet=sheet, is_name=_is_name)
    probabilities = [name for name in table.columns if _called(name).startswith(PROBABILITY_PREFIX)]
    named = {_called(name).removeprefix(PROBABILITY_PREFIX).casefold() for name in probabilities}
    table = without_remarks(
        table,
        lambda cells: (
            any(cells[name] for name in probabilities)
            and (not is_sum(cells) or next(filter(None, cells.values())).casefold() in named)
        ),
    )
    path, rows = table.where, _frame(table)
    table = replace(table, rows=())  # their dictionaries take more than all that follows
    present = [name for name in ("image_id", "patient_id", "split") if name in rows]
    rows = rows.drop(columns=[name for name in present if (rows[name].str.strip() == "").all()])
    rows, unanswered = _answered(path, rows)
    classes, several = _classes(path, rows)
    comma = table.separator != ","
    numbers, decided = check_probabilities(path, rows, classes, several=several, decimal_comma=comma)
    truth = _marks(path, rows, classes) if several else _labels(path, rows, classes)
    names = _image_ids(path, rows)
    splits = _splits(path, rows)
    known = "patient_id" in rows
    patients = _filled(path, rows, "patient_id") if known else names
    columns = {
        "image_id": names,
        "patient_id": patients,
        **({} if splits is None else {"split": splits}),
        **truth,
        **{PROBABILITY_PREFIX + name: numbers[:, index] for index, name in enumerate(classes)},
    }
    further = [name for name in rows.columns if name not in columns and name != "y_true"]
    own = pd.DataFrame(columns, index=rows.index)
    whole = pd.concat([own, rows[further]], axis=1).reset_index(drop=True)
    notes = (*table.notes, *decided, *_not_heeded(rows, numbers, classes, several=several))
    return ForeignPredictions(whole, classes, several, known, splits is not None, unanswered, notes)


def _not_heeded(
    rows: pd.DataFrame, numbers: NDArray[np.float64], classes: tuple[str, ...], *, several: bool
) -> list[str]:
    """Return a note on each column that says other than what is read: files that repeat, classes called otherwise."""
    called = {name.strip().casefold(): name for name in rows.columns}
    notes = []
    file = next((called[name] for name in _FILES if name in called), None)
    if "image_id" not in rows and file is not None:
        twice = int(rows[file][rows[file].str.strip() != ""].duplicated().sum())
        if twice:
            notes.append(
                f"{twice:,} rows name a file in {file!r} that stands in another row: each row counts as an image"
                " (patient_id joins them)"
            )
    if "y_pred" in called and not several:
        keys = [key_of(name) for name in classes]
        pairs = zip(rows[called["y_pred"]], numbers.argmax(axis=1), strict=True)
        differ = sum(bool(cell.strip()) and key_of(cell) != keys[highest] for cell, highest in pairs)
        if differ:
            notes.append(
                f"y_pred is not read: in {differ:,} of {len(rows):,} rows it is not the class of the highest"
                " probability, by which answers are called without --threshold"
            )
    return notes


def _is_name(cell: str) -> bool:
    return _called(cell).startswith(("y_true", PROBABILITY_PREFIX))


def _called(name: str) -> str:
    """Return what a column is called here, however it is spelt there."""
    plain = name.strip().casefold()
    if plain in _OWN:
        return plain
    for prefix in (TRUTH_PREFIX, PROBABILITY_PREFIX):
        if plain.startswith(prefix):
            return prefix + name.strip()[len(prefix) :].strip()
    return name


def _frame(table: Table) -> pd.DataFrame:
    """Return the cells as texts; index + 2 is the row, as a spreadsheet counts."""
    index = [number - 2 for number, _ in table.rows]
    called = [_called(name) for name in table.columns]
    double = next((name for place, name in enumerate(called) if name in called[:place]), None)
    if double is not None:
        raise DataError(f"{table.where} has two columns '{double}'", "rename or remove one of them")
    columns = {
        new: [cells[old] for _, cells in table.rows] for old, new in zip(table.columns, called, strict=True)
    }
    return pd.DataFrame(columns, index=index, dtype=object)


def _answered(path: str, rows: pd.DataFrame) -> tuple[pd.DataFrame, int]:
    """Leave out the rows of which medimg's own `predict` says that there is no answer."""
    if "status" not in rows:
        return rows, 0
    kept = rows[rows["status"] != _UNANSWERED]
    if kept.empty:
        raise DataError(f"{path}: no image could be read when it was made", "predict readable images")
    return kept, len(rows) - len(kept)


def _classes(path: str, rows: pd.DataFrame) -> tuple[tuple[str, ...], bool]:
    """Return the classes, and whether an image may carry several of them."""
    classes = classes_of(rows)
    alike = {key_of(name): name for name in classes}
    twin = next((name for name in classes if alike[key_of(name)] != name), None)
    if twin is not None:
        raise DataError(
            f"{path}: {PROBABILITY_PREFIX}{twin} and {PROBABILITY_PREFIX}{alike[key_of(twin)]} are one class",
            "leave one of them out, or rename it",
        )
    judged = [name.removeprefix(TRUTH_PREFIX) for name in rows.columns if name.startswith(TRUTH_PREFIX)]
    if not classes or not (judged or "y_true" in rows):
        lacking = "y_true" if classes else "prob_<class>"
        columns = ", ".join(map(str, rows.columns[:20]))
        raise DataError(f"{path} lacks {lacking}", f"it needs {_SHAPE}; its columns: {columns}")
    if judged:
        unmatched = next((name for name in judged if name not in classes), None)
        if unmatched is not None:
            raise DataError(
                f"{path} has {TRUTH_PREFIX}{unmatched} without {PROBABILITY_PREFIX}{unmatched}",
                did_you_mean(unmatched, classes),
            )
        return classes, True
    if len(classes) == 1:
        raise DataError(
            f"{path} has only one class, {PROBABILITY_PREFIX}{classes[0]}",
            f"add a column prob_<class> for the other class: 1 - {PROBABILITY_PREFIX}{classes[0]}",
        )
    return classes, False


def _labels(path: str, rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, pd.Series]:
    """Return `y_true`, each cell one of the classes however it is spelt: "1.0" is class "1", as numbers are often saved."""
    spelt = {key_of(name): name for name in classes}
    label_of = {cell: spelt.get(key_of(cell), cell.strip()) for cell in rows["y_true"].unique()}
    wrong = next((cell for cell, name in label_of.items() if name not in classes), None)
    if wrong is not None:
        row = _line(rows, (rows["y_true"] == wrong).to_numpy())
        if not wrong.strip():
            raise DataError(f"{path} row {row}: y_true is empty", "fill it, or leave the row out")
        several = LABEL_SEP in wrong
        hint = f"several labels an image need {_SHAPE}" if several else did_you_mean(wrong, classes)
        raise DataError(f"{path} row {row}: y_true '{wrong}' has no column prob_{wrong}", hint)
    return {"y_true": rows["y_true"].map(label_of)}


def _marks(path: str, rows: pd.DataFrame, classes: Sequence[str]) -> dict[str, pd.Series]:
    """Return y_true_<class> with "1", "0", or "" for unknown."""
    marks = {}
    for name in classes:
        column = TRUTH_PREFIX + name
        if column not in rows:
            raise DataError(
                f"{path} lacks {column}", "one for each prob_<class>; leave it empty where nobody judged"
            )
        marks_of = {cell: _mark(cell) for cell in rows[column].unique()}
        parsed = rows[column].map(marks_of)
        wrong = parsed.isna().to_numpy()
        if wrong.any():
            cell = rows[column].iloc[int(wrong.argmax())]
            raise DataError(
                f"{path} row {_line(rows, wrong)}: {column} is {cell!r}",
                "1 = there, 0 = not there, empty = unknown",
            )
        marks[column] = parsed
    if all((column == "").all() for column in marks.values()):
        raise DataError(f"{path}: every y_true_<class> is empty", "1 = there, 0 = not there")
    return marks


def _mark(cell: str) -> str | None:
    mark = mark_of(cell)
    return ("1" if mark else "0") if mark is not None else None if is_stated(cell) else ""


def _image_ids(path: str, rows: pd.DataFrame) -> pd.Series:
    if "image_id" not in rows:
        return pd.Series([f"row-{number}" for number in range(1, len(rows) + 1)], index=rows.index)
    names = _filled(path, rows, "image_id")
    twice = names.duplicated().to_numpy()
    if twice.any():
        name = names.iloc[int(twice.argmax())]
        first = _line(rows, (names == name).to_numpy())
        raise DataError(
            f"{path} row {_line(rows, twice)}: image_id '{name}' stands in row {first} already",
            f"one row an image; {int(twice.sum()):,} are there again",
        )
    return names


def _splits(path: str, rows: pd.DataFrame) -> pd.Series | None:
    if "split" not in rows:
        return None
    cells = _filled(path, rows, "split")
    splits = cells.str.lower().map(SPLIT_NAMES)
    wrong = splits.isna().to_numpy()
    if wrong.any():
        cell = cells.iloc[int(wrong.argmax())]
        raise DataError(f"{path} row {_line(rows, wrong)}: split '{cell}'", "train, val or test")
    return splits


def _filled(path: str, rows: pd.DataFrame, column: str) -> pd.Series:
    """Return a column's texts; refuse a table where only some of them are there."""
    texts = rows[column].str.strip()
    empty = (texts == "").to_numpy()
    if empty.any():
        raise DataError(
            f"{path} row {_line(rows, empty)}: {column} is empty",
            f"fill it in all rows ({int(empty.sum()):,} lack it), or leave the column out",
        )
    return texts


def _line(rows: pd.DataFrame, wrong: NDArray[np.bool_]) -> int:
    """Return the line of the first row that is wrong, as a spreadsheet counts."""
    return int(rows.index[int(wrong.argmax())]) + 2


SUM_TOLERANCE = 1e-3
_WIDEST = 0.1


def check_probabilities(
    path: str, rows: pd.DataFrame, classes: Sequence[str], *, several: bool, decimal_comma: bool
) -> tuple[NDArray[np.float64], list[str]]:
    """Return the probabilities (N, C) of a table of texts, and what was decided about them.

    Args:
        path: of the file, and its sheet, to name in errors.
        rows: columns prob_<class>; index + 2 is the row in the file.
        several: an image may carry several labels, so that a row need not sum to 1.
        decimal_comma: a comma may stand for the decimal point, as it is not what separates cells.

    Raises:
        DataError: a cell is no number or outside 0..1 (0..100 of percentages), or a row does not sum to 1: beyond 0.001, or
            what rounding to the decimals of the table explains (0.02 of two decimals, 0.005 a class of more than four, 0.1 at most).
    """
    columns = [PROBABILITY_PREFIX + name for name in classes]
    texts = [rows[column].str.strip() for column in columns]
    if decimal_comma:
        texts = [cells.str.replace(",", ".", regex=False) for cells in texts]
    signed = [cells.str.endswith("%") for cells in texts]
    bare = [cells.str.removesuffix("%").str.strip() for cells in texts]
    numbers = np.stack([pd.to_numeric(cells, errors="coerce").to_numpy(np.float64) for cells in bare], axis=1)
    notes = []
    sign = np.stack([one.to_numpy(bool) for one in signed], axis=1)
    percent = bool(sign.any())
    if percent:
        numbers = np.where(sign, numbers / 100, numbers)
    elif _are_percentages(numbers, several=several):
        numbers, percent = numbers / 100, True
    if percent:
        notes.append("probabilities are read as percentages and divided by 100")
    wrong = ~np.isfinite(numbers)
    if wrong.any():
        row, column = _first(wrong)
        cell = str(rows[columns[column]].iloc[row])
        shown = repr(cell) if cell.strip() else "empty"
        raise DataError(
            f"{path} row {rows.index[row] + 2}: {columns[column]} is {shown}",
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
        decimals = _decimals(bare) + 2 * percent
        notes += _check_sums(path, rows, numbers, decimals)
    return numbers, notes


def _are_percentages(numbers: NDArray[np.float64], *, several: bool) -> bool:
    """Return whether numbers (N, C) lie in 0..100, and sum to about 100 where one class holds."""
    if not np.isfinite(numbers).all() or numbers.min() < 0 or not 1.5 < numbers.max() <= 100:
        return False
    return several or bool((np.abs(numbers.sum(axis=1) - 100) <= 2).all())


def _decimals(columns: Sequence[pd.Series]) -> int:
    """Return the most digits that stand behind a decimal point."""
    most = 0
    for cells in columns:
        for text in cells.tolist():
            if "e" in text or "E" in text:
                return max(most, 16)
            most = max(most, len(text) - text.find(".") - 1 if "." in text else 0)
    return most


def _check_sums(path: str, rows: pd.DataFrame, numbers: NDArray[np.float64], decimals: int) -> list[str]:
    """Refuse rows that do not sum to 1; return what there is to say where only rounding explains that they do."""
    sums = numbers.sum(axis=1)
    # Each of C classes is off by half a unit of the last decimal at most; answers of 0 and 1 are not rounded.
    rounded = 0.5 * 10.0**-decimals * numbers.shape[1] if decimals else 0.0
    allowed = max(SUM_TOLERANCE, min(rounded, _WIDEST), 0.02 if decimals == 2 else 0.0) + 1e-9
    off = np.abs(sums - 1) > allowed
    if off.any():
        row = int(off.argmax())
        raise DataError(
            f"{path} row {rows.index[row] + 2}: the probabilities sum to {sums[row]:.4f}, not to 1 "
            f"({int(off.sum()):,} of {len(rows):,} rows)",
            "one prob_<class> for every class; where an image may carry several labels, use y_true_<class> columns",
        )
    loose = int((np.abs(sums - 1) > SUM_TOLERANCE).sum())
    if not loose:
        return []
    return [
        f"probabilities are rounded to {decimals} decimals: {loose:,} rows sum to {sums.min():.2f} to {sums.max():.2f}, "
        "taken as they are"
    ]


def _first(wrong: NDArray[np.bool_]) -> tuple[int, int]:
    row, column = np.unravel_index(int(wrong.argmax()), wrong.shape)
    return int(row), int(column)


def _what_else(numbers: NDArray[np.float64], *, several: bool) -> str:
    """Return what numbers (N, C) beyond 0..1 look like, and what makes probabilities of them."""
    low, high, sums = numbers.min(), numbers.max(), numbers.sum(axis=1)
    if low >= 0 and high <= 100 and np.median(sums) > 50:
        return "they look like percentages, but not all of them: each row sums to 100"
    if high <= 0 and (several or np.allclose(np.exp(numbers).sum(axis=1), 1, atol=SUM_TOLERANCE)):
        return "they look like logarithms of probabilities: take their exp()"
    if low < 0 and high > 1:
        return f"they look like logits: take their {'sigmoid' if several else 'softmax'} first"
    return "probabilities are numbers between 0 and 1"
