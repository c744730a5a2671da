"""A DICOM node around a model: what is stored goes into the queue, is answered in processes, and delivered to peers."""

import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Condition, Event, Lock, Thread

from medimg_cli.errors import MachineError, MedimgError, UsageError
from medimg_cli.web.dicom.listener import Listener, Rules, networks_of
from medimg_cli.web.dicom.peers import Peer, PeerDownError, PeerRefusesError, Send, peers_of, tls_of
from medimg_cli.web.dicom.queue import Ask, Done, Queue, key_of
from medimg_cli.web.serving.api import say_failed
from medimg_cli.web.serving.prometheus import Counters as Numbers
from medimg_cli.web.serving.supervisor import READY
from medimg_cli.web.serving.worker_config import MB, Plan, is_loopback

_LOOK_SECONDS = 0.2
_LONGEST_START_SECONDS = 120.0
_LINGER_SECONDS = 2.0
"""An association to a peer is kept for so long when nothing is left to deliver."""
_FIRST_PAUSE_SECONDS, _AGAIN_SECONDS = 1.0, 5.0
_MOST_DEATHS = 2
"""An object whose worker ended so often is not tried again."""
Start = Callable[[], tuple[BaseProcess, Connection]]


@dataclass(frozen=True)
class Terms:
    """How a node works.

    Args:
        address: host and port to listen on.
        exam_seconds: an exam is answered when so long nothing came of it.
        read_seconds: an object has to be read and answered by then.
        retry_seconds: the longest pause before a peer that is down is tried again.
        workers: processes that answer.
    """

    address: tuple[str, int]
    rules: Rules
    exam_seconds: float
    read_seconds: float
    retry_seconds: float
    workers: int


class _DiedError(Exception):
    """Raised where the process that answers ended, or had to be ended; its text says how."""


