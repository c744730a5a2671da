"""The features of label errors: a network only where its weights are at hand and wanted."""

from pathlib import Path

import pytest
import torch

from medimg_cli.api.prerequisites import embedder
from medimg_cli.errors import RunError
from medimg_cli.training.networks.networks import build_network
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import LabelAuditSettings


def test_auto_takes_a_file_of_torch_hubs_folder_and_none_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert embedder(LabelAuditSettings(), SilentProgress()) is None
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    network = build_network("squeezenet1_1", classes=1000, channels=3, size_px=64)
    torch.save(network.state_dict(), folder / "squeezenet1_1-b8a52dc0.pth")
    assert embedder(LabelAuditSettings(), SilentProgress()) is not None
    assert embedder(LabelAuditSettings(weights="none"), SilentProgress()) is None


def test_a_named_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="does not exist"):
        embedder(LabelAuditSettings(weights=str(tmp_path / "resnet18-1.pth")), SilentProgress())
