"""Which inputs have their row already, when a table of predictions is gone on with."""

from collections.abc import Iterator

from medimg_cli.core.prediction import Prediction
from medimg_cli.core.row_file import Done


class DoneRows:
    """The predictions that a file has already, asked for in the order of the inputs.

    As long as the inputs come as they came then, one row is looked at a time. At the first that does not, since files came
    or went, the rest of the rows is read into memory.

    Args:
        rows: as they stand in the file.
    """

    def __init__(self, rows: Iterator[Done]) -> None:
        self._rows = rows
        self._following = next(rows, None)
        self._rest: dict[str, list[Prediction]] | None = None

    def of(self, path: str) -> Prediction | None:
        """Return the prediction of the next input of this path that has its row, or None."""
        if self._rest is None:
            following = self._following
            if following is None:
                return None
            if following.path == path:
                self._following = next(self._rows, None)
                return following.prediction
            self._rest = self._read()
        found = self._rest.get(path)
        return found.pop(0) if found else None

    @property
    def left(self) -> int:
        """Return how many rows nobody asked for."""
        rest = self._read() if self._rest is None else self._rest
        self._rest = rest
        return sum(map(len, rest.values()))

    def _read(self) -> dict[str, list[Prediction]]:
        rest: dict[str, list[Prediction]] = {}
        following = self._following
        while following is not None:
            rest.setdefault(following.path, []).append(following.prediction)
            following = next(self._rows, None)
        self._following = None
        return rest
