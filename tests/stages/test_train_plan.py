"""train --plan, plan.yaml, --arch auto, --batch-size auto, out of memory and --time-limit, from the front door."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from torch import Tensor

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import MachineError, RunError
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.stages.train import TrainResult, train
from medimg_cli.training import train_run as one_training
from medimg_cli.training.architectures.small_cnn import SmallCNN
from medimg_cli.training.batches import Batch
from medimg_cli.training.fitting.automatic_plan import warn_of_old_plan
from medimg_cli.training.fitting.time_limit import Deadline, Pace
from medimg_cli.training.fitting.trainer import Trainer
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg

pytestmark = pytest.mark.usefixtures("weights_only")


def trained(workspace: Workspace, progress: SilentProgress | None = None, **options: object) -> TrainResult:
    quick: dict[str, object] = {"epochs": 2, "batch_size": 8}
    settings = Settings(train=TrainSettings.model_validate(quick | options))
    cache = preprocess(workspace, Settings().preprocess).cache
    return train(workspace, settings, cache, progress or SilentProgress())


def weights(run: Run) -> str:
    return run.read_card().weights_sha256


class Heard(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        self.lines.append(message)

    def warn(self, message: str) -> None:
        self.lines.append(message)


def test_a_plan_is_shown_written_and_followed(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert medimg(workspace.root, "train", "--plan", "--epochs", "3", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    chosen = {choice["setting"]: (choice["value"], choice["reason"]) for choice in said["choices"]}
    assert chosen["preprocess.size"] == (32, "the images' own; the network prefers 128")
    assert chosen["train.epochs"] == (3, "as set")
    assert chosen["train.patience"] == (8, "at least 8")
    assert not workspace.runs_dir.exists()
    assert not workspace.cache_dir.exists()
    plan = workspace.plan_path.read_text()
    workspace.plan_path.write_text(
        plan.replace("batch_size: 32", "batch_size: 8").replace("epochs: 3", "epochs: 1")
    )
    assert medimg(workspace.root, "train", "--seed", "4") == 0
    used = yaml.safe_load(find_run(workspace, None).config_path.read_text())["train"]
    assert (used["batch_size"], used["epochs"], used["seed"]) == (8, 1, 4)


def test_a_plan_that_nobody_edits_changes_nothing(workspace: Workspace) -> None:
    quick = ("--epochs", "2", "--batch-size", "8", "--seed", "3")
    assert medimg(workspace.root, "train", *quick, "--name", "before") == 0
    assert medimg(workspace.root, "train", "--plan", *quick) == 0
    assert medimg(workspace.root, "train", "--name", "after") == 0
    assert weights(find_run(workspace, "after")) == weights(find_run(workspace, "before"))


def test_a_plan_for_other_data_is_warned_of(workspace: Workspace) -> None:
    workspace.plan_path.write_text("data: other\ntrain: {epochs: 1}\n")
    heard = Heard()
    trained(workspace, heard, epochs=1)
    assert any("plan.yaml was made for other data" in line for line in heard.lines)
    workspace.plan_path.write_text(f"data: {read_dataset(workspace).content_hash()}\n")
    heard = Heard()
    warn_of_old_plan(workspace, read_dataset(workspace), heard)
    assert heard.lines == []


@pytest.mark.slow
def test_what_was_chosen_by_itself_is_repeated_exactly(workspace: Workspace) -> None:
    auto = ("--arch", "auto", "--batch-size", "auto", "--epochs", "2", "--seed", "5")
    assert medimg(workspace.root, "train", *auto) == 0
    first = find_run(workspace, None)
    used = yaml.safe_load(first.config_path.read_text())["train"]
    assert (used["arch"], used["batch_size"], used["augment"]) == ("small-cnn", 16, "strong")
    plan = first.plan_path.read_text()
    assert "# from scratch on a processor" in plan
    assert "# at most 500 training images" in plan
    assert medimg(workspace.root, "train", "--config", str(first.config_path), "--name", "again") == 0
    assert weights(find_run(workspace, "again")) == weights(first)


def test_radiographs_get_their_own_augmentation(workspace: Workspace) -> None:
    rows = pd.read_csv(workspace.manifest_path, dtype=str)
    rows["modality"] = "DX"
    rows.to_csv(workspace.manifest_path, index=False)
    run = trained(workspace, epochs=1).run
    assert run.read_card().augment == "cxr"
    assert "every image has the modality DX" in run.plan_path.read_text()
    rows.loc[0, "modality"] = "CT"
    rows["split"] = rows["split"].where(rows.index != 0, "train")
    rows.to_csv(workspace.manifest_path, index=False)
    assert trained(workspace, epochs=1).run.read_card().augment == "strong"


def test_too_little_memory_begins_anew_with_fewer_images(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = SmallCNN.forward

    def holds_four(self: SmallCNN, images: Tensor) -> Tensor:
        if self.training and len(images) > 4:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        return forward(self, images)

    monkeypatch.setattr(SmallCNN, "forward", holds_four)
    heard = Heard()
    result = trained(workspace, heard, batch_size=16)
    assert [line[:38] for line in heard.lines if line.startswith("memory")] == [
        "memory ran out with 16 images a step: ",
        "memory ran out with 8 images a step: b",
    ]
    used = yaml.safe_load(result.run.config_path.read_text())["train"]
    assert (used["batch_size"], used["accumulate"]) == (4, 4)
    assert "memory ran out with more images a step" in result.run.plan_path.read_text()
    monkeypatch.undo()
    again = trained(workspace, batch_size=4, accumulate=4)
    assert weights(again.run) == weights(result.run)


def test_memory_for_no_image_at_all_is_one_line(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_self: SmallCNN, _images: Tensor) -> Tensor:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(SmallCNN, "forward", never)
    with pytest.raises(MachineError, match="not even one image") as caught:
        trained(workspace)
    assert "lower --size" in caught.value.hint


def test_a_limit_decides_the_epochs_and_they_are_kept(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Pace] = []

    def pace(*_args: object, **_more: object) -> Pace:
        measured.append(Pace(step=4.0, look=0.0))
        return measured[-1]

    monkeypatch.setattr("medimg_cli.training.fitting.time_limit.measure_pace", pace)
    # 40 images in batches of 8 are 5 steps of 4 s: 20 s an epoch, and 0.9 x 60 s hold two.
    assert len(read_dataset(workspace).of_split("train")) == 40
    heard = Heard()
    result = trained(workspace, heard, epochs=5, time_limit="60s")
    used = yaml.safe_load(result.run.config_path.read_text())["train"]
    assert (result.epochs_run, used["epochs"], used["time_limit"]) == (2, 2, None)
    assert any(line.startswith("2 of 5 epochs fit into the time limit") for line in heard.lines)
    assert "at most so many fit into 60 s" in result.run.plan_path.read_text()
    code = medimg(workspace.root, "train", "--config", str(result.run.config_path), "--name", "again")
    assert (code, len(measured)) == (0, 1)
    assert weights(find_run(workspace, "again")) == weights(result.run)


def test_a_measured_pace_leaves_the_training_as_it_was(workspace: Workspace) -> None:
    assert weights(trained(workspace, time_limit="1h").run) == weights(trained(workspace).run)


def test_the_end_of_the_limit_keeps_the_best_epoch(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = iter([0.0])
    monkeypatch.setattr(one_training, "within_limit", lambda *args, **_more: args[3])

    class Ends(Deadline):
        """Ends the training in its second epoch, however fast this machine is."""

        def advance(self, steps: int = 1) -> None:
            self.ends = float("inf") if not self.second else next(ends)
            super().advance(steps)

        def start(self, task: str, total: int | None) -> None:
            self.second = task.startswith("epoch 2/")
            super().start(task, total)

    monkeypatch.setattr(one_training, "Deadline", Ends)
    result = trained(workspace, epochs=3, time_limit="1h", name="limited")
    assert (result.epochs_run, result.interrupted) == (1, False)
    assert result.run.read_record().status == "interrupted"
    assert medimg(workspace.root, "evaluate") == 0
    assert medimg(workspace.root, "train", "--resume", "limited") == 0
    whole = trained(workspace, epochs=3)
    assert weights(find_run(workspace, "limited")) == weights(whole.run)


def test_a_loss_that_is_no_number_names_the_images_of_its_batch(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_gradients = Trainer._add_gradients
    seen: list[Batch] = []

    def breaks(self: Trainer, batch: Batch) -> float:
        seen.append(batch)
        return float("nan") if len(seen) == 3 else add_gradients(self, batch)

    monkeypatch.setattr(Trainer, "_add_gradients", breaks)
    with pytest.raises(RunError, match="became nan in epoch 1") as caught:
        trained(workspace, name="broken")
    image_ids = read_dataset(workspace).of_split("train")["image_id"].iloc[seen[2].places].tolist()
    log = Path(workspace.runs_dir / "broken" / "log.txt").read_text()
    assert len(image_ids) == 8
    assert all(f"in the batch: {name}\n" in log for name in image_ids)
    assert f": its batch was {', '.join(image_ids[:3])} and 5 more, see " in caught.value.what
