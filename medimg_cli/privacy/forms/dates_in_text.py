"""Calendar dates in names and texts, in the orders and with the months people write them."""

import re
from collections.abc import Callable, Iterator
from datetime import date

_EARLIEST_YEAR = 1900
_LATEST_YEAR = 2099

# English, German and French months as they are cut short or written out; a number for each.
_MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janvier",
            "feb february februar fevrier février",
            "mar march mrz maerz märz mars",
            "apr april avr avril",
            "may mai",
            "jun june juni juin",
            "jul july juli juillet",
            "aug august aout août",
            "sep sept september septembre",
            "oct october okt oktober octobre",
            "nov november novembre",
            "dec december dez dezember decembre décembre",
        ),
        start=1,
    )
    for name in names.split()
}
_MONTH = "(?P<month>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + ")"
_MARK = r"[-_., ]{0,2}"

_YEAR_FIRST = re.compile(
    r"(?<!\d)(?P<year>\d{4})(?P<mark>[-_./ ])(?P<month>\d{2})(?P=mark)(?P<day>\d{2})(?!\d)"
)
_YEAR_LAST = re.compile(
    r"(?<!\d)(?P<first>\d{1,2})(?P<mark>[-_. ])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{4})(?!\d)"
)
_SLASHED = re.compile(r"(?<![\d/])(?P<first>\d{2})/(?P<second>\d{2})/(?P<year>\d{4})(?!\d)")
_DAY_MONTH = re.compile(rf"(?<!\d)(?P<day>\d{{1,2}}){_MARK}{_MONTH}{_MARK}(?P<year>\d{{4}})(?!\d)", re.I)
_MONTH_DAY = re.compile(
    rf"(?<![^\W\d_]){_MONTH}{_MARK}(?P<day>\d{{1,2}})[-_., ]{{1,2}}(?P<year>\d{{4}})(?!\d)", re.I
)
_YEAR_MONTH = re.compile(rf"(?<!\d)(?P<year>\d{{4}}){_MARK}{_MONTH}{_MARK}(?P<day>\d{{1,2}})(?!\d)", re.I)
# Two digits of a year are a version or a counter as well: only a word before them makes them a date.
_SHORT = re.compile(
    r"(?<![^\W\d_])(?:dob|geb|born|birth|birthday|date|datum|naissance|ne|né|née)[ _=:.#-]*"
    r"(?P<first>\d{1,2})(?P<mark>[-_./])(?P<second>\d{1,2})(?P=mark)(?P<year>\d{2})(?!\d)",
    re.I,
)
_DIGITS = re.compile(r"(?<!\d)\d{8}(?:\d{4}|\d{6})?(?!\d)")


def find_dates(text: str) -> Iterator[tuple[int, int]]:
    """Yield the half-open range of every date that the calendar has, from 1900 to 2099.

    Months come before or after days; YYYYMMDD may have a time behind it.

    >>> [text[a:b] for text in ("12Mar2021.png", "2021-02-30", "20210203120000") for a, b in find_dates(text)]
    ['12Mar2021', '20210203120000']
    """
    for pattern, holds in _FORMS:
        for match in pattern.finditer(text):
            if holds(match):
                yield match.span()


def is_date(year: str, month: str, day: str) -> bool:
    """Return whether the calendar has this day, from 1900 to 2099.

    >>> is_date("2021", "2", "28"), is_date("2021", "2", "30"), is_date("1899", "1", "1")
    (True, False, False)
    """
    if not _EARLIEST_YEAR <= int(year) <= _LATEST_YEAR:
        return False
    try:
        date(int(year), int(month), int(day))
    except ValueError:
        return False
    return True


def _in_order(match: re.Match[str]) -> bool:
    month = match["month"].lower()
    return is_date(match["year"], str(_MONTHS.get(month, month)), match["day"])


def _either_order(match: re.Match[str]) -> bool:
    return _day_and_month(match["year"], match["first"], match["second"])


def _short(match: re.Match[str]) -> bool:
    # A year of 2000 to 2099: 29 February stands in the same years of the last century.
    return _day_and_month(f"20{match['year']}", match["first"], match["second"])


def _digits(match: re.Match[str]) -> bool:
    digits = match.group()
    return is_date(digits[:4], digits[4:6], digits[6:8])


def _day_and_month(year: str, first: str, second: str) -> bool:
    return is_date(year, first, second) or is_date(year, second, first)


_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], bool]], ...] = (
    (_YEAR_FIRST, _in_order),
    (_YEAR_LAST, _either_order),
    (_SLASHED, _either_order),
    (_DAY_MONTH, _in_order),
    (_MONTH_DAY, _in_order),
    (_YEAR_MONTH, _in_order),
    (_SHORT, _short),
    (_DIGITS, _digits),
)
