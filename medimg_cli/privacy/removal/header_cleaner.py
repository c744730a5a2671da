"""De-identification of a header: every attribute by its rule, by its value representation and by its value.

Dates and times (PS3.5 §6.2: AS, DA, DT) are moved by whole days, gaps and precision kept.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, timedelta

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag

from medimg_cli.privacy.dicom.header_texts import is_class, is_empty, put, representation, text_of
from medimg_cli.privacy.dicom.rules import rule_for
from medimg_cli.privacy.forms.names import find_identities
from medimg_cli.privacy.removal.profile import CannotDeidentify, Profile, Verb
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms

_OLDEST_AGE_YEARS = 89
"""45 CFR 164.514(b)(2)(i)(C): older ages may only be given as "90 or more"."""

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
    return match[0] if years <= _OLDEST_AGE_YEARS else f"{_OLDEST_AGE_YEARS + 1:03d}Y"


def _moved(year: str, month: str, day: str, days: int) -> str | None:
    try:
        moved = date(int(year), int(month), int(day)) + timedelta(days=days)
    except (ValueError, OverflowError):
        return None
    return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"


_PATIENT_NAME, _PATIENT_ID, _PATIENT_AGE = 0x00100010, 0x00100020, 0x00101010
_FREE_TEXT = frozenset(["LO", "LT", "SH", "ST", "UC", "UR", "UT"])
_SHORT_TEXT = frozenset(["AE", "CS"])
_CODE_STRINGS = re.compile(r"[A-Z0-9_ \0]{0,16}(?:\\[A-Z0-9_ \0]{0,16})*")
_TEMPORAL = frozenset(["DA", "DT", "TM"])
_NUMBER = re.compile(r" *(?:[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?)?")
_TIMES = re.compile(r"[\d.:+ -]*")
_FORMS = {
    "AS": re.compile(r"(?:\d{1,3}[DWMY])?"), "DS": _NUMBER, "IS": _NUMBER, "UI": re.compile(r"[\d.]*"),
    **dict.fromkeys(_TEMPORAL, _TIMES),
}  # fmt: skip
"""PS3.5 6.2: how the values of a representation are written that holds no words."""
_OF_THE_PIXELS = frozenset([0x00280008, 0x00281052, 0x00281053])
"""Number of Frames, Rescale Intercept, Rescale Slope: empty ones would say something else."""
# Image pixel module and the like: defined terms, where a patient called "Rgb" changes nothing.
_IMAGE_GROUP, _MODALITY = 0x0028, 0x00080060
_STANDARD_ROOT = "1.2.840.10008."
REMOVED = "REMOVED"
_DUMMIES: dict[str, str | bytes] = {
    **dict.fromkeys(("AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"), REMOVED),
    "AS": "000Y", "DA": "19000101", "DT": "19000101000000", "TM": "000000", "UR": "removed:",
    "DS": "0", "IS": "0", "OB": b"\0\0", "UN": b"\0\0",
}  # fmt: skip
# A code of a public vocabulary names nobody, one of a hospital's own may: Code Value, Coding Scheme Designator and
# Version, Code Meaning, Long Code Value, URN Code Value (PS3.3 section 8).
_CODE = frozenset([0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080119, 0x00080120])
_SCHEME = 0x00080102
# What a maker writes of its own product: numbers and addresses in it are versions.
_PRODUCT = frozenset([0x00080070, 0x00081090, 0x00181020])
_VERSION_KINDS = frozenset(["date", "ip-address", "record-number", "uid", "url"])
_PUBLIC_SCHEMES = frozenset(
    ["DCM", "FMA", "LN", "MDC", "NCIt", "RADLEX", "SCT", "SNM3", "SRT", "UCUM", "UMLS"]
)


@dataclass
class HeaderCleaner:
    """Cleans one header and counts what it does.

    Args:
        known: returns the keywords of the attributes whose values stand in a text; asked of every text that is kept.
        patient: what `pseudonyms` make the patient's code of.
        counts: `Verb` → attributes; private ones and repeating groups stand under `removed`.
        uids: the UIDs that were replaced.
    """

    profile: Profile
    pseudonyms: Pseudonyms
    known: Callable[[str], list[str]]
    patient: str
    counts: Counter[str] = field(default_factory=Counter)
    uids: set[str] = field(default_factory=set)

    def clean(self, dataset: Dataset, *, invent: bool = False) -> None:
        """Clean a data set in place, its sequences too.

        Args:
            invent: inside a sequence whose contents are to be invented (action D): every text gives way but codes
                of public vocabularies.
        """
        public = text_of(dataset, _SCHEME) in _PUBLIC_SCHEMES
        for tag in list(dataset.keys()):
            vr = representation(dataset, tag)
            if vr is None:
                self._remove(dataset, tag)
            elif public and int(tag) in _CODE:
                if self._named_elsewhere(text_of(dataset, tag)):
                    self._empty(dataset, tag, vr)
            elif invent and vr in _FREE_TEXT and rule_for(int(tag)) is None:
                self._replace(dataset, tag, vr)
            else:
                self._treat(dataset, tag, vr, invent)

    def _treat(self, dataset: Dataset, tag: BaseTag, vr: str, invent: bool) -> None:
        rule = rule_for(int(tag))
        verb = self._verb_by_vr(vr) if rule is None else self.profile.verb(rule)
        if vr == "SQ" and verb not in (Verb.REMOVE, Verb.EMPTY):
            for item in dataset[tag].value or ():
                self.clean(item, invent=invent or verb is Verb.DUMMY)
        else:
            self._treatments[verb](dataset, tag, vr)

    @property
    def _treatments(self) -> dict[Verb, Callable[[Dataset, BaseTag, str], None]]:
        return {
            Verb.KEEP: self._keep,
            Verb.REMOVE: lambda dataset, tag, _: self._remove(dataset, tag),
            Verb.EMPTY: self._empty,
            Verb.DUMMY: self._replace,
            Verb.UID: self._replace_uids,
            Verb.CLEAN: self._clean_text,
            Verb.SHIFT: self._shift,
        }

    def _verb_by_vr(self, vr: str) -> Verb:
        """Return what is done to an attribute the table does not have: people, dates and UIDs are treated alike."""
        if vr == "PN":
            return Verb.EMPTY
        if vr in _TEMPORAL:
            return {"remove": Verb.EMPTY, "shift": Verb.SHIFT, "keep": Verb.KEEP}[self.profile.dates]
        if vr == "UI":
            return Verb.KEEP if "uids" in self.profile.keep else Verb.UID
        return Verb.CLEAN if vr in _FREE_TEXT | _SHORT_TEXT else Verb.KEEP

    def _keep(self, dataset: Dataset, tag: BaseTag, vr: str) -> None:
        if int(tag) == _PATIENT_AGE:
            age = capped_age(text_of(dataset, tag))
            if age is None:
                self._empty(dataset, tag, vr)
                return
            put(dataset, tag, "AS", age)
        elif vr in _FREE_TEXT and self._named_elsewhere(text_of(dataset, tag)):
            self._empty(dataset, tag, vr)
            return
        elif vr in _FORMS and not is_empty(dataset, tag):
            values = [part.strip(" \0") for part in text_of(dataset, tag).split("\\")]
            if not all(map(_FORMS[vr].fullmatch, values)):
                if int(tag) in _OF_THE_PIXELS:
                    raise CannotDeidentify(f"a {keyword_for_tag(tag)} that is no number")
                self._empty(dataset, tag, vr)
                return
        self.counts[Verb.KEEP] += rule_for(int(tag)) is not None

    def _remove(self, dataset: Dataset, tag: BaseTag) -> None:
        del dataset[tag]
        self.counts[Verb.REMOVE] += 1

    def _empty(self, dataset: Dataset, tag: BaseTag, vr: str) -> None:
        """Empty an attribute; the patient's name gives way to the pseudonym."""
        if int(tag) == _PATIENT_NAME:
            self._replace(dataset, tag, vr)
        elif not is_empty(dataset, tag):
            put(dataset, tag, vr, [] if vr == "SQ" else None)
            self.counts[Verb.EMPTY] += 1

    def _replace(self, dataset: Dataset, tag: BaseTag, vr: str) -> None:
        """Put an invented value where there was one; patients get their pseudonym in any case."""
        if int(tag) in (_PATIENT_NAME, _PATIENT_ID):
            own = text_of(dataset, tag) if int(tag) == _PATIENT_ID else ""
            put(dataset, tag, vr, self.pseudonyms.patient(own or self.patient))
        elif is_empty(dataset, tag):
            return
        elif vr in _DUMMIES:
            put(dataset, tag, vr, _DUMMIES[vr])
        else:  # UI and numbers
            self._replace_uids(dataset, tag, vr)
            return
        self.counts[Verb.DUMMY] += 1

    def _replace_uids(self, dataset: Dataset, tag: BaseTag, vr: str) -> None:
        if vr != "UI":
            self._remove(dataset, tag)
            return
        values = [part.strip(" \0") for part in text_of(dataset, tag).split("\\")]
        new = [self._new_uid(tag, value) for value in values]
        if new != values:
            put(dataset, tag, "UI", new if len(new) > 1 else new[0])
            self.counts[Verb.UID] += 1

    def _new_uid(self, tag: BaseTag, value: str) -> str:
        named = value.startswith(_STANDARD_ROOT) or is_class(tag)
        if not value or (named and _FORMS["UI"].fullmatch(value)):
            return value
        self.uids.add(value)
        return self.pseudonyms.uid(value)

    def _clean_text(self, dataset: Dataset, tag: BaseTag, vr: str) -> None:
        if vr not in _FREE_TEXT | _SHORT_TEXT | {"PN", "AS"}:
            rule = rule_for(int(tag))
            if rule is not None:  # bytes cannot be looked through
                self._remove(dataset, tag)
        elif self._is_telling(dataset, tag, vr):
            self._empty(dataset, tag, vr)
        elif rule_for(int(tag)) is not None:
            self.counts[Verb.CLEAN] += 1

    def _is_telling(self, dataset: Dataset, tag: BaseTag, vr: str) -> bool:
        """Return whether a text holds a value of this header's, or anything that looks like an identity."""
        text = text_of(dataset, tag)
        if vr == "CS" and not (text.isascii() and text.isprintable()):
            return True
        if vr == "CS" and (tag.group == _IMAGE_GROUP or int(tag) == _MODALITY):
            return False
        if self._named_elsewhere(text):
            return True
        # A code string that is none by PS3.5 6.2 may be any text.
        is_free = vr in _FREE_TEXT or (vr == "CS" and not _CODE_STRINGS.fullmatch(text))
        kinds = {identity.kind for identity in find_identities(text)} if is_free else set()
        return bool(kinds - _VERSION_KINDS if int(tag) in _PRODUCT else kinds)

    def _named_elsewhere(self, text: str) -> bool:
        """Return whether a text holds a value of an attribute that may not stand as it was."""
        return any(not self.profile.spares(keyword) for keyword in self.known(text))

    def _shift(self, dataset: Dataset, tag: BaseTag, vr: str) -> None:
        """Move dates by the patient's days; times of day stay, as whole days are moved."""
        if vr not in _TEMPORAL:
            if vr not in _FREE_TEXT | _SHORT_TEXT:
                self._remove(dataset, tag)
            return
        if vr == "TM" or is_empty(dataset, tag):
            return
        move = shifted_date if vr == "DA" else shifted_date_time
        days = self.pseudonyms.shift_days(self.patient)
        moved = [move(part, days) for part in text_of(dataset, tag).split("\\")]
        if any(part is None for part in moved):
            self._replace(dataset, tag, vr)
            return
        put(dataset, tag, vr, moved if len(moved) > 1 else moved[0])
        self.counts[Verb.SHIFT] += 1
