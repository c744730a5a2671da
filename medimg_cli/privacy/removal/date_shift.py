"""Dates and times of DICOM (PS3.5 §6.2: AS, DA, DT) moved by whole days, gaps and precision kept."""

import re
from datetime import date, timedelta

OLDEST_AGE_YEARS = 89
"""45 CFR 164.514(b)(2)(i)(C): older ages may only be told as "90 or more"."""

_DATE = re.compile(r"(?P<year>\d{4})(?P<dot>\.?)(?P<month>\d{2})(?P=dot)(?P<day>\d{2})")
# The date may break off after the year or the month; what follows, time and offset, stays.
_DATE_TIME = re.compile(
    r"(?P<year>\d{4})(?P<month>\d{2})?(?P<day>\d{2})?(?P<rest>(?:\d{2}){0,3}(?:\.\d{1,6})?(?:[+-]\d{4})?)"
)
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_UNITS_A_YEAR = {"D": 366, "W": 53, "M": 12, "Y": 1}
_MIDDLE_MONTH, _MIDDLE_DAY = 7, 15


def shifted_date(text: str, days: int) -> str | None:
    """Return a DA moved by `days`, as YYYYMMDD; None for what is no date.

    >>> shifted_date("20210301", -30), shifted_date("2021.03.01", -1), shifted_date("20210230", 1)
    ('20210130', '20210228', None)
    """
    match = _DATE.fullmatch(text.strip())
    return match and _moved(match["year"], match["month"], match["day"], days)


def shifted_date_time(text: str, days: int) -> str | None:
    """Return a DT moved by `days`; one of less precision keeps it, moved from the middle of its month or year.

    >>> shifted_date_time("20210301235959.5+0100", -1), shifted_date_time("202103", -31)
    ('20210228235959.5+0100', '202102')
    """
    match = _DATE_TIME.fullmatch(text.strip())
    if match is None or (match["rest"][:1].isdigit() and match["day"] is None):
        return None
    day = match["day"] or str(_MIDDLE_DAY)
    month = match["month"] or f"{_MIDDLE_MONTH:02d}"
    moved = _moved(match["year"], month, day, days)
    if moved is None:
        return None
    length = 8 if match["day"] else 6 if match["month"] else 4
    return moved[:length] + match["rest"]


def capped_age(text: str) -> str | None:
    """Return an AS as it is up to 89 years, 090Y above; None for what is no age.

    >>> capped_age("089Y"), capped_age("094Y"), capped_age("old")
    ('089Y', '090Y', None)
    """
    match = _AGE.fullmatch(text.strip().upper())
    if match is None:
        return None
    years = int(match[1]) / _UNITS_A_YEAR[match[2]]
    return match[0] if years <= OLDEST_AGE_YEARS else f"{OLDEST_AGE_YEARS + 1:03d}Y"


def _moved(year: str, month: str, day: str, days: int) -> str | None:
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"
