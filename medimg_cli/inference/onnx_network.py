"""One network as ONNX Runtime runs it, from the copy that training left beside the weights."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from medimg_cli.errors import RunError
from medimg_cli.inference.network import Seen
from medimg_cli.inference.onnx_checks import check_graph
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.threads import usable_cores

PIXELS, LOGITS, FEATURES, MAPS = "pixels", "logits", "features", "maps"
"""What the copy calls its input, (N, H, W, C) of 0..255, and its outputs."""


class OnnxNetwork:
    """A network in ONNX Runtime: one image a call and one thread an image, so that no answer hangs on its batch.

    Args:
        path: of the copy.
        card: its own; it has the hash of the copy.

    Raises:
        RunError: the copy is damaged, changed, no network, or takes and gives other than the card says.
    """

    def __init__(self, path: Path, card: ModelCard) -> None:
        self._card = card
        if sha256_of_file(path) != card.onnx_sha256:
            raise RunError(
                f"{path} is not the copy this run wrote",
                "delete it, and the weights beside it answer instead",
            )
        self._session = session_of(path)
        self._given = {output.name: output.shape for output in self._session.get_outputs()}
        self._check(path)
        self._pool = ThreadPoolExecutor(usable_cores()) if usable_cores() > 1 else None

    @property
    def card(self) -> ModelCard:
        return self._card

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:
        """Return what the network makes of (N, H, W, C) pixels made by the model's recipe."""
        wanted = [LOGITS, FEATURES] + ([MAPS] if maps and MAPS in self._given else [])
        images = [as_input(pixels[place : place + 1]) for place in range(len(pixels))]
        if self._pool is None or len(images) == 1:
            found = [self._ask(wanted, image) for image in images]
        else:
            found = list(self._pool.map(lambda image: self._ask(wanted, image), images))
        stacked = [np.concatenate(parts) for parts in zip(*found, strict=True)]
        if not stacked:
            stacked = [np.empty((0, len(self._card.classes))), np.empty((0, 0))]
        return Seen(
            logits=stacked[0].astype(np.float64),
            features=stacked[1].astype(np.float32, copy=False),
            maps=stacked[2] if len(stacked) > 2 else None,
        )

    def _check(self, path: Path) -> None:
        """Refuse a graph that would fail at the first image, or answer for other classes than the card's."""
        recipe = self._card.recipe
        taken = [(one.name, list(one.shape)[1:]) for one in self._session.get_inputs()]
        fits = taken == [(PIXELS, [recipe.size_px, recipe.size_px, recipe.channels])]
        answers = self._given.get(LOGITS, [0])[-1]  # a name where the graph leaves it open
        if isinstance(answers, int) and answers != len(self._card.classes):
            fits = False
        kinds = {one.type for one in (*self._session.get_inputs(), *self._session.get_outputs())}
        if not fits or FEATURES not in self._given or kinds != {"tensor(float)"}:
            raise RunError(f"{path} does not fit the model card beside it", "restore both, or train again")

    def _ask(self, wanted: Sequence[str], image: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        try:
            answer: list[NDArray[np.float32]] = self._session.run(list(wanted), {PIXELS: image})
        except Exception as error:  # its errors have no family of their own
            raise RunError(f"the network cannot be run: {_first_line(error)}", "train again") from error
        if len(answer[0]) != 1 or answer[0].shape[1:] != (len(self._card.classes),) or answer[1].ndim != 2:
            raise RunError("the network answers for other classes than its card says", "train again")
        return answer


def session_of(path: Path) -> Any:
    """Return an ONNX Runtime session of one thread.

    Raises:
        RunError: it cannot be run, or holds what no classifier needs, see `inference.onnx_checks`.
    """
    check_graph(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what it has to say of a damaged file, it also raises
    try:
        session = onnxruntime.InferenceSession(
            str(path),
            options,
            providers=["CPUExecutionProvider"],
            enable_fallback=0,  # it would print that it tries again
        )
        _ = [
            (each.name, each.shape) for each in (*session.get_inputs(), *session.get_outputs())
        ]  # which may be no text
        return session
    except Exception as error:  # its errors have no family of their own
        raise RunError(f"{path} cannot be used: {_first_line(error)}", "train again") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def as_input(pixels: Pixels) -> NDArray[np.float32]:
    """Return pixels as 0..255: 16-bit ones with their fractions (65535 / 257 = 255)."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32)
    return np.divide(pixels, np.float32(257), dtype=np.float32)
