"""A DICOM node around a model: what is stored goes into the queue, is answered in processes, and delivered to peers."""

import shutil
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import NamedTuple

from medimg_cli.errors import MachineError, MedimgError, UsageError
from medimg_cli.web.dicom.listener import Listener
from medimg_cli.web.dicom.peers import Peer, PeerDownError, PeerRefusesError, Send, id_of, peers_of
from medimg_cli.web.dicom.queue import Ask, Done, Queue, key_of
from medimg_cli.web.serving.api import say_failed
from medimg_cli.web.serving.prometheus import Counters as Numbers
from medimg_cli.web.serving.supervisor import READY
from medimg_cli.web.serving.worker_config import MB, Plan

_LOOK_SECONDS = 0.2
_LONGEST_START_SECONDS = 120.0
_NO_MEMORY = "is there memory enough for the model? `medimg doctor` says what there is"
_LINGER_SECONDS = 2.0
"""An association to a peer is kept for so long when nothing is left to deliver."""
_FIRST_PAUSE_SECONDS, _AGAIN_SECONDS = 1.0, 5.0
_MOST_DEATHS = 2
"""An object whose worker ended so often is not tried again."""
Start = Callable[[], tuple[BaseProcess, Connection]]


class _DiedError(Exception):
    """Raised where the process that answers ended, or had to be ended; its text says how."""


