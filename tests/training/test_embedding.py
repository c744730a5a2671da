"""A frozen network's features, told from files of weights by their names."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from medimg_cli.errors import DataError, RunError, UsageError
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.training.networks.embedding import Embedding
from medimg_cli.training.networks.networks import build_network


def _read(path: str) -> DecodedImage:
    if path == "gone":
        raise UnreadableImage("not on disk")
    pixels = np.random.default_rng(int(path)).integers(0, 256, (40, 50, 1), dtype=np.uint8)
    return DecodedImage(pixels, 8)


def _weights(folder: Path, name: str) -> Path:
    torch.manual_seed(0)
    path = folder / f"{name}-12345678.pth"
    torch.save(build_network(name, classes=1000, channels=3, size_px=64).state_dict(), path)
    return path


@pytest.mark.parametrize(("name", "width"), [("squeezenet1_1", 512), ("resnet18", 512)])
def test_images_become_features_in_their_order(name: str, width: int, tmp_path: Path) -> None:
    embed = Embedding(_weights(tmp_path, name), _read, device="cpu")
    features = embed(["1", "2", "1"])
    assert features.shape == (3, width)
    assert np.allclose(features[0], features[2], atol=1e-4)
    assert not np.allclose(features[0], features[1], atol=1e-2)
    assert embed([]).shape[0] == 0


def test_weights_of_another_architecture_or_without_a_name_are_refused(tmp_path: Path) -> None:
    path = _weights(tmp_path, "squeezenet1_1")
    with pytest.raises(UsageError, match="says no architecture"):
        Embedding(path.rename(tmp_path / "best.pth"), _read)
    state = {"features.0.weight": torch.zeros(64, 3, 3, 3)}
    torch.save(state, tmp_path / "squeezenet1_1-part.pth")
    with pytest.raises(RunError, match="lacks"):
        Embedding(tmp_path / "squeezenet1_1-part.pth", _read)


def test_an_image_that_is_gone_is_told(tmp_path: Path) -> None:
    embed = Embedding(_weights(tmp_path, "squeezenet1_1"), _read, device="cpu")
    with pytest.raises(DataError, match="not on disk"):
        embed(["gone"])


def test_an_image_is_looked_at_once_for_all_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _weights(tmp_path, "squeezenet1_1")
    plain = Embedding(path, _read, device="cpu")(["1", "2", "3", "1"])
    first = Embedding(path, _read, device="cpu", cache_dir=tmp_path / "cache")
    assert np.allclose(first(["1", "2", "1"])[0], first(["1", "2", "1"])[2])
    again = Embedding(path, _read, device="cpu", cache_dir=tmp_path / "cache")
    looked: list[int] = []
    look = again._look

    def counted(pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        looked.append(len(pictures))
        return look(pictures)

    monkeypatch.setattr(again, "_look", counted)
    assert np.allclose(again(["1", "2", "3", "1"]), plain, atol=1e-4)
    assert looked == [1]
    other = Embedding(_weights(tmp_path, "resnet18"), _read, device="cpu", cache_dir=tmp_path / "cache")
    assert other(["1"]).shape == (1, 512)
    assert len(list((tmp_path / "cache").iterdir())) == 2
