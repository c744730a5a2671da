"""Who does the work: threads that decode, and one that asks the model for whatever has come together.

The model is asked for several images at once when several wait, and at once when one does: nothing waits for company.
An image that makes the model fail is asked for again on its own, so that it harms none but itself.
"""

import asyncio
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from medimg_cli.predictions.prediction import Prediction

Result = TypeVar("Result")


_LOOK_SECONDS = 0.5
_LOST_SECONDS = 10.0


class StuckError(Exception):
    """Raised when a piece of work takes longer than it may; its thread is lost."""


class Batcher:
    """The threads of one process.

    Args:
        classify: asks the model, see `Engine.classify`.
        decoders: threads that decode and draw.
        batch: images the model is asked for at once.
    """

    def __init__(
        self, classify: Callable[[Sequence[Any]], list[Prediction]], *, decoders: int, batch: int
    ) -> None:
        self._classify = classify
        self._batch = batch
        self._decoding = ThreadPoolExecutor(decoders, thread_name_prefix="decode")
        self._classifying = ThreadPoolExecutor(1, thread_name_prefix="classify")
        self._waiting: deque[tuple[Any, asyncio.Future[Prediction]]] = deque()
        self._turn: asyncio.Task[None] | None = None
        self._due: dict[int, float] = {}
        self._count = 0

    @property
    def depth(self) -> int:
        """Return how many images wait for the model."""
        return len(self._waiting)

    @property
    def stuck(self) -> bool:
        """Return whether a decoding thread is lost: only the end of the process frees it."""
        late = time.monotonic() - _LOST_SECONDS
        return any(due < late for due in list(self._due.values()))

    async def do(self, work: Callable[..., Result], *arguments: object, seconds: float = math.inf) -> Result:
        """Return what a function gives in a decoding thread; what it raises is raised here.

        Args:
            seconds: it may take, once it has begun.

        Raises:
            StuckError: it takes longer.
        """
        self._count += 1
        number = self._count

        def timed() -> Result:
            self._due[number] = time.monotonic() + seconds
            try:
                return work(*arguments)
            finally:
                del self._due[number]

        future = asyncio.get_running_loop().run_in_executor(self._decoding, timed)
        while not (await asyncio.wait({future}, timeout=min(_LOOK_SECONDS, seconds)))[0]:
            if self._due.get(number, math.inf) < time.monotonic():
                raise StuckError
        return future.result()

    async def ask(self, prepared: Any) -> Prediction:
        """Return the model's answer to one image."""
        answer: asyncio.Future[Prediction] = asyncio.get_running_loop().create_future()
        self._waiting.append((prepared, answer))
        if self._turn is None or self._turn.done():
            self._turn = asyncio.create_task(self._take_turns())
        return await answer

    async def _take_turns(self) -> None:
        """Ask for what waits until nothing does."""
        loop = asyncio.get_running_loop()
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            taken = [one for one in taken if not one[1].done()]  # whoever asked has gone
            if not taken:
                continue
            given = await loop.run_in_executor(self._classifying, self._answers, [one[0] for one in taken])
            for (_, answer), found in zip(taken, given, strict=True):
                if answer.done():
                    continue
                if isinstance(found, Exception):
                    answer.set_exception(found)
                else:
                    answer.set_result(found)

    def _answers(self, prepared: Sequence[Any]) -> Sequence[Prediction | Exception]:
        try:
            return self._classify(prepared)
        except Exception as error:
            if len(prepared) == 1:
                return [error]
        return [answer for one in prepared for answer in self._answers([one])]

    def close(self) -> None:
        """Let the threads go once they are idle."""
        self._decoding.shutdown(wait=False, cancel_futures=True)
        self._classifying.shutdown(wait=False, cancel_futures=True)
