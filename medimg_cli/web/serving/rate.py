"""How often one client may ask: a bucket of tokens each, which fills again by the minute."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

_MOST_CLIENTS = 4096
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
