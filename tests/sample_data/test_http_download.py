"""A server's answer: which ones are refused, waited for, or followed elsewhere."""

import socket
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from medimg_cli.errors import MachineError
from medimg_cli.sample_data import fetch as fetching
from medimg_cli.sample_data.fetch import fetch
from medimg_cli.sample_data.http_download import RemoteFile
from tests.sample_data.odd_server import (
    BODY,
    LOOPBACK,
    RULES,
    Answering,
    OddServer,
    get,
    honest,
    md5,
    names_in,
    other,
    refusing,
    silent,
)


@pytest.mark.parametrize(
    "answer",
    [
        other(b"<p>Please log in</p>", kind="text/html; charset=utf-8"),
        other(b"\n<!DOCTYPE html><html>Welcome to our network</html>"),
    ],
)
def test_a_web_page_in_the_files_place_is_refused(server: OddServer, target: Path, answer: Answering) -> None:
    with pytest.raises(MachineError, match="web page"):
        get(server, target, answer)
    assert not target.exists()
    assert server.ranges == [None]


def test_a_silent_server_is_left_after_the_timeout_and_asked_for_the_rest(
    server: OddServer, target: Path
) -> None:
    began = time.monotonic()
    get(server, target, silent, honest)
    assert time.monotonic() - began < 60
    assert target.read_bytes() == BODY
    assert server.ranges == [None, f"bytes={len(BODY) // 2}-"]


def test_passing_troubles_are_waited_for_as_long_as_the_server_asks(
    server: OddServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(fetching, "time", SimpleNamespace(sleep=slept.append))
    get(server, target, refusing(429, Retry_After=7), refusing(503, Retry_After="tomorrow"), honest)
    assert slept == [7.0, 0.0]


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_final_refusal_is_not_asked_again(server: OddServer, target: Path, status: int) -> None:
    with pytest.raises(MachineError, match=f"answers {status}"):
        get(server, target, refusing(status))
    assert server.ranges == [None]


def test_an_unreachable_server_is_said_at_once_with_what_to_do_by_hand(target: Path) -> None:
    with socket.socket() as unused:
        unused.bind((LOOPBACK, 0))  # bound and not listening: connections are refused
        address = f"http://{LOOPBACK}:{unused.getsockname()[1]}/tiny.npz"
        with pytest.raises(MachineError, match=r"cannot fetch tiny\.npz from 127") as caught:
            fetch(RemoteFile(address, md5(BODY)), target, rules=RULES)
    for part in (address, str(target), md5(BODY)):
        assert part in caught.value.hint
    assert names_in(target.parent) == []


def test_a_redirect_is_followed(server: OddServer, target: Path) -> None:
    get(server, target, refusing(302, Location="/elsewhere/tiny.npz"), honest)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("place", ["http://localhost/x", "file:///etc/hostname", "ftp://localhost/x"])
def test_a_redirect_out_of_encryption_is_refused(server: OddServer, target: Path, place: str) -> None:
    with pytest.raises(MachineError):
        get(server, target, refusing(302, Location=place))
    assert server.ranges == [None]
    assert names_in(target.parent) == []


def test_redirects_in_a_circle_end(server: OddServer, target: Path) -> None:
    with pytest.raises(MachineError, match="answers 302"):
        get(server, target, refusing(302, Location="/sets/tiny.npz"))


@pytest.mark.parametrize("address", ["http://127.0.0.1/x", "file:///etc/hostname", "ftp://127.0.0.1/x"])
def test_only_https_is_asked_unless_a_host_is_named(target: Path, address: str) -> None:
    with pytest.raises(MachineError, match="only https"):
        fetch(RemoteFile(address, md5(BODY)), target)
