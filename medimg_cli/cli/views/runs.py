"""The runs as people see them: a table, and two beside each other."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from medimg_cli.cli.views.render import plain_table
from medimg_cli.evaluation.run_table import figure_of

if TYPE_CHECKING:
    from rich.console import Console

_SHOWN = {"val": ("auroc", "recall"), "test": ("recall", "specificity", "auroc")}
# Columns a narrow terminal does without, the least missed one first.
_FIRST_TO_GO = (
    ">seconds", ">size", ">best", ">seed", "arch", ">val recall", "95 % interval", ">epochs", ">val AUROC",
    ">test specificity", "status",
)  # fmt: skip
_NONE = "–"
_SHORT_HASH = 12
_HASHES = ("dataset_hash", "test_dataset_hash", "recipe_key", "weights_sha256", "git_commit")
_TITLES = {"dataset_hash": "data of training", "test_dataset_hash": "data of the evaluation"}


def draw_runs(console: "Console", rows: list[dict[str, Any]], metric: str | None, split: str) -> None:
    """Write the table; a metric that sorts it and is none of its columns becomes one."""
    from rich.markup import escape

    if not rows:
        console.print("no run here: `medimg train` makes one")
        return
    columns = _columns(rows)
    if metric is not None and metric not in _SHOWN[split]:
        columns[f">{split} {metric}"] = [figure(figure_of(row, metric, split)) for row in rows]
    shown = _fitting(columns, console.width)
    table = plain_table(*(escape(title) for title in shown))
    for cells in zip(*shown.values(), strict=True):
        table.add_row(*(escape(cell) for cell in cells))
    console.print(table)
    _draw_remarks(console, rows, [title.lstrip(">") for title in columns if title not in shown])


def _columns(rows: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Return title → cells; a title that begins with '>' is right-aligned."""

    def of(key: str, show: Callable[[Any], str]) -> list[str]:
        return [show(row[key]) for row in rows]

    return {
        "run": of("run", str),
        "status": of("status", str),
        "arch": of("arch", _plain),
        ">seed": of("seed", _plain),
        ">epochs": of("epochs_run", _plain),
        ">best": of("best_epoch", _plain),
        ">val AUROC": of("val_auroc", figure),
        ">val recall": of("val_recall", figure),
        ">test recall": of("test_recall", figure),
        "95 % interval": of("test_recall_interval", interval),
        ">test specificity": of("test_specificity", figure),
        ">test AUROC": of("test_auroc", figure),
        ">seconds": of("seconds", lambda value: _NONE if value is None else f"{value:.0f}"),
        ">size": of("size_bytes", size),
    }


def _fitting(columns: dict[str, list[str]], width: int) -> dict[str, list[str]]:
    """Return the columns that fit into a terminal of `width` characters: a name cut short is of no use."""

    def needed() -> int:
        return sum(max(len(title.lstrip(">")), *map(len, cells)) + 2 for title, cells in kept.items()) - 2

    kept = dict(columns)
    for title in _FIRST_TO_GO:
        if needed() > width:
            del kept[title]
    return kept


def _draw_remarks(console: "Console", rows: list[dict[str, Any]], hidden: list[str]) -> None:
    """Write what is wrong with a run, which trainings can be gone on with, and which columns found no room."""
    remarks = [f"{row['run']}: {row['problem']}" for row in rows if row["problem"]]
    idle = [row["run"] for row in rows if row["resumable"] and row["status"] in ("stopped", "interrupted")]
    remarks += [f"{name}: not over; `medimg train --resume {name}` goes on with it" for name in idle]
    if hidden:
        remarks.append(f"no room for {', '.join(hidden)}: widen the terminal, or take --json")
    if remarks:
        console.print()
    for remark in remarks:
        console.print(remark, markup=False)


def draw_difference(console: "Console", diff: dict[str, Any]) -> None:
    """Write what sets two runs apart; what they share is one line."""
    first, second = diff["runs"]
    provenance = {name: pair for name, pair in diff["provenance"].items() if pair[0] != pair[1]}
    pairs = {name: [_setting(value) for value in pair] for name, pair in diff["settings"].items()}
    pairs |= {_title(name): [_fact(name, value) for value in pair] for name, pair in provenance.items()}
    _draw_pairs(console, pairs, "differs", first, second)
    same = [_title(name) for name in diff["provenance"] if name not in provenance]
    console.print(f"\nthe same: {', '.join(same) if same else 'nothing of what they rest on'}", markup=False)
    for split, figures in diff["metrics"].items():
        if figures:
            console.print()
            _draw_figures(console, figures, split, first, second)


def _draw_pairs(console: "Console", pairs: dict[str, list[str]], title: str, first: str, second: str) -> None:
    from rich.markup import escape

    table = plain_table(title, escape(first), escape(second))
    for name, pair in pairs.items():
        table.add_row(escape(name), *(escape(text) for text in pair))
    console.print(table)


def _draw_figures(
    console: "Console", figures: dict[str, dict[str, Any]], split: str, first: str, second: str
) -> None:
    from rich.markup import escape

    table = plain_table(f"on {split}", f">{escape(first)}", "", f">{escape(second)}", "", ">difference")
    for name, compared in figures.items():
        sides = zip(compared["values"], compared["intervals"], strict=True)
        cells = [text for value, bounds in sides for text in (figure(value), interval(bounds))]
        apart = compared["difference"]
        table.add_row(escape(name.replace("_", " ")), *cells, _NONE if apart is None else f"{apart:+.4f}")
    console.print(table)


def figure(value: float | None) -> str:
    """Return a figure with four digits, or a dash."""
    return _NONE if value is None else f"{value:.4f}"


def interval(bounds: list[float] | None) -> str:
    """Return an interval as "0.8123 to 0.9456", or nothing."""
    return "" if bounds is None else f"{bounds[0]:.4f} to {bounds[1]:.4f}"


def size(count: int) -> str:
    """Return bytes in the unit a person would use.

    >>> size(999), size(12_345), size(90_000_000), size(1_500_000_000)
    ('999 B', '12.3 kB', '90.0 MB', '1.5 GB')
    """
    for unit, step in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= step:
            return f"{count / step:.1f} {unit}"
    return f"{count} B"


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " "))


def _fact(name: str, value: Any) -> str:
    return _plain(value)[:_SHORT_HASH] if name in _HASHES else _plain(value)


def _plain(value: Any) -> str:
    return _NONE if value in (None, "") else str(value)


def _setting(value: Any) -> str:
    """Return a setting as YAML would show it: an empty one is a dash, never "None"."""
    if isinstance(value, bool):
        return str(value).lower()
    return ", ".join(map(str, value)) if isinstance(value, list) and value else _plain(value)
