"""Stops a training where a test wants it, as a signal would."""

from medimg_cli.workspace.progress import SilentProgress


class StopsIn(SilentProgress):
    """Ends training somewhere in an epoch of one of several trainings.

    Args:
        epoch, images: after so many images of that epoch, both of the training that is to be stopped.
        training: which one, counted from 1.
    """

    def __init__(self, epoch: int, images: int, training: int = 1) -> None:
        self._epoch, self._images, self._training = epoch, images, training
        self._here, self._seen, self._begun = False, 0, 0

    def start(self, task: str, total: int | None) -> None:  # noqa: ARG002
        self._begun += task.startswith("epoch 1/")
        wanted = self._begun == self._training
        self._here, self._seen = wanted and task.startswith(f"epoch {self._epoch}/"), 0

    def advance(self, steps: int = 1) -> None:
        self._seen += steps
        if self._here and self._seen > self._images:
            raise KeyboardInterrupt
