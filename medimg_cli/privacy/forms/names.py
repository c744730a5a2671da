"""Identities recognised by form in names of files and in texts: dates, numbers, persons; and how they are masked."""

import re
from bisect import bisect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import PurePath
from typing import Literal

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


# Kind → letter of the list in 45 CFR 164.514(b)(2)(i), and what it is in words.
SAFE_HARBOR = {
    "date": ("C", "a calendar date"),
    "e-mail": ("F", "an e-mail address"),
    "fax": ("E", "a fax number"),
    "ip-address": ("O", "an IP address"),
    "marked-number": ("H", "a number marked as an identity (MRN, SSN, DOB …)"),
    "name": ("A", "what looks like a person's name"),
    "phone": ("D", "a telephone number"),
    "record-number": ("H", "a number long enough to be a record number"),
    "social-security-number": ("G", "what has the form of a social security number"),
    "uid": ("R", "a DICOM UID"),
    "url": ("N", "a web address"),
}

_UID = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){5,}(?!\d)")
# Random codes (UUIDs, digests) hold runs of digits by chance; they are codes, not records. A short one shows by
# its letters a to f in two places at least; `dcm-` and 12 digits is what ingest writes for a patient.
_CODE = re.compile(
    r"(?<![0-9a-zA-Z])(?:[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{8}(?:-[0-9a-f]{8}){3,}"
    r"|(?=\d*[a-f])[0-9a-f]{16,}|dcm-[0-9a-f]{12}|(?=[0-9a-f]*\d[a-f]+\d+[a-f])[0-9a-f]{8,}|\d{20,})"
    r"(?![0-9a-zA-Z])",
    re.IGNORECASE,
)
# A run of letters is entered at its start alone: entered at each letter, a long one would take for ever.
_E_MAIL = re.compile(
    r"(?<![A-Za-z0-9._%+-])[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}"
)
_URL = re.compile(r"(?:https?|ftp)://[^\s\"'<>]+|(?<![^\W_])(?<!\.)www\.[\w-]+\.[a-z]{2,}", re.IGNORECASE)
# Four numbers are a version as well: what counts is a private range (RFC 1918), or the word before them.
_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"
_IP = re.compile(
    rf"(?<![^\W_])(?<!\.)(?:ip[ _=:-]*{_OCTET}\.{_OCTET}|192\.168|10\.{_OCTET}|172\.(?:1[6-9]|2\d|3[01]))"
    rf"\.{_OCTET}\.{_OCTET}(?!\d|\.\d)",
    re.IGNORECASE,
)
_DIAL = r"[ _=:.#-]*\+?\(?\d(?:[ ()./-]?\d){5,14}(?!\d)"
_PHONE = re.compile(
    rf"(?<![^\W\d_])(?:tel|telephone|telefon|phone|fon|mobile|mobil|cell|pager){_DIAL}"
    r"|(?<![^\W_])(?<!\+)\+[1-9]\d{0,2}(?:[ ()./-]{0,2}\d){7,12}(?!\d)"
    # North American Numbering Plan: neither area nor exchange begins with 0 or 1.
    r"|(?<![^\W_])(?<!-)(?:\([2-9]\d{2}\) ?|[2-9]\d{2}-)[2-9]\d{2}-\d{4}(?![^\W_])(?!-)",
    re.IGNORECASE,
)
_FAX = re.compile(rf"(?<![^\W\d_])(?:tele)?fax{_DIAL}", re.IGNORECASE)
# PS3.5 §6.2.1: the components of a person's name are parted by carets, the family name first.
_PERSON_NAME = re.compile(r"(?<![^\W\d_])[^\W\d_]{2,}\^[^\W\d_]+(?:\^[^\W\d_]*)*")
_MARKED_NAME = re.compile(
    r"(?<![a-z])(?:pat(?:ient)?[ _-]?name|surname|last[ _-]?name)[ _=:#-]+[^\W\d_]{2,}", re.I
)
_MARKED_NUMBER = re.compile(r"(?:(?<![a-z])(?i:mrn|ssn|dob|nhs)|MRN|SSN|DOB)[ _=:#-]*\d[\d.-]{2,}\d")
_SOCIAL_SECURITY = re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\d-])")
# Behind a decimal point stands a measure or a part of a UID. Two leading zeros pad a counter.
_RECORD_NUMBER = re.compile(r"(?<!\d)(?<!\d\.)(?!00)\d{6,19}(?!\d)")
# What tools write where a value was; nothing of a person is left in it.
_PLACEHOLDER = re.compile(
    r"(?:anon(?:ymous|ymized|ymised)?|de-?identified|pseudonymi[sz]ed|removed|redacted|none|null|nil|nan|unknown"
    r"|n/?a|no[ ^_]?name|patient|test|x+|0+|00010101|19000101)[\W_]*(?:anon(?:ymous|ymized)?|patient|name)?\W*",
    re.IGNORECASE,
)


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
    """Return what in a path, name or text looks like an identity, in order, no two overlapping.

    Dates count only when the calendar has them. Numbers of six digits and more count as record numbers
    unless two leading zeros show a padded counter, or they are part of a random code; whether those of a whole
    data set are counters says `judge_series`. So `IM-0115-0001` or `person1074_bacteria_3012` are silent.

    >>> [identity.kind for identity in find_identities("DOE^JANE/2021-02-03.png")]
    ['name', 'date']
    >>> find_identities("img_2021-02-30.png")
    []
    """
    found: list[Identity] = []
    taken: list[tuple[int, int]] = [match.span() for match in _CODE.finditer(text)]
    for search in _SEARCHES:
        for identity in search(text):
            span = (identity.start, identity.end)
            place = bisect(taken, span)
            if (place == 0 or taken[place - 1][1] <= span[0]) and (
                place == len(taken) or span[1] <= taken[place][0]
            ):
                found.append(identity)
                taken.insert(place, span)
    return sorted(found, key=lambda identity: identity.start)


