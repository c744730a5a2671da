"""Sheets of a workbook (.xlsx, .xlsb, .xls, .ods) as texts, read in a process of its own.

A workbook of a few kilobytes can ask for any amount of memory, and the library that reads it ends its process then.
Called as a program with a path and a sheet, it writes one JSON object: `sheets` [[name, visible]], `rows` {sheet: [[number, cells]]}.
"""

import json
import os
import resource
import subprocess
import sys
from datetime import datetime, time
from pathlib import Path
from typing import Any

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum
from python_calamine import SheetVisibleEnum as Visible

from medimg_cli.errors import DataError

_MEMORY_BYTES = 4 << 30
_SECONDS = 120
_LIMITS = "take what is far from the table out of it (cells at its end, pictures), or save the sheet as CSV"
_REFUSED = 9


def read_workbook(
    path: Path, sheet: str | None
) -> tuple[dict[str, bool], dict[str, list[tuple[int, list[str]]]]]:
    """Return sheet → whether it is shown, and sheet → its filled rows: (number as a spreadsheet counts, cells).

    Merged cells hold their text in each row. Whole numbers come without point, dates as 2024-03-31.

    Args:
        sheet: name or number, from 1, of the only one to read; else all that are shown, or all where none is.

    Raises:
        DataError: it is no workbook, has a password, is damaged, or takes too much memory or time.
    """
    command = [sys.executable, "-m", __name__, str(path), sheet or ""]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(f"{path} was not read within {_SECONDS} s", _LIMITS) from error
    if done.returncode == _REFUSED:
        raise DataError(f"{path}: {done.stdout.decode('utf-8')}", "save it as .xlsx or as CSV (UTF-8)")
    if done.returncode:
        raise DataError(f"{path} takes more than {_MEMORY_BYTES >> 30} GB of memory, or is damaged", _LIMITS)
    found = json.loads(done.stdout)
    rows = {name: [(number, cells) for number, cells in rows] for name, rows in found["rows"].items()}
    return dict(found["sheets"]), rows


def _text(cell: Any) -> str:
    """Return a cell as people read it; a spreadsheet's numbers have 15 digits."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    return str(cell).strip()


def _rows(sheet: CalamineSheet) -> list[tuple[int, list[str]]]:
    if sheet.start is None:
        return []
    top, left = sheet.start
    rows = [[_text(cell) for cell in row] for row in sheet.to_python()]
    for (first, column), (last, _) in sheet.merged_cell_ranges or ():
        if top <= first < top + len(rows) and 0 <= column - left < len(rows[0]):
            text = rows[first - top][column - left]
            for row in rows[first - top + 1 : last - top + 1]:
                row[column - left] = row[column - left] or text
    return [(top + n + 1, [""] * left + row) for n, row in enumerate(rows) if any(row)]


def _read(path: str, sheet: str) -> dict[str, Any]:
    workbook = CalamineWorkbook.from_path(path)
    sheets = {
        found.name: found.visible == Visible.Visible
        for found in workbook.sheets_metadata
        if found.typ == SheetTypeEnum.WorkSheet
    }
    names = [name for name in sheets if sheets[name]] or list(sheets)
    if sheet:
        number = int(sheet) if sheet.isdecimal() else 0
        names = [sheet] if sheet in sheets else list(sheets)[number - 1 : number] if number else []
    return {
        "sheets": list(sheets.items()),
        "rows": {name: _rows(workbook.get_sheet_by_name(name)) for name in names},
    }


def _main(path: str, sheet: str) -> int:
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sys.stdout.write(json.dumps(_read(path, sheet)))
    except PasswordError:
        sys.stdout.write("it has a password")
        return _REFUSED
    except (CalamineError, OSError, ValueError) as error:
        sys.stdout.write(f"no workbook that can be read ({' '.join(str(error).split())})")
        return _REFUSED
    return 0


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:3]))
