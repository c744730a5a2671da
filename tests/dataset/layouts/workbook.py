"""Workbooks as hospitals keep them, drawn for tests."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.sax.saxutils import escape

from openpyxl import Workbook

Rows = Sequence[Sequence[Any]]


def write_xlsx(
    path: Path,
    sheets: Mapping[str, Any],
    *,
    hidden: Sequence[str] = (),
    merged: Sequence[str] = (),
    corner: tuple[int, int] = (1, 1),
) -> Path:
    """Write sheets; None is an empty cell, `merged` are ranges of the first sheet, `corner` its first (row, column)."""
    book = Workbook()
    for number, (name, rows) in enumerate(sheets.items()):
        sheet = book.active if number == 0 else book.create_sheet()
        assert sheet is not None
        sheet.title = name
        for down, row in enumerate(rows):
            for right, value in enumerate(row):
                if value is not None:
                    sheet.cell(corner[0] + down, corner[1] + right, value)
        if name in hidden:
            sheet.sheet_state = "hidden"
        for cells in merged if number == 0 else ():
            sheet.merge_cells(cells)
    path.parent.mkdir(parents=True, exist_ok=True)
    book.save(path)
    return path


def write_ods(
    path: Path, rows: Rows, spans: Mapping[tuple[int, int], tuple[int, int]] = MappingProxyType({})
) -> Path:
    """Write one sheet as OpenDocument (ODF 1.2 part 1, chapter 9): numbers as floats, the rest as strings.

    Args:
        spans: (row, column) of a merged cell → how many rows and columns it takes.
    """

    def cell(place: tuple[int, int], value: Any) -> str:
        down, right = spans.get(place, (1, 1))
        merged = f'table:number-rows-spanned="{down}" table:number-columns-spanned="{right}"'
        if value is None:
            return "<table:table-cell/>"
        if isinstance(value, int | float):
            return f'<table:table-cell office:value-type="float" office:value="{value}"/>'
        return f'<table:table-cell {merged} office:value-type="string"><text:p>{escape(value)}</text:p></table:table-cell>'

    body = "".join(
        f"<table:table-row>{''.join(cell((n, k), value) for k, value in enumerate(row))}</table:table-row>"
        for n, row in enumerate(rows)
    )
    names = "".join(
        f' xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text")
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr(
            "content.xml",
            f'<?xml version="1.0"?><office:document-content{names}><office:body><office:spreadsheet>'
            f'<table:table table:name="Blatt">{body}</table:table></office:spreadsheet></office:body>'
            "</office:document-content>",
        )
        archive.writestr(
            "META-INF/manifest.xml",
            '<?xml version="1.0"?><manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>',
        )
    return path
