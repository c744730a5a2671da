"""Tables as people keep them: CSV of any separator and encoding, sheets of workbooks, with lines above and below."""

import codecs
import csv
import json
import os
import re
import subprocess
import sys
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, PasswordError, SheetTypeEnum
from python_calamine import SheetVisibleEnum as Visible

from medimg_cli.errors import DataError, UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.plain_text import unshielded
from medimg_cli.workspace.threads import limit_this_process

_FOREIGN_RUN = 3
"""Bytes beyond ASCII, one behind the other, that no word of a Western language has."""
_MEMORY_BYTES = 4 << 30
_SECONDS = 120
_LIMITS = "take what is far from the table out of it (cells at its end, pictures), or save the sheet as CSV"
_REFUSED = 9
_WITHOUT_VALUE = re.compile(
    rb'<c r="([A-Z]+\d+)"[^>]*>\s*<f(?:[^>]*/>|[^>]*>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>'
)
_OPEN_DOCUMENT = "urn:oasis:names:tc:opendocument:xmlns:table:1.0"
_Range = tuple[tuple[int, int], tuple[int, int]]


def read_workbook(
    path: Path, sheet: str | None
) -> tuple[dict[str, bool], dict[str, list[tuple[int, list[str]]]], list[str]]:
    """Return sheet → whether it is shown, and sheet → its filled rows: (number as a spreadsheet counts, cells).

    And the cells whose formulas have no value, as they were never worked out; they are read as empty.

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
    return dict(found["sheets"]), rows, found["without_value"]


def _text(cell: Any) -> str:
    """Return a cell as people read it; a spreadsheet's numbers have 15 digits."""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() and abs(cell) < 1e15 else f"{cell:.15g}"
    if isinstance(cell, datetime) and cell.time() == time():
        return cell.date().isoformat()
    return str(cell).strip()


def _rows(sheet: CalamineSheet, merged: Sequence[_Range]) -> list[tuple[int, list[str]]]:
    if sheet.start is None:
        return []
    top, left = sheet.start
    rows = [[_text(cell) for cell in row] for row in sheet.to_python()]
    for (first, column), (last, _) in sheet.merged_cell_ranges or merged:
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
    merged = _merged_of_ods(path)
    return {
        "without_value": _formulas_without_value(path),
        "sheets": list(sheets.items()),
        "rows": {name: _rows(workbook.get_sheet_by_name(name), merged.get(name, ())) for name in names},
    }


def _merged_of_ods(path: str) -> dict[str, list[_Range]]:
    """Return sheet → merged cells of an .ods, which its reader leaves out; {} of any other file.

    Raises:
        ValueError: it is damaged.
    """
    found: dict[str, list[_Range]] = {}
    place, row, column = f"{{{_OPEN_DOCUMENT}}}", 0, 0
    try:
        with zipfile.ZipFile(path) as archive, archive.open("content.xml") as stream:
            for event, element in ElementTree.iterparse(stream, ("start", "end")):
                kind, number = element.tag.removeprefix(place), partial(_number, element)
                if event == "start" and kind == "table":
                    row, merged = 0, found.setdefault(element.get(f"{place}name", ""), [])
                elif event == "start" and kind == "table-row":
                    column = 0
                elif event == "end" and kind == "table-row":
                    row += number("rows-repeated")
                    element.clear()
                elif event == "end" and kind in ("table-cell", "covered-table-cell"):
                    if (last := row + number("rows-spanned") - 1) > row:
                        merged.append(((row, column), (last, column)))
                    column += number("columns-repeated")
    except (KeyError, zipfile.BadZipFile):
        return {}
    except (ElementTree.ParseError, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"a sheet is damaged: {error}") from error
    return found


def _number(element: ElementTree.Element, name: str) -> int:
    return int(element.get(f"{{{_OPEN_DOCUMENT}}}number-{name}", "1"))


