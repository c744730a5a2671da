"""The page: complete, self-contained, and nothing in it that a class name could break."""

import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from medimg_cli.errors import UsageError
from medimg_cli.evaluation.evaluation import read_evaluation, write_evaluation
from medimg_cli.reporting.content import STATEMENT, ReportContent
from medimg_cli.reporting.page import render_page, sections
from medimg_cli.reporting.tables.number_format import measured, point
from medimg_cli.stages.report import gather
from medimg_cli.workspace.files import sha256_of_file, templates_dir
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import Cohort, make_cohort

HOSTILE = ("<script>alert(1)</script>", "\"><img src=x onerror=alert(2)> & 'co'")
SVG = "{http://www.w3.org/2000/svg}"


def _content(cohort: Cohort) -> ReportContent:
    return gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")


def _page(cohort: Cohort) -> str:
    return render_page(_content(cohort))


class _Text(HTMLParser):
    """Collects what a reader sees, and every tag and attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def binary(tmp_path: Path) -> Cohort:
    return make_cohort(tmp_path)


def test_the_headline_stands_before_any_other_number(binary: Cohort) -> None:
    text = _Text(_page(binary)).text
    first = text.index("92.5 % (85.5–97.5)")
    assert text.index("missed 3 of 40") > first
    assert all(text.index(word) > first for word in ("Specificity", "AUROC", "1 Who was tested"))


def test_every_number_of_the_evaluation_stands_on_the_page(binary: Cohort) -> None:
    page = _page(binary)
    text = _Text(page).text
    for name, estimate in binary.evaluation.metrics.items():
        expected = "not defined" if estimate.value is None else point(name, estimate)
        assert expected in text, name
    for figures in binary.evaluation.per_class.values():
        for name, estimate in figures.items():
            assert measured(name, estimate) in text
    assert binary.evaluation.confusion is not None
    (right, alarms), (missed, found) = binary.evaluation.confusion.matrix
    assert f"{found} found {missed} missed" in text and f"{alarms} false alarms {right} right" in text


def test_sections_stand_in_the_fixed_order(binary: Cohort) -> None:
    headings = re.findall(r"<h2><span class=\"count\">\w+</span> (.+?)</h2>", _page(binary))
    assert headings == [
        "Who was tested",
        "Each class",
        "Curves",
        "Calibration",
        "Missed cases",
        "Patients and subgroups",
        "Limits",
        "Every measure",
        "Operating threshold",
        "Model and training",
        "Reference standard and label audit",
        "Usefulness",
        "Abstention",
        "Shift, robustness and external testing",
        "Explanations and their sanity check",
        "Baselines and comparison",
        "Further cases and groups",
        "Facts from the authors",
        "Reporting checklists",
        "Provenance",
        "How to read this report",
        "References",
    ]


def test_every_drawing_is_well_formed_and_has_a_title(binary: Cohort) -> None:
    drawings = re.findall(r"<svg.*?</svg>", _page(binary), flags=re.DOTALL)
    assert len(drawings) == 6
    for drawing in drawings:
        title = ElementTree.fromstring(drawing).find(f"{SVG}title")
        assert title is not None and title.text


def test_the_page_loads_nothing_and_runs_nothing(binary: Cohort) -> None:
    page = _Text(_page(binary))
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    loaded = [value or "" for name, value in page.attributes if name in ("src", "action")]
    assert loaded and all(address.startswith("data:image/jpeg;base64,") for address in loaded)
    linked = [value or "" for name, value in page.attributes if name == "href"]
    assert linked and all(address.startswith(("#", "https://doi.org/10.")) for address in linked)
    assert "url(" not in _page(binary) and "@import" not in _page(binary)


def test_hostile_class_names_and_ids_are_shown_as_text(tmp_path: Path) -> None:
    cohort = make_cohort(tmp_path, classes=HOSTILE, positive=HOSTILE[1])
    table = cohort.run.predictions_path("test")
    table.write_text(
        table.read_text(encoding="utf-8").replace("test-0-000,", "<b onclick=x>id</b>,"), encoding="utf-8"
    )
    evaluation = read_evaluation(cohort.run, "test")
    assert evaluation is not None
    sealed = evaluation.model_copy(update={"predictions_sha256": sha256_of_file(table)})
    write_evaluation(cohort.run.metrics_path("test"), sealed)
    page = _Text(_page(cohort))
    assert not {"script", "b"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "<b onclick=x>id</b>" in page.text
    assert HOSTILE[0] in page.text


def test_the_statement_closes_the_page_and_runs_below_printed_pages(binary: Cohort) -> None:
    page = _page(binary)
    assert page.count(STATEMENT) == 2
    assert page.rstrip().endswith(f"<p>{STATEMENT}</p></footer>\n</body>\n</html>")


@pytest.mark.parametrize("positive", ["PNEUMONIA", None])
def test_words_that_promise_too_much_never_appear(tmp_path: Path, positive: str | None) -> None:
    text = _Text(_page(make_cohort(tmp_path, positive=positive))).text.lower()
    assert not re.findall(r"\b(validated|compliant|safe|safely|anonymous|ground truth|fda)\b", text)


def test_no_source_path_and_no_setting_of_other_sections_is_printed(binary: Cohort) -> None:
    page = _page(binary)
    assert "chest_xray" in page
    assert "/home/someone" not in page
    assert "images are called by their files and folders as the source has them" in page


def test_the_same_content_gives_the_same_page(binary: Cohort) -> None:
    assert _page(binary) == _page(binary)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ("a", "b", "c"), "positive": None}, "weakest class: c"),
        ({"missed": 0}, "rule of three"),
        ({"missed": 0}, "0 of 40"),
        ({"audited": False}, "Not run."),
        ({"per_class": 12}, "few positives: 12"),
        ({"classes": tuple(f"class {index}" for index in range(24)), "positive": None, "per_class": 2}, "cannot be read on a page"),
    ],
)  # fmt: skip
def test_odd_cohorts_are_reported_too(tmp_path: Path, options: dict[str, object], words: str) -> None:
    assert words in _Text(_page(make_cohort(tmp_path, **options))).text  # type: ignore[arg-type]


def test_a_run_without_data_set_predictions_history_or_settings_is_reported(binary: Cohort) -> None:
    content = _content(binary)
    bare = ReportContent(
        **{
            **vars(content),
            "dataset": None,
            "audit": None,
            "cases": (),
            "settings": {},
            "history": content.history[:0],
        }
    )
    text = _Text(render_page(bare)).text
    assert "The data set is not in this workspace" in text
    assert "No training history was recorded" in text
    assert "The predictions of single images were not kept" in text


def test_a_folder_of_templates_replaces_single_files(binary: Cohort, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "sections"
    folder.mkdir(parents=True)
    (folder / "limits.html").write_text("<p>Our own words on {{ evaluation.run }}.</p>", encoding="utf-8")
    text = _Text(render_page(_content(binary), templates=folder.parent)).text
    assert "Our own words on small-cnn-1." in text
    assert "1 Who was tested" in text


@pytest.mark.parametrize("body", ["{{ nowhere }}", "{% if %}", "{% include 'absent.html' %}"])
def test_a_broken_template_is_told_in_one_line(binary: Cohort, tmp_path: Path, body: str) -> None:
    folder = tmp_path / "mine" / "sections"
    folder.mkdir(parents=True)
    (folder / "limits.html").write_text(body, encoding="utf-8")
    with pytest.raises(UsageError, match="--templates"):
        render_page(_content(binary), templates=folder.parent)


def test_a_missing_folder_of_templates_is_told(binary: Cohort, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a folder"):
        render_page(_content(binary), templates=tmp_path / "absent")


def test_each_section_has_a_template_and_each_template_a_section(binary: Cohort) -> None:
    found = {path.stem for path in (templates_dir() / "report" / "sections").glob("*.html")}
    assert found == {section.anchor for section in sections(_content(binary))}
