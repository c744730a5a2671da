"""What the server counts, in the text format of Prometheus; no client, name or value of an image is in it.

Each worker writes a row of numbers in memory that all of them share, and whoever is asked adds the rows up: so every
worker gives the figures of all of them, and a worker that was replaced has not forgotten what it counted.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

ROUTES = (
    "/ /card /login /logout /static /docs /openapi.json /healthz /readyz /metrics /api/model /api/predict "
    "/api/view /api/heatmap /api/result.pdf other"
).split()
STATUSES = (200, 204, 303, 400, 401, 403, 404, 405, 408, 409, 413, 415, 421, 422, 429, 500, 503)
_BOUNDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_TIMED = ("/api/predict", "/api/view", "/api/heatmap", "/api/result.pdf")
_GAUGES = (
    "pid beat ready queue_images requests bytes images refused_images dicom_associations dicom_rejected dicom_received "
    "dicom_refused dicom_answered dicom_declined dicom_own dicom_delivered dicom_retries dicom_waiting dicom_undelivered dicom_dead"
).split()
_CODES = len(ROUTES) * len(STATUSES)
_LATENCY = len(_BOUNDS) + 2  # one count a bucket, +Inf, and the sum
SLOTS = _CODES + len(_TIMED) * _LATENCY + len(_GAUGES)
_DICOM = (
    ("dicom_associations", "medimg_dicom_associations_total", "counter", "DICOM associations accepted."),
    (
        "dicom_rejected",
        "medimg_dicom_rejected_total",
        "counter",
        "DICOM connections and associations rejected.",
    ),
    ("dicom_received", "medimg_dicom_received_total", "counter", "DICOM objects acknowledged."),
    (
        "dicom_refused",
        "medimg_dicom_refused_total",
        "counter",
        "DICOM objects refused: no room, or too large.",
    ),
    ("dicom_answered", "medimg_dicom_images_total", "counter", "Images of DICOM objects with an answer."),
    (
        "dicom_declined",
        "medimg_dicom_images_refused_total",
        "counter",
        "Images of DICOM objects that got none.",
    ),
    ("dicom_own", "medimg_dicom_own_total", "counter", "Results of medimg that came back and were dropped."),
    ("dicom_delivered", "medimg_dicom_delivered_total", "counter", "Results that a peer has taken."),
    ("dicom_retries", "medimg_dicom_retries_total", "counter", "Attempts that found a peer down."),
    ("dicom_waiting", "medimg_dicom_waiting", "gauge", "DICOM objects that wait for their answer."),
    ("dicom_undelivered", "medimg_dicom_undelivered", "gauge", "Answers that some peer lacks."),
    ("dicom_dead", "medimg_dicom_dead", "gauge", "Objects and results in the dead-letter folder."),
)
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


class Numbers(Protocol):
    """A flat array of floats that processes share, `SLOTS` for each worker."""

    def __getitem__(self, place: int) -> float: ...

    def __setitem__(self, place: int, value: float) -> None: ...


def last_beat(numbers: Numbers, worker: int) -> float:
    """Return when a worker last reported its state, in seconds of `time.monotonic`; 0 before it is ready."""
    return numbers[worker * SLOTS + _place("beat")]


def route_of(path: str) -> str:
    """Return what a path counts as.

    >>> route_of("/static/page.js"), route_of("/wp-admin")
    ('/static', 'other')
    """
    if path.startswith("/static/"):
        return "/static"
    return path if path in ROUTES else "other"


class Counters:
    """One worker's view of the shared numbers.

    Args:
        numbers: of all workers.
        worker: which of them this is, from 0.
        workers: how many there are.
    """

    def __init__(self, numbers: Numbers, worker: int = 0, workers: int = 1) -> None:
        self._numbers, self._worker, self._workers = numbers, worker, workers
        self.set(pid=os.getpid(), beat=0, ready=0, queue_images=0, requests=0, bytes=0)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count an answer, and how long it took where that says something."""
        route = route_of(path)
        known = status if status in STATUSES else 500 if status >= 500 else 400
        self._add(ROUTES.index(route) * len(STATUSES) + STATUSES.index(known), 1)
        if route in _TIMED and status == 200:
            start = _CODES + _TIMED.index(route) * _LATENCY
            bucket = next((n for n, bound in enumerate(_BOUNDS) if seconds <= bound), len(_BOUNDS))
            self._add(start + bucket, 1)
            self._add(start + len(_BOUNDS) + 1, seconds)

    def answered_images(self, ok: int, refused: int) -> None:
        """Count images with an answer, and ones that got none: unreadable, or unlike what the model knows."""
        self.add(images=ok, refused_images=refused)

    def add(self, **counts: float) -> None:
        """Add to this worker's counts."""
        for name, count in counts.items():
            self._add(_place(name), count)

    def set(self, **gauges: float) -> None:
        """Set this worker's gauges."""
        for name, value in gauges.items():
            self._numbers[self._worker * SLOTS + _place(name)] = value

    def text(self) -> str:
        """Return the figures of all workers together."""
        return "\n".join([*self._requests(), *self._latencies(), *self._loads(), ""])

    def _add(self, place: int, value: float) -> None:
        place += self._worker * SLOTS
        self._numbers[place] = self._numbers[place] + value

    def _rows(self, place: int) -> list[float]:
        return [self._numbers[worker * SLOTS + place] for worker in range(self._workers)]

    def _sum(self, place: int) -> float:
        return sum(self._rows(place))

    def _requests(self) -> Iterator[str]:
        yield from _head("medimg_requests_total", "counter", "Requests by route and status.")
        for place in range(_CODES):
            if count := self._sum(place):
                route, status = ROUTES[place // len(STATUSES)], STATUSES[place % len(STATUSES)]
                yield f'medimg_requests_total{{route="{route}",status="{status}"}} {count:g}'

    def _latencies(self) -> Iterator[str]:
        name = "medimg_request_seconds"
        yield from _head(name, "histogram", "How long answered requests took, upload included.")
        for number, route in enumerate(_TIMED):
            start, total = _CODES + number * _LATENCY, 0.0
            for place, bound in enumerate((*_BOUNDS, "+Inf")):
                total += self._sum(start + place)
                yield f'{name}_bucket{{route="{route}",le="{bound}"}} {total:g}'
            yield f'{name}_sum{{route="{route}"}} {self._sum(start + len(_BOUNDS) + 1):.6g}'
            yield f'{name}_count{{route="{route}"}} {total:g}'

    def _loads(self) -> Iterator[str]:
        for gauge, name, kind, text in (
            ("images", "medimg_images_total", "counter", "Images with an answer."),
            ("refused_images", "medimg_images_refused_total", "counter", "Images that got none."),
            ("ready", "medimg_workers_ready", "gauge", "Workers that have loaded the model."),
            ("queue_images", "medimg_queue_images", "gauge", "Images that wait for the model."),
            ("requests", "medimg_requests_under_way", "gauge", "Requests with uploads under way."),
            ("bytes", "medimg_upload_bytes", "gauge", "Bytes of uploads in memory."),
            *_DICOM,
        ):
            yield from _head(name, kind, text)
            yield f"{name} {self._sum(_place(gauge)):.15g}"
        memory = [size for pid in self._rows(_place("pid")) if (size := resident_bytes(int(pid)))]
        if memory:
            yield from _head("medimg_resident_bytes", "gauge", "Resident memory of all workers.")
            yield f"medimg_resident_bytes {sum(memory)}"


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process of this machine; 0 where the system does not tell."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE_BYTES
    return 0


def _place(gauge: str) -> int:
    return SLOTS - len(_GAUGES) + _GAUGES.index(gauge)


def _head(name: str, kind: str, text: str) -> Sequence[str]:
    return (f"# HELP {name} {text}", f"# TYPE {name} {kind}")
