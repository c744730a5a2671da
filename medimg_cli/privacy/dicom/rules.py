"""DICOM PS3.15 Table E.1-1: what may not stand in a header, row by row, each with its reason in law."""

import csv
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydicom.datadict import dictionary_VR

Kind = Literal["identity", "date", "uid", "device", "characteristic", "text", "private"]
Option = Literal["P", "U", "E", "I", "C", "F", "M", "D", "S", "G"]
"""The table's option columns: safe private, UIDs, device (equipment), institution, patient characteristics, full
dates, modified dates, descriptors, structured content, graphics."""

_TABLE = Path(__file__).with_name("ps3_15_e1.csv")
_PRIVATE, _CURVES = "PRIVATE", 0x5000


@dataclass(frozen=True)
class HeaderRule:
    """What the standard and the law say about one attribute.

    Args:
        tag: group and element as one number; of repeating groups the first (60xx,3000 is 0x60003000). 0 for all
            private attributes.
        keyword: PS3.6 keyword.
        letter: the identifier's letter in HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i).
        action: Basic Profile action of PS3.15 Table E.1-1: X remove, Z empty, D dummy, U new UID; several
            where it depends on the object. "" where the table has no such attribute.
        kind: identity (names somebody or somewhere), date (with times of day), uid, device, characteristic (of
            the patient), text (may hold anything), private.
        keeps: options under which the attribute is kept (K), as letters of `Option`.
        cleans: options under which it is cleaned (C).
    """

    tag: int
    keyword: str
    letter: str
    action: str
    kind: Kind
    keeps: str = ""
    cleans: str = ""

    @property
    def display_tag(self) -> str:
        """Return the tag as the standard writes it, such as (0010,0010)."""
        return f"({self.tag >> 16:04X},{self.tag & 0xFFFF:04X})"

    @property
    def rule_id(self) -> str:
        """Return the row of the standard's table, such as E.1-1:00100010, or "" where there is none."""
        return f"E.1-1:{self.tag:08X}" if self.action and self.tag else ""

    @property
    def allows_dummy(self) -> bool:
        """Return whether a de-identified file may still hold an invented value here."""
        return "Z" in self.action or "D" in self.action


# What of a whole value representation or option column is meant; the lists below name what they do not tell.
_OF_VR: dict[str, tuple[Kind, str]] = {
    "PN": ("identity", "A"),
    "DA": ("date", "C"),
    "DT": ("date", "C"),
    "TM": ("date", "C"),
    "UI": ("uid", "R"),
    "UR": ("text", "N"),
}
_OF_OPTION: tuple[tuple[str, Kind, str], ...] = (
    ("U", "uid", "R"),
    ("E", "device", "M"),
    ("I", "identity", "B"),
    ("F", "date", "C"),
    ("C", "characteristic", "R"),
)
# Patients, people around them, places, and the numbers a hospital files them under: keyword → letter.
_IDENTITIES = {
    keyword: letter
    for letter, keywords in {
        "A": "CameraOwnerName NameToUse ResponsibleOrganization",
        "B": "AddressTrial CountryOfResidence CurrentPatientLocation DistributionAddress "
        "HumanPerformerOrganization PatientAddress PatientInstitutionResidence PersonAddress "
        "ReferringPhysicianAddress RegionOfResidence ScheduledPatientInstitutionResidence "
        "VerifyingOrganization",
        "C": "PatientAge PatientBirthDate PatientBirthDateInAlternativeCalendar PatientBirthTime "
        "PatientDeathDateInAlternativeCalendar",
        "D": "OrderCallbackPhoneNumber PatientTelephoneNumbers PersonTelephoneNumbers "
        "ReferringPhysicianTelephoneNumbers TelephoneNumberTrial",
        "F": "OrderCallbackTelecomInformation PatientTelecomInformation PersonTelecomInformation",
        "H": "IssuerOfPatientID MedicalRecordLocator OtherPatientIDs PatientID",
        "I": "InsurancePlanIdentification",
        "J": "AccessionNumber AdmissionID FillerOrderNumberImagingServiceRequest "
        "FillerOrderNumberImagingServiceRequestRetired PlacerOrderNumberImagingServiceRequest "
        "ServiceEpisodeID",
        "R": "ClinicalTrialSubjectID ClinicalTrialSubjectReadingID",
    }.items()
    for keyword in keywords.split()
}
# Free text with a letter of its own.
_LETTERS = {"StudyID": "J", "RequestedProcedureID": "J", "SpecimenAccessionNumber": "J"}


def rule_for(tag: int) -> HeaderRule | None:
    """Return the table's row for an attribute of a header, that of its repeating or odd group too."""
    rules = header_rules()
    group = tag >> 16
    if group % 2:
        return rules[0]
    if 0x5000 <= group <= 0x50FF:
        return rules[_CURVES << 16]
    if 0x6000 <= group <= 0x60FF:
        return rules.get(0x60000000 | tag & 0xFFFF)
    return rules.get(tag)


@functools.cache
def header_rules() -> Mapping[int, HeaderRule]:
    """Return all rows by tag; repeating groups by their first, private attributes by 0. Read on first use."""
    return {rule.tag: rule for rule in _read()}


@functools.cache
def edition() -> str:
    """Return the edition of the standard the table was taken from, such as 2026d."""
    match = re.search(r"^# edition: (\w+)$", _TABLE.read_text(encoding="ascii"), re.MULTILINE)
    assert match is not None
    return match[1]


def _read() -> Iterator[HeaderRule]:
    with _TABLE.open(encoding="ascii", newline="") as stream:
        rows = csv.DictReader(line for line in stream if not line.startswith("#"))
        for row in rows:
            name = row["tag"]
            tag = 0 if name == _PRIVATE else int(name.replace("x", "0"), 16)
            letters = row["keeps"] + row["cleans"]
            kind, letter = _meaning(tag, row["keyword"], letters)
            yield HeaderRule(tag, row["keyword"], letter, row["action"], kind, row["keeps"], row["cleans"])


def _meaning(tag: int, keyword: str, options: str) -> tuple[Kind, str]:
    """Return kind and letter: by name where the lists have it, else by value representation, else by option."""
    if tag == 0:
        return "private", "R"
    if keyword in _IDENTITIES:
        return "identity", _IDENTITIES[keyword]
    try:
        vr = dictionary_VR(tag)
    except KeyError:  # newer than the dictionary
        vr = ""
    if vr in _OF_VR:
        return _OF_VR[vr]
    if keyword.startswith("GPS"):
        return "identity", "B"
    for option, kind, letter in _OF_OPTION:
        if option in options:
            return kind, letter
    return "text", _LETTERS.get(keyword, "R")
