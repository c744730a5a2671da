"""One network as ONNX Runtime runs it, and what its file may hold, judged from its bytes: a bundle may come from anybody.

The file is walked as a protocol buffer (protobuf.dev/programming-guides/encoding; field numbers of onnx.proto3, IR version 10), which takes
milliseconds where importing the package onnx alone takes 0.15 s of every first answer. No shape may hang on pixel
values: so what one image of the model's size takes of memory, every image takes, and trying one says it of all.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from medimg_cli.errors import RunError
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard
from medimg_cli.workspace.files import sha256_of_file
from medimg_cli.workspace.threads import usable_cores


@dataclass(frozen=True)
class Seen:
    """What one network made of N images.

    Args:
        logits: (N, C) of each class or label, not yet divided by the temperature.
        features: (N, D), what its last layers judged.
        maps: (N, C, h, w) class activation maps, where they were asked for and the network has them: their mean over
            the places is a class's logit but for its bias.
    """

    logits: NDArray[np.float64]
    features: NDArray[np.float32]
    maps: NDArray[np.float32] | None = None


class Network(Protocol):
    """One trained network; the card is its own, also where it is a member of an ensemble."""

    @property
    def card(self) -> ModelCard:
        """Return what travels with the weights."""
        ...

    def __call__(self, pixels: Pixels, *, maps: bool = False) -> Seen:
        """Return what it makes of (N, H, W, C) pixels made by the model's recipe; each image on its own."""
        ...


_NAMES = """
    Abs Add And ArgMax ArgMin AveragePool BatchNormalization Cast CastLike Ceil Celu Clip Concat Constant ConstantOfShape
    Conv ConvTranspose Cos CumSum DepthToSpace Div Dropout Einsum Elu Equal Erf Exp Expand Flatten Floor Gather
    GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GroupNormalization
    HardSigmoid HardSwish Identity InstanceNormalization LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax
    LpNormalization LpPool MatMul Max MaxPool Mean Min Mish Mod Mul Neg Not Or PRelu Pad Pow Range Reciprocal ReduceL1 ReduceL2
    ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize Round ScatterElements
    ScatterND Selu Shape Sigmoid Sign Sin Size Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh
    ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
"""
_OPERATORS = frozenset(_NAMES.split())
"""No control flow, no sequences, no chance, nothing whose output's size hangs on values (NonZero, Compress, Unique)."""
_OF_SHAPE = {
    **dict.fromkeys(("Expand", "Reshape", "Split", "Squeeze", "Tile", "TopK", "Unsqueeze"), (1,)),
    **{name: (1,) for name in _OPERATORS if name.startswith("Reduce")},
    "ConstantOfShape": (0,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Resize": (1, 2, 3),
    "Slice": (1, 2, 3, 4),
}
"""Operator → which of its inputs decide on the size of what it gives."""
_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype("<f4"),
    10: np.dtype("<f2"),
    11: np.dtype("<f8"),
}  # TensorProto.DataType
_HINT = "restore it, or train again; `medimg bundle` writes whole ones"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MOST_NODES = 100_000


class _Refused(Exception):  # noqa: N818 -- becomes a RunError that names the file
    """Why a file is not used."""


def check_graph(path: Path) -> None:
    """Refuse an ONNX file that is damaged, could do harm, or has a weight that is no number.

    Raises:
        RunError: with what is wrong.
    """
    try:
        _check_model(np.memmap(path, np.uint8, "r").data)
    except _Refused as error:
        raise RunError(f"{path} is refused: {error}", _HINT) from None
    except (OSError, ValueError, IndexError) as error:  # an empty file cannot be mapped
        reason = " ".join(str(error).split()) or "it is damaged"
        raise RunError(f"{path} cannot be used: {reason}", _HINT) from None


def _check_model(whole: memoryview) -> None:
    graphs = 0
    for field, value in _fields(whole):
        if field == 7 and isinstance(value, memoryview):
            _check_graph(value)
            graphs += 1
        elif field in (20, 25):
            raise _Refused("it holds functions or a training of its own")
    if graphs != 1:
        raise _Refused("it holds no graph" if not graphs else "it holds several graphs")


