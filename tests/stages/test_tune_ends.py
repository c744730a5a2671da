"""tune: how trials end, and that nothing in them is the end of the search."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from medimg_cli.errors import MachineError, RunError
from medimg_cli.runs.run_folders import find_search
from medimg_cli.training.fit import Trained
from medimg_cli.training.fitting.trainer import Fit, NotFinite
from medimg_cli.training.tuning import tuning as trial_module
from medimg_cli.training.tuning import tuning as tuning_module
from medimg_cli.workspace.workspace import Workspace
from tests.stages.searching import ingested, searched, workspace

pytestmark = pytest.mark.usefixtures("weights_only")

pytest.importorskip("optuna", reason="Optuna (extra `tune`) is not installed")
__all__ = ["ingested", "workspace"]  # fixtures


class Scripted:
    """Stands for the training of each trial: its epochs' figures, or what it raises."""

    def __init__(self, *trials: Sequence[float] | BaseException) -> None:
        self.trials, self.epochs = list(trials), [0] * len(trials)

    def __call__(self, run: Any, *_: Any, on_epoch: Callable[[Any], None], **__: Any) -> Any:
        number = next(place for place, epochs in enumerate(self.epochs) if not epochs)
        script = self.trials[number]
        if isinstance(script, BaseException):
            self.epochs[number] = -1
            raise script
        history: list[dict[str, float]] = []
        for value in script:
            history.append({"val_auroc": value})
            self.epochs[number] = len(history)
            best = 1 + max(range(len(history)), key=lambda place: history[place]["val_auroc"])
            on_epoch(Fit(best_epoch=best, history=history))
        return Trained(run, None, None, interrupted=False)  # type: ignore[arg-type]


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Scripted]:
    def play(*trials: Sequence[float] | BaseException) -> Scripted:
        script = Scripted(*trials)
        monkeypatch.setattr(trial_module, "train_run", script)
        return script

    return play


def test_a_hopeless_trial_is_stopped_after_its_epoch(
    workspace: Workspace, scripted: Callable[..., Scripted]
) -> None:
    good, bad = [0.7, 0.8, 0.9, 0.95], [0.2, 0.2, 0.2, 0.2]
    played = scripted(*[good] * 4, bad)
    result = searched(workspace, trials=5, pruner="median", epochs=4)
    assert played.epochs == [4, 4, 4, 4, 3]
    assert [one.state for one in result.trials] == ["complete"] * 4 + ["pruned"]
    assert result.trials[-1].epochs_run == 3
    assert pd.read_csv(result.search.trials_path)["state"].tolist()[-1] == "pruned"


def test_a_trial_that_fails_by_its_settings_is_not_the_end(
    workspace: Workspace, scripted: Callable[..., Scripted]
) -> None:
    diverged = RunError("the training loss became nan in epoch 1", "lower --lr")
    diverged.__cause__ = NotFinite.__new__(NotFinite)
    undefined = [float("nan")]
    scripted([0.8], diverged, MemoryError(), undefined, [0.9])
    result = searched(workspace, trials=5)
    assert [(one.state, one.reason) for one in result.trials] == [
        ("complete", ""),
        ("failed", "the training loss became nan in epoch 1"),
        ("failed", "out of memory"),
        ("failed", "auroc is not defined on validation"),
        ("complete", ""),
    ]
    assert [one.number for one in result.best] == [5, 1]


def test_an_error_that_no_setting_is_to_blame_for_ends_the_search(
    workspace: Workspace, scripted: Callable[..., Scripted]
) -> None:
    scripted([0.8], MachineError("cannot write: the disk is full", "free some space"))
    with pytest.raises(MachineError, match="disk is full"):
        searched(workspace, name="first")
    assert find_search(workspace, "first").best_path.is_file()


def test_a_search_without_one_figure_says_why(
    workspace: Workspace, scripted: Callable[..., Scripted]
) -> None:
    scripted(MemoryError(), MemoryError())
    with pytest.raises(RunError, match="none of 2 trials came to an end; the last: out of memory"):
        searched(workspace, trials=2)


@pytest.mark.parametrize(("limit", "states"), [("30s", ["complete"]), ("150s", ["complete", "stopped"])])
def test_the_time_limit_ends_the_trial_at_work_but_never_the_only_one(
    limit: str,
    states: list[str],
    workspace: Workspace,
    scripted: Callable[..., Scripted],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(
        tuning_module, "time", SimpleNamespace(monotonic=lambda: float(next(clock)), perf_counter=lambda: 0.0)
    )
    played = scripted([0.7] * 9, [0.8] * 9, [0.9] * 9)
    result = searched(workspace, trials=3, time_limit=limit)
    assert result.out_of_time
    assert played.epochs[0] == 9
    assert [one.state for one in result.trials] == states
