"""One worker process of `medimg serve`: the model in memory, and the application around it."""

import asyncio
import logging
import os
import signal
import socket
from collections import OrderedDict
from io import BytesIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, ClassVar

import h11
import uvicorn
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from uvicorn.protocols.http.h11_impl import H11Protocol

from medimg_cli import __version__
from medimg_cli.errors import ExitCode, MedimgError, RunError
from medimg_cli.inference.load import Opened
from medimg_cli.reporting.pdf import write_pdf
from medimg_cli.runs.run import Run
from medimg_cli.web.serving.access import Gate, Load
from medimg_cli.web.serving.api import Api
from medimg_cli.web.serving.app import serve_app
from medimg_cli.web.serving.audit_log import AuditLog
from medimg_cli.web.serving.batching import Batcher
from medimg_cli.web.serving.engine import UploadedEngine
from medimg_cli.web.serving.prometheus import Counters, Numbers
from medimg_cli.web.serving.supervisor import READY
from medimg_cli.web.serving.worker_config import Plan
from medimg_cli.workspace.threads import usable_cores

_MOST_CONNECTIONS = 500
_KEEP_ALIVE_SECONDS = 10
HEAD_SECONDS = 15.0
MOST_IDLE = 250
"""Connections on which no whole head of a request has come; one more closes the oldest."""
NOTICE = "decision-support-for-research"


def work(plan: Plan, listener: socket.socket, numbers: Numbers, slot: int, reports: Connection) -> None:
    """Be a worker: load the model, say so, and serve until a signal to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches everybody; the supervisor says when to stop
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    try:
        api = _api(plan, Counters(numbers, slot, plan.rows))
        server = uvicorn.Server(_config(plan, api))
    except MedimgError as error:
        reports.send(("error", type(error), error.what, error.hint))
        os._exit(int(error.exit_code))
    except MemoryError:
        reports.send(("error", RunError, f"{plan.place} needs more memory than there is", "free some"))
        os._exit(int(RunError.exit_code))
    reports.send((READY, None, "", ""))
    reports.close()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # uvicorn takes it over, and raises it once more at its end
    with threadpool_limits(1, "blas"):  # uploads are measured in threads of their own
        server.run(sockets=[listener])
    # Without waiting for a thread that a hostile file keeps busy.
    os._exit(int(ExitCode.INTERRUPTED if api.load.cut_short else ExitCode.DONE))


def _api(plan: Plan, counters: Counters) -> Api:
    settings = plan.settings
    opened = plan.open(plan.place)
    engine = engine_of(plan, opened)
    audit = None
    if settings.audit_log is not None:
        audit = AuditLog(settings.audit_log, opened.classifier.card.weights_sha256)
    batcher = Batcher(
        engine.classify, decoders=settings.decoders or usable_cores(), batch=settings.batch_size
    )
    return Api(engine, batcher, Load(plan.limits), counters, audit)


def engine_of(plan: Plan, opened: Opened) -> UploadedEngine:
    """Return what answers with a model as the plan has it."""
    return UploadedEngine(
        opened.classifier,
        _facts_of(plan, opened),
        most_pixels=plan.limits.pixels,
        explanation=opened.explained,
        similar=opened.similar,
        to_pdf=_as_pdf,
    )


def _config(plan: Plan, api: Api) -> uvicorn.Config:
    settings = plan.settings
    gate = Gate(plan.address, plan.limits.requests_per_minute)
    return uvicorn.Config(
        serve_app(api, gate),
        http=PatientProtocol,
        loop="asyncio",
        ws="none",
        lifespan="on",
        log_config=None,
        log_level="critical",
        access_log=False,
        server_header=False,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.grace_seconds,
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=list(settings.proxies),
    )


def _facts_of(plan: Plan, opened: Opened) -> dict[str, Any]:
    """Return what `GET /api/model` says: the card, what people stated about the model, and what an upload may be."""
    card, about = opened.classifier.card, opened.about
    text = card.model_dump(
        mode="json", include={"arch", "classes", "positive", "answers", "threshold", "thresholds", "exams"}
    )
    limits: dict[str, Any] = {} if card.limits is None else {"false_alarms": card.limits.false_alarms}
    if card.sets is not None:
        limits |= {"alpha": card.sets.alpha, "withheld_sets": [*opened.classifier.withheld]}
    return text | {
        "name": plan.name if about is None else about.run,
        "run": plan.name if about is None else about.run,
        "fingerprint": card.fingerprint.model_dump(mode="json"),
        "members": len(card.members),
        "recipe": card.recipe.in_words(),
        "limits": limits or None,
        "intended_use": plan.intended_use if about is None else about.said.get("intended_use"),
        "versions": _versions(plan.place) if about is None else about.versions,
        "weights_sha256": card.weights_sha256,
        "onnx_sha256": card.onnx_sha256,
        "medimg": __version__,
        "notice": NOTICE,
        "similar_cases": 0 if opened.similar is None else len(opened.similar.labels),
        "tested": None if opened.tested is None else opened.tested.model_dump(mode="json"),
        "prevalence": plan.settings.prevalence,
        "upload": {
            "max_mb": plan.settings.max_upload_mb,
            "max_files": plan.limits.files,
            "max_pixels": plan.limits.pixels,
        },
    }


def _versions(place: Path) -> dict[str, str]:
    try:
        return dict(Run(place).read_record().versions)
    except RunError:  # a model without its record still answers
        return {}


def _as_pdf(html: str) -> bytes:
    buffer = BytesIO()
    write_pdf(buffer, html)
    return buffer.getvalue()


class PatientProtocol(H11Protocol):
    """Uvicorn's HTTP, with a limit on how long the head of a request may take (CWE-400)."""

    def __init__(self, *arguments: Any, **names: Any) -> None:
        super().__init__(*arguments, **names)
        self._head: asyncio.TimerHandle | None = None

    _idle: ClassVar[OrderedDict["PatientProtocol", None]] = OrderedDict()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _watch(self) -> None:
        """Start the clock where a head is still to come, stop it where one is whole."""
        waiting = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        if not waiting:
            self._forget()
        elif self._head is None:
            self._head = self.loop.call_later(HEAD_SECONDS, self._close)
            self._idle[self] = None
            if len(self._idle) > MOST_IDLE:  # whoever opens the next one is rather answered than the oldest
                next(iter(self._idle))._close()

    def _forget(self) -> None:
        if self._head is not None:
            self._head.cancel()
            self._head = None
        self._idle.pop(self, None)

    def _close(self) -> None:
        self._forget()
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.transport.close()
