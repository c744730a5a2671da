"""Mutated files against everything that opens files, in a process of its own with limits of time and memory.

By hand: `python -m tests.faults.fuzz --seconds 240 --seed 1 [--only dicom] [--run runs/NAME]`. A finding is named by its
target and number: `--only TARGET --first NUMBER --seconds 0` tries it alone, in this process.
"""

import argparse
import asyncio
import contextlib
import faulthandler
import hashlib
import importlib
import json
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, MutableMapping
from functools import partial
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from python_calamine import CalamineError, PasswordError

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.images.readers import frame_count, image_paths, read_image
from medimg_cli.inference.load import open_classifier
from medimg_cli.inference.onnx_network import check_graph
from medimg_cli.runs.run import ModelCard, Run, RunRecord, read_model
from medimg_cli.workspace import spreadsheets
from medimg_cli.workspace.config import read_settings
from medimg_cli.workspace.spreadsheets import read_spreadsheet
from medimg_cli.workspace.workspace import Workspace
from tests.faults import seeds

MOST_SECONDS, MOST_BYTES = 10, 6 << 30
_INTS = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x01",
    b"\xff\xff",
    b"\x80",
)


def mutated(content: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Return a file with one to six mutations, more of them near its beginning."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 3, 6))):
        size = len(changed)
        if not size:
            break
        place = chance.randrange(min(size, 700)) if chance.random() < 0.6 else chance.randrange(size)
        length = chance.choice((1, 2, 4, 8, 64, 512))
        what = chance.randrange(8)
        if what < 2:
            changed[place] ^= 1 << chance.randrange(8)
        elif what == 2:
            changed[place] = chance.randrange(256)
        elif what == 3:
            odd = chance.choice(_INTS)
            changed[place : place + len(odd)] = odd
        elif what == 4:
            del changed[place : place + length]
        elif what == 5:
            changed[place:place] = changed[place : place + length]
        elif what == 6:
            other = chance.choice(others)
            start = chance.randrange(max(1, len(other)))
            changed[place : place + length] = other[start : start + length]
        elif chance.random() < 0.3:
            del changed[place:]
    return bytes(changed)


def _picture(path: Path) -> None:
    frame_count(str(path))
    for one in list(islice(image_paths(str(path)), 2)):
        with contextlib.suppress(UnreadableImage):
            image = read_image(one)
            if image.pixels.size == 0 or image.pixels.ndim != 3:
                raise AssertionError(f"an image of shape {image.pixels.shape}")
            if image.pixels.dtype.kind == "f" and not np.isfinite(image.pixels).all():
                raise AssertionError("pixels that are no numbers")


def _archive(path: Path) -> None:
    from medimg_cli.predictions.inputs import list_inputs

    for one in islice(list_inputs([path]), 4):
        if not one.fault:
            _picture(Path(one.path))


def _table(path: Path) -> None:
    with contextlib.suppress(DataError, UsageError):
        read_spreadsheet(path, is_name=lambda cell: cell in ("image", "label"))


def _workbook(path: Path) -> None:
    """Open a workbook as `read_workbook`'s own process does: a start of Python for each is what takes time."""
    with contextlib.suppress(CalamineError, PasswordError, OSError, ValueError):
        spreadsheets._read(str(path), "")


def _settings(path: Path) -> None:
    with contextlib.suppress(UsageError, RunError):
        read_settings(path)


def _card(path: Path) -> None:
    with contextlib.suppress(RunError):
        read_model(path, ModelCard)


def _record(path: Path) -> None:
    with contextlib.suppress(RunError):
        read_model(path, RunRecord)


def _graph(path: Path) -> None:
    with contextlib.suppress(RunError):
        check_graph(path)


def _dataset(path: Path) -> None:
    with contextlib.suppress(DataError):
        read_dataset(Workspace(path.parent))


class _RunFile:
    """A run of which one file is exchanged for the mutated one, and its card says that this is the file it wrote.

    A bundle of a stranger is so: whoever changes a file changes its hash in the card, too.
    """

    def __init__(self, run: Path, name: str, field: str) -> None:
        self._run, self._name, self._field = run, name, field
        self._card = json.loads((run / "model.json").read_text())

    def __call__(self, path: Path) -> None:
        folder = path.parent / "run"
        if not folder.is_dir():
            folder.mkdir()
            for file in self._run.iterdir():
                if file.is_file():
                    (folder / file.name).write_bytes(file.read_bytes())
        content = path.read_bytes()
        (folder / self._name).write_bytes(content)
        card = self._card | {self._field: hashlib.sha256(content).hexdigest()}
        (folder / "model.json").write_text(json.dumps(card))
        with contextlib.suppress(RunError):
            if self._field == "weights_sha256":
                self._load(folder)
            else:
                self._answer(folder)

    def _load(self, folder: Path) -> None:
        import torch

        from medimg_cli.training.checkpoint import load_network

        load_network(Run(folder), Run(folder).read_card(), torch.device("cpu"))

    def _answer(self, folder: Path) -> None:
        classifier = open_classifier(folder)
        assert classifier is not None
        recipe = classifier.card.recipe
        shape = (recipe.size_px, recipe.size_px, recipe.channels)
        pixels: Any = np.random.default_rng(0).integers(255, size=shape, dtype=recipe.dtype)
        said, _ = classifier.with_maps(classifier.prepare(DecodedImage(pixels, recipe.bits)))
        shares = [value for value in said.probabilities.values() if value is not None]
        if said.status == "ok" and not (np.isfinite(shares).all() and 0.99 < sum(shares) < 1.01):
            raise AssertionError(f"an answer of {shares}")


class _Http:
    """Raw requests, head and body, to the service's application."""

    def __init__(self) -> None:
        from tests.web.serving import serve_for_tests

        self._app = serve_for_tests().app

    def __call__(self, path: Path) -> None:
        asyncio.run(self._ask(path.read_bytes()))

    async def _ask(self, content: bytes) -> None:
        head, _, body = content.partition(b"\r\n\r\n")
        line, *lines = head.split(b"\r\n")
        method, target, *_ = [*line.split(b" "), b"/", b""]
        if not all(0x21 <= byte <= 0x7E for byte in target):  # refused by h11 before a request comes of it
            return
        address, _, query = target.partition(b"?")
        headers = [(n.strip().lower(), v.strip()) for n, _, v in (one.partition(b":") for one in lines)]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": method.decode("latin-1"), "path": address.decode("utf-8", "replace"), "raw_path": address,
            "query_string": query, "headers": headers, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 8000),
        }  # fmt: skip
        told: list[int] = []
        sent = False

        async def receive() -> MutableMapping[str, Any]:
            nonlocal sent
            if sent:
                return {"type": "http.disconnect"}
            sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                told.append(message["status"])

        await self._app(scope, receive, send)
        if told and told[0] >= 500 and told[0] != 503:
            raise AssertionError(f"status {told[0]}")


