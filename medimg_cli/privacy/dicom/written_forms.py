"""The ways in which a name, number or birth date of a header is written elsewhere: in texts, and in bytes."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import permutations

import numpy as np

from medimg_cli.privacy.dicom.header_texts import ElementText
from medimg_cli.privacy.dicom.header_values import BIRTH_DATES, OFTEN_COUNTED, PLACES, identifies
from medimg_cli.privacy.dicom.normal_form import tokens
from medimg_cli.privacy.dicom.ordinary_words import ORDINARY_WORDS
from medimg_cli.privacy.forms.names import is_placeholder

NAME_PART, NUMBER_PART, WHOLE = 5, 6, 6
"""Shortest letters of one part of a name, digits of one part of a number, and signs of a whole value that are looked
for among bytes; what is shorter stands there by chance."""
_BETWEEN = ("^", " ", ", ", ",", "_", "-", ".", "")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_BLOCK_BYTES = 4 << 20
_CODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be")


def name_forms(value: str) -> Iterator[str]:
    """Yield the parts of a name (PS3.5 §6.2.1) of five letters and more, and its first two parts in either order.

    >>> sorted(name_forms("Quintrell^Jo"))[:3]
    ['Jo Quintrell', 'Jo, Quintrell', 'Jo,Quintrell']
    """
    for writing in value.split("="):
        parts = [part.strip() for part in writing.split("^")[:3] if part.strip()]
        words = [word for part in parts for word in re.findall(r"[^\W\d_]+", part)]
        for word in {*words, *parts}:
            if len(word) >= (NAME_PART if word.isascii() else 2) and not set(tokens(word)) <= ORDINARY_WORDS:
                yield word
        if not set(tokens(writing)) <= ORDINARY_WORDS:
            yield from (
                sign.join(pair)
                for pair in permutations(parts[:2], 2)
                for sign in _BETWEEN
                if len("".join(pair)) >= WHOLE
            )


def number_forms(value: str, *, parts: bool = True) -> Iterator[str]:
    """Yield a number or code whole, without marks, and its runs of six digits and more.

    Args:
        parts: False for numbers that are often counted, or a day and a time.

    >>> sorted(number_forms("MRN-8472913"))
    ['8472913', 'MRN-8472913', 'MRN8472913']
    """
    if len(value) >= WHOLE and not set(tokens(value)) <= ORDINARY_WORDS:
        yield from {value, re.sub(r"[\W_]", "", value)}
    if parts:
        yield from re.findall(rf"\d{{{NUMBER_PART},}}", value)


def date_forms(value: str) -> Iterator[str]:
    """Yield a date (YYYYMMDD) as people, programs and cameras write it.

    >>> "17.4.1951" in set(date_forms("19510417")), "Apr 17, 1951" in set(date_forms("19510417"))
    (True, True)
    """
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d)", value.replace(".", ""))
    if match is None or not 1 <= int(match[2]) <= 12:
        return
    year, month, day = match.groups()
    for m, d in ((month, day), (month.lstrip("0"), day.lstrip("0"))):
        for order in ((year, m, d), (d, m, year), (m, d, year)):
            yield from (
                sign.join(order)
                for sign in ("", "-", ".", "/", ":", " ", "_")
                if sign or m + d == month + day
            )
        for name in (_MONTHS[int(month) - 1], _MONTHS[int(month) - 1][:3]):
            for order in ((d, name, year), (name, d, year), (year, name, d)):
                yield from (sign.join(order) for sign in ("", "-", ".", " ", "/"))
            yield from (f"{name} {d}, {year}", f"{d}. {name} {year}")


def encoded(form: str, codings: Iterable[str] = ()) -> set[bytes]:
    """Return the bytes of a form as it stands, in capitals, small, and with a capital; in usual encodings and `codings`."""
    return {
        written.encode(coding)
        for written in {form, form.upper(), form.lower(), form.title()}
        for coding in {*_CODINGS, *codings}
        if _can_encode(written, coding)
    }


def found_among(forms: Iterable[bytes], data: bytes) -> set[bytes]:
    """Return the forms, of five bytes and more, that stand in `data`; as fast for a thousand as for one."""
    by_start = defaultdict[bytes, set[bytes]](set)
    tables = np.zeros((2, 1 << 16), bool)
    for form in forms:
        by_start[form[:4]].add(form)
        tables[0, int.from_bytes(form[:2], "big")] = tables[1, int.from_bytes(form[2:4], "big")] = True
    found: set[bytes] = set()
    for start in range(0, len(data), _BLOCK_BYTES):
        block = np.frombuffer(data, np.uint8)[start : start + _BLOCK_BYTES + 3].astype(np.uint16)
        pairs = block[:-1] << 8 | block[1:]
        for at in np.flatnonzero(tables[0][pairs[:-2]] & tables[1][pairs[2:]]):
            place = start + int(at)
            found |= {
                form for form in by_start.get(data[place : place + 4], ()) if data.startswith(form, place)
            }
    return found


def _can_encode(text: str, coding: str) -> bool:
    try:
        text.encode(coding)
    except (UnicodeError, LookupError):
        return False
    return True


def written_forms(text: ElementText) -> Iterator[str]:
    """Yield the forms of every value of an identifying element, nothing for any other."""
    if not identifies(text):
        return
    for value in (part.strip(" \0") for part in text.text.split("\\")):
        if is_placeholder(value):
            continue
        if text.vr == "PN":
            yield from name_forms(value)
        elif text.keyword in BIRTH_DATES:
            yield from date_forms(value)
        elif text.keyword in PLACES:
            yield from (
                p
                for p in {value, *re.split(r"[,;\r\n]+", value)}
                if len(p) >= WHOLE and not set(tokens(p)) <= ORDINARY_WORDS
            )
        else:
            yield from number_forms(value, parts=text.keyword not in OFTEN_COUNTED)