def _formulas_without_value(path: str) -> list[str]:
    """Return the cells of an .xlsx, in any of its sheets, whose formulas no program has worked out yet.

    Raises:
        ValueError: the archive, or a sheet in it, is damaged.
    """
    if not zipfile.is_zipfile(path):
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            sheets = [name for name in archive.namelist() if re.fullmatch(r"xl/worksheets/[^/]+\.xml", name)]
            return [cell.decode() for name in sheets for cell in _WITHOUT_VALUE.findall(archive.read(name))]
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"a sheet is damaged: {error}") from error


def _main(path: str, sheet: str) -> int:
    limit_this_process(_MEMORY_BYTES, _SECONDS)
    try:
        sys.stdout.write(json.dumps(_read(path, sheet)))
    except PasswordError:
        sys.stdout.write("it has a password")
        return _REFUSED
    except (CalamineError, OSError, ValueError) as error:
        sys.stdout.write(f"no workbook that can be read ({' '.join(str(error).split())})")
        return _REFUSED
    return 0


_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1")  # ZIP and OLE compound file
_SEPARATORS = ",;\t|"
TABLES = (".csv", ".tsv", ".xlsx", ".xls", ".ods")
_HINT = "save the table as CSV (UTF-8) or as .xlsx"
_QUOTES = "close every quote, and write one within a cell twice; or save the table as .xlsx"
_HEAD_ROWS = 50
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n)|[^\r\n]+")
_MOST_ONCE = 10_000
_MOST_BYTES = 1 << 30
# What no column is called: numbers, files, "Exported:" before a value.
_SUFFIXES = r".*\.(png|jpe?g|tiff?|dcm|bmp|gif|p[bgpn]m|webp|nii|gz|npy)"
_FILE = re.compile(_SUFFIXES, re.IGNORECASE)
_NO_NAME = re.compile(rf"[+-]?[\d.,]+%?|{_SUFFIXES}|.*:", re.IGNORECASE)
_NO_TABLE = re.compile(r"\s*(<[!?a-z]|[\[{]\s*[\[{\"])", re.IGNORECASE)
_CODE = re.compile(r"[\w.:/\\-]*[\d/\\][\w.:/\\-]*|.{1000,}", re.DOTALL)
_SUMS = "total|totale|sum|summe|somme|suma|gesamt|mean|average|mittelwert|moyenne|media|promedio|median"
_SUM = re.compile(rf"(?:{_SUMS})\W*", re.IGNORECASE)
_TOTALS = re.compile(
    rf"({_SUMS}|count|anzahl|n|legend|legende|key|note|notes|remark|remarks|bemerkung|hinweis|source|quelle)\b",
    re.IGNORECASE,
)

Row = tuple[int, dict[str, str]]
Cells = tuple[int, list[str]]


