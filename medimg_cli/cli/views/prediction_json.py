"""The JSON object of `medimg predict`, written row by row: a million of them need no memory."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medimg_cli.cli.views.render import json_text
from medimg_cli.predictions.prediction import Prediction

if TYPE_CHECKING:
    from medimg_cli.stages.predict import PredictResult


class PredictionJson:
    """One object on stdout, the same bytes as if it had been written at once.

    Args:
        beginning: what stands before the predictions.
    """

    def __init__(self, beginning: Mapping[str, Any]) -> None:
        self._before = f'{json_text(beginning)[:-1]}, "predictions": ['
        self._begun = False

    def tell(self, path: str, prediction: Prediction) -> None:
        """Write a row; nothing stands on stdout before the first."""
        sys.stdout.write(self._before + json_text(prediction.entry(path)))
        self._before, self._begun = ", ", True

    def end(self, result: "PredictResult", out: Path | None) -> None:
        """Write what stands behind the predictions."""
        counts = {name: result.statuses[name] for name in ("ok", "refused", "unreadable")}
        ending = {"images": result.rows, "statuses": counts, "resumed": result.resumed, "out": out}
        exams = {"exams": [exam.entry() for exam in result.exams]} if result.exams else {}
        self._close(ending | exams)

    def cut_short(self) -> None:
        """End the object where an error or Ctrl-C ended the work, so that it is one."""
        if self._begun:
            self._close({"interrupted": True})

    def _close(self, ending: Mapping[str, Any]) -> None:
        sys.stdout.write(f"], {json_text(ending)[1:]}\n")
        self._begun = False