class _Worker:
    """A process that answers; started anew where it was ended."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._process, self._pipe = start()
        self._is_up = False

    def wait_until_up(self) -> bool:
        """Return whether the model answers exams; raise what keeps it from starting, if something does."""
        if not self._pipe.poll(_LONGEST_START_SECONDS):
            raise MachineError("the model does not load", _NO_MEMORY)
        try:
            word, kind, what, hint = self._pipe.recv()
        except (EOFError, OSError) as error:
            raise MachineError("a worker ended while it started", _NO_MEMORY) from error
        if word != READY:
            raise kind(what, hint)
        self._is_up = True
        return bool(what)

    def ask(self, ask: Ask, seconds: float) -> Done:
        """Return what became of it; raises `_DiedError` with the key of the object that ended the process."""
        at = ask.objects[0].stem
        if not self._is_up:
            self.end()
            self._process, self._pipe = self._start()
            self.wait_until_up()
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
        self.end()
        raise _DiedError(at, why)

    def end(self) -> None:
        """End the process, whatever it is at."""
        self._is_up = False
        self._process.kill()
        self._process.join(1.0)
        self._pipe.close()


class _Job(NamedTuple):
    """Objects that are answered as one, and how many more of their exam could not be read."""

    keys: tuple[str, ...]
    unread: int = 0
    of_exam: bool = False  # which exam the only one is of is not known yet


class Node:
    """A node at work.

    Args:
        plan: whose settings say where it listens and who gets the results.
        folder: of the queue.
        start: starts a process that runs `worker.work`; returns it and the pipe to it.
        counters: a row of its own.
        note: told what a person should know; no name or value of an object.

    Raises:
        UsageError: nobody gets the results, or others could store without being asked who they are.
        MachineError: the port is taken, or the queue cannot be written.
    """

    def __init__(
        self, plan: Plan, folder: Path, start: Start, counters: Numbers, note: Callable[[str], None]
    ) -> None:
        self._settings, self._note = plan.settings, note
        self._counters, self._lock, self._stop = counters, Lock(), Event()
        self._peers = {id_of(peer): peer for peer in peers_of(plan.settings)}
        if not self._peers:
            raise UsageError("nobody gets the results of what comes by DICOM", "name a peer with --send-to")
        self._queue = Queue(folder, plan.settings.dicom_reserve_mb * MB)
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._exams: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._deaths: Counter[str] = Counter()
        self._of_exams = False
        self._lacking = {peer: SimpleQueue[Path]() for peer in self._peers}
        listener = Listener(
            plan.settings, plan.limits.file_bytes, self._queue, taken=self._take, count=self._count
        )
        self._listener, self.address = listener, listener.address
        self._workers = [_Worker(start) for _ in range(plan.settings.workers)]

    def start(self) -> None:
        """Go on with what the queue holds, and take objects; raises `MedimgError` where the model cannot be used."""
        self._of_exams = True in [worker.wait_until_up() for worker in self._workers]
        for key in self._queue.waiting():
            self._take(key)
        if strangers := sum(not self._post(*result) for result in self._queue.to_deliver()):
            self._note(f"{strangers} results wait for peers that --send-to no longer names")
        works: list[Callable[[], None]] = [self._watch]
        works += [partial(self._answer, worker) for worker in self._workers]
        works += [partial(self._deliver, *item) for item in self._peers.items()]
        for work in works:
            Thread(target=work, daemon=True).start()
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
        if peer in self._lacking:
            self._lacking[peer].put(path)
        return peer in self._lacking

    def _watch(self) -> None:
        """Have exams answered that are quiet, and tell how much waits."""
        while not self._stop.wait(_LOOK_SECONDS):
            for name, size in self._queue.sizes().items():
                self._counters.set(**{f"dicom_{name}": size})
            with self._lock:
                late = time.monotonic() - self._settings.dicom_exam_seconds
                quiet = [exam for exam, (last, _) in self._exams.items() if last < late]
                for exam in quiet:
                    self._jobs.put(_Job(self._exams.pop(exam)[1]))

    def _answer(self, worker: _Worker) -> None:
        while not self._stop.is_set():
            try:
                job = self._jobs.get(timeout=_LOOK_SECONDS)
            except Empty:
                continue
            later = ""
            try:
                later = self._answer_one(worker, job)
            except _DiedError as died:
                if not self._stop.is_set():
                    self._after_death(job, *died.args)
            except MedimgError as error:  # the model no longer loads
                later = error.what
            except Exception as error:  # a full disk, or a fault of this program: the object waits
                say_failed(error)
                later = f"an answer cannot be kept ({type(error).__name__})"
            if later and not self._stop.is_set():
                self._note(f"{later}; tried again in {_AGAIN_SECONDS:g} s")
                self._stop.wait(_AGAIN_SECONDS)
                self._jobs.put(job)

    def _answer_one(self, worker: _Worker, job: _Job) -> str:
        """Have a job done; return why it has to wait, "" where it is done."""
        paths = tuple(path for key in job.keys if (path := self._queue.object(key)).is_file())
        if not paths:  # somebody took them away
            return ""
        made = None if job.of_exam else self._queue.folder_for_results()
        try:
            done = worker.ask(Ask(paths, made, job.unread), self._settings.decode_seconds)
            if made is not None and any(made.iterdir()) and not done.later:
                name = job.keys[0] if len(job.keys) == 1 else key_of(" ".join(sorted(job.keys)))
                sources = {path.stem: done.unread.get(path.stem, "") for path in paths}
                for result in self._queue.answered(name, sources, made, list(self._peers)):
                    self._post(*result)
                self._count(dicom_answered=done.images, dicom_declined=done.refused)
                return ""
        finally:
            if made is not None:  # what is left there would fill the disk
                shutil.rmtree(made, ignore_errors=True)
        if done.own:
            self._queue.drop(job.keys[0])
            self._count(dicom_own=1)
        elif done.exam:
            with self._lock:
                keys = self._exams.get(done.exam, (0.0, ()))[1]
                self._exams[done.exam] = (time.monotonic(), (*keys, *job.keys))
        for key, reason in done.unread.items():
            self._bury(key, reason)
        return done.later

    def _bury(self, key: str, reason: str) -> None:
        self._queue.bury(self._queue.object(key), reason)
        self._note(f"object {key} cannot be answered: {reason}")

    def _after_death(self, job: _Job, key: str, reason: str) -> None:
        """Try objects again after one ended the process, which is put out of the way where it did so before."""
        self._deaths[key] += 1
        if self._deaths[key] >= _MOST_DEATHS:
            del self._deaths[key]
            self._bury(key, reason)
            job = _Job(tuple(each for each in job.keys if each != key), job.unread + 1)
        if job.keys:
            self._jobs.put(job)

    def _deliver(self, name: str, peer: Peer) -> None:
        """Deliver to a peer what it lacks, for as long as the node works."""
        lacking, path, pause = self._lacking[name], None, 0.0
        while not self._stop.wait(pause):
            try:
                path = path or lacking.get(timeout=_LOOK_SECONDS)
                with peer.connected() as send:
                    while not self._stop.is_set():
                        self._send(peer, send, path)
                        path, pause = None, 0.0
                        path = lacking.get(timeout=_LINGER_SECONDS)
            except Empty:
                continue
            except PeerDownError as reason:
                if not pause:
                    self._note(f"{peer.name} is down: {reason}; its results wait")
            except Exception as error:  # a fault of this program or of a library: the result waits
                say_failed(error)
            self._count(dicom_retries=1)
            pause = min(max(2 * pause, _FIRST_PAUSE_SECONDS), self._settings.dicom_retry_seconds)

    def _send(self, peer: Peer, send: Send, path: Path) -> None:
        try:
            send(path)
        except PeerRefusesError as reason:
            self._queue.bury(path, f"{peer.name}: {reason}")
            self._note(f"result {path.parent.name} cannot be delivered to {peer.name}: {reason}")
        else:
            self._queue.delivered(path)
            self._count(dicom_delivered=1)
