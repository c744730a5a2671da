"""The DICOM node over real associations, with a stand-in for the process that answers."""

import gc
import http.server
import json
import random
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import (
    UID,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)
from pynetdicom import AE
from pynetdicom.association import Association

from medimg_cli.errors import MedimgError, UsageError
from medimg_cli.web.dicom import listener
from medimg_cli.web.dicom.listener import OUT_OF_RESOURCES, image_classes, transfer_syntaxes
from medimg_cli.web.dicom.node import Node
from medimg_cli.web.dicom.peers import answers_alone, peers_of
from medimg_cli.web.dicom.queue import Ask, Done, NoRoomError, Queue, key_of, read_only
from medimg_cli.web.serving.prometheus import SLOTS, Counters
from medimg_cli.web.serving.supervisor import READY
from medimg_cli.web.serving.worker_config import Address, Limits, Plan
from medimg_cli.workspace.serve_settings import ServeSettings
from tests.faults.dicom_fuzz import recorded, session
from tests.faults.fuzz import mutated
from tests.web.dicom_peer import Peer, image, listening_peer, send

# pynetdicom leaves a socket to the garbage collector where nobody answers.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
SECONDS = 120.0
Answer = Callable[[Ask, Connection], "Done | None"]


def result_of(dataset: Dataset) -> UID:
    """Return the UID of the result of an image."""
    return generate_uid(entropy_srcs=[str(dataset.SOPInstanceUID)])


def copies(ask: Ask, _: Connection) -> Done:
    """Answer by a Secondary Capture of each exam: the first image of it."""
    if ask.folder is None:
        return Done(exam=key_of(str(dcmread(ask.objects[0]).StudyInstanceUID)))
    found = dcmread(ask.objects[0])
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = result_of(found)
    found.ImageComments = f"{len(ask.objects)} images, {ask.unread} unread"
    found.save_as(ask.folder / "0.dcm")
    return Done(images=len(ask.objects))


class _Process:
    """What stands for the process that answers: a thread behind a pipe."""

    exitcode = -11

    def __init__(self, answer: Answer, pipe: Connection, exams: str) -> None:
        self._answer, self._pipe, self._exams = answer, pipe, exams
        threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        try:
            self._pipe.send((READY, None, self._exams, ""))
            while done := self._answer(self._pipe.recv(), self._pipe):
                self._pipe.send(done)
        except (EOFError, OSError):
            pass
        self._pipe.close()

    def kill(self) -> None:
        """Leave it: the thread ends when its pipe does."""

    def join(self, _: float) -> None:
        return


@dataclass
class Served:
    """A node at work.

    Args:
        said: what it told a person.
    """

    node: Node
    folder: Path
    numbers: list[float]
    said: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        return int(self.node.address.rpartition(":")[2])

    def counts(self) -> str:
        """Return the metrics."""
        return Counters([*self.numbers]).text()

    def until(self, true: Callable[[], object]) -> None:
        """Wait until something is true."""
        end = time.monotonic() + SECONDS
        while not true():
            assert time.monotonic() < end, (self.said, read_only(self.folder))
            time.sleep(0.02)

    def is_empty(self) -> bool:
        return read_only(self.folder)[:2] == (0, 0)


@contextmanager
def node_for_tests(
    folder: Path,
    *peers: str,
    answer: Answer = copies,
    limits: Limits | None = None,
    exams: bool = False,
    start: bool = True,
    **settings: Any,
) -> Iterator[Served]:
    """Run a node in this process."""
    chosen = ServeSettings(
        dicom_port=0, send_to=peers or ("dicom://NOBODY@127.0.0.1:1",), dicom_reserve_mb=50, **settings
    )
    plan = Plan(Path("run"), print, Address("127.0.0.1", 0), limits or Limits(), chosen, None)
    numbers, said = [0.0] * SLOTS, list[str]()

    def started() -> tuple[Any, Connection]:
        ours, theirs = Pipe()
        return _Process(answer, theirs, "exams" if exams else ""), ours

    node = Node(plan, folder, started, Counters(numbers), said.append)
    try:
        if start:
            node.start()
        yield Served(node, folder, numbers, said)
    finally:
        node.stop()
        gc.collect()


