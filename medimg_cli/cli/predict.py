"""medimg predict: class, probabilities and decision for files and folders."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from medimg_cli.cli.options import Session
from medimg_cli.errors import ExitCode

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.stages.predict import PredictResult


def predict(
    session: Session,
    inputs: Annotated[list[Path], typer.Argument(metavar="INPUT...", help="Image files and folders.")],
    run: Annotated[str | None, typer.Option(help="Run that answers.", show_default="the newest")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the rows to FILE.csv or FILE.jsonl.")
    ] = None,
    tta: Annotated[
        bool | None,
        typer.Option(
            "--tta", help="Answer with the mean over mirrored, turned or enlarged views of each image."
        ),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step.", show_default="32")] = None,
    workers: Annotated[int | None, typer.Option(help="Decoding threads.", show_default="all cores")] = None,
) -> None:
    """Predict images a run has never seen: one row per file, also for what cannot be read (exit code 4).

    Decision support for research; not for diagnosis.

    Example: `medimg predict image.png a-folder/ --out predictions.csv`
    """
    from medimg_cli.core.run_folders import find_run
    from medimg_cli.stages.predict import predict as run_stage

    options: dict[str, Any] = {"tta": tta, "batch_size": batch_size, "workers": workers}
    settings = session.settings(predict=options).predict
    result = run_stage(find_run(session.workspace, run), inputs, settings, out=out, progress=session.progress)
    session.show({"predictions": _rows(result)}, lambda console: _draw(console, result, out))
    if result.unreadable:
        raise typer.Exit(ExitCode.PARTIAL)


def _rows(result: "PredictResult") -> list[dict[str, Any]]:
    return [
        {
            "path": row["path"],
            "status": row["status"],
            "label": row["y_pred"] or None,
            "confidence": row["confidence"],
            "probabilities": {name: row[f"prob_{name}"] for name in result.classes},
            "decision": row["decision"] or None,
            "prediction_set": None,
            "flags": [],
            "message": row["message"] or None,
        }
        for row in result.table.to_dict("records")
    ]


def _draw(console: "Console", result: "PredictResult", out: Path | None) -> None:
    from rich.markup import escape

    from medimg_cli.cli.render import plain_table

    table = plain_table("file", "class", ">confidence", "decision", "note")
    table.columns[0].overflow = "fold"
    for row in result.table.to_dict("records"):
        readable = row["status"] == "ok"
        table.add_row(
            escape(str(row["path"])),
            escape(str(row["y_pred"])),
            f"{row['confidence']:.4f}" if readable else "",
            str(row["decision"]),
            "" if readable else f"[yellow]{row['status']}[/yellow]: {escape(str(row['message']))}",
        )
    console.print(table)
    threshold = result.card.threshold
    if threshold is not None:
        console.print(
            f"\ndecision: {escape(str(result.card.positive))} at a probability of {threshold.value:.4f} or more"
        )
    if out is not None:
        console.print(f"rows: {out}", markup=False)
