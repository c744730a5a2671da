"""The JSON object of `medimg predict`, written row by row: a million of them need no memory."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medimg_cli.predictions.prediction import Prediction
from medimg_cli.workspace.files import to_jsonable

if TYPE_CHECKING:
    from medimg_cli.stages.predict import PredictResult


class PredictionJson:
    """One object on stdout, the same bytes as if it had been written at once.

    Args:
        beginning: what stands before the predictions.
    """

    def __init__(self, beginning: Mapping[str, Any]) -> None:
        self._before = f'{_dumped(beginning)[:-1]}, "predictions": ['
        self._begun = False

    def tell(self, path: str, prediction: Prediction) -> None:
        """Write a row; nothing stands on stdout before the first."""
        sys.stdout.write(self._before + _dumped(prediction.entry(path)))
        self._before, self._begun = ", ", True

    def end(self, result: "PredictResult", out: Path | None) -> None:
        """Write what stands behind the predictions."""
        counts = {name: result.statuses[name] for name in ("ok", "refused", "unreadable")}
        self._close({"images": result.rows, "statuses": counts, "resumed": result.resumed, "out": out})

    def cut_short(self) -> None:
        """End the object where an error or Ctrl-C ended the work, so that it is one."""
        if self._begun:
            self._close({"interrupted": True})

    def _close(self, ending: Mapping[str, Any]) -> None:
        sys.stdout.write(f"], {_dumped(ending)[1:]}\n")
        self._begun = False


def _dumped(value: Mapping[str, Any]) -> str:
    return json.dumps(to_jsonable(value), ensure_ascii=False, allow_nan=False)
