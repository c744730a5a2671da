"""ONNX copies of runs that have none: trained before there were any, or whose copy was deleted."""

import torch

from medimg_cli.errors import RunError
from medimg_cli.inference.predictor import without_copy
from medimg_cli.preprocessing.recipe import Pixels
from medimg_cli.runs.run import Run
from medimg_cli.training.checkpoint import load_network
from medimg_cli.training.onnx.export import with_copy
from medimg_cli.workspace.progress import Progress, SilentProgress


class _Reason(SilentProgress):
    """Keeps the one note of a copy that could not be made."""

    said = ""

    def note(self, message: str) -> None:
        self.said = message


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
                f"run '{run.name}' has no ONNX copy, and none can be made: {reason.said}",
                "`medimg predict` and `medimg serve` answer from its weights, where torch is installed",
            )
        own.write_card(copied)
        progress.note(f"wrote {own.onnx_path}")
