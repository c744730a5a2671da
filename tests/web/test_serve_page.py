"""What the pages of `medimg serve` say: the same in every language, from its catalogue, and nothing that runs from elsewhere."""

import re
import warnings
from datetime import date
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from fastapi import FastAPI

from medimg_cli.inference.flags import FLAGS
from medimg_cli.web.serving.page import PageLimits, Result, install, result_page
from medimg_cli.web.serving.refusals import Code
from medimg_cli.web.serving.sentences import chosen_language, flag_in_words, languages, words_of
from medimg_cli.workspace.files import templates_dir
from tests.web.reading import ENTRY, FACTS

with warnings.catch_warnings():  # Starlette 1.1 and later would rather have the successor of httpx
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

FOLDER = templates_dir() / "serve"
SOMEDAY = date(2026, 2, 1)


def client_of(model: dict[str, Any] = FACTS) -> TestClient:
    app = FastAPI()
    install(app, model, PageLimits(max_upload_mb=50, max_files=32))
    return TestClient(app)


def strings_of(language: str) -> dict[str, str]:
    content = yaml.safe_load((FOLDER / "strings" / f"{language}.yaml").read_text(encoding="utf-8"))
    return {f"{section}.{key}": text for section, texts in content.items() for key, text in texts.items()}


def test_english_vietnamese_and_german_are_shipped() -> None:
    assert languages() == ("en", "de", "vi")


@pytest.mark.parametrize("language", languages())
def test_a_translation_has_the_keys_and_the_places_of_the_catalogue(language: str) -> None:
    catalogue, own = strings_of("en"), strings_of(language)
    assert sorted(own) == sorted(catalogue)
    places = {key: sorted(re.findall(r"\{(\w+)\}", text)) for key, text in catalogue.items()}
    assert {key: sorted(re.findall(r"\{(\w+)\}", text)) for key, text in own.items()} == places
    assert all(isinstance(text, str) and text.strip() for text in own.values())


@pytest.mark.parametrize("language", [name for name in languages() if name != "en"])
def test_a_translation_translates(language: str) -> None:
    catalogue, own = strings_of("en"), strings_of(language)
    same = {key for key, text in own.items() if text == catalogue[key] and re.search("[a-z]{4}", text)}
    assert same <= {"card.name", "card.versions", "login.token"}


def test_every_string_is_used_and_every_string_used_is_there() -> None:
    files = [*FOLDER.glob("*.html"), *FOLDER.glob("*.js")]
    files += [
        Path(__file__).parents[2] / "medimg_cli/web/serving" / name for name in ("page.py", "sentences.py")
    ]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    keys = set(strings_of("en"))
    sections = "|".join(sorted({key.partition(".")[0] for key in keys}))
    named = {
        found
        for found in re.findall(rf"[\"'`]((?:{sections})\.[\w-]+)[\"'`]", text)
        if not found.endswith((".js", ".css", ".html"))
    }
    assert named <= keys
    built = (
        "error.",
        "flag.",
        "keys.",
        "viewer.preset_",
        "card.",
        "list.",
        "result.",
        "page.theme_",
        "unlike.",
    )
    assert {key for key in keys - named if not key.startswith(built)} == {
        "language.name",
        "language.locale",
    } - named


@pytest.mark.parametrize("language", languages())
def test_every_refusal_and_every_flag_has_words(language: str) -> None:
    words = words_of(language)
    assert all(words.has(f"error.{code}") for code in get_args(Code))
    for name in FLAGS.names():
        title, meaning = flag_in_words(name, words)
        assert title != name
        assert meaning != words("flag.other_text")


@pytest.mark.parametrize(
    ("asked", "accepted", "language"),
    [
        (None, None, "en"),
        ("vi", "de", "vi"),
        ("xx", "de-AT,de;q=0.9,en;q=0.8", "de"),
        (None, "fr-FR, vi;q=0.4, en;q=0.7", "en"),
        (None, "vi-VN", "vi"),
        (None, "de;q=0, vi;q=0.1", "vi"),
        ("../../etc", "*, ;q=, de;q=x", "en"),
        (None, "," * 100_000, "en"),
    ],
)
def test_the_language_is_the_one_asked_for_then_the_one_accepted(
    asked: str | None, accepted: str | None, language: str
) -> None:
    assert chosen_language(asked, accepted) == language
    answer = client_of().get("/", params={"lang": asked or ""}, headers={"Accept-Language": accepted or ""})
    assert f'<html lang="{language}">' in answer.text
    assert answer.headers["content-language"] == language


