"""Header attributes that identify: a selection of DICOM PS3.15 Table E.1-1, each with its reason in law."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["identity", "date", "uid", "device", "text", "private"]


@dataclass(frozen=True)
class HeaderRule:
    """What the standard and the law say about one attribute.

    Args:
        tag: group and element as one number.
        keyword: PS3.6 keyword.
        letter: the identifier's letter in HIPAA Safe Harbor, 45 CFR 164.514(b)(2)(i).
        action: Basic Profile action of PS3.15 Table E.1-1: X remove, Z empty, D dummy, U new UID; several
            where it depends on the object. "" where the table has no such attribute.
        kind: identity (names somebody or somewhere), date, uid, device, text (may hold anything), private.
    """

    tag: int
    keyword: str
    letter: str
    action: str
    kind: Kind

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


# Patients, people around them, places, and the numbers a hospital files them under.
_IDENTITY = (
    (0x00080050, "AccessionNumber", "J", "Z"),
    (0x00080080, "InstitutionName", "B", "X/Z/D"),
    (0x00080081, "InstitutionAddress", "B", "X"),
    (0x00080090, "ReferringPhysicianName", "A", "Z"),
    (0x00080092, "ReferringPhysicianAddress", "B", "X"),
    (0x00080094, "ReferringPhysicianTelephoneNumbers", "D", "X"),
    (0x0008009C, "ConsultingPhysicianName", "A", "Z"),
    (0x00081040, "InstitutionalDepartmentName", "B", "X"),
    (0x00081048, "PhysiciansOfRecord", "A", "X"),
    (0x00081050, "PerformingPhysicianName", "A", "X"),
    (0x00081060, "NameOfPhysiciansReadingStudy", "A", "X"),
    (0x00081070, "OperatorsName", "A", "X/Z/D"),
    (0x00100010, "PatientName", "A", "Z"),
    (0x00100020, "PatientID", "H", "Z/D"),
    (0x00100021, "IssuerOfPatientID", "H", "X"),
    (0x00100030, "PatientBirthDate", "C", "Z"),
    (0x00100032, "PatientBirthTime", "C", "X"),
    (0x00101000, "OtherPatientIDs", "H", "X"),
    (0x00101001, "OtherPatientNames", "A", "X"),
    (0x00101005, "PatientBirthName", "A", "X"),
    (0x00101010, "PatientAge", "C", "X"),
    (0x00101040, "PatientAddress", "B", "X"),
    (0x00101060, "PatientMotherBirthName", "A", "X"),
    (0x00101090, "MedicalRecordLocator", "H", "X"),
    (0x00102150, "CountryOfResidence", "B", "X"),
    (0x00102152, "RegionOfResidence", "B", "X"),
    (0x00102154, "PatientTelephoneNumbers", "D", "X"),
    (0x00102155, "PatientTelecomInformation", "F", "X"),
    (0x00102297, "ResponsiblePerson", "A", "X"),
    (0x00102299, "ResponsibleOrganization", "A", "X"),
    (0x00321032, "RequestingPhysician", "A", "X"),
    (0x00380010, "AdmissionID", "J", "X"),
    (0x00380060, "ServiceEpisodeID", "J", "X"),
    (0x00380300, "CurrentPatientLocation", "B", "X"),
    (0x00380400, "PatientInstitutionResidence", "B", "X"),
    (0x00400006, "ScheduledPerformingPhysicianName", "A", "X"),
    (0x00401010, "NamesOfIntendedRecipientsOfResults", "A", "X"),
    (0x00401102, "PersonAddress", "B", "X"),
    (0x00401103, "PersonTelephoneNumbers", "D", "X"),
    (0x00402008, "OrderEnteredBy", "A", "X"),
    (0x00402010, "OrderCallbackPhoneNumber", "D", "X"),
    (0x00402016, "PlacerOrderNumberImagingServiceRequest", "J", "Z"),
    (0x00402017, "FillerOrderNumberImagingServiceRequest", "J", "Z"),
    (0x00404037, "HumanPerformerName", "A", "X"),
    (0x0040A075, "VerifyingObserverName", "A", "D"),
    (0x0040A123, "PersonName", "A", "D"),
)
_DATES = (
    (0x00080012, "InstanceCreationDate", "C", "X/D"),
    (0x00080020, "StudyDate", "C", "Z"),
    (0x00080021, "SeriesDate", "C", "X/D"),
    (0x00080022, "AcquisitionDate", "C", "X/Z"),
    (0x00080023, "ContentDate", "C", "Z/D"),
    (0x0008002A, "AcquisitionDateTime", "C", "X/Z/D"),
    (0x001021D0, "LastMenstrualDate", "C", "X"),
    (0x00181012, "DateOfSecondaryCapture", "C", "X"),
    (0x00380020, "AdmittingDate", "C", "X"),
    (0x00400002, "ScheduledProcedureStepStartDate", "C", "X"),
    (0x00400244, "PerformedProcedureStepStartDate", "C", "X"),
    (0x00400250, "PerformedProcedureStepEndDate", "C", "X"),
)
_UIDS = (
    (0x00080014, "InstanceCreatorUID", "R", "U"),
    (0x00080018, "SOPInstanceUID", "R", "U"),
    (0x00081155, "ReferencedSOPInstanceUID", "R", "U"),
    (0x0020000D, "StudyInstanceUID", "R", "U"),
    (0x0020000E, "SeriesInstanceUID", "R", "U"),
    (0x00200052, "FrameOfReferenceUID", "R", "U"),
)
_DEVICES = (
    (0x00081010, "StationName", "M", "X/Z/D"),
    (0x00181000, "DeviceSerialNumber", "M", "X/Z/D"),
    (0x00181002, "DeviceUID", "M", "U"),
    (0x00400241, "PerformedStationAETitle", "M", "X"),
    (0x00400242, "PerformedStationName", "M", "X"),
)
_TEXTS = (
    (0x00081030, "StudyDescription", "R", "X"),
    (0x0008103E, "SeriesDescription", "R", "X"),
    (0x00081080, "AdmittingDiagnosesDescription", "R", "X"),
    (0x00102180, "Occupation", "R", "X"),
    (0x001021B0, "AdditionalPatientHistory", "R", "X"),
    (0x00104000, "PatientComments", "R", "X"),
    (0x00181030, "ProtocolName", "R", "X/D"),
    (0x00200010, "StudyID", "J", "Z"),
    (0x00204000, "ImageComments", "R", "X"),
    (0x00321060, "RequestedProcedureDescription", "R", "X/Z"),
    (0x00380500, "PatientState", "R", "X"),
    (0x00384000, "VisitComments", "R", "X"),
    (0x00400254, "PerformedProcedureStepDescription", "R", "X"),
    (0x00402400, "ImagingServiceRequestComments", "R", "X"),
)
_TABLES: tuple[tuple[Kind, tuple[tuple[int, str, str, str], ...]], ...] = (
    ("identity", _IDENTITY),
    ("date", _DATES),
    ("uid", _UIDS),
    ("device", _DEVICES),
    ("text", _TEXTS),
)

HEADER_RULES: dict[int, HeaderRule] = {
    tag: HeaderRule(tag, keyword, letter, action, kind)
    for kind, table in _TABLES
    for tag, keyword, letter, action in table
}
