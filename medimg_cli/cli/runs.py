"""medimg runs: what was trained so far."""

from typing import TYPE_CHECKING, Any

from medimg_cli.cli.options import Session

if TYPE_CHECKING:
    from rich.console import Console


def runs(session: Session) -> None:
    """List the trained runs of this workspace, oldest first, with their validation and test figures.

    Example: `medimg runs --json`
    """
    from medimg_cli.stages.runs import runs as run_stage

    listed = run_stage(session.workspace)
    session.show({"runs": listed}, lambda console: _draw(console, listed))


def _draw(console: "Console", listed: list[dict[str, Any]]) -> None:
    from medimg_cli.cli.render import plain_table

    if not listed:
        console.print("no trained run here: `medimg train` makes one")
        return
    table = plain_table(
        "run", "status", ">epochs", ">seconds", ">val AUROC", ">test recall", ">test AUROC", "started"
    )
    for run in listed:
        figures = [run["val_auroc"], run["test_recall"], run["test_auroc"]]
        table.add_row(
            run["run"],
            run["status"],
            str(run["epochs_run"]),
            "" if run["seconds"] is None else f"{run['seconds']:.0f}",
            *("–" if value is None else f"{value:.4f}" for value in figures),
            run["started"],
        )
    console.print(table)