def is_placeholder(text: str) -> bool:
    """Return whether a value says nothing of a person: empty, or what tools write in place of one.

    >>> is_placeholder("ANON^PATIENT"), is_placeholder("DOE^JANE")
    (True, False)
    """
    bare = text.strip(" \0^=\\")
    return not bare or _PLACEHOLDER.fullmatch(bare) is not None


def own_part(path: str, sources: tuple[str, ...]) -> str:
    """Return the part of a manifest path that belongs to the data set: below its source, not the folders above.

    A file given by itself keeps its name only.

    >>> own_part("/home/roe/raw/a/1.png", ("/home/roe/raw",))
    'a/1.png'
    """
    whole = PurePath(path)
    inside = [source for source in sources if whole.is_relative_to(source) and source != path]
    if inside:
        return whole.relative_to(max(inside, key=len)).as_posix()
    return whole.name if whole.is_absolute() else whole.as_posix()


def _matches(pattern: re.Pattern[str], kind: str) -> Callable[[str], Iterator[Identity]]:
    def search(text: str) -> Iterator[Identity]:
        for match in pattern.finditer(text):
            yield Identity(kind, *match.span())

    return search


# The surest forms first: what one search takes, the later ones leave alone.
_SEARCHES: tuple[Callable[[str], Iterator[Identity]], ...] = (
    _matches(_E_MAIL, "e-mail"),
    _matches(_URL, "url"),
    _matches(_UID, "uid"),
    _matches(_IP, "ip-address"),
    _matches(_MARKED_NUMBER, "marked-number"),
    _matches(_FAX, "fax"),
    _matches(_PHONE, "phone"),
    _matches(_MARKED_NAME, "name"),
    _matches(_PERSON_NAME, "name"),
    lambda text: (Identity("date", *span) for span in find_dates(text)),
    _matches(_SOCIAL_SECURITY, "social-security-number"),
    _matches(_RECORD_NUMBER, "record-number"),
)


# What parts words in paths and in messages; `_`, `-` and `^` join the parts of one name.
_BREAKS = frozenset("/\\ \t\r\n'\",;:=()[]")
_SUFFIX = re.compile(
    r"\.(?:png|jpe?g|gif|p[bgpn]m|tiff?|bmp|webp|dcm|dicom|ima|npz|npy|zip|tar|tar\.gz|tgz|gz|csv|json|txt)$",
    re.IGNORECASE,
)