@dataclass(frozen=True)
class Table:
    """A table whose cells are texts.

    Args:
        path: where it was read.
        columns: their names.
        rows: (number as a spreadsheet counts, cells by column); rows without any text are left out.
        sheet: of a workbook with several, "" otherwise.
        notes: what was decided on reading it, for people.
        separator: of a CSV, "" of a workbook.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    sheet: str = ""
    notes: tuple[str, ...] = ()
    separator: str = ""

    @property
    def name(self) -> str:
        return f"{self.path.name} ({self.sheet})" if self.sheet else self.path.name

    @property
    def where(self) -> str:
        """Return how to name it in an error."""
        return f"{self.path}, sheet '{self.sheet}'," if self.sheet else str(self.path)

    def place(self, row: int, column: str = "") -> str:
        """Return how to name a row or a cell in an error."""
        return f"{self.where} row {row}" + (f", column '{column}'" if column else "")


def read_spreadsheet(
    path: Path,
    *,
    sheet: str | None = None,
    named: Sequence[str] = (),
    is_name: Callable[[str], bool] = lambda _: False,
    called: str = "",
) -> Table:
    """Read a CSV (UTF-8, UTF-16 or, as spreadsheets save it in the West, Windows-1252) or a workbook.

    The header is the row that holds the columns named, or one that columns are called by, or else the first that looks like
    names; what stands above is left out, with a note.

    Args:
        sheet: name or number, from 1, of a workbook's sheet; else the shown one that holds a table.
        named: columns that were stated to be there.
        is_name: whether a cell is what a column of such a table is called.
        called: stands before the path in messages, such as an option's name.

    Raises:
        DataError: missing, unreadable, without rows, two columns of one name, or a row with too many cells.
        UsageError: there is no such sheet, or several hold such a table.
    """
    content = _content(path, called)
    if content.startswith(_WORKBOOKS):
        return _of_workbook(path, sheet, named, is_name)
    if sheet is not None:
        raise UsageError(f"--sheet {sheet}: {path} is no workbook, it has no sheets", "leave it out")
    text, notes = _decoded(path, content, called)
    if _NO_TABLE.match(text):
        raise DataError(f"{called} {path} is HTML, XML or JSON, no table".strip(), _HINT)
    del content
    separator, rows = _separated(path, text, named, is_name)
    rows = _out_of_one_cell(path, rows, named, is_name)
    if "'" in text or '="' in text:
        rows = [(number, [_plain(cell) for cell in cells]) for number, cells in rows]
    table = _table(Table(path, (), ()), rows, _header(rows, named, is_name))
    return replace(table, separator=separator, notes=(*notes, *table.notes))


def _plain(cell: str) -> str:
    """Return a cell without what keeps a spreadsheet from running it, or from taking ="007" for a number."""
    protected = re.fullmatch(r'="([^"]*)"', cell)
    return protected[1] if protected else unshielded(cell)


def _content(path: Path, called: str) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise DataError(f"{called} {path}: more than {_MOST_BYTES >> 30} GiB".strip(), _HINT)
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise DataError(f"{called} {path}: {reason}".strip(), "check the file's name") from error


def _decoded(path: Path, content: bytes, called: str) -> tuple[str, tuple[str, ...]]:
    """Return the text of a CSV, and what was guessed of its encoding."""
    for mark, encoding in (*_BYTE_ORDER_MARKS, (b"", "utf-8")):
        if content.startswith(mark):
            try:
                text = content.decode(encoding)
            except UnicodeDecodeError:
                break
            if "\0" not in text:
                return text, ()
    for place, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):  # every other byte of a Latin text is 0
        half = content[place : 1 << 16 : 2]
        if len(content) % 2 == 0 and half.count(0) > 0.6 * len(half):
            return content.decode(encoding, "replace"), ()
    if b"\0" in content:
        raise DataError(f"{called} {path} is no text".strip(), _HINT)
    foreign = [run for run in re.findall(rb"[\x80-\xff]+", content) if not _is_utf8(run)]
    if 2 * sum(len(run) for run in foreign if len(run) >= _FOREIGN_RUN) > sum(map(len, foreign)):
        # Letters of the West stand alone among those of ASCII; Cyrillic, Greek, Chinese words are nothing else.
        raise DataError(
            f"{called} {path} is text neither of UTF-8 nor of Windows-1252: its words would be misread".strip(),
            "save it as CSV UTF-8 or .xlsx, or convert it: iconv -f ENCODING -t UTF-8",
        )
    # Bytes that are no UTF-8 alone, as one line may be another program's.
    return content.decode("utf-8", "cp1252"), (f"{path.name} is not UTF-8, read as Windows-1252",)


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _of_windows(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)  # no other codec asks
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error("cp1252", _of_windows)


def _separated(
    path: Path, text: str, named: Sequence[str], is_name: Callable[[str], bool]
) -> tuple[str, list[Cells]]:
    """Return what separates the cells, and the filled rows; the one that makes a table of the first lines."""
    directive = re.match(r"sep=(.)\r?\n", text)  # Excel's own word
    if directive is not None:
        _, *rows = _parsed(path, text, directive[1])
        return directive[1], rows
    head = text[: 1 << 16]
    first = next((line for line in head.splitlines() if line.strip()), "")

    def fitness(separator: str) -> tuple[bool, float, int]:
        try:
            rows = [cells for _, cells in _parsed(path, head, separator, _HEAD_ROWS)]
        except DataError:  # cut within quotes
            rows = [line.split(separator) for line in head.splitlines()[:_HEAD_ROWS]]
        known = any(len(set(filter(None, cells))) > 1 and _is_known(cells, named, is_name) for cells in rows)
        widths = Counter(map(len, rows)) or Counter([0])
        width, count = max(widths.items(), key=lambda item: (item[1], item[0]))
        return known, count if width > 1 else 0, first.count(separator)

    separator = max(_SEPARATORS, key=fitness)
    return separator, _parsed(path, text, separator)


def _out_of_one_cell(
    path: Path, rows: list[Cells], named: Sequence[str], is_name: Callable[[str], bool]
) -> list[Cells]:
    """Return rows that stand in one column each, as of a CSV opened where another separator is usual, in their cells."""
    if any(sum(map(bool, cells)) > 1 for _, cells in rows):
        return rows
    lines = [next(filter(None, cells)) for _, cells in rows]
    _, parts = _separated(path, "\n".join(lines), named, is_name)
    return (
        parts
        if len(parts) != len(rows)
        else [(row[0], part[1]) for row, part in zip(rows, parts, strict=True)]
    )


def _lines(text: str, record: list[str]) -> Iterator[str]:
    """Yield the lines of a text with their ends, and add each to `record`."""
    for found in _LINE.finditer(text):
        record.append(found[0])
        yield found[0]


def _parsed(path: Path, text: str, separator: str, most: int | None = None) -> list[Cells]:
    record: list[str] = []  # the lines of the row that is read
    rows: list[Cells] = []
    once: dict[str, str] = {}  # what stands in many rows is held once
    number = 0
    try:
        for number, line in enumerate(csv.reader(_lines(text, record), delimiter=separator), start=1):
            cells = [cell.strip() for cell in line]
            if any(cells):
                if len(once) < _MOST_ONCE:
                    once.update((cell, cell) for cell in cells if cell not in once)
                rows.append((number, [once.get(cell, cell) for cell in cells]))
            if most is not None and number >= most:
                break
            if len(record) > 1 and most is None:  # a quote that nobody closed takes in the rows below
                number -= 1
                list(csv.reader(record, delimiter=separator, strict=True))
            record.clear()
    except csv.Error as error:
        raise DataError(f"{path} row {number + 1}: {error}", _QUOTES) from error
    return rows


def _of_workbook(
    path: Path, sheet: str | None, named: Sequence[str], is_name: Callable[[str], bool]
) -> Table:
    shown, rows_of, without_value = read_workbook(path, sheet)
    if sheet is not None and not rows_of:
        numbered = ", ".join(f"{number} {name}" for number, name in enumerate(shown, 1))
        raise UsageError(
            f"--sheet {sheet}: {path} has no such sheet", f"{did_you_mean(sheet, shown)} ({numbered})"
        )
    rows_of = {
        name: _out_of_one_cell(path, rows, named, is_name)
        for name, rows in rows_of.items()
        if rows or sheet is not None
    }
    headers = {name: _header(rows, named, is_name) for name, rows in rows_of.items()}
    fits = [
        name
        for name, rows in rows_of.items()
        if len(rows) > headers[name] + 1 and _is_known(rows[headers[name]][1], named, is_name)
    ]
    if len(fits) > 1:
        several = ", ".join(f"'{name}'" for name in fits)
        raise UsageError(f"{path}: which of the sheets {several} holds the table?", "name it with --sheet")
    if not rows_of:
        raise DataError(
            f"{path} holds no rows", "the first line names the columns, each further one an image"
        )
    tables = [name for name, rows in rows_of.items() if len(rows) > headers[name] + 1]  # no mere remarks
    chosen = next(iter(fits or tables or rows_of))
    notes = []
    if sheet is None and len(shown) > 1:
        hidden = [name for name, visible in shown.items() if not visible]
        aside = f"; hidden: {', '.join(hidden)}" if hidden else ""
        notes.append(f"{path.name}: sheet '{chosen}' of {len(shown)} is read{aside} (--sheet names another)")
    if without_value:
        notes.append(
            f"{path.name}: {len(without_value):,} formulas hold no value, so their cells count as empty (first: "
            f"{without_value[0]}); open the file in a spreadsheet and save it there"
        )
    table = _table(Table(path, (), (), chosen), rows_of[chosen], headers[chosen])
    return replace(table, notes=(*notes, *table.notes))


def _in_one_line(name: str) -> str:
    """Return a column's name without the line ends that sheets keep it narrow by."""
    return " ".join(name.split())


