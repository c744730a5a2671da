"""The text of a table that a spreadsheet or another program saved, whatever its encoding."""

from pathlib import Path

from medimg_cli.errors import DataError

_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_ZIP = b"PK\x03\x04"
_HINT = "save the table as CSV (UTF-8)"


def table_text(path: Path, *, called: str = "") -> str:
    """Return the text of a table: UTF-8, UTF-16 with its mark, and otherwise Windows-1252.

    Args:
        called: stands before the path in messages, such as an option's name.

    Raises:
        DataError: it is missing, cannot be opened, or is no text.
    """
    named = f"{called} {path}".strip()
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise DataError(f"{named}: {reason}", "check the file's name") from error
    if content.startswith(_ZIP):
        raise DataError(f"{named} is a workbook or an archive, not a CSV", "save the sheet as CSV (UTF-8)")
    for mark, encoding in (*_BYTE_ORDER_MARKS, (b"", "utf-8")):
        if content.startswith(mark):
            try:
                return content.decode(encoding)
            except UnicodeDecodeError:
                break
    if b"\0" in content:
        raise DataError(f"{named} is no text", _HINT)
    return content.decode("cp1252", "replace")
