"""Who gets in: this machine's own browser, whoever has the token, and nobody by way of another site."""

import time

import pytest

from medimg_cli.web.serving import access as gate
from medimg_cli.web.serving.access import TokenBuckets
from medimg_cli.web.serving.worker_config import Address, Limits, is_loopback
from tests.web.serving import PORT, TOKEN, Served, png, serve_for_tests

HTML = {"Accept": "text/html"}


@pytest.fixture
def local() -> Served:
    return serve_for_tests()


@pytest.fixture
def guarded() -> Served:
    return serve_for_tests(token=TOKEN, host="0.0.0.0")


def test_on_this_machine_nobody_signs_in(local: Served) -> None:
    assert local.client.get("/", headers=HTML).status_code == 200
    assert local.predict(("a.png", png())).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:9999", "", "127.0.0.1"])
def test_a_name_that_only_resolves_to_this_machine_is_refused(host: str, local: Served) -> None:
    answer = local.client.get("/api/model", headers={"Host": host})
    assert (answer.status_code, answer.json()["error"]) == (421, "forbidden")


@pytest.mark.parametrize("host", [f"127.0.0.1:{PORT}", f"localhost:{PORT}", f"[::1]:{PORT}"])
def test_the_names_of_this_machine_are_answered(host: str, local: Served) -> None:
    assert local.client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://[", f"http://evil:{PORT}"]
)
def test_another_site_cannot_send_images(origin: str, local: Served) -> None:
    answer = local.predict(("a.png", png()), headers={"Origin": origin})
    assert (answer.status_code, answer.json()["error"]) == (403, "forbidden")


def test_the_page_itself_can_send_images(local: Served, guarded: Served) -> None:
    origin = {"Origin": f"http://127.0.0.1:{PORT}"}
    assert local.predict(("a.png", png()), headers=origin).status_code == 200
    signed = {"Authorization": f"Bearer {TOKEN}"}
    assert guarded.predict(("a.png", png()), headers=origin | signed).status_code == 200
    elsewhere = {"Host": "reader.example", "Origin": "https://reader.example"}
    assert guarded.predict(("a.png", png()), headers=elsewhere | signed).status_code == 200


def test_a_server_with_names_answers_to_no_other() -> None:
    served = serve_for_tests(token=TOKEN, host="0.0.0.0", names=("reader.example",))
    signed = {"Authorization": f"Bearer {TOKEN}"}
    assert served.client.get("/api/model", headers=signed | {"Host": "reader.example"}).status_code == 200
    assert served.client.get("/api/model", headers=signed | {"Host": "evil.example"}).status_code == 421


@pytest.mark.parametrize("path", ["/api/model", "/metrics", "/docs", "/openapi.json", "/card", "/nowhere"])
def test_without_the_token_there_is_nothing_to_see(path: str, guarded: Served) -> None:
    answer = guarded.client.get(path)
    assert (answer.status_code, answer.json()["error"]) == (401, "unauthorised")
    assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ä"]
)
def test_a_wrong_token_opens_nothing(header: str, guarded: Served) -> None:
    answer = guarded.client.get("/api/model", headers={b"Authorization": header.encode()})
    assert answer.status_code == 401


def test_a_browser_is_asked_to_sign_in_and_gets_a_cookie_that_no_script_reads(guarded: Served) -> None:
    asked = guarded.client.get("/", headers=HTML)
    assert asked.status_code == 401
    assert "password" in asked.text
    assert "small-cnn" not in asked.text
    assert guarded.client.post("/login", data={"token": "wrong"}).status_code == 403
    answer = guarded.client.post("/login", data={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert TOKEN not in cookie
    assert guarded.client.get("/", headers=HTML).status_code == 200
    guarded.client.post("/logout")
    assert guarded.client.get("/", headers=HTML).status_code == 401


@pytest.mark.parametrize("change", ["later", "other seal", "letters"])
def test_a_cookie_that_was_changed_or_has_ended_is_none(change: str, guarded: Served) -> None:
    own = gate.Gate(Address("0.0.0.0", PORT, TOKEN), 0)
    now = int(time.time())
    good = own._session(now + 100)
    until, _, seal = good.partition(".")
    bad = {
        "later": f"{now + 999}.{seal}",
        "other seal": f"{until}.{'0' * 64}",
        "letters": f"²{good}",
    }[change]
    for value, status in ((good, 200), (bad, 401), (own._session(now - 1), 401)):
        headers = {b"Cookie": f"{own.cookie}={value}".encode()}
        assert guarded.client.get("/api/model", headers=headers).status_code == status


def test_health_can_be_asked_without_the_token(guarded: Served) -> None:
    assert guarded.client.get("/healthz").text == "ok\n"
    assert guarded.client.get("/readyz").status_code == 200


def test_signing_in_cannot_be_tried_for_ever(guarded: Served) -> None:
    codes = [guarded.client.post("/login", data={"token": str(n)}).status_code for n in range(4)]
    assert codes[0] == 403
    assert codes[-1] == 429


def test_a_login_form_without_end_is_refused(guarded: Served) -> None:
    answer = guarded.client.post("/login", content=b"token=" + b"x" * 100_000)
    assert (answer.status_code, answer.json()["error"]) == (413, "too_large")


def test_a_client_that_asks_too_often_is_told_when_to_come_back() -> None:
    served = serve_for_tests(Limits(requests_per_minute=10))
    answers = [served.predict(("a.png", png())) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]
    assert answers[-1].json()["error"] == "rate_limited"
    assert int(answers[-1].headers["retry-after"]) >= 1
    assert served.client.get("/healthz").status_code == 200


def test_buckets_fill_again_and_forget() -> None:
    seconds = 0.0
    buckets = TokenBuckets(60, clock=lambda: seconds)
    assert [buckets.wait("a") for _ in range(13)][-2:] == [0, 1]
    assert buckets.wait("b") == 0
    seconds = 2.5
    assert [buckets.wait("a") for _ in range(3)] == [0, 0, 1]
    for client in range(5000):
        buckets.wait(str(client))
    assert len(buckets._buckets) == 4096


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "reader.example"])
def test_an_address_that_others_reach_is_no_loopback(host: str) -> None:
    assert not is_loopback(host)
