"""medimg download: a public data set."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session, fields_of
from medimg_cli.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.sample_data.catalogue import PublicSet
    from medimg_cli.stages.download import DownloadResult


def download(
    session: Session,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="A data set; without it, all are listed.")
    ] = None,
    size: Annotated[
        int | None,
        typer.Option("--size", metavar="PX", min=1, help="Side of the images; the smallest if not given."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="DIR", help="Folder for the file; else downloads/ in the workspace."),
    ] = None,
) -> None:
    """Fetch a public data set from its official address; its licence is shown, its checksum verified.

    A broken download goes on where it stopped. No other command fetches images.

    Example: `medimg download medmnist/pneumoniamnist --size 28`
    """
    from medimg_cli.stages.download import catalogue
    from medimg_cli.stages.download import download as run_stage

    if name is None:
        if size is not None or to is not None:
            raise UsageError("which data set?", "`medimg download` lists them")
        sets = catalogue()
        session.show({"sets": _rows(sets)}, lambda console: _draw_list(console, sets))
        return
    result = run_stage(session.workspace, name, size_px=size, folder=to, progress=session.progress)
    payload = fields_of(result, "next_command", next=result.next_command)
    session.show(payload, lambda console: _draw(console, result))


def _rows(sets: "Mapping[str, PublicSet]") -> list[dict[str, object]]:
    shown = ("summary", "classes", "images", "sizes", "licence")
    return [{"name": name} | {key: getattr(entry, key) for key in shown} for name, entry in sets.items()]


def _draw_list(console: "Console", sets: "Mapping[str, PublicSet]") -> None:
    from medimg_cli.cli.views.render import plain_table

    table = plain_table("name", "what", ">classes", ">images", "sizes", "licence")
    for name, entry in sets.items():
        sizes = " ".join(map(str, entry.sizes))
        table.add_row(name, entry.summary, str(entry.classes), f"{entry.images:,}", sizes, entry.licence)
    console.print(table)
    console.print("`medimg download NAME --size N` fetches one.", style="dim")


def _draw(console: "Console", result: "DownloadResult") -> None:
    state = "was there and is right" if result.reused else "fetched"
    console.print(
        f"{result.path}: {state}, {result.bytes:,} bytes, {result.checksum}, {result.licence}",
        soft_wrap=True,
        markup=False,
    )
    console.print(f"next: {result.next_command}", markup=False)
