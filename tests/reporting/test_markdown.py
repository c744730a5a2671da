"""Model card and datasheet: the head parses, its numbers are the evaluation's, and no sign breaks the page."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

from medimg_cli.errors import UsageError
from medimg_cli.reporting.content import STATEMENT, ReportContent
from medimg_cli.reporting.markdown import as_markdown, render_card, render_datasheet
from medimg_cli.reporting.study_facts import Facts
from medimg_cli.reporting.tables.number_format import measured
from medimg_cli.stages.report import gather
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import make_cohort

CARD_SECTIONS = (
    "Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data",
    "Quantitative analyses", "Ethical considerations", "Caveats and recommendations",
)  # fmt: skip
SHEET_SECTIONS = (
    "Motivation", "Composition", "Collection process", "Preprocessing, cleaning, labelling", "Uses",
    "Distribution", "Maintenance",
)  # fmt: skip


def _content(folder: Path, **options: Any) -> ReportContent:
    cohort = make_cohort(folder, **options)
    return gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> ReportContent:
    return _content(tmp_path_factory.mktemp("markdown") / "study")


def _head(card: str) -> dict[str, Any]:
    start, head, _ = card.split("---\n", 2)
    assert start == ""
    loaded = yaml.safe_load(head)
    assert isinstance(loaded, dict)
    return loaded


def _headings(text: str) -> tuple[str, ...]:
    return tuple(line.removeprefix("## ") for line in text.splitlines() if line.startswith("## "))


def test_the_head_holds_the_numbers_of_the_evaluation(content: ReportContent) -> None:
    head = _head(render_card(content))
    assert (head["library_name"], head["pipeline_tag"]) == ("medimg", "image-classification")
    (model,) = head["model-index"]
    (result,) = model["results"]
    assert model["name"] == content.evaluation.run
    assert result["dataset"]["revision"] == content.evaluation.dataset_hash
    assert result["dataset"]["split"] == "test"
    by_type = {metric["type"]: metric for metric in result["metrics"]}
    defined = {name: each for name, each in content.evaluation.metrics.items() if each.value is not None}
    assert len(by_type) == len(defined) and "matthews_correlation" not in by_type  # which is not defined here
    for name, estimate in defined.items():
        metric = by_type[{"auroc": "roc_auc", "brier": "brier_score"}.get(name, name)]
        assert metric["value"] == estimate.value
        assert metric["args"].get("low") == estimate.low and metric["args"]["n"] == estimate.n


def test_the_text_holds_every_metric_and_all_sections(content: ReportContent) -> None:
    card = render_card(content)
    assert _headings(card) == CARD_SECTIONS
    for name, estimate in content.evaluation.metrics.items():
        assert measured(name, estimate) in card
    assert "**92.5 % (85.5–97.5)**, missed 3 of 40." in card
    assert STATEMENT in card
    assert "- **Intended use:** Not reported\n" in card


def test_answers_and_licence_reach_the_card(content: ReportContent) -> None:
    facts = Facts.model_validate(
        {"purpose": {"intended_use": "Triage\nof films"}, "openness": {"licence": "Apache-2.0"}}
    )
    card = render_card(replace(content, facts=facts))
    assert "- **Intended use:** Triage of films\n" in card
    assert _head(card)["license"] == "apache-2.0"
    own = Facts.model_validate({"openness": {"licence": "ours: ask"}})
    head = _head(render_card(replace(content, facts=own)))
    assert (head["license"], head["license_name"]) == ("other", "ours: ask")
    assert "license" not in _head(render_card(content))


def test_the_datasheet_has_all_sections_and_the_counts_of_the_split(content: ReportContent) -> None:
    sheet = render_datasheet(content)
    assert _headings(sheet) == SHEET_SECTIONS
    assert "| Class | Training | Validation | Test | Total |\n|---|---|---|---|---|\n| NORMAL | 39 |" in sheet
    assert "- **Files that could not be used:** 1\n" in sheet
    assert "/home/someone" not in sheet
    gone = render_datasheet(replace(content, dataset=None, audit=None))
    assert "The data set is not in this workspace" in gone


@pytest.mark.parametrize(
    "options",
    [
        {"classes": ("a", "b", "c"), "positive": None},
        {"classes": ("<b>x</b>|", "`y` & _z_"), "positive": "`y` & _z_"},
        {"audited": False, "patients_known": False},
    ],
)
def test_odd_cohorts_have_cards_whose_tables_hold(tmp_path: Path, options: dict[str, Any]) -> None:
    found = _content(tmp_path / "study", **options)
    for text in (render_card(found), render_datasheet(found)):
        assert "<b>" not in text.replace("\\<b\\>", "")
        lines = text.splitlines()
        for above, line in pairwise(lines):
            if above.startswith("|") and line.startswith("|"):
                assert _cells(above) == _cells(line), line
            assert not line.startswith("|") or above == "" or above.startswith("|"), line
    assert _head(render_card(found))["model-index"]


def _cells(line: str) -> int:
    return line.replace("\\|", "").count("|")


def test_signs_of_markdown_are_shown_and_lines_joined() -> None:
    assert as_markdown(" a\n*b* [c](d) #1") == r" a \*b\* \[c\](d) \#1"


def test_own_templates_take_the_place_of_a_card(content: ReportContent, tmp_path: Path) -> None:
    (tmp_path / "model-card.md").write_text("Ours: {{ evaluation.run }}", encoding="utf-8")
    assert render_card(content, templates=tmp_path) == "Ours: small-cnn-1"
    (tmp_path / "datasheet.md").write_text("{{ nowhere }}", encoding="utf-8")
    with pytest.raises(UsageError, match="--templates"):
        render_datasheet(content, templates=tmp_path)
