"""Where the server can be reached."""

import ipaddress
from dataclasses import dataclass, field


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
class Door:
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
    def address(self) -> str:
        """Return the address to open."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """Return what may stand in the header Host of a server without a token."""
        own = [f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]", self.host)]
        usual = ["127.0.0.1", "localhost", "[::1]"] if self.port == 80 else []
        return frozenset([*own, *usual, *self.names])
