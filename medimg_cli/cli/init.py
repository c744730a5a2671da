"""medimg init: a commented settings file."""

from pathlib import Path
from typing import Annotated

import typer

from medimg_cli.cli.options import Session


def init(
    session: Session,
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Folder of the new workspace.")
    ] = None,
) -> None:
    """Write a commented `medimg.yaml` with every setting and its default.

    Example: `medimg init study`
    """
    from medimg_cli.stages.init import init as write_settings
    from medimg_cli.workspace.workspace import Workspace

    workspace = session.workspace if folder is None else Workspace(folder.absolute())
    path = write_settings(workspace)
    session.show({"settings": path.as_posix()}, lambda console: console.print(f"wrote {path}", markup=False))