def _is_known(cells: Sequence[str], named: Sequence[str], is_name: Callable[[str], bool]) -> bool:
    names = {_in_one_line(cell) for cell in cells}
    return set(named) <= names if named else any(map(is_name, filter(None, names)))


def _header(rows: Sequence[Cells], named: Sequence[str], is_name: Callable[[str], bool]) -> int:
    """Return the place of the header among the first filled rows."""
    head = [[_in_one_line(cell) for cell in cells if cell] for _, cells in rows[:_HEAD_ROWS]]
    if named:
        place = next((n for n, cells in enumerate(head) if set(named) <= set(cells)), None)
        if place is not None:
            return place
    names = [
        n
        for n, cells in enumerate(head)
        if len(cells) > 1
        and len(set(cells)) == len(cells)
        and not any(_NO_NAME.fullmatch(cell) for cell in cells)
    ]
    known = [n for n, cells in enumerate(head) if len(cells) > 1 and any(map(is_name, cells))]
    # Of a header in two lines the lower one has more names; a title has fewer than the header.
    best = [n for n in known if n in names]
    if best or known:
        return max(best or known, key=lambda n: (len(set(head[n])), -n))
    widest = max(map(len, head), default=0)
    return next((n for n in names if 2 * len(head[n]) >= widest), 0)


