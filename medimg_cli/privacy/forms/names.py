"""Identities in names of files and in texts, found by their form."""

import re
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePath

from medimg_cli.privacy.forms.dates_in_text import find_dates

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
    data set are counters says `number_series`. So `IM-0115-0001` or `person1074_bacteria_3012` are silent.

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


def _dates(text: str) -> Iterator[Identity]:
    for start, end in find_dates(text):
        yield Identity("date", start, end)


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
    _dates,
    _matches(_SOCIAL_SECURITY, "social-security-number"),
    _matches(_RECORD_NUMBER, "record-number"),
)
