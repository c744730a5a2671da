"""The named tasks of a command on Dask workers, elsewhere or on this machine: results in order, memory bounded.

Images and weights do not pass the scheduler. Workers read the files themselves, so all need the same file system and the same medimg;
arrays that they make come back through files of their own in the workspace.
"""

import logging
import math
import os
import pickle
import platform
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import lru_cache, partial
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from threading import Event
from traceback import format_exception
from typing import Any, TypeVar, cast
from urllib.parse import urlsplit

import numpy as np

from medimg_cli import __version__
from medimg_cli.errors import MachineError
from medimg_cli.workspace.files import disk_errors
from medimg_cli.workspace.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")
Work = Callable[[Iterable[Item]], Iterator[Result]]

_CHUNKS_AHEAD = 3
"""Chunks in flight a thread of the workers."""
_LOOK_SECONDS = 1.0
_MOST_TOLD = 4000
"""Characters of a worker's traceback."""
_AGAIN = "what is done is kept: the same command goes on from there, predicting with --resume"


class Cluster:
    """The engine that has a command's named tasks done by Dask; made by `connected`.

    Args:
        client: of `distributed`.
        folder: a new one that all workers see.
        chunk: images that are sent at once.
        patience_seconds: for which there may be no worker.
    """

    partial = False

    def __init__(self, client: Any, folder: Path, chunk: int, patience_seconds: float) -> None:
        self._client, self._folder = client, folder
        self._chunk, self._patience_seconds = chunk, patience_seconds
        self._numbers = count()
        self._limit, self._looked = _CHUNKS_AHEAD, -math.inf

    def map(self, task: str, work: Work[Item, Result], items: Iterable[Item]) -> Iterator[Result]:
        """Yield the result of every item in order; what a dead worker had is sent to another one.

        Raises:
            MachineError: the scheduler or all workers are gone, or a worker died of the same images again and again.
        """
        import cloudpickle  # type: ignore[import-untyped]

        shared = self._folder / f"{task}-{next(self._numbers)}.work"
        with disk_errors(shared, "free some disk space"):
            # Of `map_ordered`: the chunks of one worker share its cores.
            alone: Any = partial(cast(Any, work), workers=1)
            shared.write_bytes(cloudpickle.dumps(alone))
        chunks = self._chunks(items)
        flying: deque[Any] = deque()
        try:
            while True:
                for chunk in islice(chunks, max(0, self._most() - len(flying))):
                    part = shared.with_suffix(f".{next(self._numbers)}")
                    versions = own_versions()
                    flying.append(
                        self._client.submit(do_chunk, str(shared), chunk, str(part), versions, pure=False)
                    )
                if not flying:
                    return
                yield from _joined(*self._result(flying[0]))
                flying.popleft()
        finally:
            if self._client.status == "running":  # a scheduler that is gone would be waited for
                with suppress(Exception):
                    self._client.cancel(list(flying))

    def _chunks(self, items: Iterable[Item]) -> Iterator[list[Item]]:
        remaining = iter(items)
        for first in remaining:
            size = self._chunk // len(first) if isinstance(first, list) else self._chunk
            yield [first, *islice(remaining, max(0, size - 1))]

    def _most(self) -> int:
        """Return how many chunks may be in flight now: workers come and go."""
        if time.monotonic() - self._looked > _LOOK_SECONDS:
            threads: int = sum(one["nthreads"] for one in self._workers().values())
            self._limit, self._looked = _CHUNKS_AHEAD * max(1, threads), time.monotonic()
        return self._limit

    def _workers(self) -> dict[str, Any]:
        if self._client.status != "running":
            raise self._gone()
        found: dict[str, Any] = self._client.scheduler_info(n_workers=-1).get("workers", {})
        return found

    def _result(self, future: Any) -> Any:
        from distributed import KilledWorker

        done = Event()
        future.add_done_callback(lambda _: done.set())
        alone_since = time.monotonic()
        while not (done.wait(_LOOK_SECONDS) or future.done()):
            if self._workers():
                alone_since = time.monotonic()
            elif time.monotonic() - alone_since > self._patience_seconds:
                what = f"no worker has been there for {self._patience_seconds:g} s"
                raise MachineError(what, f"start workers; {_AGAIN}")
        try:
            return future.result()
        except KilledWorker as error:
            what = f"workers died again and again at the same images: {error.last_worker.address}"
            raise MachineError(what, "give workers more memory, or a smaller cluster.chunk") from error
        except (CancelledError, OSError) as error:
            raise self._gone() from error

    def _gone(self) -> MachineError:
        where = urlsplit(self._client.scheduler.address if self._client.scheduler else "").netloc
        return MachineError(f"the scheduler {where} is gone", f"start it and its workers; {_AGAIN}")


