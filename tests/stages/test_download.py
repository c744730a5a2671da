"""download: a set of the catalogue, its terms before its bytes, and the command to go on with."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg_cli.cli.app import run
from medimg_cli.errors import ExitCode, UsageError
from medimg_cli.sample_data.catalogue import CATALOGUE, PublicSet
from medimg_cli.sample_data.http_download import FetchRules, RemoteFile
from medimg_cli.stages.download import download
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.sample_data.odd_server import LOOPBACK, Answering, OddServer, other, refusing, serving

RULES = FetchRules(timeout_seconds=2, attempts=2, wait_seconds=0.0, plain_http_hosts=frozenset({LOOPBACK}))


class Heard(SilentProgress):
    """Keeps every word in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def start(self, task: str, total: int | None) -> None:  # noqa: ARG002 -- the listener's
        self.lines.append(f"fetching {task}")

    def note(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(message)


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """Return a tiny archive in the manner of MedMNIST."""
    generator = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", 8), ("val", 4), ("test", 4)):
        arrays[f"{split}_images"] = generator.integers(0, 255, (count, 8, 8), dtype=np.uint8)
        arrays[f"{split}_labels"] = (np.arange(count) % 2).reshape(-1, 1)
    np.savez(tmp_path / "drawn.npz", **arrays)
    return (tmp_path / "drawn.npz").read_bytes()


@pytest.fixture
def server(archive: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[OddServer]:
    """Serve the archive, and offer it as `local/tiny` at 28 and 64 px."""
    monkeypatch.setenv("no_proxy", "*")
    with serving(archive) as running:
        remote = RemoteFile(running.address, f"md5:{hashlib.md5(archive).hexdigest()}")
        entry = PublicSet(
            summary="noise",
            classes=2,
            images=16,
            licence="CC BY-NC 4.0",
            licence_address="https://creativecommons.org/licenses/by-nc/4.0/",
            citation="Nobody, Nowhere (2020)",
            homepage="https://example.org",
            files={28: remote, 64: remote},
            multi_label=True,
            positive="1",
        )
        CATALOGUE.names()  # the shelf is filled before the entry is put on it
        monkeypatch.setitem(CATALOGUE._entries, "local/tiny", entry)
        yield running


def test_a_set_lands_in_the_workspace_and_is_fetched_once(
    server: OddServer, archive: bytes, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "w")
    first = download(workspace, "local/tiny", rules=RULES)
    again = download(workspace, "local/tiny", rules=RULES)
    assert first.path == workspace.root / "downloads" / "tiny.npz"
    assert first.path.read_bytes() == archive
    assert (first.bytes, first.reused, first.size_px) == (len(archive), False, 28)
    assert (again.path, again.reused) == (first.path, True)
    assert len(server.ranges) == 1


@pytest.mark.usefixtures("server")
def test_licence_and_citation_are_shown_before_the_first_byte(tmp_path: Path) -> None:
    heard = Heard()
    download(Workspace(tmp_path), "local/tiny", rules=RULES, progress=heard)
    before = heard.lines[: heard.lines.index("fetching tiny.npz (MiB)")]
    assert any("CC BY-NC 4.0, https://creativecommons.org" in line for line in before)
    assert any("forbids commercial use" in line for line in before)
    assert any("Nobody, Nowhere (2020)" in line for line in before)


@pytest.mark.usefixtures("server")
def test_the_next_command_fits_the_set_and_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = download(Workspace(tmp_path), "local/tiny", rules=RULES)
    assert here.next_command == "medimg ingest downloads/tiny.npz --positive 1 --multi-label"
    there = download(Workspace(tmp_path / "a study"), "local/tiny", folder=Path("d"), rules=RULES)
    assert there.path == tmp_path / "d" / "tiny.npz"
    assert there.next_command.startswith(f"medimg ingest {tmp_path}/d/tiny.npz ")
    assert there.next_command.endswith(f"--workspace '{tmp_path}/a study'")


@pytest.mark.parametrize(
    ("name", "size_px", "what", "hint"),
    [
        ("medmnist/pneumonia", None, "unknown data set", "medmnist/pneumoniamnist"),
        ("pneumoniamnist", None, "unknown data set", "medmnist/pneumoniamnist"),
        ("medmnist/pneumoniamnist", 32, "no images of 32 px", "28, 64, 128, 224"),
    ],
)
def test_an_unknown_set_or_size_is_refused_with_a_proposal(
    tmp_path: Path, name: str, size_px: int | None, what: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        download(Workspace(tmp_path), name, size_px=size_px)
    assert hint in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(server: OddServer, tmp_path: Path) -> None:
    place = tmp_path / "notes.txt"
    place.write_text("mine")
    with pytest.raises(UsageError, match="is a file"):
        download(Workspace(tmp_path), "local/tiny", folder=place, rules=RULES)
    assert server.ranges == []


@pytest.fixture
def door(server: OddServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OddServer:
    """Let the front door speak to the loopback, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(download, "__kwdefaults__", {**(download.__kwdefaults__ or {}), "rules": RULES})
    return server


@pytest.mark.usefixtures("door")
def test_json_holds_the_promised_keys(archive: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["download", "local/tiny", "--size", "64", "--json"]) == ExitCode.DONE
    content = json.loads(capsys.readouterr().out)
    assert {"name", "path", "bytes", "checksum", "licence", "reused"} <= set(content)
    assert (content["bytes"], content["reused"], content["size_px"]) == (len(archive), False, 64)
    assert content["checksum"] == CATALOGUE.get("local/tiny").files[28].checksum


@pytest.mark.usefixtures("door")
def test_people_read_the_file_the_sum_and_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["download", "local/tiny", "-q"]) == ExitCode.DONE
    first, second = capsys.readouterr().out.splitlines()
    assert "tiny.npz: fetched" in first and "md5:" in first and "CC BY-NC 4.0" in first
    assert second == "next: medimg ingest downloads/tiny.npz --positive 1 --multi-label"


@pytest.mark.usefixtures("door")
def test_what_was_fetched_can_be_ingested(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["download", "local/tiny", "-q"]) == ExitCode.DONE
    assert run(["ingest", "downloads/tiny.npz", "--positive", "1", "--json"]) == ExitCode.DONE
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["images"] == 16


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (other(b"another file"), ExitCode.DATA, "it must have md5:"),
        (refusing(404), ExitCode.MACHINE, "answers 404"),
        (other(b"<html>", kind="text/html"), ExitCode.MACHINE, "web page"),
    ],
)
def test_a_failure_is_two_lines_and_an_exit_code(
    door: OddServer, answer: Answering, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    door.answers = [answer]
    assert run(["download", "local/tiny", "-q"]) == code
    error, hint = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ") and said in error
    assert hint.startswith("hint: ") and "tiny.npz" in hint


def test_without_a_name_the_catalogue_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["download"]) == ExitCode.DONE
    lines = capsys.readouterr().out.splitlines()
    (row,) = [line for line in lines if line.startswith("medmnist/dermamnist")]
    for word in ("7", "10,015", "28 64 128 224", "CC BY-NC 4.0"):
        assert word in row
    assert run(["download", "--json"]) == ExitCode.DONE
    listed = json.loads(capsys.readouterr().out)["sets"]
    assert [entry["name"] for entry in listed] == list(CATALOGUE.names())
    assert {"name", "classes", "images", "sizes", "licence"} <= set(listed[0])


def test_an_option_without_a_name_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["download", "--size", "28"]) == ExitCode.USAGE
    assert "which data set" in capsys.readouterr().err
