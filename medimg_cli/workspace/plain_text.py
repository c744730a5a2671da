"""Texts of strangers for the eyes of people: no control of a terminal, nothing that a spreadsheet would run."""

import csv
import re
import unicodedata
from collections.abc import Iterable
from typing import Any, Literal

_FIRST = "=+\\-@\t\r\n＝＋－＠"
# Where a cell may begin: also behind a separator of another country's spreadsheets, or a line end within a cell.
_RUNS = re.compile(rf"(^|[;\t\r\n])(?='*[{_FIRST}])")
_SHIELDED = re.compile(rf"(^|[;\t\r\n])'(?='*[{_FIRST}])")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
# C0 but for tab and line end, C1, marks and overrides of direction, line separators, lone surrogates.
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def without_accents(text: str, form: Literal["NFD", "NFKD"] = "NFKD") -> str:
    """Return a text whose letters have lost their marks; by NFKD, signs such as ² and ﬁ become plain ones as well.

    >>> without_accents("Señor Müller²"), without_accents("²", "NFD")
    ('Senor Muller2', '²')
    """
    return "".join(sign for sign in unicodedata.normalize(form, text) if not unicodedata.combining(sign))


def visible_line(text: str) -> str:
    r"""Return a text as one line whose control characters, overrides of direction included, are spelt out.

    >>> visible_line("a\x1b[31m\nb")
    'a\\x1b[31m\\nb'
    """
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def visible(text: str) -> str:
    """Return a text whose control characters but for tabs and line ends are spelt out."""
    return _CONTROL.sub(lambda found: _spelt(ord(found[0])), text)


def json_visible(text: str) -> str:
    """Return a JSON text of the same meaning in which what `visible` spells out is escaped."""
    return _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _spelt(code: int) -> str:
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def shielded(cell: str) -> str:
    """Return a cell of a CSV that no spreadsheet takes for a formula.

    A sign that begins one (= + - @ tab, carriage return, line feed, full-width forms; OWASP, "CSV Injection") gets
    an apostrophe before it, unless the cell is a number. Apostrophes that stand before such a sign already
    get one more, so that `unshielded` gives back every cell exactly.

    >>> shielded("=1+1"), shielded("-1.5"), unshielded(shielded("'=x"))
    ("'=1+1", '-1.5', "'=x")
    """
    return cell if _NUMBER.fullmatch(cell) else _RUNS.sub(r"\1'", cell)


def unshielded(cell: str) -> str:
    """Return the cell that `shielded` was given."""
    return _SHIELDED.sub(r"\1", cell)


def quoting_of(cells: Iterable[Any]) -> Literal[0, 2]:
    """Return how to quote cells: a carriage return alone ends a row for readers, but is not quoted by itself (Python < 3.13)."""
    return csv.QUOTE_NONNUMERIC if any(isinstance(c, str) and "\r" in c for c in cells) else csv.QUOTE_MINIMAL


def may_need_shield(cells: Iterable[str]) -> bool:
    """Return False where `shielded` changes none of many cells for sure; a column of ordinary texts is seen through at once."""
    text = "\0".join(["", *cells])
    return any(sign in text for sign in ";\t\r\n") or any(f"\0{sign}" in text for sign in "'=+-@＝＋－＠")


def reason_of(error: BaseException) -> str:
    """Return what an error of another library says, as one line of at most 200 characters; its kind where it says nothing.

    >>> reason_of(ValueError("no\\n  header")), reason_of(EOFError())
    ('no header', 'EOFError')
    """
    return " ".join(str(error).split())[:200] or type(error).__name__


_URL = re.compile(r"(s3a?|gc?s|az|abfs|https?|file):/{1,3}([^/].*)", re.DOTALL)
# What stands before the @ of a DICOM peer is its title, not a user.
_USER = re.compile(r"(\b(?!dicoms?://[^/@:\s]+@)[a-z][a-z0-9+.-]+:/{1,2})[^/@\s]+@")
_QUERY = re.compile(r"(\b[a-z][a-z0-9+.-]+:/{1,2}[^\s?'\"]+)\?[^\s'\"]+")


def url_of(text: str) -> str:
    """Return the address that a text, or a path made of it, is; "" where it is none. `file:` gives a path from the root.

    >>> url_of("s3:/bucket/a"), url_of("https://host/a.zip"), url_of("file:/x"), url_of("C:/x"), url_of("a/s3://b")
    ('s3://bucket/a', 'https://host/a.zip', 'file:///x', '', '')
    """
    match = _URL.fullmatch(text)
    return f"{match[1]}://{'/' if match[1] == 'file' else ''}{match[2]}" if match else ""


def redacted(text: str) -> str:
    """Return a text whose addresses hold no user, password or query, in which signatures stand.

    >>> redacted("GET https://me:secret@host/a.zip?X-Amz-Signature=ab failed")
    'GET https://***@host/a.zip?*** failed'
    """
    return _QUERY.sub(r"\1?***", _USER.sub(r"\1***@", text))


def plural(count: int, noun: str) -> str:
    """Return a count with its English noun.

    >>> plural(1, "class"), plural(1200, "image"), plural(2, "class"), plural(0, "study"), plural(3, "epoch")
    ('1 class', '1,200 images', '2 classes', '0 studies', '3 epochs')
    """
    if count == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{count:,} {noun[:-1]}ies"
    return f"{count:,} {noun}{'es' if noun.endswith(('s', 'x', 'tch', 'sh')) else 's'}"
