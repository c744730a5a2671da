"""One trial of a search: a whole training in a folder of its own, stopped early where it is hopeless."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from medimg_cli.errors import MedimgError
from medimg_cli.runs.run import Run
from medimg_cli.training.fit import Material, Trained, train_run
from medimg_cli.training.fitting.trainer import Fit, NotFinite
from medimg_cli.training.tuning.study import State
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import Settings

Judge = Callable[[int, float], State | None]
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
    """Raised by the judge's word; its argument is the state of the trial."""


@dataclass
class _Watch:
    """Follows the epochs of one training."""

    metric: str
    judge: Judge
    fit: Fit | None = None

    def __call__(self, fit: Fit) -> None:
        self.fit = fit
        value = fit.history[-1][self._column]
        if math.isfinite(value) and (state := self.judge(len(fit.history), value)):
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
    judge: Judge,
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
    watch = _Watch(settings.train.monitor, judge)
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
    if any(_is_lack_of_memory(one) for one in chain):
        return "out of memory"
    return ""


def _is_lack_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    # On the processor torch has no class of its own for it.
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
