"""One ingest at a time: the lock on a workspace's data set."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from medimg_cli.core.lock import locked
from medimg_cli.core.workspace import Workspace


@contextmanager
def dataset_lock(workspace: Workspace) -> Iterator[None]:
    """Hold the workspace's data set for writing; folders made for the lock go again when nothing was written.

    Raises:
        MachineError: another process holds it, or the workspace cannot be written.
    """
    folder = workspace.manifest_path.parent
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    lock = folder / ".lock"
    try:
        with locked(lock, doing=f"writing the data set in {folder}"):
            yield
    finally:
        with suppress(OSError):
            if made and [item.name for item in folder.iterdir()] == [lock.name]:
                lock.unlink()
            for place in made:  # innermost first; one that holds something stays
                place.rmdir()
