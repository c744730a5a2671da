"""medimg ingest: files to a manifest."""

from pathlib import Path
from typing import Annotated, Any

import typer

from medimg_cli.cli.options import Session, fields_of
from medimg_cli.cli.setting_options import DIVIDED, takes
from medimg_cli.errors import ExitCode

_NAMED = 20

_Sources = Annotated[
    list[Path],
    typer.Argument(metavar="SOURCE...", help="Folders, .zip or .tar archives, .npz or .npy files."),
]

_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, from names and a sample; write nothing.")
]


@takes("ingest", DIVIDED)
def ingest(session: Session, sources: _Sources, dry_run: _DryRun = False) -> None:
    """Read images and labels into `dataset/manifest.csv`, one row per image, split by patient.

    Files that cannot be used are named in `dataset/quarantine.csv`. Folders called train, val and test are
    kept as splits.

    Again on the same source it adds: images keep their split, only new and changed files are read, and what is
    new, changed or gone is named. Another source is added to the data set.

    `--dry-run` shows in seconds which layout, classes, patients and splits that would be, and what is doubtful.

    Example: `medimg ingest ./raw --positive PNEUMONIA --patient-regex '(person\\d+_[a-z]+)'`
    """
    from medimg_cli.cli.views.ingest import draw_preview, draw_result, preview_json
    from medimg_cli.stages.ingest import dry_run as try_stage
    from medimg_cli.stages.ingest import ingest as run_stage

    in_force = session.settings()
    settings, cleaning, book = in_force.ingest, in_force.deidentify, in_force.labels.codes or None
    if dry_run:
        preview = try_stage(session.workspace, sources, settings, session.progress, code_book=book)
        session.show(preview_json(preview), lambda console: draw_preview(console, preview))
        return
    result = run_stage(
        session.workspace, sources, settings, session.progress, code_book=book, cleaning=cleaning
    )
    payload = fields_of(
        result,
        *("positive_guessed", "notes", "first", "changes"),
        leak=result.leak.counts() if result.leak else None,
        **{name: _counted(getattr(result.changes, name)) for name in ("added", "changed", "vanished")},
    )
    session.show(payload, lambda console: draw_result(console, result))
    if settings.strict and result.quarantined:
        raise typer.Exit(ExitCode.PARTIAL)


def _counted(names: tuple[str, ...]) -> dict[str, Any]:
    return {"count": len(names), "first": names[:_NAMED]}
