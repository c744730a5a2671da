"""Who may talk to the upload page, from where, and how often.

On a loopback address nobody has to sign in: whoever opens the page brings the images, and nothing of others is there to
see. What is refused there is what other sites could make a browser do: requests addressed to another name (one that
resolves to 127.0.0.1), and requests that another site sends. Everywhere else a token is asked for, by a form that
exchanges it for a cookie, or as `Authorization: Bearer`.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from urllib.parse import parse_qs

from fastapi import Request, Response
from fastapi.responses import RedirectResponse

from medimg_cli.web.guard import is_from_elsewhere
from medimg_cli.web.serving.page import login_page
from medimg_cli.web.serving.refusals import Refusal
from medimg_cli.web.serving.worker_config import Address, Limits

SESSION_SECONDS = 12 * 3600
OPEN_PATHS = ("/login", "/healthz", "/readyz", "/favicon.ico")
_UNLIMITED = ("/healthz", "/readyz", "/metrics", "/favicon.ico")
_LOGINS_PER_MINUTE = 10
_MOST_LOGIN_BYTES = 4096


class Gate:
    """Lets requests in, or says why not.

    Args:
        address: how the server can be reached.
        requests_per_minute: of one client; 0 = any number.
    """

    def __init__(self, address: Address, requests_per_minute: int) -> None:
        self._address = address
        self._key = hashlib.sha256(b"medimg session\0" + (address.token or "").encode()).digest()
        self._buckets = TokenBuckets(requests_per_minute)
        self._logins = TokenBuckets(_LOGINS_PER_MINUTE)

    def check(self, request: Request) -> Response | None:
        """Return None where the request may pass, or what to answer instead.

        Raises:
            Refusal: another name, another site, too often, or no token.
        """
        host = request.headers.get("host", "")
        if not self._answers_to(host):
            raise Refusal(421, "forbidden", "This server does not answer to that name.")
        if is_from_elsewhere(request, self._hosts_of(host)):
            raise Refusal(403, "forbidden", "The request comes from another site.")
        self._check_rate(request)
        path = request.url.path
        if path in OPEN_PATHS or path.startswith("/static/") or self._is_signed_in(request):
            return None
        if request.method in ("GET", "HEAD") and "text/html" in request.headers.get("accept", ""):
            return login_page(request)
        raise Refusal(
            401, "unauthorised", "A token is asked for: Authorization: Bearer, or sign in at /login."
        )

    async def sign_in(self, request: Request) -> Response:
        """Exchange the form's token for a cookie.

        Raises:
            Refusal: the form is malformed, or tried too often.
        """
        wait = self._logins.wait(client_of(request))
        if wait:
            raise Refusal(429, "rate_limited", "Too many attempts to sign in.", retry_after=wait)
        body = await _short_body(request)
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        if not self._is_token(given):
            return login_page(request, refused=True)
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self.cookie,
            self._session(int(time.time()) + SESSION_SECONDS),
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
            path="/",
        )
        return response

    def sign_out(self) -> Response:
        """Take the cookie back."""
        response = RedirectResponse("/login", 303)
        response.delete_cookie(self.cookie, path="/", httponly=True, samesite="strict")
        return response

    @property
    def cookie(self) -> str:
        """Return the cookie's name; cookies do not know ports, and two servers may run."""
        return f"medimg_serve_{self._address.port}"

    def _answers_to(self, host: str) -> bool:
        return (
            host.lower() in self._address.hosts
            if self._address.token is None or self._address.names
            else bool(host)
        )

    def _hosts_of(self, host: str) -> Sequence[str]:
        """Return which origins are this site: with a token, the name that the client itself used."""
        return sorted(self._address.hosts) if self._address.token is None else (host,)

    def _check_rate(self, request: Request) -> None:
        if request.url.path in _UNLIMITED or request.url.path.startswith("/static/"):
            return
        wait = self._buckets.wait(client_of(request))
        if wait:
            detail = f"Too many requests; ask again in {wait} s."
            raise Refusal(429, "rate_limited", detail, retry_after=wait)

    def _is_signed_in(self, request: Request) -> bool:
        if self._address.token is None:
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and self._is_token(given.strip()):
            return True
        return self._is_session(request.cookies.get(self.cookie, ""))

    def _is_token(self, given: str) -> bool:
        """Compare in constant time, whatever the lengths."""
        wanted = self._address.token
        if wanted is None:
            return False
        digests = (hashlib.sha256(text.encode("utf-8", "replace")).digest() for text in (given, wanted))
        return secrets.compare_digest(*digests)

    def _session(self, until: int) -> str:
        """Return what the cookie holds: when it ends and a seal, never the token; all workers know it again."""
        seal = hmac.new(self._key, str(until).encode(), hashlib.sha256).hexdigest()
        return f"{until}.{seal}"

    def _is_session(self, given: str) -> bool:
        until, _, _ = given.partition(".")
        if not (until.isascii() and until.isdecimal() and len(until) <= 12):
            return False
        known = secrets.compare_digest(given.encode("utf-8", "replace"), self._session(int(until)).encode())
        return known and int(until) > time.time()


