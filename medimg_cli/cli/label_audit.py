"""medimg label-audit: what a reviewer would find first."""

from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session
from medimg_cli.errors import GateError

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.core.audit import AuditResult

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}


def label_audit(
    session: Session,
    checks: Annotated[str | None, typer.Option(metavar="A,B", help="Only these checks.")] = None,
    skip: Annotated[str | None, typer.Option(metavar="A,B", help="Not these checks.")] = None,
    fail_on: Annotated[
        str | None,
        typer.Option(help="Severity that exits with 1: error, warning, never.", show_default="error"),
    ] = None,
) -> None:
    """Check balance, duplicates, leaks between splits, unreadable and blank images, and identities.

    Findings go to `audit/findings.csv` and `audit/audit.json`. The exit code is 1 on an error.

    Example: `medimg label-audit --fail-on warning`
    """
    from medimg_cli.stages.label_audit import label_audit as run_stage

    settings = session.settings(label_audit={"checks": checks, "skip": skip, "fail_on": fail_on}).label_audit
    result = run_stage(session.workspace, settings, session.progress)
    content = result.as_dict()
    del content["dataset_hash"]
    session.show(content, lambda console: _draw(console, result))
    if not result.passed:
        raise GateError(
            f"the audit has findings at or above '{settings.fail_on}'",
            "mend the data and ingest again, or choose --fail-on never",
        )


def _draw(console: "Console", result: "AuditResult") -> None:
    from rich.markup import escape

    for finding in result.findings:
        colour = _COLOURS[finding.severity]
        head = f"[{colour}]{finding.severity:<8}[/{colour}] [bold]{finding.check}[/bold]"
        console.print(f"{head}  {escape(finding.message)}")
        console.print(f"         [dim]{escape(finding.advice)}[/dim]")
    if not result.findings:
        console.print("no findings")
    for skipped in result.checks_skipped:
        console.print(f"[dim]did not run: {skipped.check}: {escape(skipped.why)}[/dim]")
    verdict = "[green]passed[/green]" if result.passed else "[red]did not pass[/red]"
    console.print(f"\n{len(result.checks_run)} checks, {len(result.findings)} findings: {verdict}")
