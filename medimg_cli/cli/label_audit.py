"""medimg label-audit: what a reviewer would find first."""

from typing import TYPE_CHECKING

import typer

from medimg_cli.cli.options import Session
from medimg_cli.cli.setting_options import DIVIDED, takes
from medimg_cli.errors import GateError, UsageError

if TYPE_CHECKING:
    from medimg_cli.audit.findings import AuditResult
    from medimg_cli.cli.views.audit import Outcome
    from medimg_cli.stages.review import ReviewResult
    from medimg_cli.workspace.settings import LabelAuditSettings


@takes("label_audit", DIVIDED)
def label_audit(session: Session) -> None:
    """Find leaks, duplicates, label errors, shortcuts, poor images and identities before a reviewer does.

    Findings go to `audit/audit.html`, `findings.csv`, `images.csv` and `audit.json`. The exit code is 1 on an
    error. `--apply` keeps one of several copies (test before train) and touches no file.

    Example: `medimg label-audit --fail-on warning`
    """
    settings = session.settings().label_audit
    from medimg_cli.cli.views.audit import draw_audit, draw_undone

    if settings.undo:
        from medimg_cli.stages.label_audit import undo

        if settings.apply or settings.review:
            other = "--apply" if settings.apply else "--review"
            raise UsageError(f"--undo and {other} contradict each other", f"leave out --undo or {other}")
        change = undo(session.workspace)
        content = {"undone": list(change.restored), "left_alone": list(change.left_alone)}
        session.show(content, lambda console: draw_undone(console, change))
        return
    outcome = _audit(session, settings)
    session.show(outcome.as_dict(), lambda console: draw_audit(console, outcome))
    _judge(outcome.result, settings)


def _audit(session: Session, settings: "LabelAuditSettings") -> "Outcome":
    """Audit, and audit again where the audit's own remedies or a reviewer changed the data set."""
    from medimg_cli.api.prerequisites import embedder
    from medimg_cli.cli.views.audit import Outcome
    from medimg_cli.stages.label_audit import apply_findings, page_path, wants
    from medimg_cli.stages.label_audit import label_audit as audit_stage

    embed = (
        embedder(settings, session.progress, session.workspace.cache_dir)
        if wants(settings, "label-errors")
        else None
    )

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
    if not result.passed and settings.fail_on != "never":
        raise GateError(
            f"the audit has findings at or above '{settings.fail_on}'",
            "mend the data and ingest again, try --apply or --review, or choose --fail-on never",
        )
