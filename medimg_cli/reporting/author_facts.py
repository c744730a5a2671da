"""The authors' answers in `report.yaml`, ready to print, and the questions left open."""

from dataclasses import dataclass

from medimg_cli.reporting.checklists import GUIDELINES
from medimg_cli.reporting.checklists.asking import anchor_of
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.study_facts import GROUPS, NOT_REPORTED, QUESTIONS, is_asked, title_of


@dataclass(frozen=True)
class Given:
    """An answer: its paragraphs, or the words that say it is absent."""

    key: str
    title: str
    paragraphs: tuple[str, ...]
    absent: bool


@dataclass(frozen=True)
class GivenGroup:
    """The answers of one group of questions; `anchor` is where the page prints them."""

    anchor: str
    heading: str
    answers: tuple[Given, ...]

    @property
    def given(self) -> tuple[Given, ...]:
        return tuple(each for each in self.answers if not each.absent)

    @property
    def absent(self) -> tuple[Given, ...]:
        return tuple(each for each in self.answers if each.absent)


def given_groups(content: ReportContent) -> dict[str, GivenGroup]:
    """Return name of the group → its answers, all of them, absent ones as "Not reported"."""
    answers = content.facts.answers
    return {
        name: GivenGroup(
            anchor_of(name), kind.heading, tuple(_given(key, answers[key]) for key in kind.model_fields)
        )
        for name, kind in GROUPS.items()
    }


def anchors() -> tuple[str, ...]:
    """Return the anchor of each group of answers; one section prints them all."""
    return tuple(map(anchor_of, GROUPS))


def given(content: ReportContent, key: str) -> str:
    """Return one answer in one line, or "Not reported"."""
    return " ".join((content.facts.answers[key] or NOT_REPORTED).split())


def not_reported(content: ReportContent) -> tuple[str, ...]:
    """Return what guidelines ask of the authors, none of them stated, and no record answers in their place."""
    answers, open_keys = content.facts.answers, _open_keys(content)
    return tuple(title_of(key) for key in QUESTIONS if answers[key] is None and key in open_keys)


def asked() -> int:
    """Return how many facts the guidelines ask people for."""
    return sum(map(is_asked, QUESTIONS))


def _open_keys(content: ReportContent) -> set[str]:
    """Return the facts that some item still lacks: "Fairness" is none of them once subgroups were measured."""
    return {
        key
        for name in GUIDELINES.names()
        for item in GUIDELINES.get(name).items
        if item.answer.keys and item.answer(content).status in ("partly", NOT_REPORTED)
        for key in item.answer.keys
    }


def _given(key: str, answer: str | None) -> Given:
    lines = [line.strip() for line in (answer or NOT_REPORTED).splitlines()]
    return Given(key, title_of(key), tuple(line for line in lines if line), answer is None)
