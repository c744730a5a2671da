"""The copy of a network that answers without torch: ONNX, held against torch on training images before it counts."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from medimg_cli.errors import RunError
from medimg_cli.inference.onnx_network import FEATURES, LOGITS, MAPS, PIXELS, OnnxNetwork, Seen
from medimg_cli.inference.predictor import without_copy
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import ModelCard, Normalisation, Run
from medimg_cli.statistics.probabilities import probabilities_from
from medimg_cli.training.checkpoint import load_network
from medimg_cli.training.device import Normaliser
from medimg_cli.training.explanation.class_maps import Mapped, find_map_place
from medimg_cli.training.networks.backbone import Tapped
from medimg_cli.training.networks.torch_network import as_images
from medimg_cli.workspace.files import atomic_path, sha256_of_file
from medimg_cli.workspace.progress import Progress, SilentProgress

PARITY_IMAGES = 64
MOST_DIFFERENT = 1e-4
_MAPS_DIFFERENT = 1e-3  # of the highest value
_OPSET = 17
_NEWER_OPSET = 18
"""What the newer exporter is written for; lower ones it only translates down to."""


class _FromPixels(nn.Module):
    """Everything from pixels to logits, features and class maps, so that the file needs nothing beside it.

    Args:
        network: in evaluation mode.
        shown: images to find the maps with, which not every network has.
        maps: whether they are wanted.

    Attributes:
        gives: the names of its outputs.
    """

    def __init__(
        self, network: nn.Module, normalisation: Normalisation, shown: Pixels, *, maps: bool = True
    ) -> None:
        super().__init__()
        self._normaliser = Normaliser(normalisation, torch.device("cpu"))
        place = find_map_place(network, self._normaliser(as_images(shown[:2]))) if maps else None
        self._tapped = Tapped(network) if place is None else Mapped(network, place)
        self.gives = [LOGITS, FEATURES] if place is None else [LOGITS, FEATURES, MAPS]

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self._tapped(self._normaliser(pixels.permute(0, 3, 1, 2))))

    def agrees(self, seen: Seen, shown: Pixels) -> bool:
        """Return whether the copy's maps of the first image are those of torch."""
        if seen.maps is None:
            return True
        with torch.inference_mode():
            expected = self(as_images(shown[:1]).permute(0, 2, 3, 1))[2].numpy()
        return bool(np.abs(seen.maps[:1] - expected).max() <= _MAPS_DIFFERENT * np.abs(expected).max())


class _NoCopy(Exception):  # noqa: N818 -- no failure: the run does without
    """Why the network has no copy."""


def with_copy(run: Run, card: ModelCard, network: nn.Module, pixels: Pixels, progress: Progress) -> ModelCard:
    """Write the ONNX copy of a network and return its card with the copy's hash; as it was, where there can be none.

    Args:
        network: as it was trained, on any device.
        pixels: (N, H, W, C) images of the training; the first 64 must be answered alike, within 1e-4 in probability.
        progress: notified where the network cannot be copied, or the copy answers otherwise.
    """
    before = next(network.parameters()).device
    try:
        shown = pixels[:PARITY_IMAGES]
        whole = _FromPixels(network.cpu().eval(), card.normalisation, shown).eval()
        copied = _copied(run, card, whole, shown)
        if copied is None:  # its maps would lie, its answers do not
            copied = _copied(
                run, card, _FromPixels(network, card.normalisation, shown, maps=False).eval(), shown
            )
        return copied or card
    except Exception as error:  # torch's exporter and ONNX Runtime have no common family of errors
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
    finally:
        network.to(before)
    run.onnx_path.unlink(missing_ok=True)  # of an earlier training
    progress.note(f"no ONNX copy of {card.arch}: {why}; predicting will need torch")
    return card.model_copy(update={"onnx_sha256": None})


def _copied(run: Run, card: ModelCard, whole: _FromPixels, shown: Pixels) -> ModelCard | None:
    """Write the copy, which takes its place once it has answered like the network; return its card.

    None where its answers are right and its class maps are not.
    """
    with torch.inference_mode():
        logits = whole(as_images(shown).permute(0, 2, 3, 1))[0]
    expected = _answers_of(logits.double().numpy(), card)
    with atomic_path(run.onnx_path) as temporary:
        _export(whole, shown[:1], temporary)
        named = card.model_copy(update={"onnx_sha256": sha256_of_file(temporary)})
        seen = OnnxNetwork(temporary, named)(shown, maps=True)
        found = _answers_of(seen.logits, card)
        difference = float(np.abs(found - expected).max())
        if not difference <= MOST_DIFFERENT:  # also where it is no number
            raise _NoCopy(f"it differs by {difference:.2g} in probability")
    return named if whole.agrees(seen, shown) else None


def _answers_of(logits: NDArray[np.float64], card: ModelCard) -> NDArray[np.float64]:
    return probabilities_from(logits / card.temperature, card.answers)


def _export(whole: _FromPixels, one: Pixels, path: Path) -> None:
    """Write the graph by the older of torch's exporters, which takes a tenth of the newer one's time, while it can."""
    example = as_images(one).permute(0, 2, 3, 1).float()
    older: dict[str, Any] = {
        "dynamo": False,
        "opset_version": _OPSET,
        "dynamic_axes": {name: {0: "images"} for name in [PIXELS, *whole.gives]},
    }
    newer: dict[str, Any] = {
        "dynamo": True,
        "opset_version": _NEWER_OPSET,
        "dynamic_shapes": ({0: torch.export.Dim("images")},),
        "external_data": False,
    }
    names: dict[str, Any] = {"input_names": [PIXELS], "output_names": whole.gives}
    with _silence():
        try:
            torch.onnx.export(whole, (example,), str(path), verbose=False, **names, **older)
        except Exception:  # it is gone, or cannot copy this network: the newer one says what it was
            torch.onnx.export(whole, (example,), str(path), verbose=False, **names, **newer)
            _drop_traces(path)


def _drop_traces(path: Path) -> None:
    """Take out what the newer exporter notes of each step: which line of which file on this machine asked for it."""
    model = onnx.load(str(path))
    model.graph.ClearField("metadata_props")
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    onnx.save(model, str(path))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Let torch's exporters say nothing: of networks they cannot copy they dump the graph, and print how far they are."""
    loud, dump = logging.root.manager.disable, "_jit_onnx_log"
    dumps = getattr(torch._C, dump, None)
    logging.disable(logging.CRITICAL)
    if dumps is not None:  # writes past sys.stdout, and its own switch has no effect
        setattr(torch._C, dump, lambda *_: None)
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            yield
    finally:
        logging.disable(loud)
        if dumps is not None:
            setattr(torch._C, dump, dumps)


class _Reason(SilentProgress):
    """Keeps the one note of a copy that could not be made."""

    message = ""

    def note(self, message: str) -> None:
        self.message = message


def write_missing_copies(run: Run, pixels: Pixels, progress: Progress) -> None:
    """Give every network of a run its copy, and its card the copy's hash.

    Args:
        pixels: (N, H, W, C) images that copy and network have to answer alike.

    Raises:
        RunError: a network cannot be loaded or copied.
    """
    for own, card in without_copy(run, run.read_card()):
        network = load_network(own, card, torch.device("cpu"))
        reason = _Reason()
        copied = with_copy(own, card, network, pixels, reason)
        if copied.onnx_sha256 is None:
            raise RunError(
                f"run '{run.name}' has no ONNX copy, and none can be made: {reason.message}",
                "`medimg predict` and `medimg serve` answer from its weights, where torch is installed",
            )
        own.write_card(copied)
        progress.note(f"wrote {own.onnx_path}")
