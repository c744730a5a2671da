"""Files that could not be used at ingest, and images that cannot be decoded any more."""

from collections import Counter
from pathlib import PurePosixPath

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, Finding
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.plain_text import plural

NAME = "unreadable"
_SHOWN_REASONS = 3


@check(NAME, "files were quarantined at ingest, or images cannot be decoded")
def unreadable(context: AuditContext) -> Checked:
    """Report quarantined files (warning) and usable images that are there but do not decode (error).

    Files that vanished or changed are the matter of `splits-and-manifest`.
    """
    images, rows = plural(len(context.measurements), "image"), plural(len(context.quarantine), "row")
    did = f"{images} decoded, {rows} of quarantine read"
    return Checked((*_quarantined(context), *_broken(context)), did)


def _quarantined(context: AuditContext) -> list[Finding]:
    reasons = [str(reason) for reason in context.quarantine["reason"]]
    if not reasons:
        return []
    message = f"{plural(len(reasons), 'file')} quarantined at ingest: {_summary(reasons)}{_by_class(context)}"
    advice = "see dataset/quarantine.csv: if they were lost from one class only, the results are biased"
    return [Finding(NAME, "warning", message, advice, (), len(reasons))]


def _by_class(context: AuditContext) -> str:
    """Return how many quarantined files stand in which class's folder, "" where folders are not named so."""
    classes = set(context.dataset.info.classes)
    inside = [
        next((part for part in reversed(PurePosixPath(str(path)).parts) if part in classes), None)
        for path in context.quarantine["path"]
    ]
    counts = Counter(name for name in inside if name is not None).most_common()
    return f" ({', '.join(f'{name}: {count:,}' for name, count in counts)})" if counts else ""


def _broken(context: AuditContext) -> list[Finding]:
    measured = context.measurements
    broken = measured[measured["readable"].eq(False) & measured["sha256"].ne("")]
    if broken.empty:
        return []
    reasons = [str(reason) for reason in broken["reason"]]
    message = f"{plural(len(broken), 'image')} cannot be decoded: {_summary(reasons)}"
    advice = "restore the files or run `medimg ingest` again, which quarantines them"
    return [Finding(NAME, "error", message, advice, tuple(map(str, broken.index)), len(broken))]


def _summary(reasons: list[str]) -> str:
    counts = Counter(mask_identities(reason) for reason in reasons).most_common()
    shown = [f"{reason} ({count:,})" for reason, count in counts[:_SHOWN_REASONS]]
    rest = sum(count for _, count in counts[_SHOWN_REASONS:])
    return "; ".join([*shown, f"other reasons ({rest:,})"] if rest else shown)
