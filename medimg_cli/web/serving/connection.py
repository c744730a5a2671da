"""Connections that begin a request and never finish its head are closed."""

import asyncio
from collections import OrderedDict
from typing import Any, ClassVar

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_SECONDS = 15.0
MOST_IDLE = 250
"""Connections on which no whole head of a request has come; one more closes the oldest."""


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