def _table(bare: Table, rows: Sequence[Cells], header: int) -> Table:
    """Return a table with its rows; a sheet is a rectangle, so that only in a CSV a row can have too many cells."""
    path = bare.path
    nothing = DataError(
        f"{path} holds no rows", "the first line names the columns, each further one an image"
    )
    if len(rows) <= header + 1:
        raise nothing
    line, as_written = rows[header]
    names = list(map(_in_one_line, as_written))
    if file := next((name for name in names if _FILE.fullmatch(name)), None):
        raise DataError(
            f"{bare.place(line)} names no columns: '{file}' is a file", "name the columns in the first line"
        )
    named = [n for n, name in enumerate(names) if name]
    width = max(named) + 1 if bare.sheet else len(names)
    double = next((names[n] for n in named if names[n] in names[:n]), None)
    if double is not None:
        raise DataError(f"{bare.place(line)} names two columns '{double}'", "rename or remove one of them")
    body = [(number, cells) for number, cells in rows[header + 1 :] if cells != as_written]
    wide = [(number, len(cells)) for number, cells in body if any(cells[width:])]
    if wide and not bare.sheet:
        raise DataError(
            f"{bare.place(wide[0][0])} has {wide[0][1]} cells, the header {width}",
            "put quotes round a cell that holds the separator",
        )
    filled = {n for _, cells in body for n, cell in enumerate(cells[:width]) if cell}
    columns = {n: names[n] or f"column {n + 1}" for n in range(width) if names[n] or n in filled}
    kept = tuple(
        (number, {name: cells[n] if n < len(cells) else "" for n, name in columns.items()})
        for number, cells in body
        if any(cells[:width])
    )
    if not kept:
        raise nothing
    notes = {
        f"row {line} names the columns, what stands above it is left out": header > 0,
        "the header stands among the rows again": len(body) < len(rows) - header - 1,
        "cells beyond the last column with a name are left out": bool(wide),
    }
    remarks = tuple(f"{bare.name}: {note}" for note, holds in notes.items() if holds)
    return replace(bare, columns=tuple(columns.values()), rows=kept, notes=remarks)


