"""What a model says of one image, the same on the command line, in a table, over HTTP and on the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from medimg_cli.dataset.labels import LABEL_SEP

Status = Literal["ok", "refused", "unreadable"]
"""ok: answered; refused: the image is unlike all the model learnt from; unreadable: no image."""
Decision = Literal["positive", "negative", "refer"]
"""refer: a person has to look, for the model does not know such images."""


@dataclass(frozen=True)
class Prediction:
    """The answer to one input.

    Args:
        status: what became of it.
        label: the class, or labels joined by `|`; None where nothing is predicted.
        confidence: the calibrated probability of the label, of several labels the highest; None where nothing is predicted.
        probabilities: class → 0..1, also of a refused image, for the record; None each where it could not be read.
        decision: at the stored threshold; None where the model has none.
        prediction_set: the classes probable enough to be named, see `statistics.conformal`, which excludes no other; None
            where the model knows no such limits, or test showed that sets leave out one of its classes too often.
        flags: what a reader should know of the image, by the names of `inference.flags`.
        message: in words, why it was refused or could not be read; "" otherwise.
        unlike: of a refused image, way of looking → how many times the limit it is unlike the training; above 1.
    """

    status: Status
    label: str | None
    confidence: float | None
    probabilities: Mapping[str, float | None]
    decision: Decision | None = None
    prediction_set: tuple[str, ...] | None = None
    flags: tuple[str, ...] = ()
    message: str = ""
    unlike: Mapping[str, float] = field(default_factory=dict)

    def entry(self, path: str) -> dict[str, Any]:
        """Return it as the JSON of `predict` and of the page's API has it."""
        return {
            "path": path,
            "status": self.status,
            "label": self.label,
            "confidence": self.confidence,
            "probabilities": dict(self.probabilities),
            "decision": self.decision,
            "prediction_set": None if self.prediction_set is None else list(self.prediction_set),
            "flags": list(self.flags),
            "message": self.message or None,
        } | ({"unlike": dict(self.unlike)} if self.unlike else {})


def unreadable(classes: tuple[str, ...], reason: str) -> Prediction:
    """Return the prediction for an input that is no image."""
    return Prediction("unreadable", None, None, dict.fromkeys(classes), message=reason)


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
        SET: ""
        if prediction.prediction_set is None
        else LABEL_SEP.join(prediction.prediction_set) or EMPTY_SET,
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


def _set_of(cell: str) -> tuple[str, ...] | None:
    if cell == EMPTY_SET:
        return ()
    return tuple(cell.split(LABEL_SEP)) if cell else None


def _number(cell: str | float | None) -> float | None:
    return None if cell is None or cell == "" else float(cell)
