"""Who may talk to a page on this machine, and what its answers may do in a browser.

A page on 127.0.0.1 is in reach of every other user of the machine and of every site the browser visits. So: a
random token in the first address, kept as a cookie that scripts cannot read and other sites cannot send; only
requests addressed to this host (an attacker's name that resolves to 127.0.0.1 is refused); a second token in
every form; nothing loaded from elsewhere.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

_TOKEN_BYTES = 24
MAX_BODY_BYTES = 16_384
SECURITY_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with "no-referrer" browsers send forms with the origin "null"
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",  # images of patients do not belong into a browser's cache on disk
}


@dataclass(frozen=True)
class Guard:
    """The secrets of one serving process.

    Args:
        port: the port it listens on.
        token: stands in the address that is printed, then in the cookie.
        form_token: stands in every form of the page.
    """

    port: int
    token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)
    form_token: str = field(default_factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), repr=False)

    @property
    def address(self) -> str:
        """Return the address to open."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """Return the cookie's name; cookies do not know ports, and two pages may be open."""
        return f"medimg_{self.port}"

    def install(self, app: FastAPI) -> None:
        """Put the guard before every route of `app`."""

        @app.middleware("http")
        async def check(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
            response = self._refusal(request) or self._welcome(request) or await call(request)
            for name, value in SECURITY_HEADERS.items():
                response.headers[name] = value
            return response

    def allows_form(self, form_token: str) -> bool:
        """Return whether a form was made by this process."""
        return secrets.compare_digest(form_token.encode(), self.form_token.encode())

    def _refusal(self, request: Request) -> Response | None:
        hosts = {f"127.0.0.1:{self.port}", f"localhost:{self.port}"}
        if request.headers.get("host") not in hosts:
            return PlainTextResponse("This page answers to 127.0.0.1 only.", 421)
        if is_from_elsewhere(request, hosts):
            return PlainTextResponse("This form comes from another site.", 403)
        length = request.headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            return PlainTextResponse("That is too much.", 413)
        given = request.query_params.get("token") if request.url.path == "/" else None
        if self._is_token(request.cookies.get(self.cookie)) or self._is_token(given):
            return None
        return PlainTextResponse("Open the whole address that medimg printed in the terminal.", 403)

    def _welcome(self, request: Request) -> Response | None:
        """Exchange the token of the address for the cookie, so that it leaves the address bar."""
        if request.url.path != "/" or not self._is_token(request.query_params.get("token")):
            return None
        response = RedirectResponse("/", 303)
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return response

    def _is_token(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), self.token.encode())


def is_from_elsewhere(request: Request, hosts: Collection[str]) -> bool:
    """Return whether a request that does something was made by another site's page.

    Browsers say so in the header Origin (Fetch standard, 3.2) of all but GET and HEAD; programs leave it out.

    Args:
        hosts: names with ports under which this site is known.
    """
    origin = request.headers.get("origin")
    if request.method in ("GET", "HEAD") or origin is None:
        return False
    try:
        return urlsplit(origin).netloc not in hosts
    except ValueError:  # such as http://[ without an end
        return True
