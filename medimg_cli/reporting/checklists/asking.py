"""Ways an item is answered: from the records, by people, or by both."""

from collections.abc import Callable

from medimg_cli.reporting.checklists import Answer
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.study_facts import GROUPS, NOT_REPORTED, reason_not_applicable, title_of

Evidence = Callable[[ReportContent], str]
"""What the records say, in a few words; "" where they say nothing."""


def anchor_of(group: str) -> str:
    """Return the anchor of a group's answers on the page."""
    return f"given-{group}"


def place_of(key: str) -> str:
    """Return the anchor of the group an answer stands in."""
    return next(anchor_of(group) for group, kind in GROUPS.items() if key in kind.model_fields)


class FromAuthors:
    """An item that only people can answer: filled by all of some facts, partly by one of several."""

    def __init__(self, *keys: str) -> None:
        self.keys = keys

    def __call__(self, content: ReportContent) -> Answer:
        answers = content.facts.answers
        given = [key for key in self.keys if answers[key] is not None]
        where = place_of(self.keys[0])
        if len(given) < len(self.keys):
            return Answer("partly" if given else NOT_REPORTED, where, _missing(self.keys, given))
        reasons = [reason_not_applicable(answers[key] or "") for key in self.keys]
        if all(reason is not None for reason in reasons):
            return Answer("n.a.", where, "; ".join(reason for reason in reasons if reason))
        return Answer("filled", where)


class Recorded:
    """An item that the records answer by themselves."""

    keys: tuple[str, ...] = ()

    def __init__(self, where: str, evidence: Evidence, *, otherwise: str = "") -> None:
        self.where, self.evidence, self.otherwise = where, evidence, otherwise

    def __call__(self, content: ReportContent) -> Answer:
        text = self.evidence(content)
        return Answer("filled", self.where, text) if text else _absent(self.otherwise)


class Both:
    """An item whose facts stand in the records and whose reasons people know."""

    def __init__(self, where: str, evidence: Evidence, *keys: str) -> None:
        self.where, self.evidence, self.from_authors, self.keys = where, evidence, FromAuthors(*keys), keys

    def __call__(self, content: ReportContent) -> Answer:
        text, from_authors = self.evidence(content), self.from_authors(content)
        if not text:
            return from_authors
        if from_authors.status in ("filled", "n.a."):
            return Answer("filled", self.where, text)
        return Answer("partly", self.where, f"{text}; {from_authors.text}")


class Either:
    """An item that is filled by the records or, where they hold nothing, by people."""

    def __init__(self, where: str, evidence: Evidence, *keys: str) -> None:
        self.where, self.evidence, self.from_authors, self.keys = where, evidence, FromAuthors(*keys), keys

    def __call__(self, content: ReportContent) -> Answer:
        text = self.evidence(content)
        return Answer("filled", self.where, text) if text else self.from_authors(content)


class IfDone:
    """An item that applies only where something was done, and otherwise not, for a reason."""

    keys: tuple[str, ...] = ()

    def __init__(self, where: str, evidence: Evidence, otherwise: str) -> None:
        self.where, self.evidence, self.otherwise = where, evidence, otherwise

    def __call__(self, content: ReportContent) -> Answer:
        text = self.evidence(content)
        return Answer("filled", self.where, text) if text else Answer("n.a.", "", self.otherwise)


class Never:
    """An item that does not apply to anything medimg makes, and why."""

    keys: tuple[str, ...] = ()

    def __init__(self, reason: str) -> None:
        self.reason = reason

    def __call__(self, _content: ReportContent) -> Answer:
        return Answer("n.a.", "", self.reason)


class Graded:
    """An item the records answer whole, or at least in part: `full` where it holds, else `part` and what is lacking."""

    keys: tuple[str, ...] = ()

    def __init__(self, where: str, full: Evidence | None, part: Evidence, lacking: str) -> None:
        self.where, self.full, self.part, self.lacking = where, full, part, lacking

    def __call__(self, content: ReportContent) -> Answer:
        if self.full is not None and (text := self.full(content)):
            return Answer("filled", self.where, text)
        text = self.part(content)
        return Answer("partly", self.where, f"{text}; {self.lacking}") if text else _absent(self.lacking)


def _absent(why: str) -> Answer:
    return Answer(NOT_REPORTED, "", why)


def _missing(keys: tuple[str, ...], given: list[str]) -> str:
    titles = [title_of(key).lower() for key in keys if key not in given]
    return f"missing: {', '.join(titles)}"