def test_the_language_of_the_sign_in_is_kept_where_it_leads_to() -> None:
    headers = {"Referer": "http://testserver/login?lang=vi", "Accept-Language": "de"}
    assert '<html lang="vi">' in client_of().get("/", headers=headers).text
    assert '<html lang="en">' in client_of().get("/?lang=en", headers=headers).text
    assert '<html lang="de">' in client_of().get("/", headers=headers | {"Referer": "http://[bad"}).text


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("path", ["/", "/card"])
def test_a_page_loads_only_from_itself_and_has_no_script_or_style_inside(path: str, language: str) -> None:
    text = client_of().get(path, params={"lang": language}).text
    addresses = re.findall(r'\s(?:src|href|action)="([^"]*)"', text)
    assert all(address.startswith(("/", "#")) and not address.startswith("//") for address in addresses)
    assert not re.search(r"<style| style=|\son\w+=|javascript:", text)
    scripts = re.findall(r"<script([^>]*)>([^<]*)", text)
    assert all(
        " src=" in f" {attributes}" or 'type="application/json"' in attributes for attributes, _ in scripts
    )
    assert words_of(language)("notice.text") in text
    for address in addresses:
        if address.startswith("/static/"):
            assert client_of().get(address).status_code == 200


def test_scripts_and_styles_name_no_other_place() -> None:
    for path in [*FOLDER.glob("*.js"), *FOLDER.glob("*.css")]:
        text = path.read_text(encoding="utf-8").replace("http://www.w3.org/2000/svg", "")
        assert not re.search(
            r"https?:|//[a-z]+\.[a-z]|innerHTML|insertAdjacentHTML|eval\(|@import|url\(", text
        ), path
        for module in re.findall(r'from "\./([\w.]+)"', text):
            assert (FOLDER / module).is_file()


@pytest.mark.parametrize(
    "name",
    [
        "../page.html",
        "page.html",
        "en.yaml",
        "strings/en.yaml",
        "words-xx.json",
        "words-..%2fen.json",
        ".",
        "result.html",
    ],
)
def test_only_styles_scripts_and_words_are_served(name: str) -> None:
    assert client_of().get(f"/static/{name}").status_code == 404


def test_the_words_of_a_language_come_as_json() -> None:
    assert client_of().get("/static/words-vi.json").json()["result.refused"].startswith("Không có")


def test_names_of_classes_cannot_break_a_page() -> None:
    hostile = '</script><script>alert(1)</script>"><b onclick=x>'
    model = FACTS | {"classes": ["a", hostile], "positive": hostile, "run": hostile, "intended_use": hostile}
    for path in ("/", "/card"):
        text = client_of(model).get(path).text
        assert "<script>alert" not in text and "<b onclick" not in text
    entry = ENTRY | {
        "path": hostile,
        "label": hostile,
        "probabilities": {"a": 0.1, hostile: 0.9},
        "message": hostile,
    }
    text = result_page(model, [Result(entry, None)], "en", SOMEDAY)
    assert "<script" not in text and "<b onclick" not in text


def test_the_card_says_what_was_measured_and_what_is_not_known() -> None:
    text = client_of().get("/card", params={"lang": "en"}).text
    assert (
        "found 95 of 100 images with PNEUMONIA in the validation images, and counted 12 of 100 others as positive"
        in text
    )
    assert "the highest limit with a sensitivity of at least 95.0%" in text
    assert "Nobody has stated an intended use" in text
    assert FACTS["weights_sha256"] in text
    bare = {
        "arch": "small-cnn",
        "run": "old",
        "classes": ["a", "b"],
        "positive": None,
        "threshold": None,
        "limits": None,
    }
    text = client_of(bare).get("/card", params={"lang": "en"}).text
    assert "has no limit: it names" in text
    assert "It will answer to any picture" in text


def test_several_labels_have_a_threshold_each_on_the_card() -> None:
    one = FACTS["threshold"] | {"value": 0.3}
    model = FACTS | {"answers": "sigmoid", "positive": None, "threshold": None, "thresholds": {"EDEMA": one}}
    text = client_of(model).get("/card", params={"lang": "de"}).text
    assert "EDEMA" in text and "30,0\u00a0%" in text


def test_words_that_promise_too_much_never_appear() -> None:
    text = " ".join(strings_of("en").values()).lower()
    assert not re.findall(r"\b(validated|compliant|safe|safely|anonymous|ground truth|fda|accurate)\b", text)