def mask(value: str) -> str:
    """Return `value` with every digit as `#` and every letter as `x`, marks between them kept.

    >>> mask("DOE^JANE 1980-02-03")
    'xxx^xxxx ####-##-##'
    """
    return "".join("#" if sign.isdigit() else "x" if sign.isalpha() else sign for sign in value)


def mask_identities(text: str) -> str:
    """Return `text` with every word masked that holds what looks like an identity, its suffix kept.

    A name seldom has a form of its own, but it often stands beside a number or a date that has: so the whole
    name of the file or folder is masked, not the date in it alone.

    >>> mask_identities("sick/Mustermann_Max_2021-02-03.png")
    'sick/xxxxxxxxxx_xxx_####-##-##.png'
    """
    parts, position = [], 0
    for identity in find_identities(text):
        if identity.end <= position:
            continue  # in a word that is masked already
        start, end = _word_around(text, identity, position)
        parts += [text[position:start], mask(text[start:end])]
        position = end
    return "".join([*parts, text[position:]])


def _word_around(text: str, identity: Identity, least: int) -> tuple[int, int]:
    """Return the range of the words an identity stands in, from `least` on, a suffix such as `.png` left out."""
    start, end = identity.start, identity.end
    while start > least and text[start - 1] not in _BREAKS:
        start -= 1
    while end < len(text) and text[end] not in _BREAKS:
        end += 1
    suffix = _SUFFIX.search(text, identity.end, end)
    return start, suffix.start() if suffix else end


Verdict = Literal["counter", "dense", "shared", "record"]
"""counter: a series from a round number on; dense: neighbouring numbers; shared: one number in nearly every name;
record: numbers far apart, as those are that a hospital gives to its patients."""

_COUNTER_DENSITY = 0.5
_DENSE = 0.1
_SHARED_NAMES = 10
_SHARED_PART = 0.9
_RUN_OF_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True)
class LongNumber:
    """A number of six digits and more in one name.

    Args:
        slot: what stands before it in its folder or file name, digits as `#`: numbers of one slot are one series.
        value: the number.
    """

    slot: str
    value: int


def long_numbers(name: str, identities: Sequence[Identity] | None = None) -> list[LongNumber]:
    """Return the record-number candidates of a path, each with its slot.

    Args:
        identities: what `find_identities` found in it, where that is known already.

    >>> long_numbers("a/case12_471123.png")
    [LongNumber(slot='case#_', value=471123)]
    """
    found = find_identities(name) if identities is None else identities
    return [
        LongNumber(
            _RUN_OF_DIGITS.sub("#", name[: one.start].rpartition("/")[2]), int(name[one.start : one.end])
        )
        for one in found
        if one.kind == "record-number"
    ]


def judge_series(names: Sequence[Sequence[LongNumber]]) -> dict[str, Verdict]:
    """Return slot → what its numbers are, from the long numbers of every name (N) of a data set.

    Random record numbers of six digits are at most one in a hundred of their range; a counter holds
    half of its range at least, and begins at a round number.

    >>> judge_series([long_numbers(f"scan_{100000 + number}.png") for number in range(50)])
    {'scan_': 'counter'}
    >>> judge_series([long_numbers(f"{number}.png") for number in (471123, 889214, 130977)])
    {'': 'record'}
    """
    values: defaultdict[str, list[int]] = defaultdict(list)
    for numbers in names:
        for slot, value in {(number.slot, number.value) for number in numbers}:
            values[slot].append(value)
    return {slot: _judge(found, len(names)) for slot, found in values.items()}


def _judge(values: Sequence[int], names: int) -> Verdict:
    distinct = sorted(set(values))
    if len(distinct) == 1:
        shared = len(values) >= max(_SHARED_NAMES, _SHARED_PART * names)
        return "shared" if shared else "record"
    density = len(distinct) / (distinct[-1] - distinct[0] + 1)
    first = distinct[0]
    is_round = first % 10 ** (len(str(first)) - 1) <= 1
    if density >= _COUNTER_DENSITY and is_round:
        return "counter"
    return "dense" if density >= _DENSE else "record"
