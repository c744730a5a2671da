"""The values by which a DICOM header identifies somebody, how they are written, and where else they stand."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from itertools import permutations

import numpy as np
from pydicom import Dataset

from medimg_cli.privacy.dicom.header_texts import ElementText, element_texts
from medimg_cli.privacy.dicom.normal_form import ORDINARY_WORDS, joined, joins, plain_letters, respelt, tokens
from medimg_cli.privacy.forms.names import is_placeholder

# Attribute → letter in 45 CFR 164.514(b)(2)(i); names of persons are A.
_LETTERS = {
    keyword: letter
    for letter, keywords in {
        "B": "InstitutionName InstitutionAddress PatientAddress ReferringPhysicianAddress PersonAddress "
        "PatientInstitutionResidence ResponsibleOrganization",
        "C": "PatientBirthDate",
        "D": "PatientTelephoneNumbers ReferringPhysicianTelephoneNumbers PersonTelephoneNumbers "
        "OrderCallbackPhoneNumber PatientTelecomInformation PersonTelecomInformation "
        "OrderCallbackTelecomInformation ReferringPhysicianTelecomInformation",
        "H": "PatientID OtherPatientIDs MedicalRecordLocator",
        "I": "InsurancePlanIdentification",
        "J": "AccessionNumber AdmissionID ServiceEpisodeID StudyID PlacerOrderNumberProcedure "
        "FillerOrderNumberProcedure PlacerOrderNumberImagingServiceRequest "
        "FillerOrderNumberImagingServiceRequest RequestedProcedureID ScheduledProcedureStepID "
        "PerformedProcedureStepID",
        "M": "DeviceSerialNumber",
    }.items()
    for keyword in keywords.split()
}
PLACES = frozenset(keyword for keyword, letter in _LETTERS.items() if letter == "B")
BIRTH_DATES = frozenset(keyword for keyword, letter in _LETTERS.items() if letter == "C")

_NAME_PART = 3
_WHOLE_NAME = 5
_PLACE = 6
_NUMBER = 4
_SURE_NUMBER = 6
# Numbers of steps and studies are counted from 1 in many hospitals: only long ones tell one patient from another.
OFTEN_COUNTED = frozenset(
    ["StudyID", "RequestedProcedureID", "ScheduledProcedureStepID", "PerformedProcedureStepID"]
)
_MONTH_WORDS = "January February March April May June July August September October November December"
_MONTHS = tuple(_MONTH_WORDS.split())
# Days that systems write where none is known.
_NO_BIRTHDAYS = frozenset(["00010101", "19000101", "19010101", "19700101", "18991230", "20000101"])


@dataclass(frozen=True)
class IdentityValues:
    """Identifying values of one header or of many, in normal form; never to be shown.

    Args:
        values: value → keywords of the attributes it comes from.
        weak: those of `values` so short that another file holds them by chance: codes of four and five signs,
            names of three letters.
    """

    values: Mapping[str, frozenset[str]] = field(default_factory=dict)
    weak: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.values)

    def search(self, text: str, *, sure: bool = False) -> list[str]:
        """Return the keywords of the attributes whose value stands in a text, sorted.

        A value is found between any marks, in any case, with or without accents, but not inside a longer word or
        number: `DOE^JANE` in `doe_jane.png` and `JaneDoe2.png`, 4711 not in `14711`.

        Args:
            sure: leave out the `weak` values.
        """
        found: set[str] = set()
        for run in joins(tokens(text), self._longest):
            if run in self.values and not (sure and run in self.weak):
                found |= self.values[run]
        return sorted(found)

    def without(self, words: Iterable[str]) -> "IdentityValues":
        """Return the values that are none of some words, such as the names of the classes."""
        spared = {form for word in words for form in (joined(word), *tokens(word))}
        kept = {value: keywords for value, keywords in self.values.items() if value not in spared}
        return IdentityValues(kept, self.weak & kept.keys())

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.values), default=0)


def merge(several: Iterable[IdentityValues]) -> IdentityValues:
    """Return the values of many headers together."""
    values: dict[str, frozenset[str]] = {}
    weak: set[str] = set()
    strong: set[str] = set()
    for one in several:
        for value, keywords in one.values.items():
            values[value] = values.get(value, frozenset()) | keywords
        weak |= one.weak
        strong |= one.values.keys() - one.weak
    return IdentityValues(values, frozenset(weak - strong))


def harvest(dataset: Dataset) -> IdentityValues:
    """Return the values by which a header identifies: names, numbers, birth dates, places, at any depth.

    Names are taken whole in both orders and in parts of three letters and more that are no ordinary words;
    placeholders (`Anonymous`, `REMOVED`, 19000101) and private attributes are left out. The data set stays as
    it is: values are read from their bytes.
    """
    return harvest_texts(element_texts(dataset))


def harvest_texts(texts: Iterable[ElementText]) -> IdentityValues:
    """Return what `harvest` does, of texts already read."""
    values: dict[str, set[str]] = {}
    for text in texts:
        for value in _forms(text):
            values.setdefault(value, set()).add(text.keyword)
    weak = set()
    for value in values:
        has_digit = any(sign.isdigit() for sign in value)
        if len(value) < (_SURE_NUMBER if has_digit else _NAME_PART + 1) and value.isascii():
            weak.add(value)
    return IdentityValues({value: frozenset(keywords) for value, keywords in values.items()}, frozenset(weak))


def letter_of(keyword: str) -> str:
    """Return the letter of Safe Harbor for an attribute whose values are harvested."""
    return _LETTERS.get(keyword, "A")


def identifies(text: ElementText) -> bool:
    """Return whether an element is one whose values are harvested."""
    return text.vr == "PN" or text.keyword in _LETTERS


def _forms(text: ElementText) -> Iterator[str]:
    """Yield the normal forms under which the values of an element are found again."""
    if not identifies(text):
        return
    for value in text.text.split("\\"):
        if is_placeholder(value):
            continue
        if text.vr == "PN":
            yield from _name_forms(value)
        elif text.keyword in BIRTH_DATES:
            yield from _date_forms(value.strip())
        elif text.keyword in PLACES:
            yield from _place_forms(value)
        else:
            yield from _number_forms(value, text.keyword)


def _name_forms(value: str) -> Iterator[str]:
    """Yield parts and whole of a name, of each of its writings (PS3.5 §6.2.1: alphabetic=ideographic=phonetic)."""
    for writing in value.split("="):
        if is_placeholder(writing):
            continue
        # Prefix and suffix (Dr, III) name nobody.
        parts = [tokens(plain_letters(component)) for component in writing.split("^")[:3]]
        words = [word for part in parts for word in part]
        for word in words:
            enough = _NAME_PART if word.isascii() else 2
            if len(word) >= enough and not word.isdigit() and word not in ORDINARY_WORDS:
                yield word
        for word in re.findall(r"[^\W\d_]+", writing):
            yield from (
                joined(other)
                for other in respelt(word)
                if len(other) >= _WHOLE_NAME and other not in ORDINARY_WORDS
            )
        family, *given = ["".join(part) for part in parts if part] or [""]
        for whole in (family + "".join(given), "".join(given) + family, *(family + one for one in given[:1])):
            if (
                len(whole) >= (_WHOLE_NAME if whole.isascii() else _NAME_PART)
                and not set(words) <= ORDINARY_WORDS
                and not whole.isdigit()
            ):
                yield whole


def _number_forms(value: str, keyword: str) -> Iterator[str]:
    """Yield a number or code whole, without leading zeros, and its runs of six digits and more."""
    whole = joined(value)
    least = _SURE_NUMBER if keyword in OFTEN_COUNTED else _NUMBER
    digits = sum(sign.isdigit() for sign in whole)
    words = set(tokens(plain_letters(value))) - ORDINARY_WORDS
    if len(whole) < least or not words or not whole.strip("0"):
        return
    # A code without a digit is a name somebody made a number of; a short one is a word.
    if digits or len(whole) >= _WHOLE_NAME:
        yield whole
    if len(words) > 1 and keyword not in OFTEN_COUNTED:
        yield from (word for word in words if word.isdigit() and len(word) >= _SURE_NUMBER)
    bare = whole.lstrip("0")
    if bare != whole and len(bare) >= _SURE_NUMBER:
        yield bare


def _place_forms(value: str) -> Iterator[str]:
    """Yield an institution or address whole, and its lines, which say where as well."""
    for part in {value, *re.split(r"[,;\r\n]+", value)}:
        words = tokens(plain_letters(part))
        whole = "".join(words)
        if len(whole) >= _PLACE and not set(words) <= ORDINARY_WORDS and not whole.isdigit():
            yield whole


def _date_forms(value: str) -> Iterator[str]:
    """Yield a birth date as people write it, marks left out: 19800203, 03021980, 02031980, 3feb1980 …"""
    if not re.fullmatch(r"\d{8}", value.replace(".", "")) or value.replace(".", "") in _NO_BIRTHDAYS:
        return
    whole = value.replace(".", "")
    year, month, day = whole[:4], whole[4:6], whole[6:]
    if not (1 <= int(month) <= 12 and 1 <= int(day) <= 31):
        return
    yield from (whole, day + month + year, month + day + year)
    short = day.lstrip("0")
    yield from (short + month.lstrip("0") + year, month.lstrip("0") + short + year)
    whole_name = _MONTHS[int(month) - 1].lower()
    for name in {whole_name[:3], whole_name}:
        for written in {day, short}:
            yield from (written + name + year, name + written + year, year + name + written)


NAME_PART, NUMBER_PART, WHOLE = 5, 6, 6
"""Shortest letters of one part of a name, digits of one part of a number, and signs of a whole value that are looked
for among bytes; what is shorter stands there by chance."""
_BETWEEN = ("^", " ", ", ", ",", "_", "-", ".", "")
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
                yield from (other for other in respelt(word) if len(other) >= NAME_PART)
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
