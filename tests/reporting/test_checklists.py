"""Checklists: every state is read off the records and the answers, and changes with them."""

import re
from dataclasses import replace

import pytest

from medimg_cli.evaluation.results.surroundings import Disturbed, Grouping, Robustness, Subgroup, Subgroups
from medimg_cli.reporting.author_facts import asked, not_reported
from medimg_cli.reporting.checklists import GUIDELINES, Answer, Checklist, fill
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.page import render_page
from medimg_cli.reporting.study_facts import GROUPS, NOT_REPORTED, QUESTIONS, Facts, is_asked
from medimg_cli.stages.report import gather
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import make_cohort

SETTINGS = {"weights": "none", "monitor": "auroc", "class_weights": "balanced", "sampler": "none"}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    cohort = make_cohort(tmp_path_factory.mktemp("checklists") / "study")
    found = gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")
    return replace(found, settings=SETTINGS)


def _facts(**answers: str) -> Facts:
    groups = {
        name: {key: answers[key] for key in kind.model_fields if key in answers}
        for name, kind in GROUPS.items()
    }
    return Facts.model_validate(groups)


def _filled(content: ReportContent, name: str) -> Checklist:
    return fill(GUIDELINES.get(name), content)


def _row(content: ReportContent, name: str, number: str) -> Answer:
    return next(row.answer for row in _filled(content, name).rows if row.number == number)


def _evaluated(content: ReportContent, **results: object) -> ReportContent:
    return replace(content, evaluation=content.evaluation.model_copy(update=results))


@pytest.mark.parametrize(("name", "rows"), [("claim-2024", 44), ("stard-ai", 48), ("tripod-ai", 52)])
def test_a_guideline_has_all_its_items_once(name: str, rows: int) -> None:
    numbers = [item.number for item in GUIDELINES.get(name).items]
    assert len(numbers) == len(set(numbers)) == rows
    main = [int(re.sub(r"\D", "", number)) for number in numbers]
    assert main == sorted(main) and set(main) == set(range(1, main[-1] + 1))


def test_every_question_belongs_to_an_item_and_every_item_asks_a_question_there_is() -> None:
    wanted = {
        key for name in GUIDELINES.names() for item in GUIDELINES.get(name).items for key in item.answer.keys
    }
    assert wanted == {key for key in QUESTIONS if is_asked(key)}
    assert asked() == len(wanted)


def test_without_answers_claim_has_what_the_records_hold(content: ReportContent) -> None:
    states = {row.number: row.answer.status for row in _filled(content, "claim-2024").rows}
    filled = {number for number, status in states.items() if status == "filled"}
    partly = {number for number, status in states.items() if status == "partly"}
    assert filled == {"9", "19", "20", "22", "23", "24", "25", "26", "28", "29", "32", "35", "38", "39"}
    assert partly == {"2", "7", "10", "12", "13", "21", "37", "40", "43"}
    assert {number for number, status in states.items() if status == "n.a."} == {"27", "31"}
    assert _filled(content, "claim-2024").counts[NOT_REPORTED] == 44 - 14 - 9 - 2


def test_a_record_that_is_gone_empties_its_items(content: ReportContent) -> None:
    bare = replace(content, settings={}, dataset=None, audit=None, cases=())
    for number in ("7", "10", "12", "13", "19", "24", "25", "26", "35", "39"):
        assert _row(bare, "claim-2024", number).status == NOT_REPORTED, number
    assert _row(_evaluated(content, metrics={}), "claim-2024", "29").status == NOT_REPORTED
    assert _row(_evaluated(content, split="val"), "claim-2024", "32").status == NOT_REPORTED


def test_results_that_were_computed_fill_their_items(content: ReportContent) -> None:
    figure = Estimate(value=0.9, low=0.8, high=0.95, method="Wilson", n=40)
    group = Subgroup(level="F", n=40, patients=40, positives=20, metrics={"recall": figure})
    robust = Robustness(
        n=80,
        undisturbed={"recall": figure},
        rows=(Disturbed(disturbance="blur", strength="1 px", severity=1, metrics={}, change=figure),),
    )
    found = _evaluated(
        content, subgroups=Subgroups(groupings=(Grouping(column="site", groups=(group,)),)), robustness=robust
    )
    assert _row(found, "claim-2024", "37").status == "filled"
    assert "80 images under blur" in _row(found, "claim-2024", "30").text
    assert _row(found, "stard-ai", "23").status == "filled"
    assert _row(found, "tripod-ai", "23b").text == "results by site"
    assert "Fairness" in not_reported(content) and "Fairness" in not_reported(found)  # STARD-AI 35 still asks
    external = replace(content, external=(content.evaluation.model_copy(update={"split": "external-b"}),))
    assert _row(external, "claim-2024", "33").text == "b: 80 images"
    assert "External testing" in not_reported(content)
    assert "External testing" not in not_reported(external)


