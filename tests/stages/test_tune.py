"""tune: what a search leaves, and that it can be had again."""

import json
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from medimg_cli.cli.app import run as medimg_run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import MachineError, RunError, UsageError
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import find_run, find_search, list_runs
from medimg_cli.stages.tune import tune
from medimg_cli.training.fit import Trained
from medimg_cli.training.fitting.trainer import Fit
from medimg_cli.training.tuning import study as study_module
from medimg_cli.training.tuning import tuning as trial_module
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.stages.searching import Listener, gone_on, ingested, pixels_in, searched, told, workspace

pytestmark = pytest.mark.usefixtures("weights_only")

pytest.importorskip("optuna", reason="Optuna (extra `tune`) is not installed")
__all__ = ["ingested", "workspace"]  # fixtures


@pytest.fixture
def quick_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each trial be one epoch whose figure follows from its settings, for what only the search decides."""

    def stand_in(
        run: Run, _: Any, settings: Settings, device: Any, progress: Progress, on_epoch: Any, **__: Any
    ) -> Trained:
        assert str(device) == "cpu"
        progress.start("epoch 1/1", 1)
        train = settings.train
        figure = float(train.lr or 0.0) * (1 + train.weight_decay) + train.label_smoothing + train.mixup
        row = {"val_auroc": figure / 2, "val_loss": figure}
        on_epoch(Fit(best_epoch=1, history=[row]))
        return Trained(run, None, None, interrupted=False)  # type: ignore[arg-type]

    monkeypatch.setattr(trial_module, "train_run", stand_in)


def test_a_search_leaves_its_table_and_the_best_settings(workspace: Workspace) -> None:
    listener = Listener()
    result = searched(workspace, listener, name="first", trials=2)
    folder = workspace.root / "tune" / "first"
    assert {path.name for path in folder.iterdir()} >= {"config.yaml", "study.log", "trials.csv", "best.yaml"}
    assert not any((folder / "trials").iterdir())
    assert not workspace.runs_dir.exists()
    table = pd.read_csv(folder / "trials.csv")
    assert table["trial"].tolist() == [1, 2]
    assert set(table["state"]) == {"complete"}
    assert {"lr", "weight_decay", "label_smoothing", "mixup", "augment", "val_auroc"} <= set(table.columns)
    assert result.best[0].value == table["val_auroc"].max()
    assert [line.split(":")[0] for line in listener.notes] == ["trial 1/2", "trial 2/2"]


@pytest.mark.usefixtures("quick_training")
def test_the_first_trial_has_the_settings_as_they_stand(workspace: Workspace) -> None:
    result = searched(workspace, trials=1, space="lr,weight_decay,mixup,augment,batch_size")
    assert result.trials[0].settings == {
        "lr": 4e-3,
        "weight_decay": 0.05,
        "mixup": 0.0,
        "augment": "strong",
        "batch_size": 16,
    }


def test_the_best_settings_train_to_the_figure_that_was_found(workspace: Workspace) -> None:
    result = searched(workspace, trials=2, epochs=1, name="first")
    best = result.search.best_path
    assert "epochs: 1" in best.read_text()
    assert medimg(workspace.root, "train", "--config", str(best)) == 0
    record = find_run(workspace, None).read_record()
    assert record.val["auroc"] == result.best[0].value
    assert record.best_epoch == result.best[0].best_epoch


@pytest.mark.usefixtures("quick_training")
def test_the_same_seed_tries_the_same_and_another_something_else(workspace: Workspace) -> None:
    first, again, other = (searched(workspace, seed=seed) for seed in (3, 3, 4))
    assert told(first) == told(again)
    assert told(first)[1:] != told(other)[1:]


@pytest.mark.usefixtures("quick_training")
def test_a_killed_search_goes_on_to_what_it_would_have_been(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = searched(workspace, trials=4, name="whole")

    class Killed(BaseException): ...

    real, calls = getattr(trial_module, "train_run"), []  # noqa: B009

    def dying(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise Killed
        return real(*arguments, **options)

    monkeypatch.setattr(trial_module, "train_run", dying)
    with pytest.raises(Killed):
        searched(workspace, trials=4, name="killed")
    monkeypatch.setattr(trial_module, "train_run", real)
    search = find_search(workspace, "killed")
    with search.study_path.open("ab") as journal:
        journal.write(b'{"op_code": 6, "tri')  # the line that was being written
    resumed = gone_on(workspace, search)
    assert [one.state for one in resumed.trials] == [
        "complete",
        "complete",
        "stopped",
        "complete",
        "complete",
    ]
    assert [row for row in told(resumed) if row[0] == "complete"] == told(whole)


@pytest.mark.usefixtures("quick_training")
def test_ctrl_c_keeps_what_there_is(workspace: Workspace) -> None:
    result = searched(workspace, Listener(stop_at="trial 3/"), name="first")
    assert result.interrupted
    assert [one.state for one in result.trials] == ["complete", "complete", "stopped"]
    assert find_search(workspace, None).best_path.is_file()
    assert [one.state for one in gone_on(workspace, result.search, trials=4).trials].count("complete") == 4


@pytest.mark.usefixtures("quick_training")
def test_a_search_goes_on_only_on_the_same_data(workspace: Workspace) -> None:
    search = searched(workspace, trials=1).search
    rows = pd.read_csv(workspace.manifest_path, dtype=str, keep_default_na=False)
    rows.iloc[:-1].to_csv(workspace.manifest_path, index=False)
    with pytest.raises(RunError, match="data set has changed"):
        gone_on(workspace, search, trials=2)


@pytest.mark.usefixtures("quick_training")
def test_of_the_loss_the_lowest_is_the_best(workspace: Workspace) -> None:
    result = searched(workspace, trials=4, metric="loss")
    values = [one.value for one in result.trials]
    assert result.metric == "loss"
    assert result.best[0].value == min(value for value in values if value is not None)


@pytest.mark.usefixtures("quick_training")
def test_a_short_list_is_tried_once_each(workspace: Workspace) -> None:
    options: dict[str, Any] = {"space": "augment", "augment": "none,strong,cxr", "size": "8,12", "trials": 20}
    result = searched(workspace, **options)
    tried = [tuple(one.settings.values()) for one in result.trials]
    assert tried[0] == ("strong", 8)
    assert set(tried) == {(augment, size) for augment in ("none", "strong", "cxr") for size in (8, 12)}
    assert len(tried) == 6
    best = yaml.safe_load(result.search.best_path.read_text())
    assert (best["train"]["augment"], best["preprocess"]["size"]) == tuple(result.best[0].settings.values())


@pytest.mark.usefixtures("quick_training")
def test_test_images_are_never_looked_at(workspace: Workspace) -> None:
    cached: list[set[str]] = []

    def watching(wanted: Settings) -> Any:
        cache = pixels_in(workspace)(wanted)
        cached.append(set(cache.index["image_id"]))
        return cache

    settings = Settings.model_validate({"tune": {"trials": 1, "epochs": 1}, "preprocess": {"size": 8}})
    tune(workspace, settings, watching)
    assert cached
    assert not cached[0] & set(read_dataset(workspace).of_split("test")["image_id"])


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"arch": "resnet81,small-cnn"}, "resnet81"),
        ({"augment": "cxr,xray"}, "xray"),
        ({"space": "arch"}, "nothing to vary"),
        ({"name": "a/b"}, "plain name"),
    ],
)
def test_what_cannot_be_searched_is_said_before_anything_is_computed(
    workspace: Workspace, options: dict[str, Any], what: str
) -> None:
    with pytest.raises(UsageError, match=what):
        searched(workspace, **options)
    assert not (workspace.root / "tune").exists() or not any((workspace.root / "tune").iterdir())


def test_a_missing_optuna_is_said_with_its_extra(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MachineError, match="Optuna") as caught:
        study_module.check_searchable()
    assert caught.value.hint == "pip install 'medimg[tune]'"
    with pytest.raises(MachineError, match="Optuna"):
        searched(workspace)


def test_the_command_answers_in_json_and_goes_on_by_resume(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["-C", str(workspace.root), "--quiet", "--json"]
    quick = ["--epochs", "1", "--space", "lr", "--set", "preprocess.size=8"]
    capsys.readouterr()
    assert medimg_run(["tune", "--trials", "1", *quick, "--name", "first", *place]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["search"], answer["metric"]) == ("tune/first", "auroc")
    assert answer["best"]["settings"]["lr"] == pytest.approx(4e-3)
    assert (workspace.root / answer["best_settings"]).is_file()
    assert medimg_run(["tune", "--resume", "--trials", "2", *place]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["trials"] == {"complete": 2, "pruned": 0, "failed": 0, "stopped": 0}
    assert len(answer["ranking"]) == 2
    assert medimg_run(["tune", "--resume", "--metric", "f1", *place]) == 2
    assert "--metric cannot be heeded" in capsys.readouterr().err
    assert medimg_run(["tune", "--resume", "--time-limit", "soon", *place]) == 2
    assert medimg_run(["tune", "--name", "first", *place]) == 2
    assert "exists already" in capsys.readouterr().err
    assert list_runs(workspace) == []


@pytest.mark.usefixtures("quick_training")
def test_people_see_the_best_five(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    quick = ["--epochs", "1", "--space", "augment", "--set", "preprocess.size=8", "--name", "first"]
    assert medimg_run(["tune", *quick, "-C", str(workspace.root)]) == 0
    captured = capsys.readouterr()
    assert "medimg train --config tune/first/best.yaml" in captured.out
    assert "3 complete" in captured.out
    assert "trial 3/3: auroc" in captured.err


@pytest.mark.usefixtures("quick_training")
def test_kept_trials_keep_their_folders(workspace: Workspace) -> None:
    result = searched(workspace, trials=1, keep=True)
    assert result.search.trial(1).folder.is_dir()


def test_a_search_is_found_by_name_or_as_the_last(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with pytest.raises(RunError, match="no search to go on with"):
        find_search(workspace, None)
    (tmp_path / "tune" / "first").mkdir(parents=True)
    (tmp_path / "tune" / "first" / "config.yaml").write_text("{}")
    assert find_search(workspace, None).name == "first"
    with pytest.raises(RunError, match="no search 'frist'"):
        find_search(workspace, "frist")
