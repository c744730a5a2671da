"""medimg doctor: what this machine can do."""

from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session
from medimg_cli.errors import MachineError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.doctor import Diagnosis


def doctor(
    session: Session,
    dicom: Annotated[
        bool, typer.Option("--dicom", help="Ask the peers of serve.send_to instead, and list its queue.")
    ] = False,
) -> None:
    """Look at devices, image decoders, the PDF library, and disk; exit code 5 when something is missing.

    Example: `medimg doctor`
    """
    from medimg_cli.stages.doctor import doctor as run_stage

    diagnoses = run_stage(session.workspace, session.settings().serve if dicom else None)
    session.show({"checks": diagnoses}, lambda console: _draw(console, diagnoses))
    missing = [item for item in diagnoses if not item.ok]
    if missing:
        raise MachineError(f"missing: {', '.join(item.name for item in missing)}", missing[0].advice)


def _draw(console: "Console", diagnoses: "tuple[Diagnosis, ...]") -> None:
    from rich.markup import escape

    from medimg_cli.cli.views.render import plain_table

    table = plain_table("", "what", "found")
    for item in diagnoses:
        table.add_row("[green]ok[/green]" if item.ok else "[red]no[/red]", item.name, escape(item.found))
    console.print(table)