def test_an_ensemble_and_changed_weights_are_no_longer_beside_the_point(content: ReportContent) -> None:
    other = replace(content, card=content.card.model_copy(update={"weights_sha256": "0" * 64}))
    assert _row(content, "tripod-ai", "24").status == "n.a."
    assert "changed after this evaluation" in _row(other, "tripod-ai", "24").text
    assert _row(other, "tripod-ai", "24").status == "filled"


def test_an_answer_completes_what_the_records_hold_in_part(content: ReportContent) -> None:
    before = _row(content, "claim-2024", "21")
    assert before.status == "partly" and before.text.endswith("missing: reason for the sample size")
    after = _row(replace(content, facts=_facts(sample_size="power of 80 %")), "claim-2024", "21")
    assert after.status == "filled" and "missing" not in after.text


def test_of_several_answers_some_are_not_all(content: ReportContent) -> None:
    one = replace(content, facts=_facts(ethics_approval="board 12"))
    assert _row(one, "tripod-ai", "17") == Answer("partly", "given-openness", "missing: consent")
    both = replace(content, facts=_facts(ethics_approval="board 12", consent="waived"))
    assert _row(both, "tripod-ai", "17").status == "filled"


def test_an_answer_may_say_that_an_item_does_not_apply(content: ReportContent) -> None:
    said = replace(content, facts=_facts(registration="n.a., no trial"))
    assert _row(said, "claim-2024", "34").status == "n.a."
    assert _row(said, "claim-2024", "34").text == "no trial"
    assert "Registration" not in not_reported(said)


def test_the_title_is_looked_at(content: ReportContent) -> None:
    assert _row(content, "claim-2024", "1").status == NOT_REPORTED
    named = replace(content, title="Deep learning for pneumonia")
    assert _row(named, "claim-2024", "1").status == "filled"
    assert _row(named, "tripod-ai", "1").text.startswith("the title names PNEUMONIA")
    assert _row(replace(content, title="A study of chairs"), "claim-2024", "1").status == NOT_REPORTED


def test_with_every_question_answered_nothing_is_left_to_people(content: ReportContent) -> None:
    told = replace(content, facts=_facts(**dict.fromkeys(QUESTIONS, "an answer")))
    assert not_reported(told) == ()
    for name in GUIDELINES.names():
        for row in _filled(told, name).rows:
            if row.answer.status == NOT_REPORTED:
                assert row.answer.where == "" and row.answer.text, (
                    row
                )  # such as robustness: nobody but the tool can fill it


def test_every_place_is_a_section_of_the_page(content: ReportContent) -> None:
    page = render_page(content)
    anchors = set(re.findall(r'<(?:section|header|div)[^>]* id="([^"]+)"', page))
    links = re.findall(r'<a class="place" href="#([^"]+)">', page)
    assert len(links) > 60
    assert set(links) <= anchors
    for name in GUIDELINES.names():
        for row in _filled(content, name).rows:
            if row.answer.status in ("filled", "partly"):
                assert row.answer.where in anchors, row


def test_absent_answers_are_shown_in_the_same_words_and_counted_among_the_limits(
    content: ReportContent,
) -> None:
    page = render_page(content)
    missing = len(not_reported(content))
    (listed,) = re.findall(rf"<strong>{NOT_REPORTED}:</strong> ([^<]*)\.</p>", _section(page, "authors"))
    assert len(listed.split("; ")) == len(QUESTIONS)
    assert f"{missing} of the {asked()} facts" in _section(page, "limits")
    told = render_page(replace(content, facts=_facts(funding="<b>A fund</b>\nand another")))
    assert "&lt;b&gt;A fund&lt;/b&gt;<br>and another" in told
    assert f"{missing - 1} of the {asked()} facts" in told


def _section(page: str, anchor: str) -> str:
    return page[page.index(f'<section id="{anchor}">') :].partition("</section>")[0]


def test_items_without_an_answer_are_one_paragraph_and_no_rows(content: ReportContent) -> None:
    told = _section(render_page(content), "checklists")
    assert NOT_REPORTED not in " ".join(re.findall(r"<tr.*?</tr>", told, flags=re.DOTALL))
    absent = re.findall(rf"<strong>{NOT_REPORTED}:</strong> (.*?)</p>", told)
    for name, items in zip(GUIDELINES.names(), absent, strict=True):
        open_items = [r.title for r in _filled(content, name).rows if r.answer.status == NOT_REPORTED]
        assert all(title in items for title in open_items)


def test_no_list_promises_too_much(content: ReportContent) -> None:
    for name in GUIDELINES.names():
        for row in _filled(content, name).rows:
            words = f"{row.title} {row.answer.text}".lower()
            assert not re.search(r"\b(complian\w*|validated|safe|ground truth)\b", words), row
