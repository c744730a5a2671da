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
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of medimg.yaml; write nothing.")
    ] = False,
) -> None:
    """Write a commented `medimg.yaml` with every setting and its default.

    Example: `medimg init study`
    """
    from medimg_cli.stages.init import init as write_settings
    from medimg_cli.stages.init import schema as json_schema
    from medimg_cli.workspace.workspace import Workspace

    if schema:
        session.show(
            {"schema_of": "medimg.yaml", "json_schema": json_schema()},
            lambda console: console.print_json(data=json_schema()),
        )
        return
    workspace = session.workspace if folder is None else Workspace(folder.absolute())
    path = write_settings(workspace)
    session.show({"settings": path.as_posix()}, lambda console: console.print(f"wrote {path}", markup=False))