def client_of(request: Request) -> str:
    """Return the client's address; of IPv6 the network, for one client has all of its addresses."""
    host = request.client.host if request.client else ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return host


async def _short_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_LOGIN_BYTES:
            raise Refusal(413, "too_large", "The form is too long.")
    return body


_MOST_CLIENTS = 4096
_IDLE_SECONDS = 3.0  # after which an upload that holds room may lose it to another
_BURST = 5


class TokenBuckets:
    """A fifth of a minute's requests at once, then as they come in.

    Args:
        per_minute: requests a client may make; 0 = any number.
        clock: seconds.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_minute / 60
        self._size = max(1.0, per_minute / _BURST)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, client: str) -> int:
        """Return 0 and take a token, or how many seconds it takes until there is one.

        A client nobody has heard of for the longest time is forgotten first, so that memory stays bounded.
        """
        if not self._per_second:
            return 0
        now = self._clock()
        left, before = self._buckets.pop(client, (self._size, now))
        left = min(self._size, left + (now - before) * self._per_second)
        granted = left >= 1
        self._buckets[client] = (left - 1 if granted else left, now)
        while len(self._buckets) > _MOST_CLIENTS:
            self._buckets.popitem(last=False)
        return 0 if granted else max(1, math.ceil((1 - left) / self._per_second))


class Load:
    """What is under way in this process; only the event loop touches it.

    A request has a place once its body is here: whoever opens uploads and sends nothing keeps nobody out.

    Args:
        limits: more than they allow is refused, never queued.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = 0
        self.uploads: OrderedDict[Ticket, None] = (
            OrderedDict()
        )  # the one that is idle the longest comes first
        self.bytes = 0
        self.cut_short = 0  # requests that the end of the server did not wait for
        self.seconds = 1.0  # that an answer took of late

    @property
    def full(self) -> bool:
        """Return whether another request would be refused."""
        return (
            self.requests >= self.limits.requests_under_way
            or self.bytes + self.limits.file_bytes > self.limits.bytes_under_way
        )

    def busy(self) -> Refusal:
        """Return the refusal for now, with how long the requests under way are likely to take."""
        seconds = min(30, max(1, round(self.seconds)))
        detail = f"The server is busy; ask again in {seconds} s."
        return Refusal(503, "busy", detail, retry_after=seconds)

    def give_up_idle(self) -> None:
        """Give up the upload that holds room and of which nothing has come for the longest time, if for long."""
        late = time.monotonic() - _IDLE_SECONDS
        holding = (one for one in self.uploads if one.holds and one.heard < late)
        if (idle := next(holding, None)) is not None:
            idle.give_up()


class Ticket:
    """The place of one request among those under way; a context, which gives everything back at its end.

    Args:
        load: of the process.
        client: whose it is, see `client_of`.

    Raises:
        Refusal: on entering, where all places are taken.
    """

    def __init__(self, load: Load, client: str = "") -> None:
        self._load, self.client = load, client
        self.holds = 0
        self.heard = time.monotonic()
        self._placed = False
        self._patience: asyncio.Timeout | None = None

    def __enter__(self) -> "Ticket":
        self._check_room()
        return self

    def __exit__(self, *_: object) -> None:
        self._load.uploads.pop(self, None)
        self._load.requests -= self._placed
        self._load.bytes -= self.holds

    def _check_room(self) -> None:
        if self._load.requests >= self._load.limits.requests_under_way:
            raise self._load.busy()

    @asynccontextmanager
    async def uploading(self) -> AsyncIterator[None]:
        """Be an upload; it is given up at its time limits, or for a newer one of the same client's.

        Raises:
            TimeoutError: it was given up.
        """
        load = self._load
        own = [one for one in load.uploads if one.client == self.client]
        if len(own) >= load.limits.uploads_of_client:
            own[0].give_up()
        self._ends = asyncio.get_running_loop().time() + load.limits.upload_seconds
        async with asyncio.timeout_at(self._ends) as self._patience:
            self.hear()
            yield
        load.uploads.pop(self, None)
        self._check_room()
        load.requests += 1
        self._placed = True

    def hear(self) -> None:
        """Note that something of the upload has come."""
        self.heard = time.monotonic()
        self._load.uploads[self] = None
        self._load.uploads.move_to_end(self)
        if self._patience is not None:
            soon = asyncio.get_running_loop().time() + self._load.limits.idle_seconds
            self._patience.reschedule(min(self._ends, soon))

    def give_up(self) -> None:
        """End the upload as if its time were over."""
        self._load.uploads.pop(self, None)
        if self._patience is not None:
            self._patience.reschedule(asyncio.get_running_loop().time())

    def hold(self, count: int) -> None:
        """Take room for `count` more bytes.

        Raises:
            Refusal: all the room is taken.
        """
        if self._load.bytes + count > self._load.limits.bytes_under_way:
            self._load.give_up_idle()
            raise self._load.busy()
        self._load.bytes += count
        self.holds += count

    def took(self, seconds: float) -> None:
        """Tell how long the answer took, for the next ones that have to wait."""
        self._load.seconds += 0.2 * (seconds - self._load.seconds)