@pytest.fixture
def peer() -> Iterator[Peer]:
    with listening_peer() as found:
        yield found


@pytest.fixture
def served(tmp_path: Path, peer: Peer) -> Iterator[Served]:
    with node_for_tests(tmp_path / "queue", f"dicom://PEER@127.0.0.1:{peer.port}") as found:
        yield found


def test_what_is_stored_is_answered_and_the_result_delivered(served: Served, peer: Peer) -> None:
    assert send(served.port, [image(0), image(1)]) == [0, 0]
    served.until(lambda: len(peer.got) == 2 and served.is_empty())
    assert set(peer.got) == {result_of(image(number)) for number in (0, 1)}
    served.until(lambda: "medimg_dicom_delivered_total 2" in served.counts())
    assert "medimg_dicom_received_total 2" in served.counts()
    assert "medimg_dicom_images_total 2" in served.counts()


def test_echo_is_answered(served: Served, tmp_path: Path) -> None:
    chosen = ServeSettings(send_to=(f"dicom://MEDIMG@127.0.0.1:{served.port}",))
    peers_of(chosen)[0].echo()
    assert tmp_path.is_dir()


@pytest.mark.parametrize(
    ("calling", "called", "status"), [("A", "MEDIMG", [0]), ("B", "MEDIMG", []), ("A", "OTHER", [])]
)
def test_only_titles_on_the_list_may_store(
    calling: str, called: str, status: list[int], tmp_path: Path
) -> None:
    with node_for_tests(tmp_path, dicom_callers=("A",)) as served:
        assert send(served.port, [image()], calling=calling, called=called) == status
        assert f"medimg_dicom_rejected_total {int(not status)}" in served.counts()


@pytest.mark.parametrize(("addresses", "status"), [(("127.0.0.0/8",), [0]), (("192.0.2.1",), [])])
def test_only_addresses_on_the_list_may_connect(
    addresses: tuple[str, ...], status: list[int], tmp_path: Path
) -> None:
    with node_for_tests(tmp_path, dicom_addresses=addresses) as served:
        assert send(served.port, [image()]) == status


def test_associations_beyond_the_limit_are_rejected(tmp_path: Path) -> None:
    with node_for_tests(tmp_path, dicom_associations=1) as served:
        entity = AE("FIRST")
        entity.add_requested_context("1.2.840.10008.1.1")
        first = entity.associate("127.0.0.1", served.port, ae_title="MEDIMG")
        assert first.is_established
        assert send(served.port, [image()]) == []
        first.release()
        served.until(lambda: send(served.port, [image()]) == [0])


def test_an_object_beyond_the_limit_ends_its_association_and_no_other(tmp_path: Path) -> None:
    with node_for_tests(tmp_path, limits=Limits(file_bytes=1_000_000)) as served:
        large = image(1, Rows=2000, Columns=2000, PixelData=bytes(4_000_000))
        assert send(served.port, [large]) == [-1]
        assert send(served.port, [image()]) == [0]
        assert "medimg_dicom_refused_total 1" in served.counts()


