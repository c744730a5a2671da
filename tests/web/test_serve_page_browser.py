"""The upload page in a browser: files come in, answers come out, in every state and language."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pypdf import PdfReader

from medimg_cli.web.serving.sentences import prediction_text, words_of
from tests.web.looking import expect, see, upload, wait_for_picture
from tests.web.reading import FACTS, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route


def test_a_png_is_answered_with_bars_decision_and_what_the_threshold_means(
    reading: "Page", files: dict[str, Path]
) -> None:
    upload(reading, files, "positive")
    see(reading, ".headline", "PNEUMONIA 62.0%, at or above the limit of 42.0%")
    expect(reading.locator(".bars li")).to_have_count(2)
    see(reading, ".bars li >> nth=0", "PNEUMONIA")
    see(reading, ".bars li >> nth=0", "Limit 42.0%")
    see(
        reading,
        "#answer-body",
        "found 95 of 100 images with PNEUMONIA in the validation images, and counted 12 of 100 others",
    )
    see(reading, "#answer-body", "Sensitivity 95.4%, specificity 88.1%")
    see(reading, "#answer-body", "PNEUMONIA alone. This excludes no other class.")
    see(reading, ".notice", "Not a medical device and not a diagnosis")
    wait_for_picture(reading)


def test_flags_are_said_in_plain_words(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "small")
    see(reading, ".flags", "Unusual size")
    see(reading, ".flags", "The set of classes that the model gives holds several")
    see(reading, "#answer-body", "NORMAL, PNEUMONIA. The model cannot tell them apart here.")


def test_a_refused_image_is_shown_without_class_and_bars(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "colour")
    see(reading, ".headline", "No answer: unlike the images the model learnt from")
    expect(reading.locator(".bars")).to_have_count(0)
    assert "PNEUMONIA" not in reading.locator("#answer").inner_text()
    expect(reading.get_by_role("button", name="Heatmap")).to_be_disabled()
    wait_for_picture(reading)


def test_each_bad_file_says_what_is_wrong_and_harms_no_other(
    reading: "Page", files: dict[str, Path], tmp_path: Path
) -> None:
    empty, archive = tmp_path / "empty.png", tmp_path / "images.zip"
    empty.write_bytes(b"")
    archive.write_bytes(b"PK\x03\x04" + bytes(60))
    more = files | {"empty": empty, "archive": archive}
    upload(reading, more, "broken", "large", "empty", "archive", "positive")
    states = reading.locator(".item .state")
    expected = [
        "Not readable",
        "The file is too large: at most 2 MB.",
        "The file is empty.",
        "Archives are not accepted",
        "62.0%, at or above the limit",
    ]
    for place, text in enumerate(expected):
        expect(states.nth(place)).to_contain_text(text)
    see(reading, ".headline", "This file could not be read")
    see(reading, ".verdict", "it is damaged")
    expect(reading.get_by_role("button", name="Try again")).to_have_count(0)


def test_the_server_refuses_what_is_too_large_even_when_the_page_does_not(reading: "Page") -> None:
    data = reading.evaluate(
        "() => JSON.parse(document.getElementById('page-data').textContent).max_upload_mb"
    )
    assert data == 2
    script = """async bytes => { const form = new FormData(); form.append('files', new File([new Uint8Array(bytes)], 'x.png'));
        const answer = await fetch('/api/predict', { method: 'POST', body: form }); return [answer.status, await answer.json()]; }"""
    status, said = reading.evaluate(script, 3_000_000)
    assert (status, said["error"]) == (413, "too_large")


def test_more_files_than_fit_are_named(reading: "Page", files: dict[str, Path]) -> None:
    reading.set_input_files("#files", [str(files["positive"])] * 9)
    see(reading, "#left-out", "At most 8 images at a time. Left out: 1.")


def test_a_server_that_is_gone_can_be_asked_again(reading: "Page", files: dict[str, Path]) -> None:
    reading.route(
        "**/api/predict",
        lambda route: route.fulfill(status=500, json={"error": "internal", "detail": "Something failed."}),
    )
    reading.set_input_files("#files", [str(files["positive"])])
    see(reading, ".headline", "No answer to this file")
    see(reading, ".verdict", "The other images are not affected")
    reading.unroute("**/api/predict")
    reading.get_by_role("button", name="Try again").click()
    see(reading, ".headline", "PNEUMONIA 62.0%, at or above the limit of 42.0%")


def test_a_busy_server_is_asked_again_by_itself(reading: "Page", files: dict[str, Path]) -> None:
    asked: list[int] = []

    def busy_once(route: Any) -> None:
        asked.append(1)
        if len(asked) > 1:
            route.continue_()
        else:
            route.fulfill(status=503, headers={"Retry-After": "0"}, json={"error": "busy", "detail": ""})

    reading.route("**/api/predict", busy_once)
    upload(reading, files, "positive")
    see(reading, ".headline", "PNEUMONIA 62.0%, at or above the limit of 42.0%")
    assert len(asked) == 2


def test_results_are_saved_as_json_and_as_pdf(
    reading: "Page", files: dict[str, Path], tmp_path: Path
) -> None:
    upload(reading, files, "positive", "colour")
    with reading.expect_download() as saved:
        reading.get_by_role("button", name="Save JSON").click()
    said = json.loads(saved.value.path().read_text(encoding="utf-8"))
    assert (said["schema"], said["command"], said["model"]["run"]) == (1, "predict", "stand-in-1")
    assert [(one["path"], one["status"]) for one in said["predictions"]] == [
        ("chest-1.png", "ok"),
        ("cat.png", "refused"),
    ]
    held: list[Route] = []
    reading.route("**/static/words-vi.json", lambda route: held.append(route))
    reading.get_by_label("Language").select_option("vi")
    with reading.expect_download() as saved:
        reading.locator("#save-pdf").click()
    held[0].continue_()
    saved.value.save_as(tmp_path / "result.pdf")
    reader = PdfReader(tmp_path / "result.pdf")
    assert len(reader.pages) == 2
    text = " ".join(reader.pages[0].extract_text().split())
    assert "bằng hoặc trên ngưỡng 42,0%" in text and "Không phải thiết bị y tế" in text


def test_another_language_keeps_the_results(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "positive")
    reading.get_by_label("Language").select_option("vi")
    see(reading, ".headline", "bằng hoặc trên ngưỡng 42,0%")
    see(reading, "#answer-body", "mô hình phát hiện 95 trên 100 ảnh có PNEUMONIA")
    see(reading, ".bars", "62,0%")
    see(reading, ".notice", "không phải chẩn đoán")
    assert reading.url.endswith("?lang=vi")
    assert reading.title() == "Đọc ảnh · medimg"
    reading.get_by_label("Ngôn ngữ").select_option("de")
    see(reading, ".headline", "an oder über der Schwelle von 42,0")


def test_what_is_dropped_or_pasted_is_taken(reading: "Page", files: dict[str, Path]) -> None:
    give = """(node, [type, bytes]) => { const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], 'x.png', { type: 'image/png' }));
        const event = type === 'paste' ? new ClipboardEvent(type, { clipboardData: data, bubbles: true })
            : new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true });
        node.dispatchEvent(event); }"""
    image = list(files["small"].read_bytes())
    reading.locator("#drop").evaluate(give, ["dragenter", image])
    expect(reading.locator("#veil")).to_be_visible()
    reading.locator("#drop").evaluate(give, ["drop", image])
    expect(reading.locator("#veil")).to_be_hidden()
    reading.locator("body").evaluate(give, ["paste", image])
    expect(reading.locator(".item")).to_have_count(2)
    expect(reading.locator("#progress")).to_have_text("2 of 2 done")


def test_the_page_says_what_the_pdf_says_in_every_language(reading: "Page", files: dict[str, Path]) -> None:
    with reading.expect_response("**/api/predict") as answered:
        upload(reading, files, "small")
    entry = answered.value.json()["predictions"][0]
    for language in ("de", "vi", "en"):
        reading.locator("#language").select_option(language)
        said = prediction_text(entry, FACTS, words_of(language))
        see(reading, ".headline", said.headline)
        see(reading, ".item .state", said.short)
        shown = reading.locator("#answer-body").inner_text()
        flags = [text for flag in said.flags for text in flag]
        for text in (*said.sentences, *flags, *said.set, *said.meaning, *(bar.said for bar in said.bars)):
            assert text in shown, (language, text)
    assert entry["said"].keys() == {"de", "en", "vi"}


def test_what_is_saved_is_what_predict_says(reading: "Page", files: dict[str, Path]) -> None:
    upload(reading, files, "positive")
    see(reading, ".headline", "PNEUMONIA")
    with reading.expect_download() as saved:
        reading.get_by_role("button", name="Save JSON").click()
    assert '"said"' not in saved.value.path().read_text(encoding="utf-8")


def test_on_a_phone_the_answer_stands_above_the_picture(
    browser: "Browser", address: str, files: dict[str, Path]
) -> None:
    page = browser.new_page(locale="en-GB", viewport={"width": 390, "height": 844})
    page.goto(address)
    upload(page, files, "positive")
    wait_for_picture(page)
    answer, picture = (page.locator(name).bounding_box() for name in ("#answer .verdict", "#viewer"))
    assert answer is not None and picture is not None
    assert answer["y"] + answer["height"] < picture["y"]
    assert answer["y"] + answer["height"] < 844, "the answer is not on the first screen"
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.close()


def test_a_token_opens_the_page_and_a_wrong_one_does_not(browser: "Browser", files: dict[str, Path]) -> None:
    with served(token="a-token-of-the-test") as address:
        opened = browser.new_page(locale="de-DE")
        opened.goto(address)
        opened.get_by_label("Token").fill("wrong")
        opened.get_by_role("button", name="Anmelden").click()
        expect(opened.get_by_role("alert")).to_have_text("Das ist nicht das Token.")
        opened.get_by_label("Token").fill("a-token-of-the-test")
        opened.keyboard.press("Enter")
        opened.locator("#desk").wait_for()
        opened.set_input_files("#files", [str(files["positive"])])
        see(opened, ".headline", "an oder über der Schwelle von 42,0")
        opened.context.clear_cookies()
        opened.set_input_files("#files", [str(files["negative"])])
        see(opened, ".item >> nth=1", "Ihre Sitzung ist abgelaufen")
        opened.close()


def test_several_files_are_one_exam_and_the_image_that_shows_it_most_is_opened(
    browser: "Browser", files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    exams = {
        "source": "folder",
        "pooling": "max",
        "why": "",
        "threshold": FACTS["threshold"],
        "thresholds": {},
    }
    monkeypatch.setitem(FACTS, "exams", exams)
    with served() as address:
        page = browser.new_page(locale="en-GB")
        page.goto(address)
        upload(page, files, "negative", "positive")
        page.get_by_role("button", name="Answer as one exam").click()
        see(page, "#exam-body", "Images of the exam: 2")
        see(page, "#exam-body .headline", "PNEUMONIA 62.0%, at or above the limit of 42.0%")
        see(page, "#exam-body", "Shown most by image 2")
        see(page, "#answer-of", "Image 2")
        page.locator(".item .remove").first.click()
        expect(page.locator("#exam-body")).to_be_hidden()
        page.close()
