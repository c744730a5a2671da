"""Identities in the columns of a table: by what a column is called, and by the form of its values."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from medimg_cli.privacy.dicom.normal_form import ORDINARY_WORDS, joined, tokens
from medimg_cli.privacy.forms.names import (
    SAFE_HARBOR,
    Verdict,
    find_identities,
    is_placeholder,
    judge_series,
    long_numbers,
)

# 45 CFR 164.514(b)(2)(i): letter → what it is, and the names of columns that say so (English, German, French).
_HEADER_WORDS = {
    "A": (
        "names of persons",
        "patientname patname lastname firstname surname familyname givenname forename middlename fullname vorname "
        "nachname nom prenom nombre apellido cognome nameofpatient physician referringphysician "
        "performingphysician physicianname operatorname technicianname mothersname maidenname",
    ),
    "B": (
        "addresses",
        "address street city town zip zipcode postcode postalcode plz county adresse strasse patientaddress "
        "homeaddress residence",
    ),
    "C": (
        "dates of birth or death",
        "dob birthdate dateofbirth birthday geburtsdatum gebdatum datenaissance datedenaissance "
        "patientbirthdate dateofdeath deathdate dod",
    ),
    "D": ("telephone numbers", "phone telephone tel mobile phonenumber patientphone telefon telefonnummer"),
    "E": ("fax numbers", "fax faxnumber telefax"),
    "F": ("e-mail addresses", "email mail emailaddress mailaddress"),
    "G": ("social security numbers", "ssn socialsecuritynumber socialsecurity ahvnummer"),
    "H": (
        "record numbers",
        "mrn medicalrecordnumber medicalrecordno recordnumber patientnumber hospitalnumber nhsnumber "
        "patientennummer",
    ),
    "I": ("insurance numbers", "insurancenumber insuranceid policynumber healthplannumber beneficiarynumber"),
    "J": (
        "account or order numbers",
        "accession accessionnumber accessionno accountnumber admissionid encounterid fallnummer visitid",
    ),
}
_BY_HEADER = {word: letter for letter, (_, words) in _HEADER_WORDS.items() for word in words.split()}
_ID_WORDS = frozenset(
    ["id", "ids", "nr", "no", "num", "number", "mrn", "record", "patient", "pid", "case", "nummer"]
)
_AGE_WORDS = frozenset(
    ["age", "alter", "years", "year", "patient", "at", "exam", "scan", "study", "yrs", "y"]
)
_OLDEST_AGE_YEARS = 89
_INFO = frozenset(["date", "uid", "url", "dense", "shared"])
_SERIES_WORDS: Mapping[Verdict, str] = {
    "dense": "numbers of six digits and more that lie close together",
    "shared": "one and the same number of six digits and more",
    "record": "what looks like record numbers",
}
# PS3.6 Annex A: these name parts of the standard, such as transfer syntaxes, and nobody's image.
_STANDARD_UID = "1.2.840.10008."
# `Roe, Jim`, `Jim Roe`, `Roe_Jim`: two or three words of letters.
_TWO_WORDS = re.compile(r"([^\W\d_]{2,})(?:, ?|[ _])([^\W\d_]{2,})(?:[ _-][^\W\d_]+)?")
_PERSONS_PART = 0.5
_PERSONS_LEAST = 3


@dataclass(frozen=True)
class ColumnIdentity:
    """What a column gives away.

    Args:
        words: what it is.
        letter: of Safe Harbor.
        rows: positions (from 0) of the rows that hold it.
        direct: whether it identifies by itself.
    """

    words: str
    letter: str
    rows: tuple[int, ...]
    direct: bool


def identities_in_column(name: str, values: Sequence[str]) -> list[ColumnIdentity]:
    """Return what a column's name and values (N) give away, one entry a kind; [] for an ordinary column.

    What the header says wins; else the values' form does. Long numbers count in columns of identifiers only
    (`patient_id`, `case_no`), and are judged together, since a measurement has six digits as well.

    >>> identities_in_column("patient_id", ["person1", "person2"])
    []
    >>> [found.letter for found in identities_in_column("dob", ["1980-02-03", ""])]
    ['C']
    """
    filled = {row: value.strip() for row, value in enumerate(values) if not is_placeholder(value)}
    letter = _BY_HEADER.get(joined(name))
    if letter is not None:
        rows = tuple(row for row, value in filled.items() if len(value) > 1)
        return [ColumnIdentity(_HEADER_WORDS[letter][0], letter, rows, direct=True)] if rows else []
    found = [*_by_form(filled), *_record_numbers(name, filled), *_persons(filled), *_ages(name, filled)]
    return list({identity.words: identity for identity in found}.values())


def _by_form(filled: Mapping[int, str]) -> Iterator[ColumnIdentity]:
    rows: defaultdict[str, list[int]] = defaultdict(list)
    for row, value in filled.items():
        for kind in {identity.kind for identity in find_identities(value)} - {"record-number"}:
            if not (kind == "uid" and value.startswith(_STANDARD_UID)):
                rows[kind].append(row)
    for kind, found in sorted(rows.items()):
        letter, words = SAFE_HARBOR[kind]
        yield ColumnIdentity(words, letter, tuple(found), direct=kind not in _INFO)


def _record_numbers(name: str, filled: Mapping[int, str]) -> Iterator[ColumnIdentity]:
    if not _ID_WORDS & set(tokens(name)):
        return
    numbers = {row: long_numbers(value) for row, value in filled.items()}
    verdicts = judge_series(list(numbers.values()))
    for verdict, words in _SERIES_WORDS.items():
        rows = tuple(row for row, own in numbers.items() if any(verdicts[n.slot] == verdict for n in own))
        if rows:
            yield ColumnIdentity(words, "H", rows, direct=verdict == "record")


def _persons(filled: Mapping[int, str]) -> Iterator[ColumnIdentity]:
    """Yield a column half of whose values are two words, each word in few of them, and none an ordinary one."""
    words = {row: match.groups() for row, value in filled.items() if (match := _TWO_WORDS.fullmatch(value))}
    pairs = {row: (first.lower(), second.lower()) for row, (first, second) in words.items()}
    named = {row: pair for row, pair in pairs.items() if not ORDINARY_WORDS & set(pair)}
    distinct = set(named.values())
    firsts, seconds = {first for first, _ in distinct}, {second for _, second in distinct}
    enough = max(_PERSONS_LEAST, _PERSONS_PART * len(set(filled.values())))
    if len(distinct) >= enough and min(len(firsts), len(seconds)) >= enough / 2:
        yield ColumnIdentity("what looks like names of persons", "A", tuple(named), direct=True)


def _ages(name: str, filled: Mapping[int, str]) -> Iterator[ColumnIdentity]:
    """Yield ages above 89 years, which identify (45 CFR 164.514(b)(2)(i)(C))."""
    words = set(tokens(name))
    if not words & {"age", "alter"} or not words <= _AGE_WORDS:
        return
    years = {row: re.fullmatch(r"0*(\d{1,3})(?:\.\d+)?[Yy]?", value) for row, value in filled.items()}
    rows = tuple(row for row, match in years.items() if match and int(match[1]) > _OLDEST_AGE_YEARS)
    # Where a tenth is older than 89 the unit is days or months.
    if rows and len(rows) <= max(1, len(filled) // 10):
        yield ColumnIdentity("ages above 89 years", "C", rows, direct=True)
