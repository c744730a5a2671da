"""fetch: what breaks goes on, and what is wrong never gets the name."""

import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from medimg_cli.errors import DataError, MachineError
from medimg_cli.sample_data import fetch as fetching
from medimg_cli.sample_data.fetch import Fetched, fetch
from medimg_cli.sample_data.http_download import Answer, FetchRules, NoConnectionError, RemoteFile, ask
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.progress import SilentProgress
from tests.sample_data.odd_server import (
    BODY,
    LOOPBACK,
    RULES,
    Answering,
    OddServer,
    breaking_after,
    declaring,
    get,
    honest,
    in_chunks,
    md5,
    names_in,
    other,
    refusing,
    silent,
    whole,
    without_length,
)


class Told(SilentProgress):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.tasks: list[tuple[str, int | None]] = []
        self.steps = 0

    def start(self, task: str, total: int | None) -> None:
        self.tasks.append((task, total))

    def advance(self, steps: int = 1) -> None:
        self.steps += steps

    def note(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(message)


def test_a_file_comes_whole_and_alone(server: OddServer, target: Path) -> None:
    assert get(server, target, honest) == Fetched(target, len(BODY), md5(BODY), reused=False)
    assert target.read_bytes() == BODY
    assert names_in(target.parent) == ["tiny.npz"]
    assert server.ranges == [None]


def test_a_right_file_is_not_fetched_again(server: OddServer, target: Path) -> None:
    get(server, target, honest)
    assert get(server, target, refusing(500)).reused
    assert server.ranges == [None]


def test_a_break_is_mended_within_one_call(server: OddServer, target: Path) -> None:
    get(server, target, breaking_after(100), breaking_after(1000), honest)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100-", "bytes=1100-"]


def test_a_server_that_ignores_ranges_is_taken_from_the_start(server: OddServer, target: Path) -> None:
    get(server, target, breaking_after(100), whole)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100-"]


def test_another_range_than_asked_for_is_thrown_away(server: OddServer, target: Path) -> None:
    shifted = refusing(206, Content_Range=f"bytes 7-{len(BODY) - 1}/{len(BODY)}")
    get(server, target, breaking_after(100), shifted, honest)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=100-", None]


@pytest.mark.parametrize("answer", [without_length(), in_chunks(BODY), declaring(10)])
def test_a_right_file_is_taken_whatever_was_said_of_its_length(
    server: OddServer, target: Path, answer: Answering
) -> None:
    get(server, target, answer)
    assert target.read_bytes() == BODY
    assert server.ranges == [None]


def test_a_length_declared_too_short_gives_a_rejected_file(server: OddServer, target: Path) -> None:
    with pytest.raises(DataError) as caught:
        get(server, target, declaring(-10))
    assert md5(BODY[:-10]) in caught.value.what
    assert names_in(target.parent) == ["tiny.npz.rejected"]


@pytest.mark.parametrize("cut", [without_length(5000), in_chunks(BODY[:5000], ends=False)])
def test_a_cut_without_a_length_is_noticed_and_mended(
    server: OddServer, target: Path, cut: Answering
) -> None:
    get(server, target, cut, honest)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, "bytes=5000-"]


@pytest.mark.parametrize("answer", [other(b"not it"), without_length(6), in_chunks(b"not it")])
def test_a_wrong_file_never_gets_the_name(server: OddServer, target: Path, answer: Answering) -> None:
    server.body = b"not it" + BODY
    with pytest.raises(DataError) as caught:
        get(server, target, answer)
    assert md5(b"not it") in caught.value.what and md5(BODY) in caught.value.what
    assert "tiny.npz.rejected" in caught.value.hint
    assert names_in(target.parent) == ["tiny.npz.rejected"]
    assert (target.parent / "tiny.npz.rejected").read_bytes() == b"not it"


def test_a_wrong_file_that_lies_there_is_kept_aside(server: OddServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"half a download")
    told = Told()
    server.answers = [honest]
    fetch(RemoteFile(server.address, md5(BODY)), target, rules=RULES, progress=told)
    assert target.read_bytes() == BODY
    assert (target.parent / "tiny.npz.rejected").read_bytes() == b"half a download"
    assert "is there with a checksum other than" in told.lines[0]


def test_a_wrong_file_that_lies_there_stays_when_nothing_better_comes(
    server: OddServer, target: Path
) -> None:
    target.parent.mkdir()
    target.write_bytes(b"half a download")
    with pytest.raises(MachineError):
        get(server, target, refusing(404))
    assert target.read_bytes() == b"half a download"


