"""A prediction as a row of a table, and back."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.predictions.prediction import Decision, Prediction, Status

PROBABILITY_PREFIX = "prob_"
COLUMNS = (
    "image_id",
    "path",
    "patient_id",
    "split",
    "y_true",
    "y_pred",
    "confidence",
    "decision",
    "status",
    "flags",
    "message",
)
SET, MODEL = "prediction_set", "model"
"""What a row of `predict` has beside them: its conformal set, and which model answered."""
EMPTY_SET = "{}"
"""A set of no class; an empty cell is no set."""

Row = dict[str, str | float | None]


def columns_of(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of `predict`."""
    return (*COLUMNS, SET, MODEL, *(PROBABILITY_PREFIX + name for name in classes))


def row_of(path: str, prediction: Prediction, model: str) -> Row:
    """Return the row of one input: text, "" where there is none, and numbers, None where there is none.

    Args:
        path: as it was named; also the image's id.
        model: tells the models apart whose rows one file could hold.
    """
    row: Row = dict.fromkeys(COLUMNS, "")
    row |= {
        "image_id": path,
        "path": path,
        "y_pred": prediction.label or "",
        "confidence": prediction.confidence,
        "decision": prediction.decision or "",
        "status": prediction.status,
        "flags": LABEL_SEP.join(prediction.flags),
        "message": prediction.message,
        SET: _set_cell(prediction.prediction_set),
        MODEL: model,
    }
    return row | {PROBABILITY_PREFIX + name: value for name, value in prediction.probabilities.items()}


def prediction_of(row: Mapping[str, Any], classes: Sequence[str]) -> Prediction:
    """Return what `row_of` made a row of, its cells read from a file as text, numbers or None.

    Raises:
        KeyError, ValueError: it is none of its rows.
    """
    status = str(row["status"])
    if status not in ("ok", "refused", "unreadable"):
        raise ValueError(f"the status is {status!r}")
    label = str(row["y_pred"])
    return Prediction(
        status=cast("Status", status),
        label=label if label or status == "ok" else None,
        confidence=_number(row["confidence"]),
        probabilities={name: _number(row[PROBABILITY_PREFIX + name]) for name in classes},
        decision=cast("Decision", row["decision"]) if row["decision"] else None,
        prediction_set=_set_of(str(row[SET])),
        flags=tuple(filter(None, str(row["flags"]).split(LABEL_SEP))),
        message=str(row["message"]),
    )


def _set_cell(names: tuple[str, ...] | None) -> str:
    if names is None:
        return ""
    return LABEL_SEP.join(names) or EMPTY_SET


def _set_of(cell: str) -> tuple[str, ...] | None:
    if cell == EMPTY_SET:
        return ()
    return tuple(cell.split(LABEL_SEP)) if cell else None


def _number(cell: str | float | None) -> float | None:
    return None if cell is None or cell == "" else float(cell)
