"""The time limit: how many epochs fit, and the end where they did not."""

import time
from dataclasses import replace
from typing import Any

import pytest

from medimg_cli.errors import UsageError
from medimg_cli.training.fitting import time_limit
from medimg_cli.training.fitting.time_limit import (
    Deadline,
    Pace,
    TimeIsUp,
    check_time_limit,
    fitted,
    within_limit,
)
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import TrainSettings
from tests.training.test_plan import planned

PLAN = replace(planned(100), epochs=20, patience=8)


class Heard(SilentProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, message: str) -> None:
        self.said.append(message)

    def warn(self, message: str) -> None:
        self.said.append(message)


@pytest.mark.parametrize(
    ("left", "epochs", "patience", "said"),
    [
        (1000.0, 20, 8, ""),
        (100.0, 9, 8, "9 of 20 epochs fit into the time limit: an epoch takes about 10 s and 100 s are left"),
        (50.0, 4, 4, "4 of 20 epochs fit"),
        (10.0, 1, 1, "not even one epoch fits into the time limit"),
        (
            -3.0,
            1,
            1,
            "not even one epoch fits into the time limit: an epoch takes about 10 s and 0 s are left",
        ),
    ],
)
def test_as_many_epochs_as_fit_are_planned(left: float, epochs: int, patience: int, said: str) -> None:
    remarks = Heard()
    plan = fitted(PLAN, 10.0, left, remarks)
    assert (plan.epochs, plan.patience) == (epochs, patience)
    assert "".join(remarks.said).startswith(said)
    assert bool(remarks.said) is bool(said)


def test_an_epoch_is_its_steps_and_its_validation() -> None:
    assert Pace(step=2.0, look=0.5).epoch(10, 4) == 22.0


@pytest.mark.parametrize(
    ("freeze", "epochs"),
    [("none", 9), (3, 4), ("backbone", 20)],
)
def test_the_features_of_a_frozen_backbone_cost_their_time(
    monkeypatch: pytest.MonkeyPatch, freeze: Any, epochs: int
) -> None:
    class Split:
        def __init__(self, batches: int) -> None:
            self.batches = batches

    monkeypatch.setattr(time_limit, "measure_pace", lambda *_args, **_more: Pace(step=0.9, look=0.5))
    splits: Any = (Split(10), Split(2))
    chosen = TrainSettings(freeze=freeze, weights="imagenet")
    ends = time.perf_counter() + 101.0
    network: Any = None
    prepare: Any = None
    plan = within_limit(network, splits, prepare, PLAN, chosen, SilentProgress(), ends=ends, views=11)
    # 10 x 0.9 + 2 x 0.5 = 10 s an epoch; (11 x 10 + 2) x 0.5 = 56 s of features.
    assert plan.epochs == epochs


def test_a_step_after_the_end_ends_the_training() -> None:
    Deadline(SilentProgress(), time.perf_counter() + 60).advance()
    with pytest.raises(TimeIsUp, match="before the first epoch was over"):
        Deadline(SilentProgress(), time.perf_counter() - 1).advance()


@pytest.mark.parametrize(("more", "alone"), [({"seeds": 2}, True), ({"folds": 3}, True), ({}, False)])
def test_a_limit_is_for_one_training(more: dict[str, Any], alone: bool) -> None:
    limited = TrainSettings.model_validate({"time_limit": "20m"} | more)
    with pytest.raises(UsageError, match="--time-limit fits"):
        check_time_limit(limited, single_process=alone)
    check_time_limit(TrainSettings.model_validate(more), single_process=alone)
    check_time_limit(TrainSettings(time_limit=60.0), single_process=True)


@pytest.mark.parametrize(("said", "seconds"), [("90s", 90), ("20m", 1200), ("1h30m", 5400), ("45", 45)])
def test_a_limit_is_said_as_people_say_it(said: str, seconds: float) -> None:
    assert TrainSettings.model_validate({"time_limit": said}).time_limit == seconds
