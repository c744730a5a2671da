"""What every worker of a server is told; it travels from one process to another."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medimg_cli.core.serve_settings import ServeSettings
from medimg_cli.web.serving.door import Door
from medimg_cli.web.serving.limits import Limits


@dataclass(frozen=True)
class Plan:
    """One server.

    Args:
        place: of the model, a run's folder or a bundle.
        open: opens it; a function of a module, for it is called in another process.
        intended_use: of the model as the workspace's facts have it, None where they say nothing.
    """

    place: Path
    open: Callable[[Path], Any]
    door: Door
    limits: Limits
    settings: ServeSettings
    intended_use: str | None

    @property
    def name(self) -> str:
        """Return what the model is called."""
        return self.place.stem if self.place.is_file() else self.place.name
