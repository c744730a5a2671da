"""`report.yaml`: the facts about a study that only people know."""

import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from medimg_cli.errors import UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.reporting.study_questions import GROUPS, Data, Group, Openness, Purpose, Reference, Study
from medimg_cli.workspace.files import write_text

_HEAD = """\
# Facts for the report that no record of a run can hold. Every line is optional; one that is left empty is shown as
# "Not reported". Where a question does not apply, answer "n.a." and say why. Long answers stand below their key:
#   intended_use: |
#     Several lines,
#     indented.
"""
_NOT_APPLICABLE = re.compile(r"(?:n\s?[./]\s?a\b\.?|not applicable\b)", re.IGNORECASE)


class Facts(BaseModel):
    """All facts; the keys of all groups differ, so that one name finds one fact."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
