"""train --arch a,b: networks tried on folds of train and val, one chosen, and what became of all told."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.errors import UsageError
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.training import candidates
from medimg_cli.training.candidates import Candidate, auto_names, candidates_for, choose
from medimg_cli.training.device import choose_device
from medimg_cli.training.fitting.time_limit import Deadline, TimeIsUp
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import Settings, TrainSettings
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg
from tests.stages.test_freeze import weights

pytestmark = pytest.mark.usefixtures("weights_only")


def tried(
    workspace: Workspace, reached: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> candidates.Chosen:
    """Choose among made-up candidates, each of which tells the classes apart as well as is said, from 0 to 1."""
    dataset = read_dataset(workspace)
    cache = preprocess(workspace, Settings().preprocess).cache

    def answer(self: candidates._Trial, fold: int, progress: object) -> None:  # noqa: ARG001
        held = self.folds == fold
        generator = np.random.default_rng(fold)  # the same noise for all
        scores = reached[self.candidate.settings.arch] * self.targets[held] + generator.normal(
            0, 0.2, held.sum()
        )
        self.answers[held] = np.stack([1 - scores, scores], axis=1)
        self.parameters = len(self.candidate.settings.arch)  # the shorter name is the simpler network

    monkeypatch.setattr(candidates._Trial, "_answer", answer)
    given = [Candidate(TrainSettings(arch=name), "trained") for name in reached]
    return choose(dataset, given, lambda _: cache, choose_device("cpu"), SilentProgress())


def test_the_simpler_of_two_that_are_as_good_is_chosen(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tried(workspace, {"aaaa": 0.402, "b": 0.4, "cc": 0.401}, monkeypatch)
    assert found.settings.arch == "b"
    assert [each.chosen for each in found.tried] == [False, True, False]
    assert found.images == len(read_dataset(workspace).of_split("train", "val"))
    for each in found.tried:
        assert each.low is not None and each.auroc is not None and each.high is not None
        assert each.low <= each.auroc <= each.high


def test_one_that_is_clearly_worse_is_not_chosen_however_simple_and_given_up_early(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tried(workspace, {"good-one": 0.5, "x": -0.2}, monkeypatch)
    assert found.settings.arch == "good-one"
    assert "behind the best on the first fold" in found.tried[1].ended
    assert found.tried[1].auroc is None


def test_choosing_among_equals_by_chance_is_optimistic(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: candidates._Trial, fold: int, progress: object) -> None:  # noqa: ARG001
        held = self.folds == fold
        seed = int(self.candidate.settings.arch) * 10 + fold
        scores: NDArray[np.float64] = 0.2 * self.targets[held] + np.random.default_rng(seed).normal(
            0, 0.3, held.sum()
        )
        self.answers[held] = np.stack([1 - scores, scores], axis=1)

    monkeypatch.setattr(candidates._Trial, "_answer", answer)
    monkeypatch.setattr(candidates, "_CLEARLY_BEHIND", 100.0)
    cache = preprocess(workspace, Settings().preprocess).cache
    given = [Candidate(TrainSettings(arch=str(number)), "trained") for number in range(8)]
    found = choose(read_dataset(workspace), given, lambda _: cache, choose_device("cpu"), SilentProgress())
    assert found.optimism is not None
    assert 0.01 < found.optimism < 0.2


def test_each_network_is_tried_as_its_weights_allow(tmp_path: Path) -> None:
    path = Path(weights(tmp_path))
    found = candidates_for(TrainSettings(arch="small-cnn,squeezenet1_1", weights=str(tmp_path)))
    assert [(each.settings.arch, each.way, each.settings.weights) for each in found] == [
        ("small-cnn", "trained", "none"),
        ("squeezenet1_1", "logistic", str(path)),
        ("squeezenet1_1", "trained", str(path)),
    ]
    with pytest.raises(UsageError, match="chooses head and layers by itself"):
        candidates_for(TrainSettings(arch="small-cnn,resnet18", freeze=3))


def test_auto_tries_what_has_weights_at_hand_within_a_limit_only(tmp_path: Path) -> None:
    weights(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    auto = TrainSettings(arch="auto", weights=str(tmp_path), time_limit=60)
    assert auto_names(auto) == ["small-cnn", "squeezenet1_1"]
    assert auto_names(auto.model_copy(update={"time_limit": None})) == []
    assert auto_names(auto.model_copy(update={"weights": "none"})) == []
    (tmp_path / "config.json").write_text('{"architecture": "test_vit"}')  # a folder of one network
    assert auto_names(auto) == []


@pytest.mark.parametrize(
    "arch",
    [
        ("auto", "--time-limit", "60m"),
        pytest.param(("small-cnn,squeezenet1_1",), marks=pytest.mark.slow),
    ],
)
def test_several_networks_are_tried_on_folds_and_the_chosen_one_is_a_normal_run(
    workspace: Workspace, tmp_path: Path, arch: tuple[str, ...]
) -> None:
    weights(tmp_path)
    options = ("--weights", str(tmp_path), "--epochs", "3", "--set", "preprocess.size=32", "--name", "best")
    assert medimg(workspace.root, "train", "--arch", *arch, *options) == 0
    told = json.loads((workspace.runs_dir / "best" / "candidates.json").read_text())
    card = json.loads((workspace.runs_dir / "best" / "model.json").read_text())
    assert [each["arch"] for each in told["tried"] if each["chosen"]] == [card["arch"]]
    assert {each["arch"] for each in told["tried"]} == {"small-cnn", "squeezenet1_1"}
    assert {each["way"] for each in told["tried"]} == {"logistic", "trained"}
    assert told["optimism"] is not None
    dataset = read_dataset(workspace)
    assert told["images"] == len(dataset.of_split("train", "val"))
    cache = preprocess(workspace, Settings().preprocess.model_copy(update={"size": 32})).cache
    assert isinstance(cache, PixelCache)
    assert len(pd.read_csv(workspace.runs_dir / "best" / "predictions-val.csv")) == len(
        dataset.of_split("val")
    )


def test_heads_that_take_seconds_are_tried_before_a_training_uses_up_the_time(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def answer(self: candidates._Trial, fold: int, progress: object) -> None:  # noqa: ARG001
        asked.append(self.candidate.way)
        if self.candidate.way == "trained":
            raise TimeIsUp
        self.answers[self.folds == fold] = np.eye(2)[self.targets[self.folds == fold]]

    monkeypatch.setattr(candidates._Trial, "_answer", answer)
    cache = preprocess(workspace, Settings().preprocess).cache
    given = [Candidate(TrainSettings(arch=name), way) for name, way in (("a", "trained"), ("b", "logistic"))]
    found = choose(read_dataset(workspace), given, lambda _: cache, choose_device("cpu"), SilentProgress())
    assert (found.settings.arch, found.tried[0].ended) == ("b", "the time was over")
    assert asked == ["logistic"] * candidates.FOLDS + ["trained"]


def test_a_large_network_does_not_use_up_the_time_of_a_small_one(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines = {}

    def answer(self: candidates._Trial, fold: int, progress: Deadline) -> None:
        name = self.candidate.settings.arch
        deadlines[name] = progress.ends
        if name == "large":
            raise TimeIsUp
        self.answers[self.folds == fold] = np.eye(2)[self.targets[self.folds == fold]]

    monkeypatch.setattr(candidates._Trial, "_answer", answer)
    given = []
    for name, size in (("large", 9), ("small", 1)):
        (tmp_path / name).write_bytes(bytes(size))
        given.append(Candidate(TrainSettings(arch=name, weights=str(tmp_path / name)), "logistic"))
    given.append(Candidate(TrainSettings(arch="trained"), "trained"))
    cache = preprocess(workspace, Settings().preprocess).cache
    choose(read_dataset(workspace), given, lambda _: cache, choose_device("cpu"), SilentProgress(), limit=600)
    assert list(deadlines) == ["small", "large", "trained"]
    assert deadlines["small"] < deadlines["large"] < deadlines["trained"]


def test_the_two_best_heads_together_are_chosen_where_each_errs_elsewhere(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(self: candidates._Trial, fold: int, progress: object) -> None:  # noqa: ARG001
        held = self.folds == fold
        noise = np.random.default_rng((fold, ord(self.candidate.settings.arch))).normal(0, 0.6, held.sum())
        scores = self.targets[held] + noise + (self.candidate.settings.arch == "c") * 9 * noise
        self.answers[held] = np.stack([1 - scores, scores], axis=1)

    monkeypatch.setattr(candidates._Trial, "_answer", answer)
    monkeypatch.setattr(candidates, "_CLEARLY_BEHIND", 100.0)
    cache = preprocess(workspace, Settings().preprocess).cache
    given = [Candidate(TrainSettings(arch=name), "logistic") for name in "cab"]
    found = choose(read_dataset(workspace), given, lambda _: cache, choose_device("cpu"), SilentProgress())
    assert {found.settings.arch, *found.settings.also} == {"a", "b"}
    assert (
        found.tried[-1].name
        == f"{found.settings.arch} + {found.settings.also[0]}, frozen, logistic regression"
    )
    assert found.tried[-1].chosen


def test_what_does_not_fit_into_the_time_is_said(workspace: Workspace) -> None:
    dataset, given = read_dataset(workspace), [Candidate(TrainSettings(), "trained")]
    cache = preprocess(workspace, Settings().preprocess).cache
    with pytest.raises(UsageError, match="no candidate was tried to the end within half of --time-limit"):
        choose(dataset, given, lambda _: cache, choose_device("cpu"), SilentProgress(), limit=1e-6)
