"""medimg ingest: files to a manifest."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import Session, said
from medimg_cli.errors import ExitCode

_NAMED = 20

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.ingest import IngestResult


_Sources = Annotated[
    list[Path],
    typer.Argument(metavar="SOURCE...", help="Folders, .zip or .tar archives, .npz or .npy files."),
]
_Layout = Annotated[str | None, typer.Option(help="auto, folders, csv, dicom or npz.", show_default="auto")]
_Labels = Annotated[Path | None, typer.Option(metavar="FILE", help="Table of labels (CSV or TSV).")]
_ImageCol = Annotated[
    str | None, typer.Option(metavar="NAME", help="Its column of file names or DICOM UIDs.")
]
_LabelCol = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Its column of classes; A,B,C: one of 0/1 a class, or one a reader."),
]
_PatientCol = Annotated[str | None, typer.Option(metavar="NAME", help="Its column of patients.")]
_UseSplitCol = Annotated[str | None, typer.Option(metavar="NAME", help="Its column of splits.")]
_MultiLabel = Annotated[
    bool | None, typer.Option("--multi-label", help="Images may have several labels, or none.")
]
_LabelSep = Annotated[
    str | None,
    typer.Option(metavar="TEXT", help="What stands between labels in a cell.", show_default="|"),
]
_Positive = Annotated[str | None, typer.Option(metavar="CLASS", help="The disease class.")]
_PatientRegex = Annotated[
    str | None, typer.Option(metavar="RE", help="Patient = first group found in a file's path.")
]
_Split = Annotated[
    str | None,
    typer.Option(metavar="T,V,T", help="Shares of train, val, test.", show_default="0.7,0.15,0.15"),
]
_Folds = Annotated[int | None, typer.Option(metavar="K", help="Number train and val in K folds, by patient.")]
_Frames = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH", help="Of several frames: middle, first, all, or a number.", show_default="middle"
    ),
]
_Seed = Annotated[int | None, typer.Option(help="Seed of the split.", show_default="0")]
_CopyImages = Annotated[
    bool | None,
    typer.Option("--copy/--link", help="Copy images into the workspace.", show_default="link"),
]
_Deidentify = Annotated[
    bool | None,
    typer.Option("--deidentify", help="Work on de-identified copies in dataset/images (see `deidentify`)."),
]
_Fresh = Annotated[
    bool | None, typer.Option("--fresh", help="Start over: forget sources, splits and settings.")
]
_Strict = Annotated[bool | None, typer.Option("--strict", help="Exit with 4 when a file could not be read.")]


def ingest(
    session: Session,
    sources: _Sources,
    layout: _Layout = None,
    labels: _Labels = None,
    image_col: _ImageCol = None,
    label_col: _LabelCol = None,
    patient_col: _PatientCol = None,
    use_split_col: _UseSplitCol = None,
    multi_label: _MultiLabel = None,
    label_sep: _LabelSep = None,
    positive: _Positive = None,
    patient_regex: _PatientRegex = None,
    split: _Split = None,
    folds: _Folds = None,
    frames: _Frames = None,
    seed: _Seed = None,
    copy_images: _CopyImages = None,
    deidentify: _Deidentify = None,
    fresh: _Fresh = None,
    strict: _Strict = None,
) -> None:
    """Read images and labels into `dataset/manifest.csv`, one row per image, split by patient.

    Files that cannot be used are named in `dataset/quarantine.csv`. Folders called train, val and test are
    kept as splits.

    Again on the same source it adds: images keep their split, only new and changed files are read, and what is
    new, changed or gone is named. Another source is added to the data set.

    Example: `medimg ingest ./raw --positive PNEUMONIA --patient-regex '(person\\d+_[a-z]+)'`
    """
    options = said(locals(), "sources")
    from medimg_cli.stages.ingest import ingest as run_stage

    in_force = session.settings(ingest=options)
    settings, cleaning, book = in_force.ingest, in_force.deidentify, in_force.labels.codes or None
    result = run_stage(
        session.workspace, sources, settings, session.progress, code_book=book, cleaning=cleaning
    )
    payload = {
        "images": result.images,
        "patients": result.patients,
        "quarantined": result.quarantined,
        "classes": result.classes,
        "splits": result.splits,
        "positive": result.positive,
        "folds": result.folds,
        "added": _counted(result.changes.added),
        "changed": _counted(result.changes.changed),
        "vanished": _counted(result.changes.vanished),
        "reused": result.reused,
        "manifest": result.manifest,
    }
    session.show(payload, lambda console: _draw(console, result))
    if settings.strict and result.quarantined:
        raise typer.Exit(ExitCode.PARTIAL)


def _counted(names: tuple[str, ...]) -> dict[str, Any]:
    return {"count": len(names), "first": names[:_NAMED]}


def _draw(console: "Console", result: "IngestResult") -> None:
    from rich.markup import escape

    from medimg_cli.cli.views.render import plain_table

    table = plain_table("class", ">images")
    for name, count in result.classes.items():
        mark = "  [bold](positive)[/bold]" if name == result.positive else ""
        table.add_row(escape(name) + mark, f"{count:,}")
    console.print(table)
    splits = ", ".join(f"{name} {count:,}" for name, count in result.splits.items())
    console.print(f"\n{result.images:,} images of {result.patients:,} patients: {splits}")
    if result.reused:
        changes = result.changes
        console.print(
            f"{len(changes.added):,} new, {len(changes.changed):,} changed, {len(changes.vanished):,} vanished; "
            f"{result.reused:,} unchanged, not read again"
        )
    if result.quarantined:
        files = "file" if result.quarantined == 1 else "files"
        console.print(f"{result.quarantined:,} {files} in quarantine: dataset/quarantine.csv says why")
    console.print(f"manifest: {result.manifest}", markup=False)
