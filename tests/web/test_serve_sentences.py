"""What is said of an answer and of a threshold, on the model card and in the PDF."""

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pypdf import PdfReader

from medimg_cli.reporting.pdf import write_pdf
from medimg_cli.web.serving.page import Result, result_page
from medimg_cli.web.serving.sentences import (
    flag_in_words,
    languages,
    measured_in_words,
    prediction_text,
    words_of,
)
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
    text = " ".join(measured_in_words(FACTS | {"threshold": threshold}, words_of("en")))
    assert found in text
    assert missed in text


def test_a_threshold_that_was_given_claims_nothing() -> None:
    given = {"value": 0.5, "split": "", "achieved_recall": None, "achieved_specificity": None}
    assert list(measured_in_words(FACTS | {"threshold": given}, words_of("en"))) == [
        words_of("en")("result.unmeasured")
    ]


TESTED: dict[str, Any] = {
    "n": 120,
    "recall": {"value": 0.9, "low": 0.8, "high": 0.95},
    "specificity": {"value": 0.7, "low": 0.6, "high": 0.78},
    "missed": {"count": 6, "of": 60},
}


def test_what_was_measured_on_test_is_quoted_instead_of_validation() -> None:
    words = words_of("en")
    text = " ".join(measured_in_words(FACTS | {"tested": TESTED}, words))
    assert "found 54 of 60 images with PNEUMONIA in the test images" in text
    assert "It missed 6: below the limit" in text
    assert (
        "Sensitivity 90.0% (95% interval 80.0 to 95.0), specificity 70.0% (95% interval 60.0 to 78.0)" in text
    )
    assert "120 test images that the model had not seen" in text
    assert "validation" not in text
    untested = " ".join(measured_in_words(FACTS, words))
    assert "not measured on test images" in untested and "the validation images" in untested


def test_of_few_images_their_own_number_is_told() -> None:
    specificity = {"value": 0.5, "low": 0.19, "high": 0.81}
    few = TESTED | {"n": 9, "missed": {"count": 2, "of": 3}, "specificity": specificity}
    text = " ".join(measured_in_words(FACTS | {"tested": few}, words_of("en")))
    assert "found 1 of 3 images with PNEUMONIA in the test images, and counted 3 of 6 others" in text
    chosen = FACTS["threshold"] | {"achieved_recall": 0.75, "positives": [4, 4]}
    text = " ".join(measured_in_words(FACTS | {"threshold": chosen}, words_of("en")))
    assert "found 3 of 4 images" in text and "It missed 1 of 4:" in text
    many = FACTS["threshold"] | {"achieved_recall": 0.75, "positives": [80, 80]}
    text = " ".join(measured_in_words(FACTS | {"threshold": many}, words_of("en")))
    assert "found 75 of 100 images" in text and "It missed 25 of 100:" in text


def test_predictive_values_are_those_of_a_prevalence_that_the_place_has_set() -> None:
    """By Bayes: .9 x .1 / (.9 x .1 + .3 x .9) = .25 and .7 x .9 / (.7 x .9 + .1 x .1) = .984."""
    *_, said = measured_in_words(FACTS | {"tested": TESTED, "prevalence": 0.1}, words_of("en"))
    assert "At a prevalence of 10.0%" in said
    assert "a probability of 25.0% (between 18.2 and 32.4 at the ends of these intervals)" in said
    assert "does not have it with 98.4% (between 96.4 and 99.3 at the ends of these intervals)" in said
    *_, without = measured_in_words(FACTS | {"tested": TESTED}, words_of("en"))
    assert "prevalence" not in without


def test_several_classes_that_are_the_disease_are_held_against_their_limit_together() -> None:
    model = FACTS | {"classes": ["A", "B", "C"], "positive": "A,B"}
    entry = ENTRY | {"probabilities": {"A": 0.3, "B": 0.25, "C": 0.45}, "label": "A", "confidence": 0.3}
    said = prediction_text(entry, model, words_of("en"))
    assert said.headline == "A / B 55.0%, at or above the limit of 42.0%"
    assert said.sentences[1] == "Class it names: A, 30.0%."
    assert [(bar.name, bar.threshold) for bar in said.bars] == [("A", None), ("B", None), ("C", None)]


