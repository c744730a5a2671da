"""serve: a trained model behind an upload page and an API, in one or several worker processes."""

import multiprocessing
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medimg_cli.errors import MachineError, UsageError
from medimg_cli.reporting.study_facts import read_facts
from medimg_cli.web.serving.prometheus import SLOTS, Counters, last_beat
from medimg_cli.web.serving.supervisor import Supervisor
from medimg_cli.web.serving.worker_config import MB, Address, Limits, Plan, is_loopback, listening
from medimg_cli.workspace.lock import locked
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.serve_settings import LEAST_TOKEN, ServeSettings, queue_of
from medimg_cli.workspace.workspace import Workspace

if TYPE_CHECKING:
    from medimg_cli.web.dicom.node import Node


@dataclass(frozen=True)
class Announced:
    """What a server tells once it answers: the address to open, the model's name, and whether it asks for a token.

    Args:
        address: of the page, None where there is none.
        dicom: AE@host:port of the DICOM node, None where there is none.
    """

    address: str | None
    run: str
    workers: int
    token: bool
    dicom: str | None = None


def serve(
    workspace: Workspace,
    place: Path,
    settings: ServeSettings,
    *,
    open_model: Callable[[Path], Any],
    work: Callable[..., None],
    answer_dicom: Callable[..., None],
    codes: Mapping[str, LabelCode],
    announce: Callable[[Announced], None],
    note: Callable[[str], None],
) -> bool:
    """Serve a model until the process gets a signal to stop; return whether every request under way was finished.

    Args:
        workspace: its facts say what the model is intended for, where a bundle does not.
        place: a run's folder, or a bundle.
        settings: where to listen, limits, workers.
        open_model: returns an `inference.opening.Opened`; a function of a module, for every worker calls it in its own
            process.
        work: `inference.worker.work`, or a function of a module that calls it: this process loads none of it.
        answer_dicom: the same for what a DICOM node has stored: `web.dicom.worker.work`.
        codes: class → what it is in a terminology.
        announce: called with the address once all workers answer.
        note: called for every worker that died.

    Raises:
        UsageError: the address is in reach of others and there is no token, or a token that can be guessed.
        MachineError: the port is taken, memory cannot be shared, or the audit log or the queue cannot be written.
        RunError: the model cannot be used.
    """
    token = _token_of(settings) if settings.page else None
    if not settings.page and settings.dicom_port is None:
        raise UsageError(
            "serve.page is off and there is no --dicom-port: nothing would be served", "give one"
        )
    facts = read_facts(workspace.facts_path).answers if workspace.facts_path.is_file() else {}
    context = multiprocessing.get_context("spawn")  # onnxruntime's threads do not survive a fork
    with ExitStack() as stack:
        listener = None
        address = Address(settings.host, 0, token, settings.names)
        if settings.page:
            listener = stack.enter_context(listening(settings.host, settings.port))
            address = replace(address, port=listener.getsockname()[1])
        limits, intended = _limits_of(settings), facts.get("intended_use") or None
        plan = Plan(place, open_model, address, limits, settings, intended, codes)
        try:
            numbers = context.RawArray("d", SLOTS * plan.rows)
        except OSError as error:
            raise MachineError(
                f"no memory to share with the workers: {error}", "mount /dev/shm, a tmpfs (rights 1777)"
            ) from error

        def start(target: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
            ours, theirs = context.Pipe()
            process = context.Process(target=target, args=(plan, *arguments, theirs), daemon=True)
            process.start()
            theirs.close()
            return process, ours

        node = None
        if settings.dicom_port is not None:
            counters = Counters(numbers, settings.workers, plan.rows)
            node = stack.enter_context(_node(workspace, plan, partial(start, answer_dicom), counters, note))
        supervisor = Supervisor(
            partial(start, work, listener, numbers),
            workers=settings.workers if settings.page else 0,
            grace_seconds=settings.grace_seconds,
            note=note,
            last_beat=partial(last_beat, numbers),
        )

        def ready() -> None:
            if node is not None:
                node.start()
            url = address.url if settings.page else None
            dicom = None if node is None else node.address
            announce(Announced(url, plan.name, settings.workers, token is not None, dicom))

        return supervisor.run(ready)


@contextmanager
def _node(
    workspace: Workspace,
    plan: Plan,
    start: Callable[[], tuple[BaseProcess, Connection]],
    counters: Counters,
    note: Callable[[str], None],
) -> "Iterator[Node]":
    """Yield a DICOM node that is not started yet, and end it."""
    try:
        from medimg_cli.web.dicom.node import Node
    except ImportError as error:
        raise MachineError(
            "--dicom-port needs pynetdicom and highdicom", "pip install 'medimg[dicom]'"
        ) from error
    folder = queue_of(workspace, plan.settings)
    with locked(folder / ".lock", doing=f"serving with the queue {folder}"):
        node = Node(plan, folder, start, counters, note)
        try:
            yield node
        finally:
            node.stop()


def _token_of(settings: ServeSettings) -> str | None:
    token = settings.token.get_secret_value() if settings.token is not None else None
    if token is None and not is_loopback(settings.host):
        raise UsageError(
            f"--host {settings.host} is in reach of other machines, and there is no token",
            "give one with --token or MEDIMG_TOKEN, or listen on 127.0.0.1",
        )
    if token is not None and len(token) < LEAST_TOKEN:
        raise UsageError(
            f"a token of {len(token)} characters can be guessed",
            f"take {LEAST_TOKEN} or more, such as what `openssl rand -hex 16` writes",
        )
    return token


def _limits_of(settings: ServeSettings) -> Limits:
    return Limits(
        file_bytes=settings.max_upload_mb * MB,
        request_bytes=max(settings.max_request_mb, settings.max_upload_mb) * MB,
        files=settings.max_files,
        images=max(settings.max_images, settings.max_files),
        pixels=settings.max_megapixels * 1_000_000,
        bytes_under_way=max(settings.max_memory_mb, settings.max_request_mb, settings.max_upload_mb) * MB,
        requests_under_way=settings.queue,
        upload_seconds=settings.upload_seconds,
        decode_seconds=settings.decode_seconds,
        answer_seconds=settings.answer_seconds,
        requests_per_minute=settings.requests_per_minute,
    )
