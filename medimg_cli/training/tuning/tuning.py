"""The trials of a search, one after the other, and what they leave in its folder."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd
import torch
import yaml

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import RunError
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.tuning_study import Search
from medimg_cli.training.fit import Material
from medimg_cli.training.tuning.search_space import Dimension, Params, with_params
from medimg_cli.training.tuning.study import Outcome, State, Study, Suggestion
from medimg_cli.training.tuning.trial import TrialEnd, run_trial
from medimg_cli.workspace.files import write_text
from medimg_cli.workspace.progress import Progress
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.tables import write_table
from medimg_cli.workspace.workspace import Workspace


@dataclass(frozen=True)
class Tried:
    """One trial as people see it.

    Args:
        value: its figure on validation, at its best epoch.
        settings: what the search varies, with the values tried.
        reason: why it has no figure, or stopped early.
    """

    number: int
    state: State
    value: float | None
    settings: Mapping[str, Any]
    best_epoch: int | None
    epochs_run: int
    seconds: float
    reason: str


def pixels_of(settings: Settings) -> tuple[str, object]:
    """Return what the pixels of a trial depend on."""
    return settings.train.arch, settings.preprocess.size


@dataclass
class Tuning:
    """One search at work.

    Args:
        settings: as the search was asked for; `base` is what all its trials share.
        usual_lr: network → the learning rate it would have without a search.
        caches: `pixels_of` → the pixels.
        began: seconds on the monotonic clock; the time limit counts from there.
        interrupted: stopped by the user.
        out_of_time: the time limit ended it.
    """

    workspace: Workspace
    settings: Settings
    base: Settings
    space: tuple[Dimension, ...]
    usual_lr: Mapping[str, float]
    study: Study
    search: Search
    dataset: Dataset
    caches: Mapping[tuple[str, object], PixelCache]
    device: torch.device
    progress: Progress
    began: float = field(default_factory=lambda: time.monotonic())
    interrupted: bool = False
    out_of_time: bool = False

    def run(self) -> None:
        """Try until the trials or the time are over, or the user has seen enough.

        Raises:
            RunError: no trial came to an end.
        """
        self._write()
        try:
            while not self.interrupted and not self._time_is_over():
                suggestion = self.study.suggest(self.base.tune.trials)
                if suggestion is None:
                    break
                self._try(suggestion)
        except KeyboardInterrupt:
            self.interrupted = True
        if not self.study.ranked() and not self.interrupted:
            reasons = [str(one.facts["reason"]) for one in self.study.outcomes()]
            raise RunError(
                f"none of {len(reasons)} trials came to an end; the last: {reasons[-1]}",
                f"look at {self.search.trials_path}",
            )

    @property
    def trials(self) -> list[Tried]:
        """Return all trials that are over, in the order they were tried."""
        return [self._tried(one) for one in self.study.outcomes()]

    @property
    def best(self) -> list[Tried]:
        """Return the complete trials, best first."""
        return [self._tried(one) for one in self.study.ranked()]

    def _try(self, suggestion: Suggestion) -> None:
        settings = self._settings_of(suggestion.params)
        run = self.search.trial(suggestion.number)
        rows = self.dataset.of_split("train"), self.dataset.of_split("val")
        name = f"trial {suggestion.number}/{max(self.study.total(self.base.tune.trials), suggestion.number)}"
        shutil.rmtree(run.folder, ignore_errors=True)
        end: TrialEnd = run_trial(
            run,
            Material(self.dataset, *rows, self.caches[pixels_of(settings)]),
            settings,
            self.device,
            self.progress,
            name=name,
            root=self.workspace.root,
            judge=lambda epoch, value: self._judge(suggestion, epoch, value),
        )
        self.interrupted = end.interrupted
        outcome = self.study.tell(suggestion, end.state, end.value, end.facts)
        self._write()
        if not self.base.tune.keep:
            shutil.rmtree(run.folder)
        self.progress.note(self._line(name, self._tried(outcome)))

    def _judge(self, suggestion: Suggestion, epoch: int, value: float) -> State | None:
        """Return how a trial ends after this epoch; the pruner is told of every epoch."""
        if suggestion.is_hopeless(epoch, value):
            return "pruned"
        # A search always ends with a figure: until there is one, its trial may take longer than the limit.
        return "stopped" if self._time_is_over() else None

    def _time_is_over(self) -> bool:
        limit = self.base.tune.time_limit
        self.out_of_time = (
            limit is not None and time.monotonic() - self.began >= limit and self.study.best() is not None
        )
        return self.out_of_time

    def _settings_of(self, params: Params) -> Settings:
        return with_params(self.base, params, self.usual_lr)

    def _tried(self, outcome: Outcome) -> Tried:
        facts, used = outcome.facts, self._settings_of(outcome.params)
        return Tried(
            number=outcome.number,
            state=outcome.state,
            value=outcome.value,
            settings={
                one.name: used.preprocess.size if one.name == "size" else getattr(used.train, one.name)
                for one in self.space
            },
            best_epoch=facts.get("best_epoch"),
            epochs_run=facts.get("epochs_run", 0),
            seconds=facts.get("seconds", 0.0),
            reason=facts.get("reason", ""),
        )

    def _write(self) -> None:
        """Bring the table of trials and the best settings up to date with the study."""
        table = pd.DataFrame([_row(self.base.train.monitor, one) for one in self.trials])
        if len(table):
            write_table(self.search.trials_path, table)
        best = self.study.best()
        if best is not None:
            write_text(self.search.best_path, self._best_yaml(best))

    def _best_yaml(self, best: Outcome) -> str:
        """Return what `train --config` takes to train as the best trial did."""
        used, train = self._settings_of(best.params), self.settings.train
        # Several seeds or folds, a tracker and a time limit are the user's; a trial has none of them.
        own = {name: getattr(train, name) for name in ("time_limit", "track", "seeds", "folds")} | {
            "name": None
        }
        sections = {
            "preprocess": used.preprocess.model_dump(mode="json"),
            "train": used.train.model_copy(update=own).model_dump(mode="json"),
        }
        metric = self.base.train.monitor
        head = f"# Trial {best.number} of search '{self.search.name}': {metric} {best.value:.4f} on validation.\n"
        return head + yaml.safe_dump(sections, sort_keys=False)

    def _line(self, name: str, tried: Tried) -> str:
        metric, best = self.base.train.monitor, self.study.best()
        figure = "" if tried.value is None else f"{metric} {tried.value:.4f}, "
        if tried.state != "complete":
            figure = f"{tried.state} after {tried.epochs_run} epochs, {figure}"
        leader = "" if best is None else f" (best {best.value:.4f} of trial {best.number})"
        varied = ", ".join(f"{key} {_shown(value)}" for key, value in tried.settings.items())
        reason = f": {tried.reason}" if tried.reason else ""
        return f"{name}: {figure}{tried.seconds:.0f} s{leader}; {varied}{reason}"


def _row(metric: str, tried: Tried) -> dict[str, Any]:
    return {
        "trial": tried.number,
        "state": tried.state,
        f"val_{metric}": tried.value,
        "best_epoch": tried.best_epoch,
        "epochs_run": tried.epochs_run,
        "seconds": tried.seconds,
        **tried.settings,
        "reason": tried.reason,
    }


def _shown(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
