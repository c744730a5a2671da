"""An exported file as a program without medimg runs it: ONNX Runtime, Pillow and NumPy, by what its metadata say.

Nothing of medimg's own preprocessing is used here, for this is what it is compared with (`medimg export --verify`);
`examples/run_onnx.py` is the same in a few lines.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import compose, helper, numpy_helper
from PIL import Image, ImageOps

from medimg_cli.errors import RunError
from medimg_cli.inference.onnx_network import FEATURES, LOGITS, MAPS, PIXELS, session_of
from medimg_cli.runs.run import ModelCard, Recalibration
from medimg_cli.statistics.probabilities import AnswerKind

PROBABILITIES = "probabilities"
_PLAIN_MODES = ("L", "RGB", "P", "1", "LA", "RGBA", "CMYK", "YCbCr")
_PLAIN_FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
_GREY = 1
_EXIF_ORIENTATION, _TURNED_ASIDE = 0x0112, (5, 6, 7, 8)  # Exif 2.32, 4.6.4


class StandaloneModel:
    """An exported file, in use.

    Args:
        path: of the file.

    Raises:
        RunError: it cannot be run.
    """

    def __init__(self, path: Path) -> None:
        self._session = session_of(path)
        texts = self._session.get_modelmeta().custom_metadata_map
        self.about: dict[str, Any] = {name: json.loads(text) for name, text in texts.items()}

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return what the graph gives."""
        return tuple(output.name for output in self._session.get_outputs())

    @property
    def makes_pixels(self) -> bool:
        """Return whether its recipe is one that a few lines of Pillow follow."""
        recipe = self.about["recipe"]
        return recipe["bits"] == 8 and not recipe["clahe"] and not recipe["border_crop"]

    def of_pixels(self, pixels: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities (N, C) of (N, H, W, C) pixels in 0..255 that the recipe has made."""
        answer: NDArray[np.float32] = self._session.run([PROBABILITIES], {PIXELS: pixels})[0]
        return answer

    def of_file(self, path: str) -> NDArray[np.float32] | None:
        """Return the probabilities (C,) of an 8-bit JPEG, PNG, BMP or WebP; None of any other file."""
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(path) as picture:
                if picture.format not in _PLAIN_FORMATS or picture.mode not in _PLAIN_MODES:
                    return None
                return self.of_picture(picture)
        except Exception:  # Pillow raises anything of a damaged file: medimg reads it, or says why it cannot
            return None

    def of_picture(self, picture: Image.Image) -> NDArray[np.float32]:
        """Return the probabilities (C,) of a picture that was opened and, of a JPEG, not yet decoded."""
        one: NDArray[np.float32] = self.of_pixels(self.pixels_of(picture))[0]
        return one

    def pixels_of(self, picture: Image.Image) -> NDArray[np.float32]:
        """Return the pixels (1, H, W, C) that the metadata ask for; argument as of `of_picture`."""
        recipe = self.about["recipe"]
        wide, high = _draft(picture, recipe["size_px"], recipe["resize_mode"])
        upright = ImageOps.exif_transpose(picture)
        if picture.getexif().get(_EXIF_ORIENTATION, 1) in _TURNED_ASIDE:
            wide, high = high, wide
        if upright.has_transparency_data:
            black = Image.new("RGBA", upright.size, "black")
            upright = Image.alpha_composite(black, upright.convert("RGBA"))
        shown = upright.convert("L" if recipe["channels"] == _GREY else "RGB")
        square = _resized(shown, wide, high, recipe)
        return np.asarray(square, np.float32).reshape(self._shape)

    @property
    def _shape(self) -> tuple[int, int, int, int]:
        recipe = self.about["recipe"]
        return 1, recipe["size_px"], recipe["size_px"], recipe["channels"]


def _draft(picture: Image.Image, side: int, mode: str) -> tuple[float, float]:
    """Have a large JPEG decoded at 1/2, 1/4 or 1/8; return the width and height that the picture then covers."""
    wide, high = picture.size
    enough = max(wide, high) if mode == "pad" else min(wide, high)
    fitting = [scale for scale in (2, 4, 8) if enough >= side * scale and min(wide, high) >= scale]
    scale = max(fitting, default=1)
    drafted = picture.draft(picture.mode, (wide // scale, high // scale)) if scale > 1 else None
    return (drafted[1][2], drafted[1][3]) if drafted else (wide, high)


def _resized(picture: Image.Image, wide: float, high: float, recipe: dict[str, Any]) -> Image.Image:
    """Return the square that the network sees."""
    side, mode = recipe["size_px"], recipe["resize_mode"]
    cubic = recipe["interpolation"].startswith("bicubic")
    way = Image.Resampling.BICUBIC if cubic else Image.Resampling.BILINEAR
    if mode == "crop":
        edge = min(wide, high)
        left, top = (wide - edge) / 2, (high - edge) / 2
        return picture.resize((side, side), way, (left, top, left + edge, top + edge))
    inner = (side, side)
    if mode == "pad" and wide != high:
        scale = side / max(wide, high)
        inner = max(1, round(wide * scale)), max(1, round(high * scale))
    square = Image.new(picture.mode, (side, side))
    place = ((side - inner[0]) // 2, (side - inner[1]) // 2)
    square.paste(picture.resize(inner, way, (0, 0, wide, high)), place)
    return square


LIMIT_BYTES = 2_000_000_000
"""A protocol buffer, which an ONNX file is, ends at 2 GiB; some room is left for what comes on top."""
_OWN = "medimg/"


def one_graph(
    members: Sequence[tuple[Path, ModelCard]],
    metadata: Mapping[str, Any],
    change: Recalibration | None = None,
) -> bytes:
    """Return an ONNX file whose input `pixels` are (N, H, W, C) in 0..255, made by the recipe, of any N.

    Its outputs are `probabilities` (N, C) and, of a single network, `logits`, `features` and, where it has them, `maps`.

    Args:
        members: the copy and the card of each network.
        metadata: what its metadata say, each value as JSON.
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
    is_single = len(parts) == 1
    prefixes = [""] if is_single else [f"network-{place}/" for place in range(1, len(parts) + 1)]
    if not is_single:
        parts = [  # all names but that of the input, which they share, begin with the network's own
            compose.add_prefix(part, prefix, rename_inputs=False)
            for part, prefix in zip(parts, prefixes, strict=True)
        ]
    whole = _side_by_side(parts)
    for prefix, (_, card) in zip(prefixes, members, strict=True):
        _add_answer(whole.graph, prefix, card.temperature, card.answers, len(card.classes))
    answers = [f"{_OWN}{prefix}answer" for prefix in prefixes]
    mean = PROBABILITIES if change is None else f"{_OWN}mean"
    whole.graph.node.append(helper.make_node("Mean", answers, [mean]))
    if change is not None:
        _add_change(whole.graph, mean, change, several=members[0][1].labels.several)
    _tell(whole, parts[0] if is_single else None, members[0][1], metadata)
    onnx.checker.check_model(whole)
    return bytes(whole.SerializeToString(deterministic=True))


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
    whole: onnx.ModelProto, single: onnx.ModelProto | None, card: ModelCard, metadata: Mapping[str, Any]
) -> None:
    """Name the outputs, and what is known of the model."""
    shape: list[str | int | None] = ["images", len(card.classes)]
    whole.graph.output.append(helper.make_tensor_value_info(PROBABILITIES, onnx.TensorProto.FLOAT, shape))
    if single is not None:
        given = {output.name: output for output in single.graph.output}
        whole.graph.output.extend(given[name] for name in (LOGITS, FEATURES, MAPS) if name in given)
    whole.producer_name, whole.producer_version = "medimg", str(metadata.get("medimg", ""))
    whole.doc_string = str(metadata.get("notice", ""))
    texts = {name: json.dumps(value, ensure_ascii=False, sort_keys=True) for name, value in metadata.items()}
    helper.set_model_props(whole, texts)