def test_a_network_that_goes_in_the_middle_is_waited_for(
    server: OddServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    def flaky(address: str, start: int, rules: FetchRules) -> Answer:
        nonlocal asked
        asked += 1
        if asked == 2:
            raise NoConnectionError("Network is unreachable")
        return ask(address, start, rules)

    monkeypatch.setattr(fetching, "ask", flaky)
    get(server, target, breaking_after(100), honest)
    assert (target.read_bytes(), asked) == (BODY, 3)


def test_a_killed_process_leaves_what_it_had(server: OddServer, target: Path) -> None:
    server.answers = [silent, honest]
    script = (
        "import sys\nfrom pathlib import Path\n"
        "from medimg_cli.sample_data.fetch import fetch\n"
        "from medimg_cli.sample_data.http_download import RemoteFile\n"
        "from medimg_cli.sample_data.http_download import Answer, FetchRules, NoConnectionError, ask\n"
        "rules = FetchRules(plain_http_hosts=frozenset({'127.0.0.1'}))\n"
        "fetch(RemoteFile(sys.argv[1], sys.argv[2]), Path(sys.argv[3]), rules=rules)\n"
    )
    call = [sys.executable, "-c", script, server.address, md5(BODY), str(target)]
    part = target.with_name("tiny.npz.part")
    with subprocess.Popen(call) as process:
        while not (part.exists() and part.stat().st_size):
            assert process.poll() is None
            time.sleep(0.01)
        process.kill()
    kept = part.stat().st_size
    get(server, target, honest)
    assert target.read_bytes() == BODY
    assert server.ranges == [None, f"bytes={kept}-"]


def test_a_server_that_keeps_breaking_off_ends_the_call_and_keeps_the_part(
    server: OddServer, target: Path
) -> None:
    with pytest.raises(MachineError, match="3 times in a row") as caught:
        get(server, target, breaking_after(100), breaking_after(0))
    assert server.ranges == [None, "bytes=100-", "bytes=100-"]
    assert md5(BODY) in caught.value.hint and str(target) in caught.value.hint
    assert names_in(target.parent) == ["tiny.npz.part", "tiny.npz.part.json"]


def test_progress_gives_new_attempts(
    server: OddServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PROGRESS_BYTES", 1000)
    get(server, target, breaking_after(1500))
    assert target.read_bytes() == BODY
    assert len(server.ranges) == -(-len(BODY) // 1500)


def test_too_little_room_is_said_before_the_first_byte(
    server: OddServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = SimpleNamespace(disk_usage=lambda _: SimpleNamespace(free=100))
    monkeypatch.setattr(fetching, "shutil", room)
    with pytest.raises(MachineError, match="MiB are free"):
        get(server, target, honest)
    assert names_in(target.parent) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_disk_that_fills_up_is_an_error_of_the_machine(
    server: OddServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Path.open

    def opened(path: Path, mode: str = "r", **options: object) -> object:
        return real(Path("/dev/full") if path.suffix == ".part" else path, mode, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", opened)
    with pytest.raises(MachineError, match="No space left"):
        get(server, target, honest)


def test_an_endless_answer_is_cut_off(server: OddServer, target: Path) -> None:
    rules = FetchRules(most_bytes=1000, plain_http_hosts=frozenset({LOOPBACK}))
    with pytest.raises(DataError, match="more than 1000 bytes"):
        get(server, target, in_chunks(BODY, ends=False), rules=rules)
    assert names_in(target.parent) == []


def test_two_downloads_of_one_file_do_not_mix(server: OddServer, target: Path) -> None:
    with (
        locked(target.with_name(".tiny.npz.lock"), doing="fetching"),
        pytest.raises(MachineError, match="another medimg"),
    ):
        get(server, target, honest)
    assert server.ranges == []
    assert not get(server, target, honest).reused


def test_a_right_file_in_a_folder_nobody_may_write_is_taken(server: OddServer, target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(BODY)
    assert get(server, target, refusing(500)).reused
    assert [path.name for path in target.parent.iterdir()] == ["tiny.npz"]


def test_progress_counts_mebibytes(server: OddServer, target: Path) -> None:
    body = b"\0" * (2 * 2**20 + 1)
    server.body, told = body, Told()
    fetch(RemoteFile(server.address, md5(body)), target, rules=RULES, progress=told)
    assert told.tasks == [("tiny.npz (MiB)", 3)]
    assert told.steps == 3
