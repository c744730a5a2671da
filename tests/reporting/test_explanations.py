"""The section on heat maps: what was checked, and what is said where nothing was."""

from dataclasses import replace
from pathlib import Path

import pytest

from medimg_cli.predictions.predictions import read_predictions
from medimg_cli.reporting.cases import explained_cases, explanation_facts
from medimg_cli.reporting.checklists import GUIDELINES, fill
from medimg_cli.reporting.content import Explained, ReportContent
from medimg_cli.reporting.page import render_page
from medimg_cli.runs.explanation import Blanked, Explanation
from medimg_cli.stages.report import gather
from medimg_cli.statistics.intervals import wilson
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import make_cohort

KNOWN = Explanation(
    method="class activation map",
    layer="blocks",
    side=4,
    weights_sha256="",
    images=16,
    seeds=(0, 1, 2, 3),
    similarity={"head": 0.4, "all": 0.123},
    intervals={"all": (0.08, 0.17)},
    full=1.0,
    blanked=Blanked(hottest=0.5, elsewhere=-0.25, share=0.875, interval=wilson(14, 16)),
    passed=True,
)


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    cohort = make_cohort(tmp_path_factory.mktemp("explained"))
    return gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")


def _section(content: ReportContent) -> str:
    page = render_page(content)
    return page.partition("Explanations and their sanity check</h2>")[2].partition("<h2>")[0]


def test_where_nobody_looked_the_report_says_so(content: ReportContent) -> None:
    assert content.explained is None
    assert "Nobody looked at this model’s heat maps" in _section(content)
    assert "Nobody looked at heat maps" in render_page(content).partition("What did not run")[2]


def test_the_check_and_its_limit_are_told(content: ReportContent) -> None:
    section = _section(replace(content, explained=Explained(KNOWN)))
    for said in (
        "4 × 4 places",
        "Passed.",
        "(mean",
        "they pass up to 0.5",
        "by 0.50; the same shape elsewhere, by −0.25",
        "In 14 of 16 images",
        "64.0 % to 96.5 %; by chance 50 %",
        "95 % interval 0.08 to 0.17",
    ):
        assert said in section, said


def test_maps_that_are_withheld_are_told_with_the_reason(content: ReportContent) -> None:
    failed = KNOWN.model_copy(update={"passed": False, "withheld": "they stay the same"})
    facts = explanation_facts(replace(content, explained=Explained(failed)))
    assert facts[0].text == "Failed: they stay the same."


@pytest.mark.parametrize(
    ("more", "shuffled", "verdict"),
    [
        (14, (0.1, 0.2), "passed"),
        (10, (0.1, 0.2), "cannot be told"),
        (14, (0.3, 0.6), "cannot be told"),
        (14, None, "cannot be told"),
        (2, (0.1, 0.2), "failed"),
    ],
)
def test_the_check_passes_and_fails_by_intervals_only(
    more: int, shuffled: tuple[float, float] | None, verdict: str
) -> None:
    blanked = Blanked(hottest=0.5, elsewhere=0.1, share=more / 16, interval=wilson(more, 16))
    intervals = {} if shuffled is None else {"all": shuffled}
    known = KNOWN.model_copy(update={"blanked": blanked, "intervals": intervals})
    assert known.verdict == verdict and known.in_words().endswith(f"check: {verdict}")


def test_the_checklist_names_the_method_where_there_is_one(content: ReportContent) -> None:
    def status(one: ReportContent) -> tuple[str, str]:
        rows = fill(GUIDELINES.get("claim-2024"), one).rows
        answer = next(row for row in rows if row.number == "31").answer
        return answer.status, answer.text

    assert status(content) == ("n.a.", "no explanation method was applied")
    filled, said = status(replace(content, explained=Explained(KNOWN)))
    assert (filled, said.partition(";")[0]) == ("filled", "class activation map of 4 × 4 places")


def test_missed_cases_come_first_and_few_are_shown(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, missed=3)
    table = read_predictions(cohort.run.predictions_path("test"))
    missed, found = explained_cases(cohort.evaluation, table, 2)
    assert [missed.title, found.title] == ["Missed cases", "Found cases"]
    assert (len(missed.shown), missed.total, len(found.shown)) == (2, 3, 2)
    assert {case.truth for case in found.shown} == {case.predicted for case in found.shown} == {"PNEUMONIA"}