def test_a_refusal_says_how_unlike_the_image_is_and_what_to_do() -> None:
    entry = REFUSED | {"unlike": {"texture": 2.43, "colour": float("inf"), "content": None}}
    text = " ".join(prediction_text(entry, FACTS, words_of("en")).sentences)
    assert "by its grey values, sharpness and texture: 2.4 times the limit" in text
    assert "by its colour: more than 100 times the limit" in text
    assert "What to do: check that it is the right kind of image" in text
    broken = prediction_text(REFUSED | {"flags": []}, FACTS, words_of("en"))
    assert broken.headline == "No answer: the model's output is not a number"


def test_a_probability_just_below_its_limit_does_not_read_as_equal_to_it() -> None:
    entry = ENTRY | {"decision": "negative", "probabilities": {"NORMAL": 0.58004, "PNEUMONIA": 0.41996}}
    said = prediction_text(entry, FACTS, words_of("en"))
    assert said.headline == "PNEUMONIA 41.996%, below the limit of 42.000%"
    assert (said.bars[0].said, "42.000%" in said.bars[0].limit) == ("41.996%", True)


def test_no_probability_reads_as_certain() -> None:
    words = words_of("en")
    assert words.probability(1.0) == words.probability(0.99996) == "more than 99.9%"
    assert words.probability(0.0) == "less than 0.1%"
    assert words_of("de").probability(0.9345) == "93,5\u00a0%"
    assert words_of("vi").probability(0.25) == "25,0%"


def test_a_refused_image_has_no_bars_and_no_class() -> None:
    said = prediction_text(REFUSED, FACTS, words_of("en"))
    assert (said.bars, said.tone) == ((), "refer")
    assert said.headline == "No answer: unlike the images the model learnt from"
    assert "PNEUMONIA" not in repr(said)


def test_the_positive_class_comes_first() -> None:
    said = prediction_text(
        ENTRY | {"probabilities": {"A": 0.9, "PNEUMONIA": 0.02, "B": 0.08}}, FACTS, words_of("en")
    )
    assert [bar.name for bar in said.bars] == ["PNEUMONIA", "A", "B"]
    assert [bar.threshold for bar in said.bars] == [0.42, None, None]


@pytest.mark.parametrize(
    ("change", "headline"),
    [
        (
            {"decision": "negative", "probabilities": {"NORMAL": 0.914, "PNEUMONIA": 0.086}},
            "PNEUMONIA 8.6%, below the limit of 42.0%",
        ),
        ({"decision": None}, "PNEUMONIA, 93.1%"),
        ({"status": "unreadable", "error": "empty"}, "This file could not be read"),
        ({"status": "unreadable", "error": "internal"}, "No answer to this file"),
    ],
)
def test_each_answer_has_its_headline(change: dict[str, Any], headline: str) -> None:
    said = prediction_text(ENTRY | change, FACTS, words_of("en"))
    assert said.headline == headline
    if change.get("error") is not None:
        assert said.sentences == (words_of("en")(f"error.{change['error']}"),)


def test_several_labels_are_named_and_none_is_said() -> None:
    model = FACTS | {"answers": "sigmoid", "positive": None, "threshold": None}
    said = prediction_text(ENTRY | {"label": "A|B", "decision": None}, model, words_of("en"))
    assert said.headline == "A, B"
    assert (
        prediction_text(ENTRY | {"label": "", "decision": None}, model, words_of("en")).headline
        == "No label reached its limit"
    )


@pytest.mark.parametrize(
    ("language", "headline", "share"),
    [
        ("en", "PNEUMONIA 93.1%, at or above the limit of 42.0%", "93.1%"),
        ("vi", "PNEUMONIA 93,1%, bằng hoặc trên ngưỡng 42,0%", "93,1%"),
        ("de", "PNEUMONIA 93,1\u00a0%, an oder über der Schwelle von 42,0\u00a0%", "93,1\u00a0%"),
        ("tlh", "PNEUMONIA 93.1%, at or above the limit of 42.0%", "93.1%"),
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


def test_a_set_excludes_no_class_and_is_withheld_where_test_showed_it_wrong() -> None:
    facts = FACTS | {"limits": {"alpha": 0.1, "withheld_sets": ["PNEUMONIA"]}}
    for language in languages():
        words = words_of(language)
        (said,) = prediction_text(ENTRY | {"prediction_set": None}, facts, words).set
        assert "PNEUMONIA" in said and said == words("result.set_withheld", **{"class": "PNEUMONIA"})
    given = prediction_text(ENTRY | {"prediction_set": ["NORMAL"]}, facts, words_of("en")).set
    assert "excludes no other class" in given[0]
    assert prediction_text(ENTRY | {"prediction_set": None}, FACTS, words_of("en")).set == ()
