"""What was measured on test at a model's own threshold, as its page and its bundle quote it."""

from typing import Annotated

from pydantic import BaseModel, Field, ValidationError

from medimg_cli.errors import DataError
from medimg_cli.runs.run import ModelCard, Run, Share
from medimg_cli.workspace.files import check_seal, read_json

_SPLIT = "test"


class Figure(BaseModel, frozen=True, allow_inf_nan=False):
    """A share with its 95 % interval; no bounds where none could be given."""

    value: Share
    low: Share | None = None
    high: Share | None = None


class Missed(BaseModel, frozen=True):
    """Positive images that were not found, of how many."""

    count: Annotated[int, Field(ge=0)]
    of: Annotated[int, Field(ge=1)]


class Tested(BaseModel, frozen=True, allow_inf_nan=False):
    """Figures of the test split.

    Args:
        threshold: at which they were measured; they are of this model only where it is the model's own.
        n, patients: images and patients.
        patients_known: whether every image names its patient, so that the intervals know which belong together.
    """

    weights_sha256: str
    threshold: float
    n: Annotated[int, Field(ge=1)]
    patients: int
    patients_known: bool = True
    recall: Figure
    specificity: Figure
    missed: Missed

    def is_of(self, card: ModelCard) -> bool:
        """Return whether the figures are of this model as it decides now."""
        point = card.threshold
        return point is not None and (point.value, card.weights_sha256) == (
            self.threshold,
            self.weights_sha256,
        )


def withheld_sets(run: Run, card: ModelCard) -> dict[str, str]:
    """Return class → why sets that leave it out are not given: on test they hold it less often than was stated.

    {} where the model gives no sets, or they were not tested, which `evaluate` and `report` say.
    """
    if card.sets is None or not run.metrics_path(_SPLIT).is_file():
        return {}
    try:
        measured = read_json(run.metrics_path(_SPLIT))
        found = measured.get("conformal") or {}
        same = measured["weights_sha256"] == card.weights_sha256 and measured["views"] == 1
        withheld = found.get("withheld", {}) if same and found.get("alpha") == card.sets.alpha else {}
        return {name: str(why) for name, why in withheld.items() if name in card.classes}
    except (DataError, KeyError, AttributeError):
        return {}


def tested_of(run: Run, card: ModelCard) -> Tested | None:
    """Return what the run's evaluation on test says of the model as it decides now.

    None where it was not evaluated, or with another threshold or positive class, several views of each image, or a
    split that leaks; where the file cannot be read, too: `evaluate` and `report` say so.
    """
    if card.threshold is None or not run.metrics_path(_SPLIT).is_file():
        return None
    try:
        measured = check_seal(run.metrics_path(_SPLIT), read_json(run.metrics_path(_SPLIT)))
        leakage = measured.get("leakage") or {}
        found = Tested(
            weights_sha256=measured["weights_sha256"],
            threshold=measured["threshold"]["value"],
            n=measured["n"],
            patients=measured["patients"],
            patients_known=leakage.get("patients_known", True) and not leakage.get("nameless"),
            recall=Figure.model_validate(measured["metrics"]["recall"]),
            specificity=Figure.model_validate(measured["metrics"]["specificity"]),
            missed=Missed.model_validate(measured["missed"]),
        )
        leaks = leakage.get("shared_patients") or leakage.get("shared_files")
        same = (
            measured["split"] == _SPLIT
            and measured["positive"] == card.labels.positive
            and measured["views"] == 1
        )
    except (DataError, ValidationError, KeyError, TypeError, AttributeError):
        return None
    return found if same and not leaks and found.is_of(card) else None
