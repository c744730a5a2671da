"""A network of timm through the whole way: preprocess, train, evaluate, bundle and report, with its licence."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.inference.load import open_classifier
from medimg_cli.preprocessing.automatic_choices import plan_recipe
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.stages.bundle import bundle
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.train import train
from medimg_cli.training import train_run
from medimg_cli.training.networks.networks import images_wanted
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import PreprocessSettings, Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.training.test_timm_networks import VIT, folder_of


@pytest.mark.usefixtures("weights_only")
def test_a_network_of_timm_goes_all_the_way_with_its_licence(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Warned(SilentProgress):
        said: tuple[str, ...] = ()

        def warn(self, message: str) -> None:
            self.said += (message,)

    monkeypatch.setattr(train_run, "AFTER_TRAINING", {"onnx": train_run._onnx_copy})
    place = folder_of(tmp_path / "hub", VIT, licence="cc-by-nc-4.0")
    chosen = TrainSettings(arch=VIT, weights=str(place), head="logistic")
    cache = _cache(workspace, chosen)
    assert (cache.recipe.size_px, cache.recipe.interpolation) == (128, "bicubic, antialiased")
    progress = Warned()
    run = train(workspace, Settings(train=chosen), cache, progress).run
    card = run.read_card()
    assert card.began_with is not None and card.began_with.licence == "cc-by-nc-4.0"
    assert any("no commercial use" in line for line in progress.said)
    assert card.onnx_sha256 is not None  # it answered as torch does, within 1e-4
    judge, table = open_classifier(run.folder), pd.read_csv(run.predictions_path("val"))
    assert judge is not None
    pixels = cache.pixels[cache.positions(table["image_id"].tolist())]
    assert np.abs(judge.predictor.of_pixels(pixels)[:, 1] - table["prob_SPOT"]).max() < 1e-4
    assert "no commercial use" in bundle(run, tmp_path / "model.zip").restriction
    assert medimg(workspace.root, "evaluate") == 0
    assert medimg(workspace.root, "report", "--out", str(tmp_path / "page.html")) == 0
    assert "no commercial use" in (tmp_path / "page.html").read_text()


def _cache(workspace: Workspace, chosen: TrainSettings) -> PixelCache:
    wants = images_wanted(chosen)
    recipe = plan_recipe(read_dataset(workspace), PreprocessSettings(), train=chosen, wanted=wants)
    cache = preprocess(workspace, PreprocessSettings(), train=chosen, wants=wants).cache
    assert cache.recipe == recipe
    return cache