@contextmanager
def connected(
    scheduler: str, parent: Path, *, chunk: int, patience_seconds: float, progress: Progress
) -> Iterator[Cluster]:
    """Yield the engine of a scheduler, `tcp://host:port`, `tls://host:port`, or `local:N` for N processes here.

    Args:
        parent: folder of the workspace for what is on its way; all workers have to see it.

    Raises:
        MachineError: the extra is missing, nobody answers, or a worker has other versions or another file system.
    """
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise MachineError(
            "--scheduler needs the package distributed", "pip install 'medimg[cluster]'"
        ) from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters is said by errors
    with ExitStack() as stack:
        try:
            if scheduler.startswith("local:"):
                number = int(scheduler.removeprefix("local:"))
                local = distributed.LocalCluster(
                    n_workers=number,
                    threads_per_worker=1,
                    dashboard_address=None,
                    silence_logs=logging.CRITICAL,
                )
                address = stack.enter_context(local).scheduler_address
            else:
                address = scheduler
                _warn_of_open_network(address, progress)
            client = stack.enter_context(distributed.Client(address, timeout=patience_seconds))
            client.wait_for_workers(1, timeout=patience_seconds)
        except (OSError, ValueError, TypeError, RuntimeError, distributed.TimeoutError) as error:
            reason = " ".join(str(error).split())[:200]
            raise MachineError(
                f"no scheduler with workers answers at {scheduler}: {reason}",
                "start `dask scheduler` and `dask worker`; for tls:// set Dask's own certificates (distributed.comm.tls)",
            ) from error
        with disk_errors(parent, "choose a workspace that can be written"):
            parent.mkdir(parents=True, exist_ok=True)
            stack.callback(_forget_empty, parent)
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dask-", dir=parent)))
        for worker, (versions, sees) in client.run(_about_worker, str(folder)).items():
            _refuse_versions(worker, versions)
            if not sees:
                what = f"worker {worker} does not see {folder}"
                raise MachineError(what, "workers need the file system of this machine under the same paths")
        yield Cluster(client, folder, chunk, patience_seconds)


def _forget_empty(folder: Path) -> None:
    with suppress(OSError):  # shards may be there
        folder.rmdir()


def _warn_of_open_network(address: str, progress: Progress) -> None:
    parts = urlsplit(address)
    if parts.scheme != "tls" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        progress.warn(
            f"{address} is not encrypted: names of files, labels, header values and code pass the network, and whoever "
            "reaches the scheduler runs code on the workers; use tls:// and certificates"
        )


def own_versions() -> dict[str, str]:
    """Return the versions that have to be the same everywhere."""
    return {"medimg": __version__, "python": platform.python_version(), "numpy": np.__version__}


def _about_worker(folder: str) -> tuple[dict[str, str], bool]:
    return own_versions(), Path(folder).is_dir()


def _refuse_versions(worker: str, versions: dict[str, str]) -> None:
    for name, own in own_versions().items():
        if versions[name] != own:
            what = f"worker {worker} has {name} {versions[name]}, and here is {own}"
            raise MachineError(what, "start workers from the same environment")


@lru_cache(maxsize=2)
def _work_in(path: str) -> Any:
    return pickle.loads(Path(path).read_bytes())


def do_chunk(
    path: str, items: list[Any], part: str, versions: dict[str, str]
) -> tuple[bytes, str, list[int]]:
    """Do some items on a worker.

    Args:
        path: file of the work, written by the command that sent it.
        part: file for arrays.
        versions: of that command; a worker may have come after it looked.

    Returns:
        the pickled results without their arrays; the file of these, "" for none; and how many bytes each has.
    """
    _refuse_versions(platform.node(), versions)
    arrays: list[pickle.PickleBuffer] = []
    try:
        results = pickle.dumps(list(_work_in(path)(items)), protocol=5, buffer_callback=arrays.append)
    except Exception as error:
        # As text: Dask leaves a command waiting for ever when a traceback is too deep to be pickled.
        error.add_note("".join(format_exception(error))[-_MOST_TOLD:])
        error.__cause__ = error.__context__ = None
        raise error.with_traceback(None)  # noqa: B904
    sizes = [array.raw().nbytes for array in arrays]
    if not arrays:
        return results, "", sizes
    temporary = Path(f"{part}.{os.getpid()}")
    with temporary.open("wb") as stream:
        for array in arrays:
            stream.write(array.raw())
    temporary.replace(part)
    return results, part, sizes


def _joined(results: bytes, part: str, sizes: list[int]) -> list[Any]:
    """Return the results of a chunk with their arrays; the file of these goes."""
    if not part:
        found: list[Any] = pickle.loads(results)
        return found
    with Path(part).open("rb") as stream:
        found = pickle.loads(results, buffers=[bytearray(stream.read(size)) for size in sizes])
    Path(part).unlink()
    return found
