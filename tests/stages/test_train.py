"""train: what a run leaves, and that it can be had again."""

import json

import pandas as pd
import pytest

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import DataError, MachineError, RunError, UsageError
from medimg_cli.runs.run_folders import find_run, list_runs
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.train import train
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.stages.training_stops import StopsIn

pytestmark = pytest.mark.usefixtures("weights_only")


def settings(**options: object) -> Settings:
    quick: dict[str, object] = {"epochs": 2, "batch_size": 8}
    return Settings(train=TrainSettings.model_validate(quick | options))


def test_a_run_leaves_every_file_of_the_design(trained: Workspace) -> None:
    run = find_run(trained, "first")
    there = {path.name for path in run.folder.iterdir()}
    assert {
        "config.yaml",
        "run.json",
        "model.safetensors",
        "model.json",
        "history.csv",
        "log.txt",
        "predictions-val.csv",
    } <= there
    record, card = run.read_record(), run.read_card()
    assert (record.status, record.epochs_run, record.arch) == ("complete", 6, "small-cnn")
    assert record.versions["torch"]
    history = pd.read_csv(run.history_path)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    assert record.best_epoch is not None
    assert history["val_auroc"].iloc[record.best_epoch - 1] == history["val_auroc"].max()
    dataset = read_dataset(trained)
    assert card.fingerprint.dataset_hash == dataset.content_hash()
    assert card.fingerprint.train_images == len(dataset.of_split("train"))


def test_the_threshold_reaches_its_recall_on_validation(trained: Workspace) -> None:
    run = find_run(trained, "first")
    threshold = run.read_card().threshold
    assert threshold is not None
    table = pd.read_csv(run.predictions_path("val"))
    positives = table[table["y_true"] == "SPOT"]["prob_SPOT"]
    assert (threshold.split, threshold.target_recall) == ("val", 0.95)
    recall = (positives >= threshold.value).mean()
    assert recall == threshold.achieved_recall
    assert recall >= 0.95


def test_the_same_seed_gives_the_same_weights(workspace: Workspace) -> None:
    cache = preprocess(workspace, Settings().preprocess).cache
    hashes = [
        train(workspace, settings(seed=seed), cache).run.read_card().weights_sha256 for seed in (3, 3, 4)
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_runs_own_settings_give_the_run_again(workspace: Workspace) -> None:
    assert medimg(workspace.root, "train", "--epochs", "2", "--batch-size", "8", "--seed", "5") == 0
    first = find_run(workspace, None)
    assert medimg(workspace.root, "train", "--config", str(first.config_path)) == 0
    again = list_runs(workspace)[-1]
    assert again.name != first.name
    assert again.read_card().weights_sha256 == first.read_card().weights_sha256


def test_stopping_keeps_the_best_epoch_so_far(workspace: Workspace) -> None:
    class Impatient(SilentProgress):
        """Presses Ctrl-C when the third epoch begins."""

        def start(self, task: str, total: int | None) -> None:  # noqa: ARG002
            if task.startswith("epoch 3/"):
                raise KeyboardInterrupt

    cache = preprocess(workspace, Settings().preprocess).cache
    result = train(workspace, settings(epochs=9), cache, Impatient())
    assert (result.interrupted, result.epochs_run) == (True, 2)
    assert result.run.read_record().status == "interrupted"
    assert medimg(workspace.root, "evaluate") == 0


def test_a_model_is_there_before_the_time_after_a_signal_is_over(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(_: object) -> None:
        raise SystemExit(130)

    monkeypatch.setattr("medimg_cli.training.train_run.AFTER_TRAINING", {"onnx": cut_off})
    cache = preprocess(workspace, Settings().preprocess).cache
    with pytest.raises(SystemExit):
        train(workspace, settings(epochs=9), cache, StopsIn(3, 0))
    run = find_run(workspace, None)
    assert run.read_record().status == "interrupted"
    assert medimg(workspace.root, "evaluate") == 0
    monkeypatch.undo()
    assert medimg(workspace.root, "train", "--resume") == 0
    assert (run.read_record().status, run.read_record().epochs_run) == ("complete", 9)
    assert run.read_card().onnx_sha256 is not None


def test_stopping_in_the_first_epoch_leaves_no_model(workspace: Workspace) -> None:
    class Hasty(SilentProgress):
        def advance(self, steps: int = 1) -> None:  # noqa: ARG002
            raise KeyboardInterrupt

    cache = preprocess(workspace, Settings().preprocess).cache
    with pytest.raises(KeyboardInterrupt):
        train(workspace, settings(), cache, Hasty())
    assert list_runs(workspace) == []
    (log,) = workspace.runs_dir.glob("*/log.txt")
    assert "KeyboardInterrupt" in log.read_text()


def test_patience_ends_training_early(workspace: Workspace) -> None:
    cache = preprocess(workspace, Settings().preprocess).cache
    result = train(workspace, settings(epochs=30, patience=1), cache)
    assert result.best_epoch is not None
    assert result.epochs_run == result.best_epoch + 1 < 30


def test_a_torchvision_classifier_trains_on_grey_images(workspace: Workspace) -> None:
    cache = preprocess(workspace, Settings().preprocess).cache
    result = train(workspace, settings(arch="squeezenet1_1", epochs=1), cache)
    card = json.loads(result.run.card_path.read_text())
    assert (card["arch"], card["recipe"]["channels"]) == ("squeezenet1_1", 1)
    assert medimg(workspace.root, "predict", str(workspace.root / "raw" / "SPOT" / "patient001_0.png")) == 0


@pytest.mark.parametrize(
    ("options", "error", "what"),
    [
        ({"arch": "smal-cnn"}, UsageError, "unknown architecture 'smal-cnn'"),
        ({"augment": "lite"}, UsageError, "unknown --augment 'lite'"),
        ({"device": "cuda"}, MachineError, "device 'cuda' is not available"),
        ({"weights": "none.pth"}, RunError, "none.pth does not exist"),
    ],
)
def test_a_wrong_option_is_one_line(
    workspace: Workspace, options: dict[str, object], error: type[Exception], what: str
) -> None:
    import torch

    if options == {"device": "cuda"} and torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    cache = preprocess(workspace, Settings().preprocess).cache
    with pytest.raises(error, match=what):
        train(workspace, settings(**options), cache)
    assert not workspace.runs_dir.exists()  # no run that could only be begun anew


def test_a_class_missing_in_training_is_named(workspace: Workspace) -> None:
    cache = preprocess(workspace, Settings().preprocess).cache
    rows = pd.read_csv(workspace.manifest_path, dtype=str)
    rows.loc[rows["label"] == "SPOT", "split"] = "val"
    rows.to_csv(workspace.manifest_path, index=False)
    with pytest.raises(DataError, match="class 'SPOT' in the training split"):
        train(workspace, settings(), cache)
