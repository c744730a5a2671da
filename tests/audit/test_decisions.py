"""The log of decisions: it only grows, survives a kill, and says what stands."""

from dataclasses import replace
from pathlib import Path

import pytest

from medimg_cli.audit.decisions import (
    Decision,
    DecisionsInForce,
    append_decision,
    decisions_path,
    read_decisions,
)
from medimg_cli.errors import DataError
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.workspace import Workspace

KEEP = Decision(
    "2026-03-01T09:30:00Z", "A. Reader", "a", "keep", "near-duplicates", why="tüchtig", sha256="1"
)
EXCLUDE = replace(KEEP, action="exclude", why="")
RELABEL = replace(KEEP, action="relabel", label="sick")
UNDO = Decision("2026-03-01T09:31:00Z", "A. Reader", "a", "undo")
CONTENTS = {"a": "1", "b": "2"}


def test_every_line_that_was_written_is_read_back_in_order(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert read_decisions(workspace) == []
    for line in (KEEP, EXCLUDE, UNDO):
        append_decision(workspace, line)
    assert read_decisions(workspace) == [KEEP, EXCLUDE, UNDO]


def test_writing_never_changes_an_earlier_line(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    append_decision(workspace, KEEP)
    before = decisions_path(workspace).read_bytes()
    append_decision(workspace, UNDO)
    assert decisions_path(workspace).read_bytes().startswith(before)


def test_half_a_line_of_a_killed_process_is_no_decision_and_does_not_spoil_the_next(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    append_decision(workspace, KEEP)
    with decisions_path(workspace).open("ab") as log:
        log.write(b'{"when": "2026')
    assert read_decisions(workspace) == [KEEP]
    append_decision(workspace, EXCLUDE)
    assert read_decisions(workspace) == [KEEP, EXCLUDE]


@pytest.mark.parametrize("line", ["no json", "[1]", '{"when": "x"}', '{"action": "burn"}'])
def test_a_line_that_is_none_of_medimgs_is_named(line: str, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    append_decision(workspace, KEEP)
    with decisions_path(workspace).open("a") as log:
        log.write(line + "\n")
    with pytest.raises(DataError, match="line 2"):
        read_decisions(workspace)


def test_an_action_that_does_not_exist_is_named(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    append_decision(workspace, replace(KEEP, action="burn"))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="'burn'"):
        read_decisions(workspace)


def test_the_last_decision_stands_and_an_undo_goes_one_step_back() -> None:
    assert DecisionsInForce([KEEP, EXCLUDE], CONTENTS).of("a") == EXCLUDE
    assert DecisionsInForce([KEEP, EXCLUDE, UNDO], CONTENTS).of("a") == KEEP
    assert DecisionsInForce([KEEP, EXCLUDE, UNDO, UNDO, UNDO], CONTENTS).of("a") is None
    assert DecisionsInForce([KEEP, EXCLUDE, UNDO], CONTENTS).all() == (KEEP,)


def test_a_keep_answers_its_own_check_only_and_an_exclusion_every_check() -> None:
    kept = DecisionsInForce([KEEP], CONTENTS)
    assert kept.kept("a", "near-duplicates") == KEEP
    assert kept.answer("a", "image-quality") is None
    excluded = DecisionsInForce([KEEP, EXCLUDE], CONTENTS)
    assert excluded.answer("a", "image-quality") == EXCLUDE
    assert excluded.kept("a", "near-duplicates") is None
    assert DecisionsInForce([EXCLUDE, KEEP], CONTENTS).kept("a", "near-duplicates") == KEEP


@pytest.mark.parametrize("contents", [{"a": "9"}, {"b": "1"}])
def test_a_decision_on_other_pixels_or_on_a_vanished_image_does_not_stand(contents: dict[str, str]) -> None:
    assert DecisionsInForce([EXCLUDE, RELABEL], contents).all() == ()


def test_the_time_is_utc_to_the_second() -> None:
    assert len(now()) == 20
    assert now().endswith("Z")