def test_a_pdu_that_claims_gigabytes_is_not_waited_for(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as connection:
        connection.sendall(b"\x01\x00\xff\xff\xff\xff" + bytes(100))
        assert connection.recv(1) == b""


def test_connections_that_end_before_they_ask_hold_no_place(tmp_path: Path) -> None:
    with node_for_tests(tmp_path, dicom_associations=2) as served:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", served.port)).close()
        began = time.monotonic()
        served.until(lambda: send(served.port, [image()]) == [0])
        assert time.monotonic() - began < 12  # those that hold a place hold it for 15 s


def test_a_pdu_that_comes_too_slowly_is_given_up(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "_PDU_SECONDS", 0.5)
    with socket.create_connection(("127.0.0.1", served.port), timeout=SECONDS) as connection:
        connection.sendall(b"\x01\x00\x00\x00\x10\x00")
        with pytest.raises(OSError):
            for _ in range(100):
                time.sleep(0.1)
                connection.sendall(b"a")


def test_a_full_disk_is_refused_before_anything_is_acknowledged(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise NoRoomError

    monkeypatch.setattr(Queue, "put", full)
    assert send(served.port, [image()]) == [OUT_OF_RESOURCES]
    monkeypatch.undo()
    assert send(served.port, [image()]) == [0]


def test_a_peer_that_is_down_gets_its_results_when_it_is_back(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medimg_cli.web.dicom.node._FIRST_PAUSE_SECONDS", 0.05)
    peer.stop()
    with node_for_tests(tmp_path, f"dicom://PEER@127.0.0.1:{peer.port}", dicom_retry_seconds=1) as served:
        assert send(served.port, [image()]) == [0]
        served.until(lambda: served.said)
        assert served.said == [
            f"dicom://PEER@127.0.0.1:{peer.port} is down: it does not answer; its results wait"
        ]
        peer.start()
        served.until(lambda: len(peer.got) == 1 and served.is_empty())


@pytest.mark.parametrize("status", [0xA700, 0x0124])
def test_a_peer_without_room_is_tried_again(
    status: int, served: Served, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medimg_cli.web.dicom.node._FIRST_PAUSE_SECONDS", 0.05)
    peer.statuses = [status]
    assert send(served.port, [image()]) == [0]
    served.until(lambda: len(peer.got) == 1 and served.is_empty())


@pytest.mark.parametrize("status", [0xA900, 0xC000, 0x0122])
def test_a_result_that_a_peer_refuses_is_put_out_of_the_way(status: int, served: Served, peer: Peer) -> None:
    peer.statuses = [status]
    assert send(served.port, [image(0), image(1)]) == [0, 0]
    served.until(lambda: len(peer.got) == 1 and served.is_empty())
    (note,) = read_only(served.folder)[2].values()
    assert note["reason"] == f"dicom://PEER@127.0.0.1:{peer.port}: status 0x{status:04X}"


def test_a_warning_of_a_peer_is_a_delivery(served: Served, peer: Peer) -> None:
    peer.statuses = [0xB000]
    assert send(served.port, [image()]) == [0]
    served.until(served.is_empty)
    assert read_only(served.folder)[2] == {}


def dies(ask: Ask, pipe: Connection) -> Done | None:
    """End the process at the image that is odd, or hang at the one numbered 5."""
    for path in ask.objects:
        pipe.send(path.stem)
        if path.stem == key_of(str(image(5).SOPInstanceUID)):
            time.sleep(SECONDS)
        if path.stem == key_of(str(image(1).SOPInstanceUID)):
            return None
    return copies(ask, pipe)


@pytest.mark.parametrize(
    ("seed", "reason"), [(1, "ended the process (exit code -11)"), (5, "takes longer than 1 s")]
)
def test_an_object_that_ends_or_holds_the_process_is_put_out_of_the_way_and_blocks_no_other(
    seed: int, reason: str, tmp_path: Path, peer: Peer
) -> None:
    where = f"dicom://PEER@127.0.0.1:{peer.port}"
    with node_for_tests(tmp_path, where, answer=dies, decode_seconds=1) as served:
        assert send(served.port, [image(seed), image(2)]) == [0, 0]
        served.until(lambda: len(peer.got) == 1 and served.is_empty())
        assert [note["reason"] for note in read_only(tmp_path)[2].values()] == [f"reading it {reason}"]


def test_an_answer_that_cannot_be_recorded_is_asked_for_again(
    tmp_path: Path, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medimg_cli.web.dicom.node._AGAIN_SECONDS", 0.05)
    times: list[int] = []

    def late(ask: Ask, pipe: Connection) -> Done:
        times.append(1)
        done = copies(ask, pipe)
        return Done(later="the audit log is full") if len(times) < 3 else done

    with node_for_tests(tmp_path, f"dicom://PEER@127.0.0.1:{peer.port}", answer=late) as served:
        assert send(served.port, [image()]) == [0]
        served.until(lambda: len(peer.got) == 1 and served.is_empty())
        assert served.said == ["the audit log is full; tried again in 0.05 s"] * 2
        assert not any((tmp_path / "making").iterdir())  # else a full disk would never have room again


def test_own_results_that_are_routed_back_are_dropped(tmp_path: Path, peer: Peer) -> None:
    where = f"dicom://PEER@127.0.0.1:{peer.port}"
    with node_for_tests(tmp_path, where, answer=lambda _, __: Done(own=True)) as served:
        assert send(served.port, [image()]) == [0]
        served.until(lambda: "medimg_dicom_own_total 1" in served.counts())
        assert read_only(tmp_path) == (0, 0, {})
        assert peer.got == []


def test_an_exam_is_answered_when_it_is_quiet(tmp_path: Path, peer: Peer) -> None:
    where = f"dicom://PEER@127.0.0.1:{peer.port}"
    with node_for_tests(tmp_path, where, exams=True, dicom_exam_seconds=1) as served:
        studies = [image(number, study=f"1.2.{number % 2}") for number in range(6)]
        assert send(served.port, studies) == [0] * 6
        assert peer.got == []
        served.until(lambda: len(peer.got) == 2 and served.is_empty())
        assert [one.ImageComments for one in peer.held.values()] == ["3 images, 0 unread"] * 2


def test_an_image_that_ends_the_process_counts_as_unread_in_its_exam(tmp_path: Path, peer: Peer) -> None:
    where = f"dicom://PEER@127.0.0.1:{peer.port}"

    def answer(ask: Ask, pipe: Connection) -> Done | None:
        return copies(ask, pipe) if ask.folder is None else dies(ask, pipe)

    with node_for_tests(tmp_path, where, answer=answer, exams=True, dicom_exam_seconds=1) as served:
        assert send(served.port, [image(number, study="1.2.3") for number in range(3)]) == [0] * 3
        served.until(lambda: len(peer.got) == 1 and served.is_empty())
        assert [one.ImageComments for one in peer.held.values()] == ["2 images, 1 unread"]
        assert len(read_only(tmp_path)[2]) == 1


def test_a_node_that_starts_again_goes_on_with_what_waits(tmp_path: Path, peer: Peer) -> None:
    where, stuck = f"dicom://PEER@127.0.0.1:{peer.port}", threading.Event()

    def never(_: Ask, __: Connection) -> None:
        stuck.wait(SECONDS)

    with node_for_tests(tmp_path, where, answer=never) as served:
        assert send(served.port, [image(0), image(1)]) == [0, 0]
    stuck.set()
    assert read_only(tmp_path)[0] == 2
    with node_for_tests(tmp_path, where) as served:
        served.until(lambda: len(peer.got) == 2 and served.is_empty())


def test_results_for_a_peer_that_is_no_longer_named_stay_and_are_said(tmp_path: Path, peer: Peer) -> None:
    with node_for_tests(tmp_path) as served:
        assert send(served.port, [image()]) == [0]
        served.until(lambda: read_only(tmp_path)[1] == 1)
    with node_for_tests(tmp_path, f"dicom://PEER@127.0.0.1:{peer.port}") as served:
        assert served.said == ["1 results wait for peers that --send-to no longer names"]
    assert read_only(tmp_path)[1] == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate of 127.0.0.1 with its key, signed by itself."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    made = tmp_path_factory.mktemp("tls") / "cert.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-keyout", made, "-out", f"{made}.crt"], check=True, capture_output=True
    )
    made.write_text(made.read_text() + Path(f"{made}.crt").read_text())
    return made


@pytest.mark.parametrize("known", [True, False])
def test_with_tls_only_certificates_that_are_trusted_may_store(
    known: bool, certificate: Path, tmp_path: Path
) -> None:
    with node_for_tests(tmp_path, dicom_cert=certificate, dicom_ca=certificate) as served:
        context = ssl.create_default_context(cafile=certificate)
        if known:
            context.load_cert_chain(certificate)
        assert send(served.port, [image()], tls_args=(context, "127.0.0.1")) == ([0] if known else [])
        assert send(served.port, [image()]) == []  # without TLS


def test_certificates_are_not_asked_for_without_one_of_our_own(certificate: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of our own"), node_for_tests(tmp_path, dicom_ca=certificate):
        pass


def test_a_client_that_does_not_shake_hands_lets_nobody_wait(certificate: Path, tmp_path: Path) -> None:
    with node_for_tests(tmp_path, dicom_cert=certificate) as served:
        silent = socket.create_connection(("127.0.0.1", served.port))
        context = ssl.create_default_context(cafile=certificate)
        assert send(served.port, [image()], tls_args=(context, "127.0.0.1")) == [0]
        silent.close()


class _Stow(http.server.BaseHTTPRequestHandler):
    """What stands for a DICOMweb server."""

    replies: list[int]
    taken: list[tuple[str, bytes, str]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.replies.pop(0) if self.replies else 200
        if status == 200:
            self.taken.append((self.path, body, self.headers.get("Authorization", "")))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        found = {200: "00081199", 202: "00081198"}.get(status)
        if found:
            self.wfile.write(json.dumps({found: {"vr": "SQ", "Value": [{}]}}).encode())

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"<html>sign in</html>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stow() -> Iterator[tuple[int, type[_Stow]]]:
    kind = type("Stow", (_Stow,), {"replies": [], "taken": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield server.server_address[1], kind
    server.shutdown()
    server.server_close()


def test_results_are_stored_by_stow_rs(
    tmp_path: Path, stow: tuple[int, type[_Stow]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medimg_cli.web.dicom.node._FIRST_PAUSE_SECONDS", 0.05)
    monkeypatch.setenv("MEDIMG_DICOM_TOKEN", "secret")
    port, kind = stow
    kind.replies = [503, 401, 302, 204]
    with node_for_tests(tmp_path, f"http://127.0.0.1:{port}/dicom-web/") as served:
        assert send(served.port, [image()]) == [0]
        served.until(served.is_empty)
    ((path, body, authorization),) = kind.taken
    assert (path, authorization) == ("/dicom-web/studies", "Bearer secret")
    start = body.index(b"\r\n\r\n") + 4
    (tmp_path / "part.dcm").write_bytes(body[start : body.rindex(b"\r\n--")])
    assert dcmread(tmp_path / "part.dcm").SOPInstanceUID == result_of(image())
    assert "secret" not in " ".join(served.said)


@pytest.mark.parametrize("status", [409, 202, 415])
def test_a_result_that_a_dicomweb_server_refuses_is_put_out_of_the_way(
    status: int, tmp_path: Path, stow: tuple[int, type[_Stow]]
) -> None:
    port, kind = stow
    kind.replies = [status]
    with node_for_tests(tmp_path, f"http://127.0.0.1:{port}/dicom-web") as served:
        assert send(served.port, [image()]) == [0]
        served.until(served.is_empty)
        assert len(read_only(tmp_path)[2]) == 1


@pytest.mark.parametrize(
    "text",
    [
        "dicom://127.0.0.1:104",
        "dicom://PEER@127.0.0.1",
        "dicom://ATITLEOFSEVENTEEN@h:104",
        "ftp://h/x",
        "file:///etc",
        "h",
    ],
)
def test_a_peer_without_a_whole_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="address of a peer"):
        peers_of(ServeSettings(send_to=(text,)))


def test_a_password_in_the_address_of_a_peer_is_not_shown() -> None:
    (found,) = peers_of(ServeSettings(send_to=("https://user:secret@example.org/dicom-web",)))
    assert found.name == "https://example.org/dicom-web"
    with pytest.raises(UsageError) as refused:
        peers_of(ServeSettings(send_to=("ftp://user:secret@example.org",)))
    assert "secret" not in refused.value.what


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"send_to": ()}, "nobody gets the results"),
        ({"dicom_host": "0.0.0.0"}, "in reach of other machines"),
        ({"dicom_addresses": ("10.0.0.300",)}, "dicom_addresses"),
        ({"dicom_ca": Path("nothing.pem")}, "TLS cannot be used"),
        ({"dicom_cert": Path("nothing.pem")}, "TLS cannot be used"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    chosen = ServeSettings(**{"dicom_port": 0, "send_to": ("dicom://P@127.0.0.1:104",), **settings})
    plan = Plan(Path("run"), print, Address("127.0.0.1", 0), Limits(), chosen, None)
    with pytest.raises(MedimgError, match=said):
        Node(plan, tmp_path, print, Counters([0.0] * SLOTS), print)  # type: ignore[arg-type]


def test_every_transfer_syntax_that_is_read_is_taken_and_no_other() -> None:
    taken = transfer_syntaxes()
    assert {ImplicitVRLittleEndian, JPEG2000Lossless, "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.5"} <= {
        *taken
    }
    assert not [
        uid for uid in taken if any(word in UID(uid).name for word in ("MPEG", "HEVC", "JPIP", "SMPTE"))
    ]
    classes = image_classes()
    assert {SecondaryCaptureImageStorage, "1.2.840.10008.5.1.4.1.1.2"} <= {*classes}
    assert "1.2.840.10008.5.1.4.1.1.88.33" not in classes


def test_an_object_that_comes_twice_is_answered_once(served: Served, peer: Peer) -> None:
    peer.stop()
    same: list[Dataset] = [image()] * 3
    assert send(served.port, same) == [0, 0, 0]
    peer.start()
    served.until(lambda: len(peer.got) == 1 and served.is_empty())
    time.sleep(0.3)
    assert len(peer.got) == 1


def test_mutated_sessions_leave_the_node_as_it_was(served: Served, peer: Peer) -> None:
    whole = recorded(served.port, [image(1)])
    served.until(lambda: len(peer.got) == 1)
    for number in range(60):
        chance = random.Random(number)
        session(served.port, mutated(whole, [whole], chance), chance, 0.2)
    served.until(lambda: send(served.port, [image(2)]) == [0])
    served.until(lambda: result_of(image(2)) in peer.got and served.is_empty())


def test_a_node_ends_at_once_whatever_clients_and_peers_keep_it_waiting_for(
    tmp_path: Path, peer: Peer
) -> None:
    with node_for_tests(tmp_path, f"dicom://PEER@127.0.0.1:{peer.port}") as served:
        peer.hold.clear()
        slow = socket.create_connection(("127.0.0.1", served.port))
        slow.sendall(b"\x01\x00\x00\x00\x10\x00")
        assert send(served.port, [image()]) == [0]
        served.until(lambda: read_only(tmp_path)[1] == 1)
        time.sleep(0.5)
        began = time.monotonic()
        served.node.stop()
        assert time.monotonic() - began < 20
        peer.hold.set()
        served.until(lambda: not [one for one in threading.enumerate() if isinstance(one, Association)])
        slow.close()
    assert read_only(tmp_path)[1] == 1


def test_a_node_that_was_asked_to_end_before_it_took_anything_ends(tmp_path: Path) -> None:
    with node_for_tests(tmp_path, start=False) as served:
        ending = threading.Thread(target=served.node.stop, daemon=True)
        ending.start()
        ending.join(5)
        assert not ending.is_alive()


def test_an_answer_of_a_peer_waits_for_whoever_asked(peer: Peer) -> None:
    entity = AE("A")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", peer.port, ae_title="PEER")
    answers_alone(association)
    answer: Any = (1, Dataset())
    association.dimse.msg_queue.put(answer)
    time.sleep(0.05)  # its reactor looks every millisecond
    assert association.dimse.get_msg(block=False) == (None, None)
    assert association.dimse.get_msg(block=True) is answer
    association.release()
