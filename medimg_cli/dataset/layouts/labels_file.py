"""A table of labels: which of its columns is called what, and which hold DICOM unique identifiers."""

import re
from collections.abc import Mapping, Sequence

from medimg_cli.errors import DataError, UsageError
from medimg_cli.registry import closest
from medimg_cli.workspace.plain_text import without_accents
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.spreadsheets import Table, read_spreadsheet

_GUESSES = {
    "image": "image images imageid imagename imagepath imagefile imagefilename imageindex img imgname imgpath "
    "filename file filepath path bild bildname bilddatei datei dateiname",
    "label": "label labels class classname diagnosis dx target finding findings findinglabel findinglabels category "
    "diagnose klasse befund",
    "patient": "patient patientid subject subjectid patientnumber patientno patientnr patientnum caseid patientennummer "
    "patientennr patientenid patientin patid patnr patno patnum pid subjid subjno subjectno subjectnumber subjectnr participant "
    "participantid participantno proband probandid probandennummer probandennr personid",
}
UIDS = {
    "SOPInstanceUID": "sopinstanceuid sopuid sopinstance instanceuid imageuid",
    "SeriesInstanceUID": "seriesinstanceuid seriesuid seriesinstance",
    "StudyInstanceUID": "studyinstanceuid studyuid studyinstance",
}
"""How columns of DICOM unique identifiers are called, from one image to all of an examination (PS3.3 C.12.1, C.7)."""
KEYS = {
    **UIDS,
    "AccessionNumber": "accessionnumber accessionno accessionnr accessionid accession",
    "PatientID": _GUESSES["patient"],
}
"""Those, and what else a header names its examination and patient by; no names that are unique in the world."""
_OF_PATIENTS = re.compile(
    r"(?:(?:id|n|no|nr|num|numero|number|nummer|code|codigo|codice|cod)(?:de|du|del|della|des|di|of|da|do)?(?:la|le|el|l)?)?"
    r"(?:pat|patients?|patientes?|patienten|pacientes?|pazient[ei]|pasient|subject|sujet|sujeto|soggetto|probanden?)"
    r"(?:id|n|no|nr|num|numero|number|nummer|code|kod)?|患者(?:编号|编码|号|id|番号)?|病人(?:编号|号|id)?|病历号|(?:id|номер|код)?пациент[аы]?(?:id)?"
)
"""The same in other languages, by what `_letters` leaves of a name."""
# PS3.5 §9.1: numbers with dots between, 64 characters at most; fewer than four of them identify no instance.
_UID = re.compile(r"[0-2](?:\.[0-9]+){3,}")


def read_labels_file(settings: IngestSettings) -> Table:
    """Read the table that `settings.labels` names.

    Raises:
        DataError: there is none, or it cannot be read as `read_spreadsheet` says.
        UsageError: it has no such sheet, or several that may be meant.
    """
    if settings.labels is None:
        raise DataError("no table of labels", "name it with --labels FILE")
    columns = (settings.image_col, settings.patient_col, settings.use_split_col)
    return read_spreadsheet(
        settings.labels,
        sheet=settings.sheet,
        named=[name for name in columns if name is not None],
        is_name=_is_name,
        called="--labels",
    )


def _is_name(cell: str) -> bool:
    return is_image_column(cell) or level_of(cell) is not None


def require_column(table: Table, name: str, option: str) -> str:
    """Return `name` when the table has it.

    Raises:
        UsageError: it has not; the hint proposes the closest one, and lists all.
    """
    if name not in table.columns:
        close = closest(name, table.columns)
        guess = "" if close is None else f"did you mean '{close}'? "
        hint = f"{guess}there are {', '.join(table.columns[:20])}"
        raise UsageError(f"{option}: {table.path} has no column '{name}'", hint)
    return name


def plain(name: str) -> str:
    """Return a column's name in lower case without what people put between words."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _letters(name: str) -> str:
    """Return a column's name in lower case, without accents and without what is no letter or digit.

    >>> [_letters(name) for name in ("N° patient", "Nº de paciente", "Código_Paciente", "Номер пациента")]
    ['npatient', 'ndepaciente', 'codigopaciente', 'номерпациента']
    """
    return re.sub(r"[\W_º]", "", without_accents(name.lower(), "NFD"))


def _is_patient(name: str) -> bool:
    return _OF_PATIENTS.fullmatch(_letters(name)) is not None


def is_image_column(name: str) -> bool:
    """Return whether a column is called as columns of file names are."""
    return plain(name) in _GUESSES["image"].split()


def guess_column(table: Table, role: str, taken: Sequence[str], *, required: bool = False) -> str | None:
    """Return the one column that is called as `role` (image, label, patient) commonly is, None for none.

    Args:
        taken: columns that mean something else.
        required: there has to be one.

    Raises:
        UsageError: there are several, or none although one is required.
    """
    known = _GUESSES[role].split()
    found = [
        name
        for name in table.columns
        if name not in taken and (plain(name) in known or (role == "patient" and _is_patient(name)))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(found)
        raise UsageError(f"{table.path}: {several}: which is the {role}?", f"name it with --{role}-col")
    if not required:
        return None
    hint = f"name it with --{role}-col; there are {', '.join(table.columns[:20])}"
    if role == "image" and any(level_of(name, KEYS) for name in table.columns):
        hint += "; of DICOM files that their headers name so: --layout dicom"
    raise UsageError(f"{table.path}: no column looks like the {role}", hint)


def level_of(column: str, keys: Mapping[str, str] = UIDS) -> str | None:
    """Return the level of `keys` that a column's name speaks of, in any language for patients, None where it does not."""
    known = (level for level in keys if plain(column) in keys[level].split())
    return next(known, "PatientID" if "PatientID" in keys and _is_patient(column) else None)


def columns_called(table: Table, keys: Mapping[str, str]) -> list[str]:
    """Return the columns whose names speak of a level of `keys`, in the order of the levels."""
    return [column for level in keys for column in table.columns if level_of(column, keys) == level]


def uid_columns(table: Table) -> Sequence[str]:
    """Return the columns that hold UIDs by name or by every value, the finest level first."""
    by_name = columns_called(table, UIDS)
    by_value = [name for name in table.columns if name not in by_name and holds_uids(table, name)]
    return [*by_name, *by_value]


def holds_uids(table: Table, column: str) -> bool:
    """Return whether every filled cell of a column is a UID, and there is one."""
    values = [cells[column] for _, cells in table.rows if cells[column]]
    return bool(values) and all(len(value) <= 64 and _UID.fullmatch(value) for value in values)


def names_uids(table: Table, image_col: str | None) -> bool:
    """Return whether a table names its images by UIDs: in the column named for them, or for want of file names."""
    if image_col is not None:
        return image_col in table.columns and (
            level_of(image_col) is not None or holds_uids(table, image_col)
        )
    if any(is_image_column(name) and not holds_uids(table, name) for name in table.columns):
        return False
    return bool(uid_columns(table))
