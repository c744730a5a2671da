"""Identities in the names of files and folders, found by their form."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

# Kind → letter of the list in 45 CFR 164.514(b)(2)(i), and what it is in words.
SAFE_HARBOR = {
    "date": ("C", "a calendar date"),
    "e-mail": ("F", "an e-mail address"),
    "marked-number": ("H", "a number marked as an identity (MRN, SSN, DOB …)"),
    "name": ("A", "what looks like a person's name"),
    "record-number": ("H", "a number long enough to be a record number"),
    "social-security-number": ("G", "what has the form of a social security number"),
    "uid": ("R", "a DICOM UID"),
}
_EARLIEST_YEAR = 1900
_LATEST_YEAR = 2099

_UID = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){5,}(?!\d)")
# Random codes (UUIDs, digests) hold runs of digits by chance; they are codes, not records.
_CODE = re.compile(
    r"(?<![0-9a-zA-Z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}(?:-[0-9a-f]{8}){3,}"
    r"|(?=\d*[a-f])[0-9a-f]{16,})(?![0-9a-zA-Z])",
    re.IGNORECASE,
)
_E_MAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
# PS3.5 §6.2.1: the components of a person's name are parted by carets, the family name first.
_PERSON_NAME = re.compile(r"[^\W\d_]{2,}\^[^\W\d_]+(?:\^[^\W\d_]*)*")
_MARKED_NAME = re.compile(
    r"(?<![a-z])(?:pat(?:ient)?[ _-]?name|surname|last[ _-]?name)[ _=:#-]+[^\W\d_]{2,}", re.I
)
_MARKED_NUMBER = re.compile(r"(?:(?<![a-z])(?i:mrn|ssn|dob|nhs)|MRN|SSN|DOB)[ _=:#-]*\d[\d.-]{2,}\d")
_SOCIAL_SECURITY = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
_YEAR_FIRST = re.compile(
    r"(?<!\d)(?P<year>\d{4})(?P<mark>[-_.])(?P<month>\d{2})(?P=mark)(?P<day>\d{2})(?!\d)"
)
_YEAR_LAST = re.compile(
    r"(?<!\d)(?P<first>\d{1,2})(?P<mark>[-_.])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4})(?!\d)"
)
_LONG_NUMBER = re.compile(r"(?<!\d)\d{8,}(?!\d)")


@dataclass(frozen=True)
class Identity:
    """One place in a text that looks like an identity.

    Args:
        kind: a key of `SAFE_HARBOR`.
        start, end: the half-open range of characters.
    """

    kind: str
    start: int
    end: int


def find_identities(text: str) -> list[Identity]:
    """Return what in a path or name looks like an identity, in order, no two overlapping.

    Dates count only when the calendar has them. Numbers of eight digits and more count as record numbers
    unless two leading zeros show a padded counter, so `IM-0115-0001` or `person1074_bacteria_3012` are
    silent.

    >>> [identity.kind for identity in find_identities("DOE^JANE/2021-02-03.png")]
    ['name', 'date']
    >>> find_identities("img_2021-02-30.png")
    []
    """
    found: list[Identity] = []
    taken: list[tuple[int, int]] = [match.span() for match in _CODE.finditer(text)]
    for search in _SEARCHES:
        for identity in search(text):
            if all(identity.end <= start or end <= identity.start for start, end in taken):
                found.append(identity)
                taken.append((identity.start, identity.end))
    return sorted(found, key=lambda identity: identity.start)


def _matches(pattern: re.Pattern[str], kind: str) -> Callable[[str], Iterator[Identity]]:
    def search(text: str) -> Iterator[Identity]:
        for match in pattern.finditer(text):
            yield Identity(kind, *match.span())

    return search


def _dates(text: str) -> Iterator[Identity]:
    for match in _YEAR_FIRST.finditer(text):
        if _is_date(match["year"], match["month"], match["day"]):
            yield Identity("date", *match.span())
    for match in _YEAR_LAST.finditer(text):
        first, second = match["first"], match["second"]
        if _is_date(match["year"], first, second) or _is_date(match["year"], second, first):
            yield Identity("date", *match.span())


def _long_numbers(text: str) -> Iterator[Identity]:
    """Yield runs of digits: YYYYMMDD with or without a time is a date, else a record number."""
    for match in _LONG_NUMBER.finditer(text):
        digits = match.group()
        if len(digits) in (8, 12, 14) and _is_date(digits[:4], digits[4:6], digits[6:8]):
            yield Identity("date", *match.span())
        elif not digits.startswith("00"):
            yield Identity("record-number", *match.span())


def _is_date(year: str, month: str, day: str) -> bool:
    if not _EARLIEST_YEAR <= int(year) <= _LATEST_YEAR:
        return False
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


# The surest forms first: what one search takes, the later ones leave alone.
_SEARCHES: tuple[Callable[[str], Iterator[Identity]], ...] = (
    _matches(_E_MAIL, "e-mail"),
    _matches(_UID, "uid"),
    _matches(_MARKED_NUMBER, "marked-number"),
    _matches(_MARKED_NAME, "name"),
    _matches(_PERSON_NAME, "name"),
    _dates,
    _matches(_SOCIAL_SECURITY, "social-security-number"),
    _long_numbers,
)
