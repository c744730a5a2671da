"""Nobody but the person at this browser gets an answer, and nothing is loaded from elsewhere."""

import re
from pathlib import Path

import pytest

from medimg_cli.audit.decisions import read_decisions
from medimg_cli.web.guard import MAX_BODY_BYTES, Guard
from tests.web.page import Opened, open_page

PATHS = ["/", "/finding/1", "/decided", "/image/0/small", "/static/review.js", "/nowhere"]


@pytest.fixture
def page(tmp_path: Path) -> Opened:
    return open_page(tmp_path)


@pytest.fixture
def stranger(tmp_path: Path) -> Opened:
    return open_page(tmp_path, visit=False)


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_there_is_nothing_to_see(path: str, stranger: Opened) -> None:
    answer = stranger.client.get(path)
    assert answer.status_code == 403
    assert "healthy" not in answer.text


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_a_wrong_token_opens_nothing(token: str, stranger: Opened) -> None:
    assert stranger.client.get("/", params={"token": token}).status_code == 403


def test_the_token_opens_the_first_page_only(stranger: Opened) -> None:
    answer = stranger.client.get("/finding/1", params={"token": stranger.guard.token})
    assert answer.status_code == 403


def test_the_token_leaves_the_address_and_becomes_a_cookie_no_script_can_read(stranger: Opened) -> None:
    answer = stranger.client.get("/", params={"token": stranger.guard.token}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert stranger.client.get("/").status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8010", "127.0.0.1:9999", ""])
def test_a_name_that_only_resolves_to_this_machine_is_refused(host: str, page: Opened) -> None:
    assert page.client.get("/", headers={"Host": host}).status_code == 421


def test_another_site_cannot_post_a_form(page: Opened) -> None:
    form = page.form(image=page.number("sick/train-6"), finding=1, decision="exclude")
    for origin in ("https://evil.example", "null"):
        assert page.client.post("/decide", data=form, headers={"Origin": origin}).status_code == 403
    assert read_decisions(page.workspace) == []


@pytest.mark.parametrize("path", ["/decide", "/apply", "/reviewer"])
@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_form_without_its_own_token_is_refused(path: str, token: str, page: Opened) -> None:
    form = page.form(image=page.number("sick/train-6"), finding=1, decision="exclude", name="Mallory")
    assert page.client.post(path, data=form | {"form_token": token}).status_code == 403
    assert read_decisions(page.workspace) == []
    assert page.session.reviewer == "A. Reader"


def test_a_form_that_is_too_large_is_refused(page: Opened) -> None:
    form = page.form(why="x" * MAX_BODY_BYTES)
    assert page.client.post("/decide", data=form).status_code == 413


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_what_the_page_does_not_need(path: str, page: Opened) -> None:
    headers = page.client.get(path).headers
    policy = headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("path", ["/", "/finding/1", "/finding/2", "/decided"])
def test_a_page_loads_only_from_itself_and_has_no_script_or_style_inside(path: str, page: Opened) -> None:
    page.decide("sick/train-6", "exclude")
    text = page.client.get(path).text
    addresses = re.findall(r'\s(?:src|href|action)="([^"]*)"', text)
    assert addresses
    assert all(address.startswith(("/", "#")) and not address.startswith("//") for address in addresses)
    assert not re.search(r"<style|<script(?! src=)| style=| on\w+=", text)


def test_the_interface_of_the_application_is_not_described(page: Opened) -> None:
    assert {page.client.get(path).status_code for path in ("/docs", "/redoc", "/openapi.json")} == {404}


def test_secrets_differ_from_one_sitting_to_the_next() -> None:
    first, second = Guard(1), Guard(1)
    assert len({first.token, second.token, first.form_token, second.form_token}) == 4
    assert first.token not in repr(first)
    assert first.form_token not in repr(first)
