"""serve: a trained model behind an upload page and an API, in one or several worker processes."""

import multiprocessing
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from medimg_cli.errors import UsageError
from medimg_cli.reporting.study_facts import read_facts
from medimg_cli.web.serving.prometheus import SLOTS, last_beat
from medimg_cli.web.serving.supervisor import Supervisor
from medimg_cli.web.serving.worker_config import MB, Address, Limits, Plan, is_loopback, listening
from medimg_cli.workspace.serve_settings import LEAST_TOKEN, ServeSettings
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class Announced:
    """What a server tells once it answers: the address to open, the model's name, and whether it asks for a token."""

    address: str
    run: str
    workers: int
    token: bool


def serve(
    workspace: Workspace,
    place: Path,
    settings: ServeSettings,
    *,
    open_model: Callable[[Path], Any],
    work: Callable[..., None],
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
        announce: called with the address once all workers answer.
        note: called for every worker that died.

    Raises:
        UsageError: the address is in reach of others and there is no token, or a token that can be guessed.
        MachineError: the port is taken, or the audit log cannot be written.
        RunError: the model cannot be used.
    """
    token = _token_of(settings)
    facts = read_facts(workspace.facts_path).answers if workspace.facts_path.is_file() else {}
    intended = facts.get("intended_use") or None
    context = multiprocessing.get_context("spawn")  # onnxruntime's threads do not survive a fork
    numbers = context.RawArray("d", SLOTS * settings.workers)
    with listening(settings.host, settings.port) as listener:
        address = Address(settings.host, listener.getsockname()[1], token, settings.names)
        plan = Plan(place, open_model, address, _limits_of(settings), settings, intended)

        def start(slot: int) -> tuple[BaseProcess, Connection]:
            ours, theirs = context.Pipe(duplex=False)
            arguments = (plan, listener, numbers, slot, theirs)
            process = context.Process(target=work, args=arguments, name=f"medimg-{slot}", daemon=True)
            process.start()
            theirs.close()
            return process, ours

        supervisor = Supervisor(
            start,
            workers=settings.workers,
            grace_seconds=settings.grace_seconds,
            note=note,
            last_beat=partial(last_beat, numbers),
        )
        content = Announced(address.url, plan.name, settings.workers, token is not None)
        return supervisor.run(lambda: announce(content))


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
