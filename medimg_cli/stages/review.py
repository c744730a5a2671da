"""The sitting of a reviewer: serve the flagged images to the browser on this machine until it is ended."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import uvicorn

from medimg_cli.audit.exclusions import Change
from medimg_cli.audit.findings import AuditResult
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.images.readers import read_image
from medimg_cli.web.guard import Guard
from medimg_cli.web.review.app import review_app
from medimg_cli.web.review.session import ReviewSession
from medimg_cli.web.serving.worker_config import listening
from medimg_cli.workspace.settings import LabelAuditSettings
from medimg_cli.workspace.workspace import Workspace

_SECONDS_TO_CLOSE = 2


@dataclass(frozen=True)
class ReviewResult:
    """What a sitting came to.

    Args:
        decisions: lines written to `audit/decisions.jsonl`.
        change: what the manifest says differently at its end; what the page's button had applied before is in
            `audit/applied.csv`.
    """

    decisions: int
    change: Change


def review(
    workspace: Workspace, result: AuditResult, settings: LabelAuditSettings, announce: Callable[[str], None]
) -> ReviewResult:
    """Serve the review page on 127.0.0.1 until the process is interrupted, then apply what was decided.

    Args:
        result: the audit whose findings are reviewed.
        announce: called with the address to open, once the page answers.

    Raises:
        MachineError: the port is taken.
        DataError: the decisions would leave a class without an image; they stay in the log.
    """
    session = ReviewSession(workspace, read_dataset(workspace), result.findings, settings.reviewer or "")
    with listening("127.0.0.1", settings.port) as listener:
        guard = Guard(listener.getsockname()[1])
        config = uvicorn.Config(
            review_app(session, read_image, guard),
            log_level="warning",
            access_log=False,  # the first address holds the token
            timeout_graceful_shutdown=_SECONDS_TO_CLOSE,
            lifespan="off",
        )
        announce(guard.address)
        with suppress(KeyboardInterrupt):  # how a sitting ends: uvicorn closes, then passes the signal on
            uvicorn.Server(config).run(sockets=[listener])
    return ReviewResult(session.written, session.apply())
