"""Around every request: the gate, a number for it, headers, counting, and an answer whatever happens."""

import asyncio
import secrets
import time
from collections.abc import MutableMapping
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medimg_cli.web.guard import SECURITY_HEADERS
from medimg_cli.web.serving.access import Gate
from medimg_cli.web.serving.api import REQUEST_ID, say_failed
from medimg_cli.web.serving.prometheus import Counters
from medimg_cli.web.serving.refusals import Refusal

_DRAIN_SECONDS, _DRAIN_BYTES = 2.0, 256_000_000
_GONE = 400


class AroundRequests:
    """Middleware that every request passes on its way in and out.

    Args:
        app: what is behind.
        gate: who may pass.
        counters: what is counted.
    """

    def __init__(self, app: ASGIApp, gate: Gate, counters: Counters) -> None:
        self._app, self._gate, self._counters = app, gate, counters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        passage = _Passage(scope, receive, send)
        try:
            await self._pass(scope, passage)
        except ClientDisconnect:
            passage.status = passage.status or _GONE
        except Exception as error:
            say_failed(error)
            if not passage.status:
                refusal = Refusal(500, "internal", "Something failed in the server.")
                await refusal.response()(scope, passage.receive, passage.send)
        finally:
            self._counters.answered(scope["path"], passage.status or 500, time.monotonic() - began)

    async def _pass(self, scope: Scope, passage: "_Passage") -> None:
        try:
            instead = self._gate.check(Request(scope, passage.receive))
        except Refusal as refusal:
            instead = refusal.response()
        # HEAD is answered like GET, without what would follow the headers (RFC 9110, 9.3.2).
        asked = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
        await (instead or self._app)(asked, passage.receive, passage.send)


class _Passage:
    """One request and its answer.

    An answer that is given before the request was read to its end would be lost when the connection closes: a little
    of the rest is read and thrown away first, and the connection closed where that is not enough.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self.status = 0
        self._id = secrets.token_hex(8)
        scope[REQUEST_ID] = self._id
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0").strip()
        self._unread = b"transfer-encoding" in headers or length.strip(b"0") != b""
        self._no_body = scope["method"] == "HEAD"
        self._waits = headers.get(b"expect", b"").lower() == b"100-continue"

    async def receive(self) -> Message:
        """Return what comes next of the request."""
        self._waits = False
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._unread = False
        return message

    async def send(self, message: Message) -> None:
        """Pass a part of the answer on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self._drain()
            message = {**message, "headers": [*_without(message, SECURITY_HEADERS), *self._headers()]}
        elif self._no_body:
            message = {**message, "body": b""}
        await self._send(message)

    async def _drain(self) -> None:
        """Read and forget what is left of the request, within limits; a client that asked first sends nothing."""
        read = 0
        try:
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._unread and not self._waits and read < _DRAIN_BYTES:
                    read += len((await self.receive()).get("body", b""))
        except TimeoutError:
            pass

    def _headers(self) -> list[tuple[bytes, bytes]]:
        named = {**SECURITY_HEADERS, "X-Request-ID": self._id}
        if self._unread:
            named["Connection"] = "close"
        return [(name.lower().encode(), value.encode()) for name, value in named.items()]


def _without(message: MutableMapping[str, Any], names: Any) -> list[tuple[bytes, bytes]]:
    unwanted = {name.lower().encode() for name in names}
    return [(name, value) for name, value in message.get("headers", []) if name.lower() not in unwanted]
