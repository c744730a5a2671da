"""A partial file: gone on with when its origin is known, and never trusted further than its checksum."""

import json
from pathlib import Path

import pytest

from medimg_cli.errors import DataError
from medimg_cli.sample_data.http_download import RemoteFile, checksum_of, host_of
from tests.sample_data.odd_server import (
    BODY,
    OddServer,
    breaking_after,
    get,
    honest,
    md5,
    names_in,
    refusing,
    wrong_rest,
)


def leave_part(server: OddServer, target: Path, content: bytes, **origin: str) -> None:
    """Write what a killed call leaves."""
    target.parent.mkdir(parents=True)
    target.with_name("tiny.npz.part").write_bytes(content)
    whence = {"address": server.address, "checksum": md5(BODY)} | origin
    target.with_name("tiny.npz.part.json").write_text(json.dumps(whence))


def test_a_killed_download_goes_on_in_the_next_call(server: OddServer, target: Path) -> None:
    leave_part(server, target, BODY[:5000])
    get(server, target, honest)
    assert target.read_bytes() == BODY
    assert server.ranges == ["bytes=5000-"]
    assert names_in(target.parent) == ["tiny.npz"]


def test_a_part_that_is_whole_already_costs_no_request(server: OddServer, target: Path) -> None:
    leave_part(server, target, BODY)
    get(server, target, refusing(500))
    assert target.read_bytes() == BODY
    assert server.ranges == []


@pytest.mark.parametrize("origin", [{"address": "https://else.where/x"}, {"checksum": "md5:0"}])
def test_a_part_of_another_file_is_not_gone_on_with(
    server: OddServer, target: Path, origin: dict[str, str]
) -> None:
    leave_part(server, target, BODY[:5000], **origin)
    get(server, target, honest)
    assert server.ranges == [None]


def test_a_part_without_a_readable_origin_is_not_gone_on_with(server: OddServer, target: Path) -> None:
    leave_part(server, target, BODY[:5000])
    target.with_name("tiny.npz.part.json").write_text("{")
    get(server, target, honest)
    assert server.ranges == [None]


def test_a_wrong_beginning_is_fetched_whole_once(server: OddServer, target: Path) -> None:
    leave_part(server, target, b"x" * 5000)
    get(server, target, honest)
    assert target.read_bytes() == BODY
    assert server.ranges == ["bytes=5000-", None]


def test_a_part_of_the_right_length_that_is_wrong_is_fetched_whole(server: OddServer, target: Path) -> None:
    leave_part(server, target, b"x" * len(BODY))
    get(server, target, honest)
    assert target.read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY)}-", None]


def test_pieces_that_never_fit_end_with_a_rejected_file(server: OddServer, target: Path) -> None:
    with pytest.raises(DataError):
        get(server, target, breaking_after(100), wrong_rest, breaking_after(200), wrong_rest)
    assert server.ranges == [None, "bytes=100-", None, "bytes=200-"]
    assert names_in(target.parent) == ["tiny.npz.rejected"]


def test_a_part_longer_than_the_file_is_started_again(server: OddServer, target: Path) -> None:
    leave_part(server, target, BODY + b"more")
    get(server, target, honest)
    assert target.read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY) + 4}-", None]


def test_checksums_carry_their_algorithm(tmp_path: Path) -> None:
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # RFC 1321, A.5 and FIPS 180-4's example
    assert checksum_of(path, "md5") == "md5:900150983cd24fb0d6963f7d28e17f72"
    assert checksum_of(path, "sha256").startswith("sha256:ba7816bf8f01cfea")


def test_a_remote_file_is_named_by_its_address() -> None:
    assert RemoteFile("https://zenodo.org/files/a%20b.npz?download=1", "md5:0").name == "a b.npz"
    assert host_of("https://zenodo.org/files/x") == "zenodo.org"
