"""train --freeze backbone: only the head learns, and what is left is a normal model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from medimg_cli.errors import RunError, UsageError
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run_folders import find_run, list_runs
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.train import train
from medimg_cli.statistics.logistic import LinearLayer, fit_logistic
from medimg_cli.training.fitting import features
from medimg_cli.training.networks.networks import build_network
from medimg_cli.training.networks.torch_network import predictor_of
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.stages.test_resume import StopsIn, weights_of

pytestmark = pytest.mark.usefixtures("weights_only")


@pytest.fixture
def cache(workspace: Workspace) -> PixelCache:
    return preprocess(workspace, Settings().preprocess).cache


def weights(folder: Path, name: str = "squeezenet1_1", without: str = "") -> str:
    """Write weights that some other training might have left, for colour images and 10 classes."""
    torch.manual_seed(1)
    state = build_network(name, classes=10, channels=3, size_px=64).state_dict()
    kept = {key: value for key, value in state.items() if not without or not key.startswith(without)}
    torch.save(kept, folder / f"{name}.pth")
    return str(folder / f"{name}.pth")


def frozen(path: str, **options: object) -> Settings:
    usual: dict[str, object] = {"arch": "squeezenet1_1", "epochs": 4, "batch_size": 8, "weights": path}
    return Settings(train=TrainSettings.model_validate(usual | {"freeze": "backbone"} | options))


@pytest.mark.parametrize(
    ("name", "first"),
    [("squeezenet1_1", "features.0.weight"), ("mobilenet_v3_small", "features.0.0.weight")],
)
def test_only_the_head_differs_from_the_given_weights(
    workspace: Workspace, cache: PixelCache, tmp_path: Path, name: str, first: str
) -> None:
    path = weights(tmp_path, name)
    run = train(workspace, frozen(path, arch=name), cache).run
    given, left = torch.load(path, weights_only=True), load_file(run.weights_path)
    given[first] = given[first].sum(dim=1, keepdim=True)  # the images are grey
    backbone = [key for key in left if not key.startswith("classifier.")]
    assert all(torch.equal(left[key], given[key]) for key in backbone)
    assert len(backbone) > 20


def test_the_model_answers_as_any_other_does(workspace: Workspace, cache: PixelCache, tmp_path: Path) -> None:
    run = train(workspace, frozen(weights(tmp_path)), cache).run
    table = pd.read_csv(run.predictions_path("val"))
    answers = predictor_of(run).of_rows(
        cache.pixels, cache.positions(table["image_id"].tolist()), batch_size=5
    )
    assert np.allclose(answers[:, 1], table["prob_SPOT"], atol=1e-5)
    assert medimg(workspace.root, "evaluate") == 0
    assert medimg(workspace.root, "predict", str(workspace.root / "raw" / "SPOT" / "patient001_0.png")) == 0


def test_the_head_learns(workspace: Workspace, cache: PixelCache, tmp_path: Path) -> None:
    run = train(workspace, frozen(weights(tmp_path), epochs=30, augment="none"), cache).run
    history = pd.read_csv(run.history_path)
    assert len(history) == 30
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    assert history["val_auroc"].max() > 0.8


def test_the_figures_of_the_best_epoch_are_those_of_the_model(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    result = train(workspace, frozen(weights(tmp_path)), cache)
    table = pd.read_csv(result.run.predictions_path("val"))
    odds = (table["prob_SPOT"] / (1 - table["prob_SPOT"])) ** result.run.read_card().temperature
    likelihood = np.where(table["y_true"] == "SPOT", odds, 1) / (1 + odds)
    assert result.val["loss"] == pytest.approx(-np.log(likelihood).mean(), abs=1e-4)


def test_every_image_passes_the_backbone_once_for_each_view(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    class Counts(SilentProgress):
        def __init__(self) -> None:
            self.tasks: dict[str, int | None] = {}
            self.seen: dict[str, int] = {}

        def start(self, task: str, total: int | None) -> None:
            self.now, self.tasks[task], self.seen[task] = task, total, 0

        def advance(self, steps: int = 1) -> None:
            self.seen[self.now] += steps

    counts = Counts()
    result = train(workspace, frozen(weights(tmp_path)), cache, counts)
    images = result.run.read_card().fingerprint
    passes = {task: seen for task, seen in counts.seen.items() if task.startswith("backbone")}
    assert list(passes.values()) == [4 * images.train_images, images.val_images]
    assert counts.seen == counts.tasks


def test_a_stopped_training_comes_to_the_same_bits(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    chosen = frozen(weights(tmp_path))
    whole = train(workspace, chosen, cache).run
    stopped = train(workspace, chosen, cache, StopsIn(3, 8))
    assert stopped.interrupted
    resumed = train(workspace, chosen, cache, resume=stopped.run)
    assert weights_of(resumed.run) == weights_of(whole)


def test_another_backbone_under_the_same_name_is_not_gone_on_with(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    path = weights(tmp_path)
    stopped = train(workspace, frozen(path), cache, StopsIn(3, 8))
    state = torch.load(path, weights_only=True)
    torch.save(state | {"features.0.bias": state["features.0.bias"] + 1}, path)
    with pytest.raises(RunError, match="was begun with other data, pixels or settings"):
        train(workspace, frozen(path), cache, resume=stopped.run)


def test_stopping_before_the_features_are_there_leaves_no_model(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    class Hasty(SilentProgress):
        def advance(self, steps: int = 1) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(workspace, frozen(weights(tmp_path)), cache, Hasty())
    assert list_runs(workspace) == []


def test_there_has_to_be_something_trained_to_freeze(workspace: Workspace, cache: PixelCache) -> None:
    with pytest.raises(UsageError, match="--freeze backbone needs trained weights"):
        train(workspace, frozen("none"), cache)
    assert not list(workspace.runs_dir.glob("*"))


def test_a_backbone_with_a_gap_is_refused(workspace: Workspace, cache: PixelCache, tmp_path: Path) -> None:
    path = weights(tmp_path, without="features.3.")
    with pytest.raises(RunError, match=r"lacks 6 weights of the backbone, such as features\.3\."):
        train(workspace, frozen(path), cache)


def test_vgg_without_a_classifier_gets_a_small_head(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    path = weights(tmp_path, "vgg11", without="classifier.")
    run = train(workspace, frozen(path, arch="vgg11", epochs=1, augment="none", name="vgg"), cache).run
    assert run.read_card().head == "pooled"
    assert run.weights_path.stat().st_size < 60e6
    assert medimg(workspace.root, "evaluate") == 0
    assert find_run(workspace, "vgg").read_record().parameters < 10e6


def test_the_sampler_reaches_the_head(workspace: Workspace, cache: PixelCache, tmp_path: Path) -> None:
    path = weights(tmp_path)
    left = [train(workspace, frozen(path, sampler=way), cache).run for way in ("none", "weighted")]
    assert weights_of(left[0])[0] != weights_of(left[1])[0]


def logistic(path: str, **options: object) -> Settings:
    return frozen(path, **{"head": "logistic", "epochs": None} | options)


def test_a_logistic_head_is_the_regression_of_the_features_and_a_normal_model(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    path = weights(tmp_path, "mobilenet_v3_small")
    result = train(workspace, logistic(path, arch="mobilenet_v3_small"), cache)
    given, left = torch.load(path, weights_only=True), load_file(result.run.weights_path)
    # The layer before the last is of the given weights too, and stays as it is.
    assert torch.equal(left["classifier.0.weight"], given["classifier.0.weight"])
    assert (result.epochs_run, result.best_epoch) == (1, 1)
    history, table = pd.read_csv(result.run.history_path), pd.read_csv(result.run.predictions_path("val"))
    assert list(history["epoch"]) == [1]
    assert result.val["auroc"] == pytest.approx(history["val_auroc"].iloc[0])
    assert 0 < history["train_loss"].iloc[0] < np.log(2)
    answers = predictor_of(result.run).of_rows(
        cache.pixels, cache.positions(table["image_id"].tolist()), batch_size=5
    )
    assert np.allclose(answers[:, 1], table["prob_SPOT"], atol=1e-5)
    assert not result.run.state_path.exists()
    assert medimg(workspace.root, "evaluate") == 0


def test_features_are_computed_once_whatever_the_head(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    class Passes(SilentProgress):
        seen = 0
        notes: tuple[str, ...] = ()

        def start(self, task: str, total: int | None) -> None:
            self.seen += (total or 0) if task.startswith("backbone") else 0

        def note(self, message: str) -> None:
            self.notes += (message,)

    path, passes = weights(tmp_path), [Passes() for _ in range(4)]
    first = train(workspace, logistic(path), cache, passes[0]).run
    again = train(workspace, logistic(path), cache, passes[1]).run
    train(workspace, frozen(path, augment="none"), cache, passes[2])
    train(
        workspace,
        logistic(weights(tmp_path, "mobilenet_v3_small"), arch="mobilenet_v3_small"),
        cache,
        passes[3],
    )
    images = first.read_card().fingerprint
    everything = images.train_images + images.val_images
    assert [each.seen for each in passes] == [everything, 0, 0, everything]
    assert weights_of(first) == weights_of(again)
    assert any("at hand in features-" in note for note in passes[1].notes)


def test_a_logistic_head_starts_the_training_of_all_layers(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    chosen = logistic(weights(tmp_path), freeze=1, epochs=2)
    run = train(workspace, chosen, cache).run
    history = pd.read_csv(run.history_path)
    assert list(history["phase"]) == [1, 2, 2]
    stopped = train(workspace, chosen, cache, StopsIn(3, 8))
    assert stopped.interrupted
    assert weights_of(train(workspace, chosen, cache, resume=stopped.run).run) == weights_of(run)


@pytest.mark.parametrize("monitor", ["loss", "auroc"])
def test_the_best_epoch_may_follow_a_logistic_head(
    workspace: Workspace, cache: PixelCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, monitor: str
) -> None:
    def weak(*args: Any, **options: Any) -> LinearLayer:
        """A head that orders the images as well, so that AUROCs are equal, and is sure of nothing."""
        found = fit_logistic(*args, **options)
        return replace(found, weight=found.weight / 20, bias=found.bias / 20)

    monkeypatch.setattr(features, "fit_logistic", weak)
    result = train(workspace, logistic(weights(tmp_path), freeze=1, epochs=6, monitor=monitor), cache)
    history = pd.read_csv(result.run.history_path)
    seen = history["val_loss"] if monitor == "loss" else 1e-6 * history["val_loss"] - history["val_auroc"]
    assert result.best_epoch == int(seen.to_numpy().argmin()) + 1 > 1, history[["val_loss", "val_auroc"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"freeze": "none"}, "--freeze none asks for none"),
        ({"weights": "none"}, "--head logistic needs trained weights"),
        ({"loss": "focal"}, "--loss focal asks for another one"),
        ({"mixup": 0.2}, r"train\.mixup asks for another one"),
    ],
)
def test_what_a_logistic_head_cannot_do_is_refused(
    workspace: Workspace, cache: PixelCache, tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        train(workspace, logistic(weights(tmp_path), **options), cache)


def test_a_logistic_head_freezes_the_backbone_unless_told_otherwise() -> None:
    assert TrainSettings(head="logistic").freeze == "backbone"
    assert TrainSettings.model_validate({"head": "logistic", "freeze": 3}).freeze == 3
    assert TrainSettings().freeze == "none"
