"""What is said of an answer and of a threshold, on the model card and in the PDF."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from medimg_cli.reporting.pdf import write_pdf
from medimg_cli.web.serving.page import Result, result_page
from medimg_cli.web.serving.sentences import flag_in_words, said_of, threshold_in_words
from medimg_cli.web.serving.translations import languages, words_of
from tests.web.reading import ENTRY, FACTS, REFUSED, picture_file

SOMEDAY = date(2026, 2, 1)


def test_a_flag_of_a_later_version_keeps_its_name() -> None:
    assert flag_in_words("upside-down", words_of("en"))[0] == "upside-down"


@pytest.mark.parametrize(
    ("recall", "found", "missed"),
    [
        (0.954, "found 95 of", "missed 5 of"),
        (0.945, "found 95 of", "missed 5 of"),
        (1.0, "found 100 of", "missed none"),
        (0.9987, "found more than 99 of", "missed less than 1 of"),
        (0.0, "found 0 of", "missed 100 of"),
        (0.003, "found less than 1 of", "missed more than 99 of"),
    ],
)
def test_what_a_threshold_means_never_rounds_a_miss_away(recall: float, found: str, missed: str) -> None:
    threshold = FACTS["threshold"] | {"achieved_recall": recall}
    text = " ".join(threshold_in_words(threshold, "PNEUMONIA", words_of("en")))
    assert found in text
    assert missed in text


def test_a_threshold_that_was_given_claims_nothing() -> None:
    given = {"value": 0.5, "split": "", "achieved_recall": None, "achieved_specificity": None}
    assert threshold_in_words(given, "X", words_of("en")) == (words_of("en")("result.unmeasured"),)


def test_no_probability_reads_as_certain() -> None:
    words = words_of("en")
    assert words.probability(1.0) == words.probability(0.99996) == "more than 99.9%"
    assert words.probability(0.0) == "less than 0.1%"
    assert words_of("de").probability(0.9345) == "93,5\u00a0%"
    assert words_of("vi").probability(0.25) == "25,0%"


def test_a_refused_image_has_no_bars_and_no_class() -> None:
    said = said_of(REFUSED, FACTS, words_of("en"))
    assert (said.bars, said.tone) == ((), "refer")
    assert said.headline == "No answer: unlike the images the model learnt from"
    assert "PNEUMONIA" not in repr(said)


def test_the_positive_class_comes_first() -> None:
    said = said_of(ENTRY | {"probabilities": {"A": 0.9, "PNEUMONIA": 0.02, "B": 0.08}}, FACTS, words_of("en"))
    assert [bar.name for bar in said.bars] == ["PNEUMONIA", "A", "B"]
    assert [bar.threshold for bar in said.bars] == [0.42, None, None]


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        ({"decision": "negative"}, "Negative for PNEUMONIA"),
        ({"decision": "refer"}, "A person has to look at this image"),
        ({"decision": None}, "PNEUMONIA"),
        ({"status": "unreadable", "error": "empty"}, "This file could not be read"),
        ({"status": "unreadable", "error": "internal"}, "No answer to this file"),
    ],
)
def test_each_answer_has_its_headline(change: dict[str, Any], headline: str) -> None:
    said = said_of(ENTRY | change, FACTS, words_of("en"))
    assert said.headline == headline
    if change.get("error") is not None:
        assert said.sentences == (words_of("en")(f"error.{change['error']}"),)


def test_several_labels_are_named_and_none_is_said() -> None:
    model = FACTS | {"answers": "sigmoid", "positive": None, "threshold": None}
    said = said_of(ENTRY | {"label": "A|B", "decision": None}, model, words_of("en"))
    assert said.headline == "A, B"
    assert (
        said_of(ENTRY | {"label": "", "decision": None}, model, words_of("en")).headline
        == "No label reached its threshold"
    )


@pytest.mark.parametrize(
    ("language", "headline", "share"),
    [
        ("en", "Positive for PNEUMONIA", "93.1%"),
        ("vi", "Dương tính với PNEUMONIA", "93,1%"),
        ("de", "Positiv für PNEUMONIA", "93,1\u00a0%"),
        ("tlh", "Positive for PNEUMONIA", "93.1%"),
    ],
)
def test_the_pdf_page_has_a_sheet_for_each_image_in_the_language(
    language: str, headline: str, share: str
) -> None:
    html = result_page(FACTS, [Result(ENTRY, b"\x89PNG"), Result(REFUSED, None)], language, SOMEDAY)
    assert html.count('<article class="sheet">') == 2
    assert headline in html and share in html
    assert "2026-02-01" in html and FACTS["weights_sha256"] in html
    assert "data:image/png;base64,iVBORw==" in html
    assert html == result_page(FACTS, [Result(ENTRY, b"\x89PNG"), Result(REFUSED, None)], language, SOMEDAY)


@pytest.mark.parametrize("language", languages())
def test_an_image_takes_one_page_of_the_pdf_however_much_is_said(language: str, tmp_path: Path) -> None:
    flags = ["inverted?", "low-quality", "size-unlike-training", "uncertain"]
    many = {f"class {number}": 0.05 for number in range(19)} | {"PNEUMONIA": 0.05}
    full = ENTRY | {"probabilities": many, "flags": flags, "prediction_set": list(many)[:6]}
    results = [Result(full, picture_file()), Result(REFUSED, picture_file())]
    write_pdf(tmp_path / "result.pdf", result_page(FACTS, results, language, SOMEDAY))
    pages = PdfReader(tmp_path / "result.pdf").pages
    assert len(pages) == 2
    text = " ".join(pages[0].extract_text().split())
    assert words_of(language)("pdf.more", n=12) in text
    assert words_of(language)("notice.text") in text