def _requests(pictures: dict[str, list[bytes]]) -> list[bytes]:
    edge = b"x-1"
    part = b'--%s\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n%s\r\n'
    made = []
    for address in (b"/api/predict", b"/api/view", b"/api/heatmap"):
        for content in (pictures["png"][0], pictures["dicom"][2], pictures["jpeg"][0]):
            one = part if address == b"/api/predict" else part.replace(b'"files"', b'"file"')
            body = one % (edge, content) + b"--" + edge + b"--\r\n"
            made.append(
                b"POST "
                + address
                + b" HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nContent-Length: "
                + str(len(body)).encode()
                + b"\r\nContent-Type: multipart/form-data; boundary="
                + edge
                + b"\r\nAccept-Language: vi,en;q=0.5\r\n\r\n"
                + body
            )
    gets = (b"/", b"/api/model", b"/health", b"/metrics", b"/docs?lang=vi", b"/api/model?x=1")
    return made + [
        b"GET " + a + b" HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nAuthorization: Bearer x\r\n\r\n" for a in gets
    ]


def targets(run: Path | None) -> dict[str, tuple[list[bytes], Callable[[], Callable[[Path], None]]]]:
    """Return target → its whole files and what opens one."""
    pictures = seeds.pictures()
    found: dict[str, tuple[list[bytes], Callable[[], Callable[[Path], None]]]] = {
        name: (files, lambda: _picture) for name, files in pictures.items() if files
    }
    found |= {name: (files, lambda: _archive) for name, files in seeds.archives(pictures).items()}
    tables = seeds.tables()
    found |= {name: (files, lambda: _table) for name, files in tables.items()}
    found["workbook"] = (tables["xlsx"], lambda: _workbook)
    found |= {name: (files, lambda: _settings) for name, files in seeds.settings().items()}
    found["http"] = (_requests(pictures), _Http)
    if run is not None:
        of = seeds.models(run)
        importlib.import_module(
            "medimg_cli.training.checkpoint"
        )  # torch is no part of what an input may take
        found |= {"card": (of["card"], lambda: _card), "record": (of["record"], lambda: _record)}
        found |= {"graph": (of["onnx"], lambda: _graph)}
        for kind, name, field in (
            ("onnx", "model.onnx", "onnx_sha256"),
            ("reference", "reference.safetensors", "reference_sha256"),
            ("safetensors", "model.safetensors", "weights_sha256"),
        ):
            found[kind] = (of[kind], partial(_RunFile, run, name, field))
    return found


