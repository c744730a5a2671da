"""What people decided on the review page: a log that only grows, and what of it stands.

One line of JSON a decision. Nothing is ever rewritten: taking a decision back is a further line.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal, get_args

from medimg_cli.errors import DataError
from medimg_cli.workspace.files import disk_errors, drop_unfinished_line
from medimg_cli.workspace.workspace import Workspace

Action = Literal["keep", "exclude", "relabel", "undo"]
ACTIONS: tuple[Action, ...] = get_args(Action)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_APPEND


@dataclass(frozen=True)
class Decision:
    """One line of the log.

    Args:
        when: UTC, ISO 8601, to the second.
        who: the name the reviewer gave.
        image_id: the image decided on.
        action: keep (the check is mistaken, or it does not matter here), exclude, relabel, or undo (the last
            decision on this image no longer stands).
        check: the check whose finding was looked at; "" for an undo.
        label: the new label of a relabel, else "".
        why: in the reviewer's words, "" when not given.
        sha256: content of the image as it was decided on; a decision on other pixels does not stand.
    """

    when: str
    who: str
    image_id: str
    action: Action
    check: str = ""
    label: str = ""
    why: str = ""
    sha256: str = ""


def decisions_path(workspace: Workspace) -> Path:
    """Return where the log is kept."""
    return workspace.audit_dir / "decisions.jsonl"


def append_decision(workspace: Workspace, decision: Decision) -> None:
    """Append one line and wait until it is on the disk.

    What a killed process left of a line it had not finished goes first: it was never reported as kept.

    Raises:
        MachineError: it cannot be written.
    """
    path = decisions_path(workspace)
    line = json.dumps(asdict(decision), ensure_ascii=False) + "\n"
    with disk_errors(path, "free some disk space or mend its rights"):
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_unfinished_line(path)
        descriptor = os.open(path, _NEW, 0o644)
        try:
            os.write(descriptor, line.encode("utf-8"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_decisions(workspace: Workspace) -> list[Decision]:
    """Return every line of the log in order, [] when there is none.

    Raises:
        DataError: a line is none of medimg's.
    """
    path = decisions_path(workspace)
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]  # what follows the last line end is unfinished
    return [_parse(path, number, line) for number, line in enumerate(lines, start=1)]


def _parse(path: Path, number: int, line: str) -> Decision:
    try:
        content = json.loads(line)
        decision = Decision(**content)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} line {number} is no decision", "restore the file; medimg only ever adds lines to it"
        ) from error
    texts = all(isinstance(getattr(decision, field.name), str) for field in fields(Decision))
    if not texts or decision.action not in ACTIONS:
        raise DataError(f"{path} line {number}: '{decision.action}' is no decision", "restore the file")
    return decision


class DecisionsInForce:
    """The decisions that stand: not taken back, and about the pixels that are there now.

    The last line on an image decides what becomes of it in the manifest. A `keep` answers one check only: another
    check that flags the image later asks again.

    Args:
        lines: the log in order.
        contents: image id → SHA-256 in the manifest now; decisions on other contents do not stand.
    """

    def __init__(self, lines: Iterable[Decision], contents: Mapping[str, str]) -> None:
        self._contents = contents
        self._lines: dict[str, list[Decision]] = {}
        for line in lines:
            self.add(line)

    def add(self, line: Decision) -> None:
        """Take a further line of the log into account; one on an image that is gone stands for nothing."""
        if self._contents.get(line.image_id) is None:
            return
        of_image = self._lines.setdefault(line.image_id, [])
        if line.action != "undo":
            of_image.append(line)
        elif of_image:
            of_image.pop()

    def _in_force(self, image_id: str) -> list[Decision]:
        lines = self._lines.get(image_id, [])
        return [line for line in lines if line.sha256 in ("", self._contents[image_id])]

    def of(self, image_id: str) -> Decision | None:
        """Return the last decision on an image, None when nothing stands."""
        lines = self._in_force(image_id)
        return lines[-1] if lines else None

    def answer(self, image_id: str, check: str) -> Decision | None:
        """Return what was decided on an image that `check` flagged: exclude and relabel answer every check."""
        for line in reversed(self._in_force(image_id)):
            if line.action != "keep" or line.check == check:
                return line
        return None

    def kept(self, image_id: str, check: str) -> Decision | None:
        """Return the decision that keeps an image though `check` flags it, None when there is none."""
        answer = self.answer(image_id, check)
        return answer if answer is not None and answer.action == "keep" else None

    def all(self) -> tuple[Decision, ...]:
        """Return the last decision on every image, in the order they were first decided on."""
        found = (self.of(image) for image in self._lines)
        return tuple(decision for decision in found if decision is not None)
