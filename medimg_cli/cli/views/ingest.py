"""What an ingest did, or would do, as tables in the terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.markup import escape

from medimg_cli.cli.views.render import plain_table
from medimg_cli.dataset.ingest.preview import IngestPreview
from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.dataset.listing import Column
from medimg_cli.stages.ingest import IngestResult
from medimg_cli.workspace.plain_text import plural

_REASONS, _CLASSES = 6, 20


def preview_json(preview: IngestPreview) -> dict[str, Any]:
    """Return a dry run as `ingest --dry-run --json` writes it."""
    content = asdict(preview)
    content["layout"] = {**content["layout"], "others": content.pop("others")}
    return {"dry_run": True, **content}


def draw_preview(console: Console, preview: IngestPreview) -> None:
    """Draw a dry run: layout, classes with examples, columns, patients, splits, quarantine, groups and questions."""
    console.print(f"layout: {preview.layout.name} - {preview.layout.why}", markup=False)
    for other in preview.others:
        console.print(f"  fits as well: {other.name} - {other.why}", markup=False)
    console.print(f"label of an image: {preview.label_source}\n", markup=False)
    table = plain_table("class", ">images", "such as")
    for name, found in list(preview.classes.items())[:_CLASSES]:
        table.add_row(escape(name), f"{found.count:,}", escape("  ".join(found.examples)))
    if len(preview.classes) > _CLASSES:
        table.add_row(f"and {len(preview.classes) - _CLASSES:,} more", "", "")
    console.print(table)
    _draw_columns(console, preview.columns)
    text = f"from each {preview.patients_from}" if "header" in preview.patients_from else "not known"
    if preview.patients is not None:
        text = f"{preview.patients:,}, from {preview.patients_from}"
    splits = ", ".join(f"{name} {count:,}" for name, count in preview.splits.items())
    console.print(f"\npatients: {text}\nsplits (before identical files are joined): {splits}")
    if preview.quarantine:
        console.print(f"for quarantine: {sum(preview.quarantine.values()):,}")
        draw_reasons(console, preview.quarantine)
    console.print(
        f"{preview.examined:,} of {preview.listed:,} images were decoded for this; nothing was written"
    )
    if preview.groups:
        console.print("\nfile names group the images, so that patients may be known by them:")
    elif preview.patients is None and "header" not in preview.patients_from:
        console.print("\nno pattern in the file names groups the images")
    for groups in preview.groups:
        console.print(f"  {groups.line()}: {groups.why}", markup=False)
    for question in preview.questions:
        meant = ", or --yes" if question.option.startswith("--") else ""
        console.print(f"\n[bold]?[/bold] {escape(question.question)}\n  {escape(question.option)}{meant}")


def _draw_columns(console: Console, columns: Sequence[Column]) -> None:
    """Draw what each column of a table is taken for; nothing without a table."""
    table = plain_table("column", "taken for", ">values", "such as")
    for column in columns:
        cells = (column.name, column.taken_for, f"{column.distinct:,}", ", ".join(column.values[:3]))
        table.add_row(*map(escape, cells))
    if columns:
        console.print()
        console.print(table)


def draw_result(console: Console, result: IngestResult) -> None:
    """Draw what an ingest did."""
    table = plain_table("class", ">images")
    positives = LabelSpace(tuple(result.classes), result.positive).positives
    for name, count in result.classes.items():
        mark = "  [bold](positive)[/bold]" if name in positives else ""
        table.add_row(escape(name) + mark, f"{count:,}")
    console.print(table)
    splits = ", ".join(f"{name} {count:,}" for name, count in result.splits.items())
    of_patients = f" of {plural(result.patients, 'patient')}" if result.patients_known else ""
    console.print(f"\n{plural(result.images, 'image')}{of_patients}: {splits}")
    if result.first:
        console.print(f"layout: {result.layout}; label of an image: {result.label_source}", markup=False)
    if result.reused:
        changes = result.changes
        console.print(
            f"{len(changes.added):,} new, {len(changes.changed):,} changed, {len(changes.vanished):,} vanished; "
            f"{result.reused:,} unchanged, not read again"
        )
    if result.quarantined:
        files = "file" if result.quarantined == 1 else "files"
        console.print(f"{result.quarantined:,} {files} in quarantine: dataset/quarantine.csv says why")
        draw_reasons(console, result.quarantine)
    if result.groups and not result.patients_known:
        console.print(f"file names group the images: {result.groups[0].line()}", markup=False)
    if result.leak is not None and result.leak.images:
        console.print(result.leak.line(), markup=False)
    console.print(f"manifest: {result.manifest}", markup=False)


def draw_reasons(console: Console, reasons: Mapping[str, int]) -> None:
    """Draw why files are in quarantine, the commonest reasons first."""
    shown: Sequence[tuple[str, int]] = list(reasons.items())
    for reason, count in shown[:_REASONS]:
        console.print(f"  {count:>6,}  {reason}", markup=False)
    if len(shown) > _REASONS:
        console.print(
            f"  {sum(count for _, count in shown[_REASONS:]):>6,}  for {len(shown) - _REASONS} other reasons"
        )
