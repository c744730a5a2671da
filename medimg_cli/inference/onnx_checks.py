"""What an ONNX file may hold, judged from its bytes before ONNX Runtime sees it: a bundle may come from anybody.

The file is walked as a protocol buffer (protobuf.dev/programming-guides/encoding; field numbers of onnx.proto3, IR version 10), which takes
milliseconds where importing the package onnx alone takes 0.15 s of every first answer. No shape may hang on pixel
values: so what one image of the model's size takes of memory, every image takes, and trying one says it of all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medimg_cli.errors import RunError

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
        said = " ".join(str(error).split()) or "it is damaged"
        raise RunError(f"{path} cannot be used: {said}", _HINT) from None


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
            of_pixels.add(_text(value, 1))
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


def _text(message: memoryview, wanted: int) -> str:
    for field, value in _fields(message):
        if field == wanted and isinstance(value, memoryview):
            return str(value, "utf-8")
    return ""


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
