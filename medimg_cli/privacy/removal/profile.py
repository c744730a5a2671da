"""What is done to an attribute: the Basic Profile of PS3.15 Annex E with the options a user asked for."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from pydicom.datadict import tag_for_keyword

from medimg_cli.privacy.dicom.rules import HeaderRule, edition, rule_for
from medimg_cli.workspace.settings import DeidentifySettings

Dates = Literal["remove", "shift", "keep"]


class Verb(StrEnum):
    """What is done to one attribute; the names are the columns of the log."""

    KEEP = "kept"
    REMOVE = "removed"
    EMPTY = "emptied"
    DUMMY = "replaced"
    UID = "uids_replaced"
    CLEAN = "cleaned"
    SHIFT = "dates_shifted"


# Where the table leaves a choice by the attribute's type in its object, the most that any type demands is done:
# an empty value also stands for an absent one, and an invented one for both, so no reader misses what it needs.
# X/Z/U* stands at sequences of references: they stay, with the UIDs inside replaced.
_BASIC: Mapping[str, Verb] = {
    "X": Verb.REMOVE,
    "Z": Verb.EMPTY,
    "D": Verb.DUMMY,
    "U": Verb.UID,
    "X/Z": Verb.EMPTY,
    "X/D": Verb.DUMMY,
    "Z/D": Verb.DUMMY,
    "X/Z/D": Verb.DUMMY,
    "X/Z/U*": Verb.UID,
}
KEEPABLE: Mapping[str, str] = {
    "patient": "C",
    "device": "E",
    "institution": "I",
    "uids": "U",
    "descriptions": "D",
}
"""What `--keep` takes → column of the table; descriptions are kept where nothing in them looks like an identity."""

# PS3.16 CID 7050: the options, by the codes that a de-identified file names them with.
_BASIC_CODE = ("113100", "Basic Application Confidentiality Profile")
_PIXELS_CODE = ("113101", "Clean Pixel Data Option")
_KEPT_CODES = {
    "patient": ("113108", "Retain Patient Characteristics Option"),
    "device": ("113109", "Retain Device Identity Option"),
    "institution": ("113112", "Retain Institution Identity Option"),
    "uids": ("113110", "Retain UIDs Option"),
    "descriptions": ("113105", "Clean Descriptors Option"),
}
_DATE_CODES = {
    "keep": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
    "shift": ("113107", "Retain Longitudinal Temporal Information Modified Dates Option"),
}
MARK_WORDS = " ".join(
    [meaning for _, meaning in (_BASIC_CODE, _PIXELS_CODE, *_KEPT_CODES.values(), *_DATE_CODES.values())]
    + ["medimg basic profile dates removed shifted kept text masked unmodified", *KEEPABLE]
).lower()
"""What a de-identified header says of itself, by chance the names of some."""
# PS3.3 C.7.1.4.1.1, Longitudinal Temporal Information Modified (0028,0303).
TEMPORAL = {"remove": "REMOVED", "shift": "MODIFIED", "keep": "UNMODIFIED"}


@dataclass(frozen=True)
class Profile:
    """The Basic Profile and its options.

    Args:
        keep: keys of `KEEPABLE`.
        dates: remove them, shift them by a number of days of the patient's own, or keep them.
        mask_text: text in the pixels is blanked, so that the pixels count as clean.
    """

    keep: frozenset[str] = frozenset()
    dates: Dates = "remove"
    mask_text: bool = False

    def verb(self, rule: HeaderRule) -> Verb:
        """Return what is done to an attribute of the table.

        Dates follow `dates` alone: a device's date of calibration beside shifted ones would give the shift away.
        """
        if rule.kind == "date" and "F" in rule.keeps:
            return _DATE_VERBS.get(self.dates, _BASIC[rule.action])
        letters = {KEEPABLE[name] for name in self.keep}
        if letters & set(rule.keeps):
            return Verb.KEEP
        if letters & set(rule.cleans):
            return Verb.CLEAN
        return _BASIC[rule.action]

    def spares(self, keyword: str) -> bool:
        """Return whether an attribute of the table may stand as it was."""
        tag = tag_for_keyword(keyword)
        rule = None if tag is None else rule_for(tag)
        return rule is not None and self.verb(rule) in (Verb.KEEP, Verb.CLEAN)

    @property
    def codes(self) -> tuple[tuple[str, str], ...]:
        """Return (code, meaning) of everything that is applied, for (0012,0064)."""
        found = [_BASIC_CODE]
        if self.mask_text:
            found.append(_PIXELS_CODE)
        found += [code for name, code in _KEPT_CODES.items() if name in self.keep]
        if self.dates in _DATE_CODES:
            found.append(_DATE_CODES[self.dates])
        return tuple(found)

    @property
    def words(self) -> str:
        """Return the profile in words, for the log and (0012,0063)."""
        kept = f", kept {' '.join(sorted(self.keep))}" if self.keep else ""
        masked = ", text masked" if self.mask_text else ""
        return f"PS3.15 {edition()} basic profile, dates {_DATE_WORDS[self.dates]}{kept}{masked}"


def profile_of(settings: DeidentifySettings) -> Profile:
    """Return the profile that settings ask for."""
    dates: Dates = "remove" if settings.keep_dates is None else "keep" if settings.keep_dates else "shift"
    return Profile(frozenset(settings.keep), dates, settings.mask_text)


_DATE_VERBS = {"keep": Verb.KEEP, "shift": Verb.SHIFT}
_DATE_WORDS = {"remove": "removed", "shift": "shifted", "keep": "kept"}


class CannotDeidentify(Exception):  # noqa: N818 -- not a failure of the command: the file is named with the reason
    """Raised for a file that cannot be cleaned; its text is the reason, one line, without a value."""


@dataclass(frozen=True)
class CleanFile:
    """A de-identified file.

    Args:
        content: its bytes.
        counts: what was done → how often; see `profile.Verb`.
    """

    content: bytes
    counts: Counter[str] = field(default_factory=Counter)
