"""Reporting guidelines, item by item: what this report holds of each, and what is missing.

A guideline is one file: its items with our own short titles, and beside each a function that looks up in the records
and in the authors' facts what the report says on it. No status is written down by hand, and none is a judgement of
the study: a filled item is one the report says something on, not one it says well.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Literal, Protocol

from medimg_cli.registry import Registry
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.study_facts import NOT_REPORTED

Status = Literal["filled", "partly", "Not reported", "n.a."]
STATUSES: tuple[Status, ...] = ("filled", "partly", NOT_REPORTED, "n.a.")


@dataclass(frozen=True)
class Answer:
    """What a report says on an item.

    Args:
        where: anchor on the page of what says it, "" where nothing does.
        text: in a few words, or what is missing.
    """

    status: Status
    where: str = ""
    text: str = ""


class Lookup(Protocol):
    """Looks up what a report says on an item; `keys` are the facts it asks people for."""

    @property
    def keys(self) -> tuple[str, ...]: ...

    def __call__(self, content: ReportContent, /) -> Answer: ...


@dataclass(frozen=True)
class Item:
    """One item of a guideline.

    Args:
        number: as the guideline counts it, "15a".
        title: what it asks for, in our own words.
        answer: looks up what a report says on it.
    """

    number: str
    title: str
    answer: Lookup


@dataclass(frozen=True)
class Guideline:
    """A guideline.

    Args:
        name: short, with its year.
        scope: what it is for.
        doi: of the paper that holds the items in full.
    """

    name: str
    scope: str
    doi: str
    items: tuple[Item, ...]


GUIDELINES: Registry[Guideline] = Registry("guideline", __name__)


@dataclass(frozen=True)
class Row:
    """An item with what the report says on it."""

    number: str
    title: str
    answer: Answer


@dataclass(frozen=True)
class Checklist:
    """A guideline with what the report says on each of its items."""

    guideline: Guideline
    rows: tuple[Row, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Return status → how many items have it, in the order of `STATUSES`."""
        tally = Counter(row.answer.status for row in self.rows)
        return {status: tally[status] for status in STATUSES}

    @property
    def summary(self) -> str:
        """Return the counts as one line."""
        counts = self.counts
        return (
            f"of {len(self.rows)} items {counts['filled']} filled, {counts['partly']} partly, "
            f"{counts[NOT_REPORTED]} not reported, {counts['n.a.']} not applicable"
        )


def checklists(content: ReportContent) -> tuple[Checklist, ...]:
    """Return every guideline with what the report says on its items."""
    return tuple(fill(GUIDELINES.get(name), content) for name in GUIDELINES.names())


def fill(guideline: Guideline, content: ReportContent) -> Checklist:
    """Return what a report says on each item."""
    rows = [Row(item.number, item.title, item.answer(content)) for item in guideline.items]
    return Checklist(guideline, tuple(rows))
