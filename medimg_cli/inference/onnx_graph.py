"""A whole model as one ONNX graph: from pixels to calibrated probabilities, an ensemble's networks side by side.

It is put together from the copies that the model answers from, so that nothing is computed in another way. Resizing stays
outside, in the metadata: ONNX's own antialiased `Resize` differs from Pillow's by a grey level or two in one pixel of
fifty, which moved probabilities by up to 0.008 (64 chest X-rays, two networks, opset 18 with and without
`exclude_outside`), and 1e-4 is what is promised.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import compose, helper, numpy_helper

from medimg_cli.errors import RunError
from medimg_cli.inference.onnx_network import FEATURES, LOGITS, MAPS
from medimg_cli.inference.standalone import PROBABILITIES
from medimg_cli.runs.run import ModelCard, Recalibration
from medimg_cli.statistics.probabilities import AnswerKind

LIMIT_BYTES = 2_000_000_000
"""A protocol buffer, which an ONNX file is, ends at 2 GiB; some room is left for what comes on top."""
_OWN = "medimg/"


def one_graph(
    members: Sequence[tuple[Path, ModelCard]], told: Mapping[str, Any], change: Recalibration | None = None
) -> bytes:
    """Return an ONNX file whose input `pixels` are (N, H, W, C) in 0..255, made by the recipe, of any N.

    Its outputs are `probabilities` (N, C) and, of a single network, `logits`, `features` and, where it has them, `maps`.

    Args:
        members: the copy and the card of each network.
        told: what its metadata say, each value as JSON.
        change: of the mean over the networks, for another place.

    Raises:
        RunError: the copies together are too large for one file, or were written by different versions.
    """
    size = sum(path.stat().st_size for path, _ in members)
    if size > LIMIT_BYTES:
        raise RunError(
            f"the networks together have {size >> 20} MiB, and an ONNX file cannot hold more than 2 GiB",
            "`medimg bundle` has no such limit",
        )
    parts = [onnx.load(str(path)) for path, _ in members]
    alone = len(parts) == 1
    if not alone:
        parts = [_named_apart(part, f"network-{place}/") for place, part in enumerate(parts, start=1)]
    whole = _side_by_side(parts)
    prefixes = [""] if alone else [f"network-{place}/" for place in range(1, len(parts) + 1)]
    for prefix, (_, card) in zip(prefixes, members, strict=True):
        _add_answer(whole.graph, prefix, card.temperature, card.answers, len(card.classes))
    answers = [f"{_OWN}{prefix}answer" for prefix in prefixes]
    mean = PROBABILITIES if change is None else f"{_OWN}mean"
    whole.graph.node.append(helper.make_node("Mean", answers, [mean]))
    if change is not None:
        _add_change(whole.graph, mean, change, several=members[0][1].labels.several)
    _tell(whole, parts[0] if alone else None, members[0][1], told)
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString(deterministic=True))


def _named_apart(part: onnx.ModelProto, prefix: str) -> onnx.ModelProto:
    """Return a network whose names begin with `prefix`, but for its input, which all share."""
    named: onnx.ModelProto = compose.add_prefix(part, prefix, rename_inputs=False)
    return named


def _side_by_side(parts: Sequence[onnx.ModelProto]) -> onnx.ModelProto:
    versions = {(one.domain, one.version) for part in parts for one in part.opset_import}
    if len(versions) > len({domain for domain, _ in versions}):
        raise RunError(
            "the networks' copies were written by different exporters",
            "delete their model.onnx; `medimg export` writes them anew",
        )
    graph = helper.make_graph(
        [node for part in parts for node in part.graph.node],
        "medimg",
        [parts[0].graph.input[0]],
        [],
        [each for part in parts for each in part.graph.initializer],
    )
    whole: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid(*each) for each in sorted(versions)]
    )
    whole.ir_version = max(part.ir_version for part in parts)
    whole.functions.extend(function for part in parts for function in part.functions)
    return whole


def _add_answer(
    graph: onnx.GraphProto, prefix: str, temperature: float, kind: AnswerKind, classes: int
) -> None:
    """Add what takes a network's logits to probabilities, as `statistics.probabilities` does."""
    own = _OWN + prefix
    _constant(graph, f"{own}temperature", np.array(temperature, np.float32))
    scaled, answer = f"{own}scaled", f"{own}answer"
    graph.node.append(helper.make_node("Div", [f"{prefix}{LOGITS}", f"{own}temperature"], [scaled]))
    if kind == "ordinal":
        _add_grades(graph, own, classes)
    elif kind == "sigmoid":
        graph.node.append(helper.make_node("Sigmoid", [scaled], [answer]))
    else:
        graph.node.append(helper.make_node("Softmax", [scaled], [answer], axis=1))


