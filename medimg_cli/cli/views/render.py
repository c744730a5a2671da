"""What people see: results on stdout, progress and notes on stderr."""

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from medimg_cli.workspace.files import SCHEMA, to_jsonable
from medimg_cli.workspace.plain_text import json_visible, visible, visible_line
from medimg_cli.workspace.progress import Progress as ProgressListener

_PIPE_WIDTH = 10_000
_LINES_PER_TASK = 10
_LEAST_SECONDS_BETWEEN_LINES = 10.0
_SECONDS_BETWEEN_COUNTS = 60.0


class SafeConsole(Console):
    """A console on which texts of strangers (names of files, cells of tables) control nothing."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def on_broken_pipe(self) -> None:
        """Leave results to the front door: rich would end the command with 1, which means a gate to our users."""
        if self.stderr:
            super().on_broken_pipe()
        raise BrokenPipeError


def stdout_console() -> Console:
    """Return a console for results; a pipe gets plain text whose lines are never folded."""
    return SafeConsole(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def show_json(command: str, payload: Mapping[str, Any]) -> None:
    """Write exactly one JSON object to stdout; NaN becomes null."""
    whole = {"schema": SCHEMA, "command": command, **payload}
    sys.stdout.write(json_text(whole) + "\n")


def json_text(value: Mapping[str, Any]) -> str:
    """Return a mapping as JSON in one line, in which nothing controls a terminal; NaN becomes null."""
    return json_visible(json.dumps(to_jsonable(value), ensure_ascii=False, allow_nan=False))


def drop_stdout() -> None:
    """Give the interpreter's last flush somewhere to go when the reader of stdout is gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def progress_for() -> ProgressListener:
    """Return who listens: a live bar on a terminal, plain lines in a batch job."""
    return TerminalProgress() if sys.stderr.isatty() else LineProgress()


def plain_table(*columns: str, title: str | None = None) -> Table:
    """Return an empty table in the house's style; columns whose name starts with '>' are right-aligned."""
    table = Table(
        title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.lstrip(">"), justify="right" if right else "left", header_style="dim")
    return table


class _EpochLines:
    """Turns epochs into aligned lines under one header."""

    def __init__(self) -> None:
        self._header_shown = False

    def lines(self, row: Mapping[str, float]) -> list[str]:
        widths = {name: max(len(name), 8) for name in row}
        lines = []
        if not self._header_shown:
            self._header_shown = True
            lines.append("  ".join(name.rjust(widths[name]) for name in row))
        lines.append("  ".join(_figure(name, value).rjust(widths[name]) for name, value in row.items()))
        return lines


def _figure(name: str, value: float) -> str:
    if name == "epoch":
        return str(int(value))
    if name == "lr":
        return f"{value:.1e}"
    return f"{value:.1f}" if name == "seconds" else f"{value:.4f}"


def _duration(seconds: float) -> str:
    """Return a rounded length of time as people say it: "8 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class _Rate(ProgressColumn):
    """Items a second, once there is something to tell."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f}/s" if task.speed else "", style="dim")


class TerminalProgress:
    """A bar that goes when its task is done, an aligned line per epoch."""

    def __init__(self) -> None:
        self._console = SafeConsole(stderr=True, highlight=False)
        self._epochs = _EpochLines()
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def start(self, task: str, total: int | None) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            _Rate(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(task, total=total)
        self._bar.start()

    def advance(self, steps: int = 1) -> None:
        if self._bar is not None and self._task is not None:
            self._bar.advance(self._task, steps)

    def finish(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def epoch(self, row: Mapping[str, float]) -> None:
        for line in self._epochs.lines(row):
            self._console.print(line, style="dim" if "epoch" in line else "")

    def note(self, message: str) -> None:
        self._console.print(f"[dim]note:[/dim] {escape(visible_line(message))}")

    def warn(self, message: str) -> None:
        self._console.print(f"[yellow]warning:[/yellow] {escape(visible_line(message))}")


class LineProgress:
    """A line per epoch and per tenth of a task that takes its time, ten seconds apart; a minute if it has no known end."""

    def __init__(self) -> None:
        self._epochs = _EpochLines()
        self._task, self._total, self._done, self._tenths = "", 0, 0, 0
        self._began = self._spoke = 0.0

    def start(self, task: str, total: int | None) -> None:
        self._task, self._total, self._done, self._tenths = task, total or 0, 0, 0
        self._began = self._spoke = time.monotonic()

    def advance(self, steps: int = 1) -> None:
        self._done += steps
        now = time.monotonic()
        if not self._total:
            self._say_count(now)
            return
        if now - self._spoke < _LEAST_SECONDS_BETWEEN_LINES:
            return
        tenths = self._done * _LINES_PER_TASK // self._total
        if tenths > self._tenths:
            self._tenths, self._spoke = tenths, now
            rate = self._done / (now - self._began)
            left = _duration((self._total - self._done) / rate)
            share = 100 * self._done // self._total
            _write(f"{self._task}: {self._done}/{self._total} ({share} %), {rate:.0f}/s, {left} left")

    def finish(self) -> None:
        self._total = 0

    def _say_count(self, now: float) -> None:
        """Say how far a task is whose end nobody knows, such as a list on stdin."""
        if now - self._spoke >= _SECONDS_BETWEEN_COUNTS:
            self._spoke = now
            _write(f"{self._task}: {self._done}, {self._done / (now - self._began):.0f}/s")

    def epoch(self, row: Mapping[str, float]) -> None:
        for line in self._epochs.lines(row):
            _write(line)

    def note(self, message: str) -> None:
        _write(f"note: {message}")

    def warn(self, message: str) -> None:
        _write(f"warning: {message}")


def _write(line: str) -> None:
    sys.stderr.write(visible_line(line) + "\n")
    sys.stderr.flush()
