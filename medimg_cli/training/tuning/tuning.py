"""The trials of a search, one after the other, and what they leave in its folder."""

import math
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch
import yaml

from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import MedimgError, RunError
from medimg_cli.preprocessing.cache import PixelCache
from medimg_cli.runs.run import Run
from medimg_cli.runs.run_folders import Search
from medimg_cli.training.fit import Material, Trained, train_run
from medimg_cli.training.fitting.memory import is_out_of_memory
from medimg_cli.training.fitting.trainer import Fit, NotFinite
from medimg_cli.training.tuning.study import Dimension, Outcome, Params, State, Study, Suggestion, with_params
from medimg_cli.workspace.files import write_text
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import Settings
from medimg_cli.workspace.tables import write_table
from medimg_cli.workspace.workspace import Workspace

Pruner = Callable[[int, float], State | None]
"""Given an epoch and its figure: how the trial ends here, None when it goes on."""


@dataclass(frozen=True)
class TrialEnd:
    """How one trial ended.

    Args:
        value: the figure of its best epoch, None where it has none.
        interrupted: the user stopped it.
    """

    state: State
    value: float | None
    facts: Mapping[str, Any]
    interrupted: bool = False


class _Ended(Exception):  # noqa: N818 -- it ends a training, and is no error
    """Raised by the pruner; its argument is the state of the trial."""


@dataclass
class _Watch:
    """Follows the epochs of one training."""

    metric: str
    pruner: Pruner
    fit: Fit | None = None

    def __call__(self, fit: Fit) -> None:
        self.fit = fit
        value = fit.history[-1][self._column]
        if math.isfinite(value) and (state := self.pruner(len(fit.history), value)):
            raise _Ended(state)

    @property
    def _column(self) -> str:
        return f"val_{self.metric}"

    @property
    def value(self) -> float | None:
        """Return the figure of the best epoch so far."""
        if self.fit is None or not self.fit.best_epoch:
            return None
        value = self.fit.history[self.fit.best_epoch - 1][self._column]
        return value if math.isfinite(value) else None

    def facts(self) -> dict[str, Any]:
        fit = self.fit or Fit()
        return {"best_epoch": fit.best_epoch or None, "epochs_run": len(fit.history)}


class _TrialProgress(SilentProgress):
    """Lets a training's tasks through under the trial's name; its epochs and remarks would drown the trials."""

    def __init__(self, listener: Progress, name: str) -> None:
        self._listener, self._name = listener, name

    def start(self, task: str, total: int | None) -> None:
        self._listener.start(f"{self._name}, {task}", total)

    def advance(self, steps: int = 1) -> None:
        self._listener.advance(steps)

    def finish(self) -> None:
        self._listener.finish()


def run_trial(
    run: Run,
    material: Material,
    settings: Settings,
    device: torch.device,
    progress: Progress,
    *,
    name: str,
    root: Path,
    pruner: Pruner,
) -> TrialEnd:
    """Train once with `settings`, whose monitor is what the search improves.

    A loss that is no number, a figure that is not defined and a lack of memory fail the trial, with the reason;
    every other error is the search's own and is raised.

    Args:
        run: a folder of its own; left as it is.
        name: of the trial, for `progress`.
        root: the workspace.
    """
    began = time.perf_counter()
    watch = _Watch(settings.train.monitor, pruner)
    run.folder.mkdir(parents=True, exist_ok=True)
    state: State = "complete"
    reason, interrupted = "", False
    try:
        trained = train_run(
            run,
            material,
            settings,
            device,
            _TrialProgress(progress, name),
            root=root,
            resume=False,
            on_epoch=watch,
        )
        interrupted = trained.interrupted
        state, reason = _judged(watch, trained)
    except _Ended as ended:
        state = ended.args[0]
    except KeyboardInterrupt:
        state, interrupted = "stopped", True
    except (MedimgError, RuntimeError, MemoryError) as error:
        state, reason = "failed", why_it_failed(error)
        if not reason:
            raise
    facts = {**watch.facts(), "seconds": round(time.perf_counter() - began, 2), "reason": reason}
    return TrialEnd(state, watch.value if state != "failed" else None, facts, interrupted)


def _judged(watch: _Watch, trained: Trained) -> tuple[State, str]:
    if trained.interrupted:
        return "stopped", "interrupted"
    if trained.broken:
        return "failed", trained.broken
    if watch.value is None:
        return "failed", f"{watch.metric} is not defined on validation"
    return "complete", ""


def why_it_failed(error: BaseException) -> str:
    """Return in a few words why a training failed by its settings; empty where they are not to blame."""
    chain = [error]
    while (cause := chain[-1].__cause__ or chain[-1].__context__) is not None and cause not in chain:
        chain.append(cause)
    if any(isinstance(one, NotFinite) for one in chain):
        return error.what if isinstance(error, MedimgError) else "the training loss is not a number"
    if any(is_out_of_memory(one) for one in chain):
        return "out of memory"
    return ""


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
            pruner=lambda epoch, value: self._verdict(suggestion, epoch, value),
        )
        self.interrupted = end.interrupted
        outcome = self.study.tell(suggestion, end.state, end.value, end.facts)
        self._write()
        if not self.base.tune.keep:
            shutil.rmtree(run.folder)
        self.progress.note(self._line(name, self._tried(outcome)))

    def _verdict(self, suggestion: Suggestion, epoch: int, value: float) -> State | None:
        """Return how a trial ends after this epoch; the pruner gets every epoch."""
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
