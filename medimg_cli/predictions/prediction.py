"""What a model says of one image, the same on the command line, in a table, over HTTP and on the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Status = Literal["ok", "refused", "unreadable"]
"""ok: answered; refused: the image is unlike all the model learnt from; unreadable: no image."""
Decision = Literal["positive", "negative", "refer"]
"""refer: a person has to look, for the model does not know such images."""


@dataclass(frozen=True)
class Prediction:
    """The answer to one input.

    Args:
        status: what became of it.
        label: the class, or labels joined by `|`; None where nothing is said.
        confidence: the calibrated probability of the label, of several labels the highest; None where nothing is said.
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
    """Return what is said of an input that is no image."""
    return Prediction("unreadable", None, None, dict.fromkeys(classes), message=reason)
