"""What is under way in a process, and who gets a place among it."""

from medimg_cli.web.serving.limits import Limits
from medimg_cli.web.serving.refusals import Refusal


class Load:
    """What is under way in this process; only the event loop touches it.

    Args:
        limits: more than they allow is refused, never queued.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.requests = 0
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


class Ticket:
    """The place of one request among those under way; a context, which gives everything back at its end.

    Args:
        load: of the process.

    Raises:
        Refusal: on entering, where there is no place.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self._bytes = 0

    def __enter__(self) -> "Ticket":
        if self._load.requests >= self._load.limits.requests_under_way:
            raise self._load.busy()
        self._load.requests += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._load.requests -= 1
        self._load.bytes -= self._bytes

    def hold(self, count: int) -> None:
        """Take room for `count` more bytes.

        Raises:
            Refusal: all the room is taken.
        """
        if self._load.bytes + count > self._load.limits.bytes_under_way:
            raise self._load.busy()
        self._load.bytes += count
        self._bytes += count

    def took(self, seconds: float) -> None:
        """Tell how long the answer took, for the next ones that have to wait."""
        self._load.seconds += 0.2 * (seconds - self._load.seconds)
