"""`report.yaml`: the facts about a study that only people know."""

import re
from datetime import date
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml
from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo

from medimg_cli.errors import UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.workspace.files import write_text

NOT_REPORTED: Final = "Not reported"
"""What stands in a report where a fact is absent; these words, everywhere."""


def _fact(title: str, question: str, *, asked: bool = True) -> Any:
    """Return a field of a group: `title` heads the answer in the report, `question` asks for it.

    Args:
        asked: a reporting guideline asks for it, so that its absence is counted.
    """
    return Field(None, title=title, description=question, json_schema_extra={"asked": asked})


class Group(BaseModel, extra="forbid", frozen=True):
    """Facts that belong together: key → answer, None where nobody gave one."""

    heading: ClassVar[str] = ""

    @field_validator("*", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Take what YAML makes of a bare word: a date, a number, yes or no, a list of lines."""
        if isinstance(value, list):
            return "; ".join(str(part) for part in value) or None
        if isinstance(value, bool):
            return "yes" if value else "no"
        text = str(value).strip() if isinstance(value, str | int | float | date) else value
        return None if text in ("", NOT_REPORTED) else text


class Purpose(Group):
    """What the model is for."""

    heading: ClassVar[str] = "What the model is for"

    background: str | None = _fact(
        "Clinical background",
        "What is the clinical problem, how is it dealt with today, and which models exist already?",
    )
    intended_use: str | None = _fact(
        "Intended use",
        "What is the model for, in which patients, and what decision does it support?",
    )
    intended_users: str | None = _fact("Intended users", "Who uses it, and what do they have to know?")
    care_setting: str | None = _fact(
        "Place in care",
        "Where in the path of care does it answer, and what happens before and after?",
    )
    out_of_scope: str | None = _fact(
        "Out-of-scope use", "For which patients, images or decisions must it not be used?", asked=False
    )
    input_handling: str | None = _fact(
        "Poor or missing images",
        "What shall users do about images that are poor, missing or of another kind?",
    )
    inequalities: str | None = _fact(
        "Known inequalities in health",
        "Between which groups of patients does the disease, or the care for it, differ?",
    )


class Study(Group):
    """How the study was planned, and what follows from it."""

    heading: ClassVar[str] = "How the study was planned, and what follows from it"

    objectives: str | None = _fact("Aims and hypotheses", "What did the study want to find out?")
    study_goal: str | None = _fact(
        "Kind of study",
        "Development of a model, feasibility, diagnostic accuracy, non-inferiority …? For which task?",
    )
    design: str | None = _fact(
        "Prospective or retrospective",
        "Were the data collected before the study was planned (retrospective) or for it (prospective)?",
    )
    sample_size: str | None = _fact(
        "Reason for the sample size",
        "How was the number of patients arrived at; what power or precision was aimed at?",
    )
    fairness: str | None = _fact(
        "Fairness", "What was done to find or lessen differences between groups of patients?"
    )
    external_testing: str | None = _fact(
        "External testing", "Was the model tested on data of another site? If not, why not?"
    )
    adverse_events: str | None = _fact(
        "Adverse events", "Did the test or the reference standard harm anybody?"
    )
    interpretation: str | None = _fact(
        "Interpretation", "What do the results mean, in view of the aims and of other studies?"
    )
    limitations: str | None = _fact(
        "Limitations, by the authors", "What limits the study beyond what this report finds by itself?"
    )
    implications: str | None = _fact(
        "Implications", "What should change in practice, and what stands in the way?"
    )
    further_research: str | None = _fact("Next steps", "What has to be studied next?")


class Data(Group):
    """Where the images come from."""

    heading: ClassVar[str] = "Where the images come from"

    data_sources: str | None = _fact(
        "Source of the data",
        "Routine care, a trial, a registry, a public collection (with link)? Why these data?",
    )
    collection_dates: str | None = _fact("Dates of collection", "From when to when?")
    centres: str | None = _fact("Centres and setting", "How many centres, where, and of which kind?")
    eligibility: str | None = _fact(
        "Eligibility", "Which patients and which images were included, and which excluded, in this order?"
    )
    recruitment: str | None = _fact(
        "How patients were found", "By symptoms, by an earlier test, from a registry …?"
    )
    series: str | None = _fact("Series of patients", "Consecutive, random, or as they were at hand?")
    subset: str | None = _fact(
        "Reason for the part used", "If not all data were used: which part, and why that one?"
    )
    deidentification: str | None = _fact(
        "De-identification", "How were the data de-identified, and which standard does that meet?"
    )
    missing_data: str | None = _fact(
        "Missing data", "What was missing, how was it dealt with, and what bias may that bring?"
    )
    acquisition: str | None = _fact(
        "Acquisition", "Which devices (manufacturer, model), views, sequences or protocols?"
    )
    patients: str | None = _fact(
        "Patients", "Age, sex and other characteristics of the patients, for each part of the data?"
    )
    severity: str | None = _fact("Severity of disease", "How severe was the disease in those who had it?")
    other_diagnoses: str | None = _fact("Other diagnoses", "What did those without the disease have instead?")
    treatments: str | None = _fact(
        "Treatments", "Which treatments had patients received, and does that matter?"
    )
    representativeness: str | None = _fact(
        "Whom the data stand for", "How near are the data to the patients the model is intended for?"
    )
    data_licence: str | None = _fact(
        "Licence of the data", "Under which terms may the data be used?", asked=False
    )


class Reference(Group):
    """What counts as the right answer."""

    heading: ClassVar[str] = "What counts as the right answer"

    reference_standard: str | None = _fact(
        "Reference standard",
        "How exactly was the disease established, and where lies the line between the classes?",
    )
    reference_rationale: str | None = _fact(
        "Reason for the reference standard", "Why this reference standard and not another one?"
    )
    annotators: str | None = _fact("Annotators", "How many, with what training and experience?")
    annotation_procedure: str | None = _fact(
        "Procedure of annotation",
        "With which software and instructions, in care or afterwards, by rules or by hand?",
    )
    annotator_variability: str | None = _fact(
        "Agreement of annotators", "How well did they agree, and how were differences settled?"
    )
    reference_blinding: str | None = _fact(
        "Blinding of annotators",
        "What did those who set the reference standard know of the patient and of the model's answer?",
    )
    time_interval: str | None = _fact(
        "Time between image and reference standard", "How long, and was the patient treated in between?"
    )


class Openness(Group):
    """Ethics, funding, and what others may have."""

    heading: ClassVar[str] = "Ethics, funding, and what others may have"

    ethics_approval: str | None = _fact(
        "Ethics approval", "Which committee approved it, or why was none needed?"
    )
    consent: str | None = _fact("Consent", "Did patients consent, or who waived that?")
    ethical_considerations: str | None = _fact(
        "Ethical considerations", "What harm could the model do, and to whom; what is done about it?"
    )
    patient_involvement: str | None = _fact(
        "Patients and public", "How were patients or the public involved in the study?"
    )
    registration: str | None = _fact("Registration", "Register and number?")
    protocol: str | None = _fact("Protocol", "Where can the whole protocol be read?")
    data_availability: str | None = _fact(
        "Availability of the data", "Who may have them, where, on which terms?"
    )
    model_availability: str | None = _fact(
        "Availability of the model", "Who may have it, where, on which terms?"
    )
    code_availability: str | None = _fact("Availability of the code", "Where is the code of the study?")
    funding: str | None = _fact("Funding", "Who paid, and what had they to say in it?")
    conflicts: str | None = _fact("Competing interests", "Commercial and other interests of the authors?")
    licence: str | None = _fact("Licence of the model", "Such as apache-2.0 or cc-by-nc-4.0", asked=False)
    contact: str | None = _fact("Contact", "Who answers questions?", asked=False)
    citation: str | None = _fact("Citation", "How shall the work be cited?", asked=False)
    maintenance: str | None = _fact(
        "Maintenance", "Who keeps data and model up to date, and how are errors reported?", asked=False
    )


GROUPS: dict[str, type[Group]] = {
    "purpose": Purpose,
    "study": Study,
    "data": Data,
    "reference": Reference,
    "openness": Openness,
}
QUESTIONS: dict[str, FieldInfo] = {
    key: field for group in GROUPS.values() for key, field in group.model_fields.items()
}


def title_of(key: str) -> str:
    """Return what heads the answer to a question."""
    return QUESTIONS[key].title or key


def is_asked(key: str) -> bool:
    """Return whether a reporting guideline asks for a fact."""
    extra = QUESTIONS[key].json_schema_extra
    return isinstance(extra, dict) and bool(extra["asked"])


_HEAD = """\
# Facts for the report that no record of a run can hold. Every line is optional; one that is left empty is shown as
# "Not reported". Where a question does not apply, answer "n.a." and say why. Long answers stand below their key:
#   intended_use: |
#     Several lines,
#     indented.
"""
_NOT_APPLICABLE = re.compile(r"(?:n\s?[./]\s?a\b\.?|not applicable\b)", re.IGNORECASE)


class Facts(BaseModel, extra="forbid", frozen=True):
    """All facts; the keys of all groups differ, so that one name finds one fact."""

    purpose: Purpose = Purpose()
    study: Study = Study()
    data: Data = Data()
    reference: Reference = Reference()
    openness: Openness = Openness()

    @field_validator("*", mode="before")
    @classmethod
    def _empty_group(cls, value: Any) -> Any:
        return {} if value is None else value

    @property
    def answers(self) -> dict[str, str | None]:
        """Return key → answer over all groups."""
        return {key: answer for group in GROUPS for key, answer in getattr(self, group).model_dump().items()}


def reason_not_applicable(answer: str) -> str | None:
    """Return why a question does not apply, None where it was answered.

    >>> reason_not_applicable("n.a., no patient was treated")
    'no patient was treated'
    """
    found = _NOT_APPLICABLE.match(answer)
    return answer[found.end() :].strip(" .,:;–-()") if found else None


def read_facts(path: Path) -> Facts:
    """Read the facts of a study.

    Raises:
        UsageError: the file cannot be read, is not YAML, or holds a name that nobody asked for.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}", "`medimg report --init-facts` writes the questions"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        place = getattr(error, "problem_mark", None)
        line = f" at line {place.line + 1}" if place else ""
        raise UsageError(
            f"{path} is not valid YAML{line}", "put an answer that holds a colon or # in quotation marks"
        ) from error
    if not isinstance(content, dict):
        raise UsageError(f"{path} holds no answers", "`medimg report --init-facts` writes the questions")
    try:
        return Facts.model_validate(content)
    except ValidationError as error:
        raise _as_usage_error(path, error) from error


def _as_usage_error(path: Path, error: ValidationError) -> UsageError:
    first = error.errors()[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] != "extra_forbidden":
        return UsageError(f"{path}: '{name}' cannot be {first['input']!r}", "write the answer as text")
    home = next((group for group, kind in GROUPS.items() if place[-1] in kind.model_fields), None)
    if home is not None:
        return UsageError(f"{path}: '{name}' is not asked there", f"'{place[-1]}' stands below '{home}:'")
    known = GROUPS[place[0]].model_fields if len(place) > 1 else GROUPS
    return UsageError(f"{path}: nobody asks for '{name}'", did_you_mean(place[-1], known))


def write_questions(path: Path) -> None:
    """Write every question as a commented YAML file whose answers are empty.

    Raises:
        UsageError: the file is there already.
    """
    if path.exists():
        raise UsageError(f"{path} exists already", "edit it, or name another file")
    write_text(path, _HEAD + "".join(_questions_of(name, group) for name, group in GROUPS.items()))


def _questions_of(name: str, group: type[Group]) -> str:
    lines = [f"\n# {group.heading}.\n{name}:\n"]
    for key, field in group.model_fields.items():
        lines.append(f"  # {field.title}: {field.description}\n  {key}:\n")
    return "".join(lines)
