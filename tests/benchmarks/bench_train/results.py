"""Rows of measurements, and the table made of them."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import mean, median

from tests.benchmarks.bench_train.environments import PEERS
from tests.benchmarks.bench_train.tools import MEDIMG


@dataclass(frozen=True)
class Row:
    """One training: its cost up to the trained model, and what the model is worth on the test folder.

    Args:
        auroc, accuracy: None when the tool failed.
        code: exit status.
    """

    scenario: str
    tool: str
    seed: int
    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    auroc: float | None
    accuracy: float | None
    code: int


def append(file: Path, row: Row) -> None:
    """Add a row at once, so that nothing is lost when the next run fails."""
    is_new = not file.exists()
    with file.open("a", newline="") as stream:
        table = csv.DictWriter(stream, [field.name for field in fields(Row)])
        if is_new:
            table.writeheader()
        table.writerow(asdict(row))


def table(rows: Iterable[Row]) -> str:
    """Return a Markdown table: ratios to medimg seed by seed, their median and range.

    A ratio of 2 says that the tool takes twice as long as medimg. Runs that failed are counted and left out.
    """
    by_tool: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_tool[row.tool].append(row)
    ours = {row.seed: row for row in by_tool.get(MEDIMG, []) if not row.code}
    lines = [
        "| tool | runs | wall s | wall / medimg | CPU s | CPU / medimg | peak MB | AUROC | accuracy |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    return "\n".join([*lines, *(_line(tool, of_tool, ours) for tool, of_tool in by_tool.items())])


def _line(tool: str, rows: list[Row], ours: dict[int, Row]) -> str:
    good = [row for row in rows if not row.code]
    runs = str(len(good)) if len(good) == len(rows) else f"{len(good)} of {len(rows)}, the others failed"
    name = f"{tool} ({PEERS[tool].note})" if tool in PEERS and PEERS[tool].note else tool
    if not good:
        return f"| {name} | {runs} |" + " |" * 7
    beside = [(row, ours[row.seed]) for row in good if row.seed in ours]
    cells = [
        name,
        runs,
        _spread(median, [row.wall_seconds for row in good], 1),
        _spread(median, [row.wall_seconds / own.wall_seconds for row, own in beside], 2),
        _spread(median, [row.cpu_seconds for row in good], 1),
        _spread(median, [row.cpu_seconds / own.cpu_seconds for row, own in beside], 2),
        _spread(max, [row.peak_mb for row in good], 0),
        _spread(mean, [row.auroc for row in good if row.auroc is not None], 3),
        _spread(mean, [row.accuracy for row in good if row.accuracy is not None], 3),
    ]
    return "| " + " | ".join(cells) + " |"


def _spread(middle: Callable[[Sequence[float]], float], values: Sequence[float], digits: int) -> str:
    """Return the middle, and the range where there are several values."""
    if not values:
        return ""
    text = f"{middle(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ({min(values):.{digits}f}–{max(values):.{digits}f})"