def _add_change(graph: onnx.GraphProto, mean: str, change: Recalibration, *, several: bool) -> None:
    """Add what `statistics.probabilities.recalibrated` does."""

    def add(operator: str, given: list[str], made: str, **options: Any) -> str:
        graph.node.append(helper.make_node(operator, given, [made], **options))
        return made

    for name, value in (("faintest", 1e-30), ("scale", change.scale), ("shift", change.shift), ("one", 1.0)):
        _constant(graph, f"{_OWN}{name}", np.array(value, np.float32))
    logs = add("Log", [add("Max", [mean, f"{_OWN}faintest"], f"{_OWN}some")], f"{_OWN}logs")
    if several:
        rest = add(
            "Max", [add("Sub", [f"{_OWN}one", mean], f"{_OWN}rest"), f"{_OWN}faintest"], f"{_OWN}other"
        )
        logs = add("Sub", [logs, add("Log", [rest], f"{_OWN}other-logs")], f"{_OWN}logits")
    moved = add("Add", [add("Mul", [logs, f"{_OWN}scale"], f"{_OWN}wide"), f"{_OWN}shift"], f"{_OWN}moved")
    add("Sigmoid", [moved], PROBABILITIES) if several else add("Softmax", [moved], PROBABILITIES, axis=1)


def _add_grades(graph: onnx.GraphProto, own: str, classes: int) -> None:
    """Add the grades' probabilities: differences of the running product of the steps' own."""

    def add(operator: str, given: list[str], made: str, **options: Any) -> None:
        graph.node.append(helper.make_node(operator, given, [own + made], **options))

    add("Sigmoid", [f"{own}scaled"], "steps")
    above: list[str] = []
    for place in range(classes - 1):
        _constant(graph, f"{own}place-{place}", np.array([place], np.int64))
        add("Gather", [f"{own}steps", f"{own}place-{place}"], f"step-{place}", axis=1)
        step = f"{own}step-{place}"
        if above:
            add("Mul", [above[-1], step], f"above-{place}")
        above.append(f"{own}above-{place}" if above else step)
    _constant(graph, f"{own}unit", np.array(1, np.float32))
    add("Sub", [above[0], above[0]], "none")  # a column of zeros, as long as there are images
    add("Add", [f"{own}none", f"{own}unit"], "all")
    add("Concat", [f"{own}all", *above], "upper", axis=1)
    add("Concat", [*above, f"{own}none"], "lower", axis=1)
    add("Sub", [f"{own}upper", f"{own}lower"], "answer")


def _constant(graph: onnx.GraphProto, name: str, value: Any) -> None:
    graph.initializer.append(numpy_helper.from_array(value, name))


def _tell(
    whole: onnx.ModelProto, single: onnx.ModelProto | None, card: ModelCard, told: Mapping[str, Any]
) -> None:
    """Name the outputs, and what is known of the model."""
    shape: list[str | int | None] = ["images", len(card.classes)]
    whole.graph.output.append(helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, shape))
    if single is not None:
        given = {output.name: output for output in single.graph.output}
        whole.graph.output.extend(given[name] for name in (LOGITS, FEATURES, MAPS) if name in given)
    whole.producer_name, whole.producer_version = "medimg", str(told.get("medimg", ""))
    whole.doc_string = str(told.get("notice", ""))
    texts = {name: json.dumps(value, ensure_ascii=False, sort_keys=True) for name, value in told.items()}
    helper.set_model_props(whole, texts)