def _check_graph(graph: memoryview) -> None:
    of_pixels: set[str] = set()
    nodes: list[memoryview] = []
    for field, value in _fields(graph):
        if not isinstance(value, memoryview):
            continue
        if field == 1:
            nodes.append(value)
        elif field == 5:
            _check_tensor(value, is_weight=True)
        elif field == 11:
            of_pixels |= {
                str(name, "utf-8") for at, name in _fields(value) if at == 1 and isinstance(name, memoryview)
            }
        elif field == 15:
            raise _Refused("it has sparse weights")
    if len(nodes) > _MOST_NODES:
        raise _Refused(f"it has {len(nodes)} nodes")
    for node in nodes:
        _check_node(node, of_pixels)


def _check_node(node: memoryview, of_pixels: set[str]) -> None:
    """Refuse a node that is not on the list; `of_pixels`, the names of what hangs on pixel values, grows."""
    names: dict[int, list[str]] = {1: [], 2: [], 4: [""], 7: [""]}
    for field, value in _fields(node):
        if not isinstance(value, memoryview):
            continue
        if field == 5:
            _check_attribute(value)
        elif field in names:
            names[field].append(str(value, "utf-8"))
    kind, domain = names[4][-1], names[7][-1]
    if domain not in ("", "ai.onnx") or kind not in _OPERATORS:
        named = f"{domain}:{kind}" if domain else kind
        raise _Refused(f"its operator {named[:80]!a} is none that classifiers need")
    hanging = [place for place, name in enumerate(names[1]) if name in of_pixels]
    if set(hanging) & set(_OF_SHAPE.get(kind, ())):
        raise _Refused(f"the size of what its operator {kind} gives hangs on the pixels' values")
    if hanging and kind not in ("Shape", "Size"):
        of_pixels.update(names[2])


def _check_attribute(attribute: memoryview) -> None:
    for field, value in _fields(attribute):
        if field in (6, 11, 22, 23):
            raise _Refused("a node of it holds a graph of its own, or a sparse tensor")
        if field in (5, 10) and isinstance(value, memoryview):
            _check_tensor(value, is_weight=False)


def _check_tensor(tensor: memoryview, *, is_weight: bool) -> None:
    """Refuse what lies in another file, and a weight that is no number; a constant may be infinite, such as a bound."""
    kind, parts = 0, []
    for field, value in _fields(tensor):
        if field == 13 or (field == 14 and value):
            raise _Refused("a part of it lies in another file")
        if field == 2 and isinstance(value, int):
            kind = value
        elif field in (4, 9, 10) and isinstance(value, memoryview):
            parts.append((field, value))
    for field, data in parts:
        dtype = {4: _TYPES[1], 10: _TYPES[11]}.get(field) or _TYPES.get(kind)
        if dtype is None or not len(data):
            continue
        numbers: NDArray[Any] = np.frombuffer(data, dtype)
        ends = np.array(
            [numbers.min(), numbers.max()]
        )  # either is NaN where one is, and quicker than to ask each
        if np.isnan(ends).any() or (is_weight and not np.isfinite(ends).all()):
            raise _Refused("one of its weights is no number: the training diverged, or the file was changed")


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the fields of a message, by number; raises `ValueError` or `IndexError` where it is damaged."""
    place, end = 0, len(message)
    while place < end:
        key, place = _varint(message, place)
        wire = key & 7
        if wire == _VARINT:
            value, place = _varint(message, place)
            yield key >> 3, value
            continue
        if wire == _BYTES:
            size, place = _varint(message, place)
        elif wire in (_FIXED32, _FIXED64):
            size = 4 if wire == _FIXED32 else 8
        else:
            raise ValueError("it is no ONNX file")
        if size > end - place:
            raise ValueError("it ends in the middle")
        yield key >> 3, message[place : place + size]
        place += size


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise ValueError("it is no ONNX file")


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
        RunError: it cannot be run, or holds what no classifier needs, see `check_graph`.
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
