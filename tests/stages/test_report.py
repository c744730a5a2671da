"""The report stage: from a run's folder to a page and a PDF."""

import json
import re
import sys
from io import BytesIO
from pathlib import Path

import pandas as pd
import pytest
from pypdf import PdfReader
from pypdf.generic import DictionaryObject, StreamObject

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import ExitCode, RunError, UsageError
from medimg_cli.evaluation.evaluation import Evaluation, read_evaluation, write_evaluation
from medimg_cli.reporting.content import STATEMENT
from medimg_cli.reporting.tables.number_format import measured
from medimg_cli.reporting.tables.number_format import number as shown
from medimg_cli.runs.run import Run
from medimg_cli.stages.report import gather, report
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import Cohort, make_cohort

SETTINGS = ReportSettings(title="Pneumonia on chest films", author="A. Author")


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return make_cohort(tmp_path / "study")


def _html(cohort: Cohort, target: Path, settings: ReportSettings = SETTINGS) -> str:
    report(cohort.workspace, cohort.run, [target], settings)
    return target.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one report as eval.html, eval.PDF and, written a second time, again.html."""
    folder = tmp_path_factory.mktemp("report")
    cohort = make_cohort(folder / "study")
    outputs = [folder / "out" / name for name in ("eval.html", "eval.PDF", "again.html")]
    result = report(cohort.workspace, cohort.run, outputs, SETTINGS)
    beside = outputs[1].with_name("eval-appendix.PDF")
    assert result.outputs == (outputs[0], outputs[1], beside, outputs[2])
    assert "Intended use" in result.not_reported
    return folder / "out"


def test_one_call_writes_html_and_pdf_with_the_same_headline(written: Path) -> None:
    cover = re.sub(r"\s+", " ", PdfReader(written / "eval.PDF").pages[0].extract_text())
    assert "92.5 % (85.5–97.5)" in cover
    assert "missed 3 of 40" in cover
    assert '<span class="value">92.5 %</span>' in (written / "eval.html").read_text(encoding="utf-8")


def test_the_headline_in_the_pdf_is_that_of_the_json_it_carries(written: Path) -> None:
    reader = PdfReader(written / "eval.PDF")
    evaluation = Evaluation.model_validate_json(reader.attachments["metrics-test.json"][0])
    cover = re.sub(r"\s+", " ", reader.pages[0].extract_text())
    recall, missed = evaluation.metrics["recall"], evaluation.missed
    assert missed is not None
    assert measured("recall", recall) in cover
    assert f"missed {missed.count} of {missed.of}" in cover
    assert evaluation.threshold is not None
    assert shown(evaluation.threshold.value) in cover
    assert all(measured(name, evaluation.metrics[name]) in cover for name in ("specificity", "auroc"))


def test_the_pdf_carries_every_answer_but_no_path(written: Path) -> None:
    reader = PdfReader(written / "eval.PDF")
    attached = reader.attachments["predictions-test.csv"][0]
    table = pd.read_csv(BytesIO(attached))
    assert len(table) == 80 and "path" not in table
    assert table["patient_id"].iloc[0] == "patient-1"
    assert b"images/" not in attached


def test_the_report_has_eight_pages_at_most_and_the_first_is_the_verdict(written: Path) -> None:
    pages = [re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(written / "eval.PDF").pages]
    assert len(pages) <= 8
    assert "Images by reference standard and answer" in pages[0] and "Who was tested" not in pages[0]
    assert "1 Who was tested" in pages[1]
    appendix = [
        re.sub(r"\s+", " ", page.extract_text()) for page in PdfReader(written / "eval-appendix.PDF").pages
    ]
    assert "Appendix of the evaluation report" in appendix[0] and "Provenance" in " ".join(appendix)


@pytest.mark.parametrize(("where", "names"), [("inside", ["e.html", "e.pdf"]), ("none", ["e.html", "e.pdf"]), ("separate", ["e-appendix.html", "e-appendix.pdf", "e.html", "e.pdf"])])  # fmt: skip
def test_the_appendix_stands_where_it_is_asked_for(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str, names: list[str]
) -> None:
    monkeypatch.setattr("medimg_cli.stages.report.write_pdf", lambda target, *_: target.write_bytes(b"%PDF"))
    settings = ReportSettings.model_validate({"appendix": where})
    folder = tmp_path / "out"
    report(cohort.workspace, cohort.run, [folder / "e.html", folder / "e.pdf"], settings)
    assert sorted(path.name for path in folder.iterdir()) == names
    page = (folder / "e.html").read_text(encoding="utf-8")
    assert ('<section id="provenance">' in page) == (where == "inside")
    if where == "separate":
        beside = (folder / "e-appendix.html").read_text(encoding="utf-8")
        links = set(re.findall(r'href="#([^"]+)"', beside))
        assert links <= set(re.findall(r' id="([^"]+)"', beside))
        assert '<section id="provenance">' in beside and '<section id="limits">' not in beside


def test_page_1_tells_how_often_the_images_were_looked_at_and_what_weighs_most(
    cohort: Cohort, tmp_path: Path
) -> None:
    page = _html(cohort, tmp_path / "eval.html").partition("<section")[0]
    assert "These images of test were not looked at before." in page
    assert "<strong>One place.</strong>" in page


def test_tags_language_and_bookmarks_are_those_of_an_accessible_document(written: Path) -> None:
    reader = PdfReader(written / "eval.PDF")
    catalog = reader.trailer["/Root"].get_object()
    assert isinstance(catalog, DictionaryObject)
    assert {"/StructTreeRoot", "/MarkInfo", "/Outlines", "/Metadata"} <= set(catalog)
    assert str(catalog["/Lang"]) == "en"
    metadata = catalog["/Metadata"].get_object()
    assert isinstance(metadata, StreamObject)
    assert b'pdfuaid:part="1"' in metadata.get_data()


def test_nothing_but_the_report_is_left_in_its_folder(written: Path) -> None:
    names = ["again.html", "eval-appendix.PDF", "eval.PDF", "eval.html"]
    assert sorted(path.name for path in written.iterdir()) == names


def test_a_pdf_has_statement_page_numbers_bookmarks_and_the_evaluation(written: Path) -> None:
    reader = PdfReader(written / "eval.PDF")
    for number, page in enumerate(reader.pages, start=1):
        text = re.sub(r"\s+", " ", page.extract_text())
        assert STATEMENT in text
        assert f"{number} of {len(reader.pages)}" in text
        assert ("films · run small-cnn-1" in text) == (number > 1)
    titles = [entry.title for entry in _flat(reader.outline)]
    assert titles[0] == "Pneumonia on chest films"
    headings = [re.sub(r"^\d+\s+", "", title) for title in titles]
    assert headings[1:3] == ["Who was tested", "Each class"] and "Provenance" not in headings
    attached = json.loads(reader.attachments["metrics-test.json"][0])
    assert attached["missed"]["count"] == 3
    assert reader.metadata is not None
    assert (reader.metadata.title, reader.metadata.author) == ("Pneumonia on chest films", "A. Author")


def _flat(outline: list) -> list:  # type: ignore[type-arg]
    return [leaf for entry in outline for leaf in (_flat(entry) if isinstance(entry, list) else [entry])]


def test_the_same_run_gives_the_same_page(written: Path) -> None:
    assert (written / "eval.html").read_bytes() == (written / "again.html").read_bytes()


def test_another_suffix_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    absent = make_cohort(tmp_path / "study")
    with pytest.raises(UsageError) as caught:
        report(absent.workspace, Run(tmp_path / "nowhere"), [tmp_path / "eval.docx"], SETTINGS)
    assert caught.value.exit_code is ExitCode.USAGE
    assert "'.docx'" in caught.value.what
    assert ".pdf" in caught.value.hint


def test_a_run_without_evaluation_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no evaluation of 'val'"):
        report(cohort.workspace, cohort.run, [tmp_path / "eval.html"], SETTINGS, split="val")
    assert not (tmp_path / "eval.html").exists()


def test_answers_that_are_not_those_of_the_evaluation_are_refused(cohort: Cohort, tmp_path: Path) -> None:
    path = cohort.run.predictions_path("test")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RunError, match="not what the evaluation is of") as refused:
        _html(cohort, tmp_path / "eval.html")
    assert refused.value.hint == "run `medimg evaluate` again"
    assert refused.value.exit_code == ExitCode.RUN


def test_a_vanished_image_leaves_a_labelled_empty_frame(cohort: Cohort, tmp_path: Path) -> None:
    (cohort.workspace.root / "images" / "test-1-000.png").unlink()
    (cohort.workspace.root / "images" / "test-1-001.png").write_bytes(b"not an image")
    page = _html(cohort, tmp_path / "eval.html")
    assert page.count('<span class="empty">No picture: ') == 2
    assert page.count('<img src="data:image/jpeg;base64,') == 3
    assert "test-1-000" in page


def test_missed_images_and_false_alarms_are_shown_with_probability(cohort: Cohort, tmp_path: Path) -> None:
    page = _html(cohort, tmp_path / "eval.html")
    assert page.count('<figure class="case">') == 5
    assert 'alt="test-1-000: reference PNEUMONIA, predicted NORMAL"' in page
    assert re.search(r"test-1-000</span><br>PNEUMONIA, called NORMAL<br>p = 0\.022", page)


def test_a_changed_data_set_and_model_are_told_on_the_cover(cohort: Cohort, tmp_path: Path) -> None:
    evaluation = read_evaluation(cohort.run, "test")
    assert evaluation is not None
    stale = evaluation.model_copy(update={"dataset_hash": "0" * 64, "weights_sha256": "1" * 64})
    write_evaluation(cohort.run.metrics_path("test"), stale)
    cover = _html(cohort, tmp_path / "eval.html").partition("<section")[0]
    assert "The data set has changed since this evaluation" in cover
    assert "The model has changed since this evaluation" in cover


def test_title_and_author_are_optional(cohort: Cohort, tmp_path: Path) -> None:
    page = _html(cohort, tmp_path / "eval.html", ReportSettings())
    assert "<h1>Detection of PNEUMONIA in medical images</h1>" in page
    assert "reported by" not in page


def test_a_run_whose_files_are_gone_is_reported_from_what_is_left(cohort: Cohort, tmp_path: Path) -> None:
    for path in (cohort.run.config_path, cohort.run.history_path, cohort.run.predictions_path("test")):
        path.unlink()
    cohort.workspace.manifest_path.unlink()
    page = _html(cohort, tmp_path / "eval.html")
    assert "The data set is not in this workspace" in page
    assert "92.5 %" in page


def test_a_broken_training_configuration_names_its_file(cohort: Cohort, tmp_path: Path) -> None:
    cohort.run.config_path.write_text("train: [", encoding="utf-8")
    with pytest.raises(RunError, match=re.escape("config.yaml cannot be read")):
        _html(cohort, tmp_path / "eval.html")


def test_facts_are_found_in_the_workspace_or_in_the_file_that_is_named(
    cohort: Cohort, tmp_path: Path
) -> None:
    cohort.workspace.facts_path.write_text("openness: {funding: A fund}", encoding="utf-8")
    assert "<td>A fund</td>" in _html(cohort, tmp_path / "eval.html")
    other = tmp_path / "other.yaml"
    other.write_text("openness: {funding: Another fund}", encoding="utf-8")
    named = _html(cohort, tmp_path / "eval.html", ReportSettings(facts=other))
    assert "<td>Another fund</td>" in named and "<td>A fund</td>" not in named
    with pytest.raises(UsageError, match="cannot read"):
        _html(cohort, tmp_path / "eval.html", ReportSettings(facts=tmp_path / "absent.yaml"))


def test_what_is_not_reported_is_returned_until_somebody_says_it(cohort: Cohort, tmp_path: Path) -> None:
    target = tmp_path / "card.md"
    before = report(cohort.workspace, cohort.run, [], SETTINGS, card=target).not_reported
    cohort.workspace.facts_path.write_text("openness: {funding: A fund}", encoding="utf-8")
    after = report(cohort.workspace, cohort.run, [], SETTINGS, card=target).not_reported
    assert set(before) - set(after) == {"Funding"}


def test_card_and_datasheet_are_written_beside_or_without_a_report(cohort: Cohort, tmp_path: Path) -> None:
    card, sheet = tmp_path / "model-card.md", tmp_path / "datasheet.md"
    result = report(cohort.workspace, cohort.run, [], SETTINGS, card=card, datasheet=sheet)
    described = tmp_path / "datasheet.json"
    assert result.outputs == (card, sheet, described)
    told = json.loads(described.read_text(encoding="utf-8"))
    (table,) = told["distribution"]
    assert (described.parent / table["contentUrl"]).resolve() == cohort.workspace.manifest_path.resolve()
    assert told["identifier"] == f"sha256:{read_dataset(cohort.workspace).info.content_hash}"
    assert card.read_text(encoding="utf-8").startswith("---\nlibrary_name: medimg\n")
    assert sheet.read_text(encoding="utf-8").startswith("# Datasheet")
    with pytest.raises(UsageError, match="are Markdown"):
        report(cohort.workspace, cohort.run, [], SETTINGS, card=tmp_path / "card.pdf")


def test_external_evaluations_of_the_run_are_gathered(cohort: Cohort) -> None:
    outside = cohort.evaluation.model_copy(update={"split": "external-b"})
    write_evaluation(cohort.run.metrics_path("external-b"), outside)
    content = gather(cohort.workspace, cohort.run, SETTINGS, SilentProgress(), split="test")
    assert [each.split for each in content.external] == ["external-b"]


def test_html_needs_no_weasyprint(cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    assert "</html>" in _html(cohort, tmp_path / "eval.html")