class _Worker:
    """A process that answers; started anew where it was ended."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._process, self._pipe = start()

    def wait_until_ready(self, stop: Event) -> bool:
        """Return whether the model answers exams; raise what kept it from starting, if something did."""
        until = time.monotonic() + _LONGEST_START_SECONDS
        while not self._pipe.poll(_LOOK_SECONDS):
            if stop.is_set() or time.monotonic() > until:
                raise MachineError("the model does not load", "is there memory enough for it?")
        try:
            word, kind, what, hint = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise MachineError(
                "a worker ended while it started", "is there memory enough for the model?"
            ) from error
        if word != READY:
            raise kind(what, hint)
        return bool(what)

    def ask(self, ask: Ask, seconds: float) -> Done:
        """Return what became of it; raises `_DiedError` with the key of the object that ended the process."""
        at = ask.objects[0].stem
        try:
            self._pipe.send(ask)
            while self._pipe.poll(seconds):
                found = self._pipe.recv()
                if isinstance(found, Done):
                    return found
                at = found
            why = f"reading it takes longer than {seconds:g} s"
        except (EOFError, OSError):
            self._process.join(1.0)
            why = f"reading it ended the process (exit code {self._process.exitcode})"
        raise _DiedError(at, why)

    def renew(self) -> None:
        """End the process and start another."""
        self.end()
        self._process, self._pipe = self._start()

    def end(self) -> None:
        """End the process, whatever it is at."""
        self._process.kill()
        self._process.join(1.0)
        self._pipe.close()


@dataclass(frozen=True)
class _Job:
    """Objects that are answered as one.

    Args:
        unread: further ones of their exam, which could not be read.
        of_exam: which exam the only one is of is not known yet.
    """

    keys: tuple[str, ...]
    unread: int = 0
    of_exam: bool = False


class _Outbox:
    """Results that a peer lacks, in order."""

    def __init__(self) -> None:
        self._paths: deque[Path] = deque()
        self._changed = Condition()

    def put(self, path: Path) -> None:
        with self._changed:
            self._paths.append(path)
            self._changed.notify()

    def first(self, seconds: float) -> Path | None:
        """Return the next one, which stays until `done`; None where none comes."""
        with self._changed:
            self._changed.wait_for(lambda: self._paths, seconds)
            return self._paths[0] if self._paths else None

    def done(self) -> None:
        """Forget the first one."""
        self._paths.popleft()


class Node:
    """A node at work.

    Args:
        start: starts a process that runs `worker.work`; returns it and the pipe to it.
        counters: a row of its own.
        note: told what a person should know; no name or value of an object.

    Raises:
        MachineError: the port is taken.
    """

    def __init__(
        self,
        terms: Terms,
        queue: Queue,
        peers: Sequence[Peer],
        start: Start,
        counters: Numbers,
        note: Callable[[str], None],
    ) -> None:
        self._terms, self._queue, self._peers, self._note = terms, queue, peers, note
        self._counters, self._lock, self._stop = counters, Lock(), Event()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._exams: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._deaths: Counter[str] = Counter()
        self._of_exams = False
        self._outboxes = {peer.id: _Outbox() for peer in peers}
        self._listener = Listener(terms.address, terms.rules, queue, self._take, self._count)
        self._workers = [_Worker(start) for _ in range(terms.workers)]

    @property
    def address(self) -> str:
        """Return where it can be reached."""
        return f"{self._terms.rules.ae}@{self._terms.address[0]}:{self._listener.port}"

    def start(self) -> None:
        """Go on with what the queue holds, and take objects; raises `MedimgError` where the model cannot be used."""
        self._of_exams = True in [worker.wait_until_ready(self._stop) for worker in self._workers]
        for key in self._queue.waiting():
            self._take(key)
        if strangers := sum(not self._post(*result) for result in self._queue.to_deliver()):
            self._note(f"{strangers} results wait for peers that --send-to no longer names")
        for worker in self._workers:
            Thread(target=self._answer, args=(worker,), daemon=True).start()
        for peer in self._peers:
            Thread(target=self._deliver, args=(peer,), daemon=True).start()
        Thread(target=self._watch, daemon=True).start()
        self._listener.start()

    def stop(self) -> None:
        """End; what is in the queue stays there."""
        self._stop.set()
        self._listener.stop()
        for worker in self._workers:
            worker.end()

    def _count(self, **more: float) -> None:
        with self._lock:
            self._counters.add(**more)

    def _take(self, key: str) -> None:
        self._jobs.put(_Job((key,), of_exam=self._of_exams))

    def _post(self, peer: str, path: Path) -> bool:
        if peer in self._outboxes:
            self._outboxes[peer].put(path)
        return peer in self._outboxes

    def _watch(self) -> None:
        """Have exams answered that are quiet, and tell how much waits."""
        while not self._stop.wait(_LOOK_SECONDS):
            for name, size in self._queue.sizes().items():
                self._counters.set(**{f"dicom_{name}": size})
            with self._lock:
                late = time.monotonic() - self._terms.exam_seconds
                quiet = [exam for exam, (last, _) in self._exams.items() if last < late]
                for exam in quiet:
                    self._jobs.put(_Job(self._exams.pop(exam)[1]))

    def _answer(self, worker: _Worker) -> None:
        while not self._stop.is_set():
            try:
                job = self._jobs.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            try:
                try:
                    later = self._answer_one(worker, job)
                except _DiedError as died:
                    later = "" if self._stop.is_set() else self._after_death(worker, job, died)
            except Exception as error:  # a full disk, or a fault of this program: the object waits
                say_failed(error)
                later = f"an answer cannot be kept ({type(error).__name__})"
            if later:
                self._note(f"{later}; tried again in {_AGAIN_SECONDS:g} s")
                self._stop.wait(_AGAIN_SECONDS)
                self._jobs.put(job)

    def _answer_one(self, worker: _Worker, job: _Job) -> str:
        """Have a job done; return why it has to wait, "" where it is done."""
        paths = tuple(path for key in job.keys if (path := self._queue.object(key)).is_file())
        if not paths:  # somebody took them away
            return ""
        if job.of_exam:
            done = worker.ask(Ask(paths, None), self._terms.read_seconds)
            if done.exam and not done.own:
                with self._lock:
                    keys = self._exams.get(done.exam, (0.0, ()))[1]
                    self._exams[done.exam] = (time.monotonic(), (*keys, *job.keys))
                return ""
        else:
            made = self._queue.folder_for_results()
            done = worker.ask(Ask(paths, made, job.unread), self._terms.read_seconds)
            if not done.later and not done.own and len(done.unread) < len(paths):
                name = job.keys[0] if len(job.keys) == 1 else key_of(" ".join(sorted(job.keys)))
                sources = {path.stem: done.unread.get(path.stem, "") for path in paths}
                for result in self._queue.answered(name, sources, made, self._outboxes):
                    self._post(*result)
                self._count(dicom_answered=done.images, dicom_declined=done.refused)
                return ""
        if done.own:
            self._queue.drop(job.keys[0])
            self._count(dicom_own=1)
        for key, reason in done.unread.items():
            self._bury(key, reason)
        return done.later

    def _bury(self, key: str, reason: str) -> None:
        self._queue.bury(self._queue.object(key), reason)
        self._note(f"object {key} cannot be answered: {reason}")

    def _after_death(self, worker: _Worker, job: _Job, died: _DiedError) -> str:
        """Replace a worker that an object ended; put the object out of the way where it is known to do so."""
        key, reason = died.args
        self._deaths[key] += 1
        worker.renew()
        try:
            worker.wait_until_ready(self._stop)
        except MedimgError as error:
            return error.what
        if self._deaths[key] < _MOST_DEATHS:
            self._jobs.put(job)
            return ""
        del self._deaths[key]
        self._bury(key, reason)
        if rest := tuple(each for each in job.keys if each != key):
            self._jobs.put(_Job(rest, job.unread + 1))
        return ""

    def _deliver(self, peer: Peer) -> None:
        """Deliver to a peer what it lacks, for as long as the node works."""
        outbox, pause, is_down = self._outboxes[peer.id], _FIRST_PAUSE_SECONDS, False
        while not self._stop.is_set():
            if outbox.first(_LOOK_SECONDS) is None:
                continue
            try:
                with peer.connected() as send:
                    while not self._stop.is_set() and (path := outbox.first(_LINGER_SECONDS)) is not None:
                        self._send(peer, send, path)
                        outbox.done()
                        pause, is_down = _FIRST_PAUSE_SECONDS, False
            except PeerDownError as reason:
                if not is_down:
                    self._note(f"{peer.name} is down: {reason}; its results wait")
                is_down = True
            except Exception as error:  # a fault of this program or of a library: the result waits
                say_failed(error)
                is_down = True
            if is_down:
                self._count(dicom_retries=1)
                self._stop.wait(pause)
                pause = min(2 * pause, self._terms.retry_seconds)

    def _send(self, peer: Peer, send: Send, path: Path) -> None:
        try:
            send(path)
        except PeerRefusesError as reason:
            self._queue.bury(path, f"{peer.name}: {reason}")
            self._note(f"result {path.parent.name} cannot be delivered to {peer.name}: {reason}")
        else:
            self._queue.delivered(path)
            self._count(dicom_delivered=1)


def open_node(plan: Plan, folder: Path, start: Start, counters: Numbers, note: Callable[[str], None]) -> Node:
    """Return a node as the settings of `serve` have it, with its queue in a folder.

    Raises:
        UsageError: nobody gets the results, or others could store without being asked who they are.
        MachineError: the port is taken, or the queue cannot be written.
    """
    settings = plan.settings
    networks = networks_of(settings.dicom_addresses)
    if not is_loopback(settings.dicom_host) and not networks and settings.dicom_ca is None:
        raise UsageError(
            f"serve.dicom_host {settings.dicom_host} is in reach of other machines, and anybody may store",
            "name who may in serve.dicom_addresses, or ask for certificates with serve.dicom_ca",
        )
    rules = Rules(
        ae=settings.ae,
        callers=settings.dicom_callers,
        networks=networks,
        associations=settings.dicom_associations,
        object_bytes=plan.limits.file_bytes,
        tls=tls_of(settings, server=True),
    )
    peers = peers_of(settings)
    if not peers:
        raise UsageError("nobody gets the results of what comes by DICOM", "name a peer with --send-to")
    terms = Terms(
        address=(settings.dicom_host, settings.dicom_port or 0),
        rules=rules,
        exam_seconds=settings.dicom_exam_seconds,
        read_seconds=settings.decode_seconds,
        retry_seconds=settings.dicom_retry_seconds,
        workers=settings.workers,
    )
    queue = Queue(folder, settings.dicom_reserve_mb * MB)
    return Node(terms, queue, peers, start, counters, note)
