"""medimg deidentify: clean copies of images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session, fields_of
from medimg_cli.cli.setting_options import DIVIDED, takes
from medimg_cli.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.deidentify import DeidentifyResult

_NAMED = 10

_Source = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="Folder, .zip or .tar archive, or file.", show_default=False)
]
_Dest = Annotated[Path, typer.Argument(metavar="DEST", help="New folder for the copies.", show_default=False)]


@takes("deidentify", DIVIDED)
def deidentify(session: Session, source: _Source, dest: _Dest) -> None:
    """Write de-identified copies of DICOM files and pictures; the originals stay as they are.

    Headers follow the basic profile of DICOM PS3.15 Table E.1-1; pictures lose all that is not pixels. Every copy
    is searched once more before it is put in place, and what cannot be cleaned is not written and is named. The same
    key gives the same pseudonyms in every run: keep it, and the map beside it, apart from the copies.

    De-identified is not the same as unrecognisable: faces, teeth or a rare disease can still tell who somebody is.

    Example: `medimg deidentify ./raw ./clean --shift-dates --key ~/keys/study.key`
    """
    from medimg_cli.stages.deidentify import deidentify as run_stage

    settings = session.settings().deidentify
    result = run_stage(session.workspace, source, dest, settings, session.progress)
    session.show(fields_of(result, "key_made", "notes"), lambda console: _draw(console, result))
    if result.not_written:
        raise typer.Exit(ExitCode.PARTIAL)


def _draw(console: "Console", result: "DeidentifyResult") -> None:
    from rich.markup import escape

    from medimg_cli.workspace.plain_text import visible_line

    console.print(
        f"{result.written:,} of {result.files:,} files written de-identified "
        f"({result.identities_removed:,} identities removed; {escape(result.profile)})"
    )
    for row in result.not_written[:_NAMED]:
        console.print(
            f"  [yellow]not written[/yellow] {escape(visible_line(row.path))}: {escape(row.reason)}"
        )
    if len(result.not_written) > _NAMED:
        console.print(f"  … and {len(result.not_written) - _NAMED:,} more, all in the log")
    console.print(f"log: {result.log}", markup=False)
    console.print(f"key: {result.key} (keep it and the map beside it apart from the copies)", markup=False)
