"""medimg label-audit: what a reviewer would find first."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from medimg_cli.cli.options import Session, said
from medimg_cli.cli.prerequisites import embedder
from medimg_cli.errors import GateError, UsageError

if TYPE_CHECKING:
    from medimg_cli.audit.exclusions import Change
    from medimg_cli.audit.findings import AuditResult
    from medimg_cli.cli.views.audit import Outcome
    from medimg_cli.stages.review import ReviewResult
    from medimg_cli.workspace.settings import LabelAuditSettings

_REVIEW = "Review page"


Checks = Annotated[str | None, typer.Option(metavar="A,B", help="Only these checks.")]
Skip = Annotated[str | None, typer.Option(metavar="A,B", help="Not these checks.")]
FailOn = Annotated[
    str | None, typer.Option(help="Severity that exits with 1: error, warning, never.", show_default="error")
]
Html = Annotated[Path | None, typer.Option(metavar="FILE", help="The page.", show_default="audit/audit.html")]
Apply = Annotated[bool | None, typer.Option("--apply", help="Exclude copies and blanks in the manifest.")]
Undo = Annotated[bool | None, typer.Option("--undo", help="Take back what --apply and --review marked.")]
Weights = Annotated[
    str | None, typer.Option(help="Network for label errors: auto, none, a file.", show_default="auto")
]
OcrSample = Annotated[
    int | None, typer.Option(metavar="N", help="Images read for text though none is seen.", show_default="40")
]
Seed = Annotated[int | None, typer.Option(help="Of folds and samples.", show_default="0")]
Review = Annotated[
    bool | None,
    typer.Option("--review", help="Decide on flagged images in the browser.", rich_help_panel=_REVIEW),
]
Port = Annotated[
    int | None,
    typer.Option(help="Where it listens; 0 = any.", show_default="8010", rich_help_panel=_REVIEW),
]
Reviewer = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Who decides; else asked there.", rich_help_panel=_REVIEW),
]


def label_audit(
    session: Session,
    checks: Checks = None,
    skip: Skip = None,
    fail_on: FailOn = None,
    html: Html = None,
    apply: Apply = None,
    undo: Undo = None,
    weights: Weights = None,
    ocr_sample: OcrSample = None,
    seed: Seed = None,
    review: Review = None,
    port: Port = None,
    reviewer: Reviewer = None,
) -> None:
    """Find leaks, duplicates, label errors, shortcuts, poor images and identities before a reviewer does.

    Findings go to `audit/audit.html`, `findings.csv`, `images.csv` and `audit.json`. The exit code is 1 on an
    error. `--apply` keeps one of several copies (test before train) and touches no file.

    Example: `medimg label-audit --fail-on warning`
    """
    settings = session.settings(label_audit=said(locals())).label_audit
    from medimg_cli.cli.views.audit import draw_audit, draw_undone

    if settings.undo:
        _refuse_both(settings)
        change = _undo(session)
        content = {"undone": list(change.restored), "left_alone": list(change.left_alone)}
        session.show(content, lambda console: draw_undone(console, change))
        return
    outcome = _audit(session, settings)
    session.show(outcome.as_dict(), lambda console: draw_audit(console, outcome))
    _judge(outcome.result, settings)


def _refuse_both(settings: "LabelAuditSettings") -> None:
    if settings.apply or settings.review:
        other = "--apply" if settings.apply else "--review"
        raise UsageError(f"--undo and {other} contradict each other", f"leave out --undo or {other}")


def _undo(session: Session) -> "Change":
    from medimg_cli.stages.label_audit import undo as undo_stage

    return undo_stage(session.workspace)


def _audit(session: Session, settings: "LabelAuditSettings") -> "Outcome":
    """Audit, and audit again where the audit's own remedies or a reviewer changed the data set."""
    from medimg_cli.cli.views.audit import Outcome
    from medimg_cli.stages.label_audit import apply_findings, page_path, wants
    from medimg_cli.stages.label_audit import label_audit as audit_stage

    embed = embedder(session, settings) if wants(settings, "label-errors") else None

    def run() -> "AuditResult":
        return audit_stage(session.workspace, settings, session.progress, embed=embed)

    result, applied, for_somebody, sitting = run(), None, 0, None
    if settings.apply:
        applied, for_somebody = apply_findings(session.workspace, result)
        if applied.marked:
            result = run()
    if settings.review:
        sitting = _review(session, settings, result)
        if sitting.decisions or sitting.change.marked or sitting.change.restored:
            result = run()
    return Outcome(result, page_path(session.workspace, settings), applied, for_somebody, sitting)


def _review(session: Session, settings: "LabelAuditSettings", result: "AuditResult") -> "ReviewResult":
    from medimg_cli.stages.review import review as review_stage

    def announce(address: str) -> None:
        # Also with --quiet: without the address the page cannot be opened.
        typer.echo(f"review page: {address}\nCtrl-C ends it and applies what was decided", err=True)

    return review_stage(session.workspace, result, settings, announce)


def _judge(result: "AuditResult", settings: "LabelAuditSettings") -> None:
    if result.failed:
        names = ", ".join(check.check for check in result.failed)
        raise RuntimeError(f"the check {names} stopped; {result.failed[0].why}")
    if not result.passed:
        raise GateError(
            f"the audit has findings at or above '{settings.fail_on}'",
            "mend the data and ingest again, try --apply or --review, or choose --fail-on never",
        )
