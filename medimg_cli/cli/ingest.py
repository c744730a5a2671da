"""medimg ingest: files to a manifest."""

from pathlib import Path
from typing import Annotated, Any

import typer

from medimg_cli.cli.options import Session, said
from medimg_cli.errors import ExitCode

_NAMED = 20

_Sources = Annotated[
    list[Path],
    typer.Argument(metavar="SOURCE...", help="Folders, .zip or .tar archives, .npz or .npy files."),
]
_Layout = Annotated[
    str | None, typer.Option(help="auto, folders, inner-folders, csv, dicom or npz.", show_default="auto")
]
_Labels = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Table of labels (CSV, .xlsx, .xls, .ods).")
]
_Sheet = Annotated[str | None, typer.Option(metavar="NAME|N", help="Sheet of a workbook, by name or number.")]
_LabelKind = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="Several label columns: one-hot (one a class) or readers.",
        show_default="by content",
    ),
]
_MapClasses = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="OLD=NEW", help="Class that a label belongs to; may be repeated."),
]
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

_Yes = Annotated[bool | None, typer.Option("--yes", help="Go on although the classes look implausible.")]
_DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what would be done, from names and a sample; write nothing.")
]


def ingest(
    session: Session,
    sources: _Sources,
    layout: _Layout = None,
    labels: _Labels = None,
    sheet: _Sheet = None,
    image_col: _ImageCol = None,
    label_col: _LabelCol = None,
    label_kind: _LabelKind = None,
    map_classes: _MapClasses = None,
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
    yes: _Yes = None,
    dry_run: _DryRun = False,
) -> None:
    """Read images and labels into `dataset/manifest.csv`, one row per image, split by patient.

    Files that cannot be used are named in `dataset/quarantine.csv`. Folders called train, val and test are
    kept as splits.

    Again on the same source it adds: images keep their split, only new and changed files are read, and what is
    new, changed or gone is named. Another source is added to the data set.

    `--dry-run` shows in seconds which layout, classes, patients and splits that would be, and what is doubtful.

    Example: `medimg ingest ./raw --positive PNEUMONIA --patient-regex '(person\\d+_[a-z]+)'`
    """
    options = said(locals(), "sources", "dry_run")
    from medimg_cli.cli.views.ingest import draw_preview, draw_result, preview_json
    from medimg_cli.stages.ingest import dry_run as try_stage
    from medimg_cli.stages.ingest import ingest as run_stage

    in_force = session.settings(ingest=options)
    settings, cleaning, book = in_force.ingest, in_force.deidentify, in_force.labels.codes or None
    if dry_run:
        preview = try_stage(session.workspace, sources, settings, session.progress, code_book=book)
        session.show(preview_json(preview), lambda console: draw_preview(console, preview))
        return
    result = run_stage(
        session.workspace, sources, settings, session.progress, code_book=book, cleaning=cleaning
    )
    payload = {
        "images": result.images,
        "patients": result.patients,
        "patients_known": result.patients_known,
        "quarantined": result.quarantined,
        "quarantine": result.quarantine,
        "layout": result.layout,
        "label_source": result.label_source,
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
    session.show(payload, lambda console: draw_result(console, result))
    if settings.strict and result.quarantined:
        raise typer.Exit(ExitCode.PARTIAL)


def _counted(names: tuple[str, ...]) -> dict[str, Any]:
    return {"count": len(names), "first": names[:_NAMED]}