class TooLong(BaseException):
    """An input takes longer than it may, between two instructions of Python."""


def _stop(_number: int, _frame: object) -> None:
    raise TooLong


def content_of(files: list[bytes], target: str, number: int) -> bytes:
    """Return the mutated file of a number."""
    chance = random.Random(f"{target}/{number}")
    return mutated(chance.choice(files), files, chance)


def work(
    files: list[bytes],
    opens: Callable[[], Callable[[Path], None]],
    target: str,
    first: int,
    tell: Connection,
    until: float,
) -> None:
    """Try one file after another until the time is over, telling of each before and of every fault."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGALRM, _stop)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    function = opens()
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder) / "file"
        number = first
        while time.monotonic() < until:
            tell.send((number, ""))
            path.write_bytes(content_of(files, target, number))
            signal.alarm(MOST_SECONDS)
            try:
                function(path)
            except TooLong:
                tell.send((number, f"takes longer than {MOST_SECONDS} s"))
            except BaseException as error:
                last = traceback.extract_tb(error.__traceback__)[-3:]
                places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(last))
                tell.send((number, f"{type(error).__name__}: {str(error)[:150]} [{places}]"))
            finally:
                signal.alarm(0)
            number += 1
    tell.send((-1, ""))


def try_target(
    name: str, files: list[bytes], opens: Any, first: int, seconds: float
) -> tuple[int, Counter[str]]:
    """Try a target for some seconds and return how many inputs were tried, and the faults."""
    context = multiprocessing.get_context("fork")
    faults: Counter[str] = Counter()
    until, number = time.monotonic() + seconds, first
    while time.monotonic() < until:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=work, args=(files, opens, name, number, theirs, until))
        process.start()
        theirs.close()
        dead = "ended"
        try:
            while ours.poll(2.5 * MOST_SECONDS):
                told, fault = ours.recv()
                if told < 0:
                    dead = ""
                    break
                number = told
                if fault:
                    if fault not in faults:
                        sys.stdout.write(f"FAULT {name} {told}: {fault}\n")
                    faults[fault] += 1
            else:
                dead = "hangs in foreign code"
        except EOFError:
            dead = "ended"
        if dead:
            process.kill()
        process.join()
        if dead:
            fault = f"the process {dead} ({process.exitcode})"
            sys.stdout.write(f"FAULT {name} {number}: {fault}\n")
            faults[fault] += 1
        number += 1
        sys.stdout.flush()
    return number - first, faults


def main() -> None:
    """Try every target for its share of the time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=240)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--only", default="")
    parser.add_argument("--run", type=Path)
    wanted = parser.parse_args()
    every = {
        n: t for n, t in targets(wanted.run).items() if wanted.only in ("", n) or n in wanted.only.split(",")
    }
    if not every:
        sys.exit(f"no such target: {wanted.only}")
    if wanted.seconds == 0:
        faulthandler.enable()
        for name, (files, opens) in every.items():
            path = Path(tempfile.mkdtemp()) / "file"
            path.write_bytes(content_of(files, name, wanted.first))
            sys.stdout.write(f"{path}\n")
            opens()(path)
        return
    total = found = 0
    for name, (files, opens) in every.items():
        tried, faults = try_target(name, files, opens, wanted.first, wanted.seconds / len(every))
        total, found = total + tried, found + sum(faults.values())
        sys.stdout.write(f"{name}: {tried} tried from {wanted.first}, {sum(faults.values())} faults\n")
    sys.stdout.write(f"{total} tried\n")
    sys.exit(found > 0)


if __name__ == "__main__":
    main()