def is_sum(cells: dict[str, str]) -> bool:
    """Return whether a row says of itself that it sums up others: its first filled cell is such a word alone."""
    return _SUM.fullmatch(next(filter(None, cells.values()), "")) is not None


def without_remarks(table: Table, is_row: Callable[[dict[str, str]], bool]) -> Table:
    """Return a table without further lines of its header, and the legend, totals and notes below it, which is noted.

    Args:
        is_row: whether cells are a row of the table beyond doubt.
    """
    table = _without_more_header(table, is_row)
    rows = table.rows
    last = next((n for n in reversed(range(len(rows))) if is_row(rows[n][1])), None)
    if last is None or last + 1 == len(rows):
        return table

    def is_remark(place: int) -> bool:
        first, *others = rows[place][1].values()
        gap = rows[place][0] > rows[place - 1][0] + 1
        text = first and not any(others) and not _NO_NAME.fullmatch(first)
        return gap or bool(text or _TOTALS.match(first or next(filter(None, others))))

    cut = next((n for n in range(last + 1, len(rows)) if is_remark(n)), None)
    if cut is None:
        return table
    first = next(cell for cell in rows[cut][1].values() if cell)
    where = f"row {rows[cut][0]}" if cut + 1 == len(rows) else f"rows {rows[cut][0]} to {rows[-1][0]}"
    note = f"{table.name}: {where} below the table left out: '{first}'" + (
        " …" if cut + 1 < len(rows) else ""
    )
    return replace(table, rows=rows[:cut], notes=(*table.notes, note))


def _without_more_header(table: Table, is_row: Callable[[dict[str, str]], bool]) -> Table:
    """Return a table without further lines of its header, such as units, questions, or the classes below "Diagnosis".

    Such a line holds no number, no identifier, no file, and nothing that comes again in its column. Where it names columns
    that the header leaves empty, as behind a merged cell, it names those and the one before them.
    """
    start = next((n for n, (_, cells) in enumerate(table.rows) if is_row(cells)), 0)
    later = {name: {cells[name] for _, cells in table.rows[start:]} for name in table.columns}
    filled = [(name, cell) for _, cells in table.rows[:start] for name, cell in cells.items() if cell]
    if not start or any(
        cell in later[name] or _NO_NAME.fullmatch(cell) or _CODE.fullmatch(cell) for name, cell in filled
    ):
        return table
    lower = list(table.rows[0][1].values())
    unnamed = [
        bool(re.fullmatch(r"column \d+", name) and cell)
        for name, cell in zip(table.columns, lower, strict=True)
    ]
    starts = [bool(cell) and after for cell, after in zip(lower, [*unnamed[1:], False], strict=True)]
    names = [
        low if is_unnamed or is_start else name
        for name, low, is_unnamed, is_start in zip(table.columns, lower, unnamed, starts, strict=True)
    ]
    names = list(table.columns) if len(set(names)) < len(names) else names
    numbers = ", ".join(str(number) for number, _ in table.rows[:start])
    named = ", ".join(name for name in names if name not in table.columns)
    note = f"{table.name}: row {numbers} is taken for a line of the header ('{filled[0][1]}')" + (
        f"; it names {named}" if named else ""
    )
    rows = ((number, dict(zip(names, cells.values(), strict=True))) for number, cells in table.rows[start:])
    return replace(table, columns=tuple(names), rows=tuple(rows), notes=(*table.notes, note))


if __name__ == "__main__":
    sys.exit(_main(*sys.argv[1:3]))
