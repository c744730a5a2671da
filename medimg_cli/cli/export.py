"""medimg export: a run as one ONNX file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import RunName, Session, fields_of
from medimg_cli.cli.setting_options import takes

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.export import ExportResult

_Out = Annotated[
    Path | None, typer.Option(metavar="FILE", help="The file.", show_default="RUN.onnx, or NAME.csv, here")
]
_Data = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Images to verify on.", show_default="the workspace's, spread over all splits"
    ),
]


_Table = Annotated[
    Path | None,
    typer.Option(
        metavar="NAME.parquet",
        help="Write a table that is kept as Parquet as CSV, and nothing else.",
        show_default="the run",
    ),
]


@takes("export")
def export(
    session: Session, run: RunName = None, out: _Out = None, data: _Data = None, table: _Table = None
) -> None:
    """Write a run as one ONNX file, also an ensemble: from pixels to calibrated probabilities.

    The recipe, the threshold and what the model is for stand in its metadata. It is written only if it answers like
    medimg, within 1e-4 in probability (else exit code 1). `--data` asks for `--verify`.

    Example: `medimg export --out model.onnx --verify`, or `medimg export --table dataset/manifest.parquet`
    """
    if table is not None:
        from medimg_cli.stages.export import export_table

        written = export_table(table, out)
        payload = {"table": str(table), "out": str(written)}
        session.show(payload, lambda console: console.print(f"wrote {written}", markup=False))
        return
    from medimg_cli.api.prerequisites import copies_of_run, facts_given
    from medimg_cli.preprocessing.probe_images import files_at_hand, pixels_at_hand
    from medimg_cli.runs.run_folders import find_run
    from medimg_cli.stages.export import check_out
    from medimg_cli.stages.export import export as run_stage

    settings = session.settings(export={"verify": True if data else None})
    found = find_run(session.workspace, run)
    target = out or Path(f"{found.name}.onnx")
    check_out(target, found)
    facts = facts_given(session.workspace, settings)
    shown = pixels_at_hand(session.workspace, found.read_card().recipe)
    copies_of_run(found, shown, session.progress)
    files = files_at_hand(session.workspace, data, settings.export.images) if settings.export.verify else None
    result = run_stage(found, target, shown, facts=facts, files=files, progress=session.progress)
    payload = fields_of(result, "size_bytes", bytes=result.size_bytes)
    session.show(payload, lambda console: _draw(console, result))


def _draw(console: "Console", result: "ExportResult") -> None:
    lines = [f"wrote {result.out}: {result.size_bytes / 1e6:.1f} MB, outputs {', '.join(result.outputs)}"]
    pixels, files = result.on_pixels, result.on_files
    lines.append(
        f"{pixels.images} {pixels.kind}: answers differ by at most {pixels.difference:.1e} in probability"
    )
    if files is not None:
        lines.append(
            f"{files.images} files, {files.alone} of them read and resized without medimg: at most {files.difference:.1e}"
        )
        if files.unreadable:
            lines.append(f"{files.unreadable} more files cannot be read")
    console.print("\n".join(lines), markup=False, highlight=False)
