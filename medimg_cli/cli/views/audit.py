"""How an audit looks on a terminal: findings first, the rest in a few dim lines."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from medimg_cli.audit.exclusions import Change
from medimg_cli.audit.findings import AuditResult
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.plain_text import plural

if TYPE_CHECKING:
    from medimg_cli.stages.review import ReviewResult

_COLOURS = {"error": "red", "warning": "yellow", "info": "blue"}
_MARKS = 6


def draw_audit(console: Console, outcome: "Outcome") -> None:
    """Draw what was done to the data set, the findings, the checks without any, and the verdict."""
    result = outcome.result
    if outcome.applied is not None:
        _draw_change(console, outcome.applied, "marked by --apply")
        if outcome.for_somebody:
            console.print(
                f"[dim]{outcome.for_somebody:,} groups have several labels: a reader must look[/dim]"
            )
    if outcome.review is not None:
        console.print(f"{plural(outcome.review.decisions, 'decision')} in audit/decisions.jsonl")
        _draw_change(console, outcome.review.change, "marked by the review at its end")
    _draw_findings(console, result)
    _draw_silent(console, result)
    for failed in result.failed:
        console.print(f"[red]stopped:[/red] {failed.check}: {escape(failed.why)}")
    if result.leak is not None:
        console.print(escape(result.leak.line()))
    verdict = "[green]passed[/green]" if result.passed else "[red]did not pass[/red]"
    console.print(
        f"\n{plural(len(result.checks_run), 'check')}, {plural(len(result.findings), 'finding')}: {verdict}"
    )
    console.print(f"[dim]page: {escape(str(outcome.page))}[/dim]")


def draw_undone(console: Console, change: Change) -> None:
    """Draw what was given back."""
    console.print(f"{len(change.restored):,} rows of the manifest are as they were")
    if change.left_alone:
        console.print(
            f"{len(change.left_alone):,} left alone: changed by somebody else since "
            f"({escape(_names(change.left_alone))})"
        )


def _draw_change(console: Console, change: Change, what: str) -> None:
    console.print(f"{len(change.marked):,} rows {what}, {len(change.restored):,} given back")
    for mark in change.marked[:_MARKS]:
        line = f"{mask_identities(mark.image_id)}  {mask_identities(mark.reason)}"
        console.print(f"         [dim]{escape(line)}[/dim]")
    if len(change.marked) > _MARKS:
        console.print(f"         [dim]and {len(change.marked) - _MARKS:,} more: audit/applied.csv[/dim]")
    if change.marked:
        console.print(
            "[dim]--undo takes it back; what follows is about the data set as it stands now[/dim]\n"
        )


def _draw_findings(console: Console, result: AuditResult) -> None:
    """Draw each finding as a paragraph beside its severity and check; in a pipe, as lines that are never folded."""
    if not result.findings:
        console.print("no findings")
        return
    table = Table.grid(
        Column(no_wrap=True), Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2, 0, 0)
    )
    for finding in result.findings:
        colour = _COLOURS[finding.severity]
        severity, check = f"[{colour}]{finding.severity:<8}[/{colour}]", f"[bold]{finding.check}[/bold]"
        lines = [escape(finding.message)]
        lines += [f"[dim]{escape(text)}[/dim]" for text in (finding.advice, finding.reviewed) if text]
        if console.is_terminal:
            table.add_row(severity, check, "\n".join(lines))
        else:
            console.print(f"{severity} {check}  " + "\n         ".join(lines))
    if console.is_terminal:
        console.print(table)


def _draw_silent(console: Console, result: AuditResult) -> None:
    found = {finding.check for finding in result.findings}
    silent = [name for name in result.checks_run if name not in found]
    if silent and found:
        console.print(f"[dim]found nothing: {', '.join(silent)}[/dim]")
    not_asked = [item.check for item in result.checks_skipped if item.why == "not among --checks"]
    for skipped in result.checks_skipped:
        if skipped.check not in not_asked and not skipped.failed:
            console.print(f"[dim]did not run: {skipped.check}: {escape(skipped.why)}[/dim]")
    if not_asked:
        console.print(f"[dim]not among --checks: {', '.join(not_asked)}[/dim]")


def _names(image_ids: tuple[str, ...]) -> str:
    more = ", …" if len(image_ids) > _MARKS else ""
    return ", ".join(map(mask_identities, image_ids[:_MARKS])) + more


@dataclass(frozen=True)
class Outcome:
    """An audit of the data set as it stands at the end, and what was done to it on the way.

    Args:
        applied: what `--apply` marked, None where it was not asked for.
        for_somebody: groups of copies that only a reader can resolve.
        review: the sitting, None where there was none.
    """

    result: "AuditResult"
    page: Path
    applied: "Change | None" = None
    for_somebody: int = 0
    review: "ReviewResult | None" = None

    def as_dict(self) -> dict[str, Any]:
        content = self.result.as_dict() | {"html": self.page}
        del content["dataset_hash"]
        if self.applied is not None:
            content |= {"applied": _marks(self.applied), "left_for_somebody": self.for_somebody}
        if self.review is not None:
            content["review"] = {
                "decisions": self.review.decisions,
                "applied": _marks(self.review.change),
                "restored": list(self.review.change.restored),
            }
        return content


def _marks(change: "Change") -> list[dict[str, str]]:
    return [{"image_id": m.image_id, "check": m.check, "reason": m.reason} for m in change.marked]
