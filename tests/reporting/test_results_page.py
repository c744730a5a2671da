"""The page of an evaluation that has a result of every analysis, and of one that has none."""

import html
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from pydantic import BaseModel

from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.page import render_page
from medimg_cli.reporting.tables.number_format import change, measured, number
from medimg_cli.stages.report import gather
from medimg_cli.statistics.estimate import Estimate
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import make_cohort
from tests.reporting.results import comparison, label_set, with_every_result

ANALYSES = (
    "calibration", "histograms", "operating", "decision_curves", "abstention", "conformal", "patient_level",
    "subgroups", "shift", "robustness", "baselines", "comparison",
)  # fmt: skip


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    cohort = make_cohort(tmp_path_factory.mktemp("study"))
    found = gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")
    return replace(found, evaluation=with_every_result(found.evaluation))


@pytest.fixture(scope="module")
def page(content: ReportContent) -> str:
    return render_page(content)


class _Words(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def _text(page: str) -> str:
    return re.sub(r"\s+", " ", " ".join(_Words(page).words))


def _section(page: str, anchor: str) -> str:
    return _text(page[page.index(f'<section id="{anchor}">') :].partition("</section>")[0])


def _estimates(found: BaseModel | dict | tuple) -> Iterator[Estimate]:  # type: ignore[type-arg]
    """Return every estimate of a result, however deep."""
    if isinstance(found, Estimate):
        yield found
        return
    parts = (
        found
        if isinstance(found, tuple)
        else found.values()
        if isinstance(found, dict)
        else vars(found).values()
    )
    for part in parts:
        if isinstance(part, BaseModel | dict | tuple):
            yield from _estimates(part)


@pytest.mark.parametrize("analysis", ANALYSES)
def test_every_estimate_of_an_analysis_stands_on_the_page(
    content: ReportContent, page: str, analysis: str
) -> None:
    text = _text(page)
    for estimate in _estimates(getattr(content.evaluation, analysis)):
        spelt = {measured("share", estimate), measured("auroc", estimate)}
        spelt |= {change("share", estimate), change("auroc", estimate)}
        if estimate.low is not None and estimate.value is not None:
            spelt.add(f"{number(estimate.value, 1)} (")  # a mean of counts
        assert any(each in text for each in spelt), estimate


def test_numbers_without_an_interval_stand_on_the_page_too(page: str) -> None:
    for anchor, figures in {
        "calibration": ("0.182", "0.251", "1.371", "0.2 0.4"),
        "usefulness": ("from 0.12 to 0.47", "1.3 %", "50.0 %"),
        "abstention": ("0.0123", "0.2134", "0.3456", "41", "39", "1.09"),
        "subgroups": ("age, device", "+17.1"),
        "further": ("48",),
        "robustness": ("0.238 large", "74.1 %", "sigma 2 px", "(64 x 64, grey)"),
        "comparison": ("0.219", "0.438", "5 / 3", "width, sex"),
        "performance": ("0.9641", "0.9123", "0.4123", "images taken as independent"),
    }.items():
        said = _section(page, anchor)
        assert [figure for figure in figures if figure not in said] == [], anchor


def test_every_drawing_has_a_title_and_every_figure_says_how_to_read_it(page: str) -> None:
    drawings = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    assert len(drawings) == 6 + 5
    for drawing in drawings:
        title = ElementTree.fromstring(drawing).find("{http://www.w3.org/2000/svg}title")
        assert title is not None and title.text
    captions = re.findall(r'<figure class="chart.*?<figcaption>(.*?)</figcaption>', page, flags=re.DOTALL)
    assert len(captions) == len(drawings)
    assert all("How to read: " in caption for caption in captions)


def test_no_patient_is_named(page: str) -> None:
    assert "person" not in _section(page, "subgroups")


def test_what_was_not_done_says_why_and_stands_in_one_list(content: ReportContent) -> None:
    nothing = dict.fromkeys(ANALYSES)
    reasons = {"robustness": "ask for it with --robustness", "label_set": "each image has one label"}
    bare = content.evaluation.model_copy(update={**nothing, "not_run": reasons, "threshold": None})
    page = render_page(replace(content, evaluation=bare))
    assert "Not done: ask for it with --robustness." in _section(page, "robustness")
    for anchor in ("calibration", "usefulness", "abstention", "subgroups", "comparison"):
        assert "Not done: not part of this evaluation" in _section(page, anchor)
    told = _section(page, "limits")
    assert "Disturbed images Ask for it with --robustness." in told
    assert "Audit check shortcuts Needs the column 'site'." in told
    assert "Near duplicates between splits Not searched for." in told
    assert "one label" not in told


def test_external_evaluations_stand_beside_the_internal_one(content: ReportContent) -> None:
    external = content.evaluation.model_copy(update={"split": "external-hospital_b", "n": 77})
    page = render_page(replace(content, external=(external,)))
    assert "hospital_b 77" in _section(page, "robustness")
    there = render_page(replace(content, evaluation=external))
    assert "The tested images are none of these: 77 images from elsewhere" in _section(there, "data")


def test_several_labels_say_how_they_go_together(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path)
    found = gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")
    labels = found.evaluation.model_copy(update={"label_set": label_set()})
    said = _section(render_page(replace(found, evaluation=labels)), "classes")
    assert "1.42 by the reference standard" in said
    assert measured("share", label_set().exact_match) in said
    assert "PNEUMONIA 13 54" in said


@pytest.mark.parametrize("positive", ["lower_case", None])
def test_a_class_keeps_its_spelling_everywhere_in_the_report(tmp_path: Path, positive: str | None) -> None:
    names = ("No_tumor", "lower_case", "50%|B", '"Q" <b>x', "\u05d0_\u05d1", "x__Y")
    cohort = make_cohort(tmp_path, classes=names, positive=positive, per_class=12, missed=1)
    content = gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")
    of_labels = comparison()
    rows = [of_labels.differences[0].model_copy(update={"name": f"recall of {name}"}) for name in names]
    compared = of_labels.model_copy(update={"differences": tuple(rows)})
    page = render_page(
        replace(content, evaluation=content.evaluation.model_copy(update={"comparison": compared}))
    )
    text = html.unescape(re.sub(r"<[^>]*>", " ", page))
    for name in names:
        written = {
            found[0] for found in re.finditer(re.escape(name).replace("_", "[_ ]"), text, re.IGNORECASE)
        }
        assert written == {name}
