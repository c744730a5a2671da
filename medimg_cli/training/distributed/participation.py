"""What each process of several works with, so that nothing below has to know that it is not alone."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.runs.run import Run
from medimg_cli.training.distributed.all_reduce import World
from medimg_cli.workspace.progress import Progress, SilentProgress
from medimg_cli.workspace.settings import Settings


@dataclass(frozen=True)
class Part:
    """One process's part in a training.

    Args:
        run: the run's folder in the leader; elsewhere a copy, thrown away in the end.
        settings: elsewhere without what would be told twice.
        progress: elsewhere silent.
    """

    run: Run
    settings: Settings
    progress: Progress


@contextmanager
def taking_part(
    run: Run, settings: Settings, progress: Progress, world: World, *, resume: bool
) -> Iterator[Part]:
    """Give each process its part, and let all of them stop together.

    Every process computes what a run leaves, and writes it: the leader into the run, the others beside it. So
    whatever is read back later is there in each of them.

    Args:
        resume: what `run` holds is needed to go on.
    """
    with world.stopping_together():
        if world.leads:
            world.in_turn(lambda: None)
            yield Part(run, settings, progress)
            return
        with tempfile.TemporaryDirectory(prefix=f"medimg-{world.rank}-") as folder:
            mine = Run(Path(folder) / run.name)
            world.in_turn(lambda: _copied(run, mine) if resume else mine.folder.mkdir())
            yield Part(mine, _untold(settings), SilentProgress())


def _copied(run: Run, mine: Run) -> None:
    shutil.copytree(run.folder, mine.folder, ignore=shutil.ignore_patterns(run.lock_path.name))


def _untold(settings: Settings) -> Settings:
    usual = type(settings.train).model_fields["track"].get_default(call_default_factory=True)
    return settings.model_copy(update={"train": settings.train.model_copy(update={"track": usual})})
