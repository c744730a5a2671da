"""train --freeze N, --lr auto and stems: what they leave, and that it can be had again."""

from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from medimg_cli.errors import UsageError
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run_folders import find_run, list_runs
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.train import train
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.stages.test_freeze import weights
from tests.stages.test_resume import StopsIn, weights_of

pytestmark = pytest.mark.usefixtures("weights_only")


@pytest.fixture
def cache(workspace: Workspace) -> PixelCache:
    return preprocess(workspace, Settings().preprocess).cache


def settings(**options: object) -> Settings:
    usual: dict[str, object] = {"epochs": 3, "batch_size": 8, "patience": 9}
    return Settings(train=TrainSettings.model_validate(usual | options))


def thawed(path: str, **options: object) -> Settings:
    return settings(**({"arch": "squeezenet1_1", "weights": path, "freeze": 2} | options))


class Tasks(SilentProgress):
    """Remembers what it was told of."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def start(self, task: str, total: int | None) -> None:  # noqa: ARG002
        self.tasks.append(task)


def test_the_history_holds_both_phases_in_one_row(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    run = train(workspace, thawed(weights(tmp_path), layer_decay=0.5), cache).run
    history = pd.read_csv(run.history_path)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5]
    assert history["phase"].tolist() == [1, 1, 2, 2, 2]
    assert run.read_record().epochs_run == 5
    used = yaml.safe_load(run.config_path.read_text())["train"]
    assert (used["freeze"], used["epochs"], used["layer_decay"]) == (2, 3, 0.5)


def test_batch_statistics_and_backbone_stand_still_until_all_layers_learn(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    path = weights(tmp_path, "mobilenet_v3_small")
    given = torch.load(path, weights_only=True)
    chosen = thawed(path, arch="mobilenet_v3_small", augment="none", ema=0.0)
    first = train(workspace, chosen, cache, StopsIn(3, 0)).run
    held = load_file(first.weights_path)
    whole = load_file(train(workspace, chosen, cache, resume=first).run.weights_path)
    assert first.read_record().epochs_run == 5
    moved = []
    for key, value in given.items():
        if key.startswith("features.1.") and value.is_floating_point():
            assert torch.equal(held[key], value), key
            moved.append(not torch.equal(whole[key], value))
    assert any(moved) or first.read_record().best_epoch in (1, 2)


def test_first_layers_move_less_than_last_ones(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    path = weights(tmp_path)
    chosen = thawed(path, freeze="none", layer_decay=0.1, ema=0.0, weight_decay=0.0, monitor="loss", lr=0.01)
    left = load_file(train(workspace, chosen, cache).run.weights_path)
    given = torch.load(path, weights_only=True)
    early, late = (float((left[key] - given[key]).abs().mean()) for key in LAYERS)
    assert 0 < early < 0.1 * late


LAYERS = ("features.3.squeeze.weight", "features.12.squeeze.weight")


@pytest.mark.parametrize(
    ("epoch", "images"),
    [(2, 8), *(pytest.param(*stop, marks=pytest.mark.slow) for stop in ((3, 0), (4, 20)))],
)
def test_a_training_stopped_in_either_phase_comes_to_the_same_bits(
    workspace: Workspace, cache: PixelCache, tmp_path: Path, epoch: int, images: int
) -> None:
    chosen = thawed(weights(tmp_path), layer_decay=0.5)
    whole = train(workspace, chosen, cache).run
    stopped = train(workspace, chosen, cache, StopsIn(epoch, images))
    assert (stopped.interrupted, stopped.epochs_run) == (True, epoch - 1)
    resumed = train(workspace, chosen, cache, resume=stopped.run)
    assert weights_of(resumed.run) == weights_of(whole)
    assert pd.read_csv(resumed.run.history_path)["phase"].tolist() == [1, 1, 2, 2, 2]


def test_features_are_not_computed_again_for_the_second_phase(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    chosen, tasks = thawed(weights(tmp_path)), Tasks()
    stopped = train(workspace, chosen, cache, StopsIn(4, 0)).run
    train(workspace, chosen, cache, tasks, resume=stopped)
    assert [task for task in tasks.tasks if task.startswith(("backbone", "epoch"))] == [
        "epoch 4/5",
        "epoch 5/5",
    ]


def test_a_head_that_was_better_than_all_that_followed_is_the_model(
    workspace: Workspace, cache: PixelCache, tmp_path: Path
) -> None:
    result = train(workspace, thawed(weights(tmp_path), lr=30.0, ema=0.0, monitor="loss"), cache)
    best = result.best_epoch or 0
    assert 0 < best <= 2
    table = pd.read_csv(result.run.predictions_path("val"))
    rows = pd.read_csv(result.run.history_path)
    assert result.val["loss"] == rows["val_loss"].iloc[best - 1]
    assert table["prob_SPOT"].nunique() > 1
    given = torch.load(weights(tmp_path), weights_only=True)
    left = load_file(result.run.weights_path)
    assert torch.equal(left[LAYERS[0]], given[LAYERS[0]])


def test_the_command_freezes_for_some_epochs(workspace: Workspace, tmp_path: Path) -> None:
    more = ("--arch", "squeezenet1_1", "--weights", weights(tmp_path), "--epochs", "1", "--batch-size", "8")
    assert medimg(workspace.root, "train", "--freeze", "1", *more) == 0
    assert pd.read_csv(find_run(workspace, None).history_path)["phase"].tolist() == [1, 2]
    assert medimg(workspace.root, "evaluate") == 0
    assert medimg(workspace.root, "train", "--freeze", "0", *more) == 2
    assert medimg(workspace.root, "train", "--freeze", "1", "--epochs", "1") == 2  # nothing trained to freeze


@pytest.mark.parametrize(
    ("options", "what"),
    [({"lr": "auto"}, "tries rates on the whole network"), ({"cutmix": 1.0}, "cuts pieces out of images")],
)
def test_what_a_head_alone_cannot_use_is_refused(
    workspace: Workspace, cache: PixelCache, tmp_path: Path, options: dict[str, object], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        train(workspace, thawed(weights(tmp_path), freeze="backbone", **options), cache)
    assert not list(workspace.runs_dir.glob("*"))


@pytest.mark.slow
def test_the_rate_that_was_found_is_written_down_and_gives_the_run_again(workspace: Workspace) -> None:
    usual = ("--epochs", "1", "--batch-size", "8", "--seed", "2")
    assert medimg(workspace.root, "train", "--lr", "auto", "--name", "found", *usual) == 0
    found = find_run(workspace, "found")
    curve = pd.read_csv(found.lr_range_path)
    lr = yaml.safe_load(found.config_path.read_text())["train"]["lr"]
    assert curve["lr"].iloc[0] <= lr <= curve["lr"].iloc[-1]
    assert "range test" in found.log_path.read_text()
    assert medimg(workspace.root, "train", "--config", str(found.config_path), "--name", "again") == 0
    again = find_run(workspace, "again")
    assert not again.lr_range_path.exists()
    assert again.read_card().weights_sha256 == found.read_card().weights_sha256


def test_a_wrong_rate_is_one_line(workspace: Workspace) -> None:
    assert medimg(workspace.root, "train", "--lr", "fast") == 2
    assert list_runs(workspace) == []


def test_a_small_stem_travels_with_the_model(workspace: Workspace, cache: PixelCache) -> None:
    chosen = settings(arch="shufflenet_v2_x0_5", stem="small", epochs=1, name="stem")
    run = train(workspace, chosen, cache).run
    assert run.read_card().stem == "small"
    assert yaml.safe_load(run.config_path.read_text())["train"]["stem"] == "small"
    assert load_file(run.weights_path)["conv1.0.weight"].shape == (24, 1, 3, 3)
    assert medimg(workspace.root, "predict", str(workspace.root / "raw" / "SPOT" / "patient001_0.png")) == 0


def test_cutmix_changes_what_is_learnt(workspace: Workspace, cache: PixelCache) -> None:
    plain, cut = (
        train(workspace, settings(cutmix=alpha, epochs=1, ema=0.0), cache).run for alpha in (0.0, 1.0)
    )
    assert weights_of(plain)[0] != weights_of(cut)[0]
