"""The settings of every worker of a server; they travel from one process to another."""

import ipaddress
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from medimg_cli.errors import MachineError, UsageError
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.serve_settings import ServeSettings

_BACKLOG = 1024


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any that is free.

    Raises:
        UsageError: the host is no address of this machine.
        MachineError: the port is taken.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"--host {host} is no address of this machine", "such as 127.0.0.1") from error
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise MachineError(
            f"port {port} of {host} cannot be opened: {error.strerror or error}",
            "choose another with --port, or --port 0 for any that is free",
        ) from error
    return listener


def is_loopback(host: str) -> bool:
    """Return whether an address is of this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Address:
    """How the server can be reached.

    Args:
        host: address it listens on.
        port: port it listens on.
        token: asked of everybody, None where it listens on this machine alone.
        names: further names it is called by, with a port where that is not the usual one: a reverse proxy's.
    """

    host: str
    port: int
    token: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """Return the address to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """Return what may stand in the header Host of a server without a token."""
        own = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]", self.host)]
        usual = ["127.0.0.1", "localhost", "[::1]"] if self.port == 80 else []
        return frozenset([*own, *usual, *self.names])


MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Args:
        file_bytes: of one upload.
        request_bytes: of all uploads of a request together.
        files: of one request.
        images: of one request: a file may hold several frames or pages.
        pixels: of one image, asked of its header before it is decoded.
        bytes_under_way: of all uploads that are held in memory at once.
        requests_under_way: that upload, wait or are answered at once.
        upload_seconds: a body has to be here by then.
        idle_seconds: an upload of which nothing comes for that long is given up.
        uploads_of_client: that are open at once; a further one takes the place of the one that is idle the longest.
        decode_seconds: an image has to be read by then.
        answer_seconds: what was uploaded has to be answered by then.
        requests_per_minute: of one client; 0 = any number.
    """

    file_bytes: int = 50 * MB
    request_bytes: int = 200 * MB
    files: int = 32
    images: int = 64
    pixels: int = 50_000_000
    bytes_under_way: int = 500 * MB
    requests_under_way: int = 32
    upload_seconds: float = 60.0
    idle_seconds: float = 15.0
    uploads_of_client: int = 64
    decode_seconds: float = 30.0
    answer_seconds: float = 120.0
    requests_per_minute: int = 600


@dataclass(frozen=True)
class Plan:
    """One server.

    Args:
        place: of the model, a run's folder or a bundle.
        open: opens it; a function of a module, for it is called in another process.
        intended_use: of the model as the workspace's facts have it, None where they say nothing.
        codes: class → what it is in a terminology, for results as DICOM.
    """

    place: Path
    open: Callable[[Path], Any]
    address: Address
    limits: Limits
    settings: ServeSettings
    intended_use: str | None
    codes: Mapping[str, LabelCode] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Return how many processes count: the workers of the page, and one for a DICOM node."""
        return self.settings.workers + (self.settings.dicom_port is not None)

    @property
    def name(self) -> str:
        """Return what the model is called."""
        return self.place.stem if self.place.is_file() else self.place.name
