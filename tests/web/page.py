"""A study with findings, and a client that has opened its review page."""

import re
import warnings
from dataclasses import dataclass
from pathlib import Path

from medimg_cli.audit.findings import Finding
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.images.readers import read_image
from medimg_cli.web.guard import Guard
from medimg_cli.web.review.app import review_app
from medimg_cli.web.review.session import ReviewSession
from medimg_cli.workspace.workspace import Workspace
from tests.audit.audit_cohort import copies, doubted, write_study

with warnings.catch_warnings():  # Starlette 1.1 and later would rather have the successor of httpx
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

PORT = 8010
FINDINGS = (
    copies(("sick/train-6", "sick/test-21"), ("healthy/train-0", "healthy/val-12")),
    doubted("healthy/train-1", "healthy/train-2", "healthy/train-3"),
)


@dataclass(frozen=True)
class Opened:
    """What a test of the page needs."""

    workspace: Workspace
    session: ReviewSession
    guard: Guard
    client: TestClient

    def number(self, image: str) -> int:
        """Return what the page calls an image."""
        ids = [str(name) for name in read_dataset(self.workspace).rows["image_id"]]
        return ids.index(image)

    def form(self, **fields: object) -> dict[str, str]:
        """Return the fields of a form of this page."""
        return {"form_token": self.guard.form_token} | {name: str(value) for name, value in fields.items()}

    def decide(self, image: str, decision: str, finding: int = 1, **more: str) -> int:
        """Send a decision as the page's script does and return the status."""
        form = self.form(image=self.number(image), finding=finding, decision=decision, **more)
        answer = self.client.post("/decide", data=form, headers={"Accept": "application/json"})
        return int(answer.status_code)


def open_page(
    root: Path, *, reviewer: str = "A. Reader", findings: tuple[Finding, ...] = FINDINGS, visit: bool = True
) -> Opened:
    """Return the review page of a study; with `visit`, the client has the cookie."""
    workspace = write_study(root)
    session = ReviewSession(workspace, read_dataset(workspace), findings, reviewer)
    guard = Guard(PORT)
    client = TestClient(review_app(session, read_image, guard), base_url=f"http://127.0.0.1:{PORT}")
    if visit:
        assert client.get("/", params={"token": guard.token}).status_code == 200
    return Opened(workspace, session, guard, client)


def forms_of(page: str) -> list[dict[str, str]]:
    """Return the hidden fields of every form of a page."""
    forms = re.findall(r"<form.*?</form>", page, flags=re.DOTALL)
    return [dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', form)) for form in forms]
