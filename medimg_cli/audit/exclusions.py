"""Marks in the manifest: which images the audit or a reviewer excludes or relabels, and how it is taken back.

No file of an image is touched. Every mark stands in the journal `audit/applied.csv` with what stood there
before, so that undoing gives back exactly those rows and leaves every other exclusion alone.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Literal

import pandas as pd

from medimg_cli.audit.decisions import Decision, DecisionsInForce, append_decision, read_decisions
from medimg_cli.audit.findings import Finding
from medimg_cli.dataset.labels import natural_order
from medimg_cli.dataset.manifest import (
    MARK,
    RELABELLED,
    SPLITS,
    Dataset,
    read_dataset,
    read_quarantine,
    write_dataset,
    write_info,
)
from medimg_cli.errors import DataError
from medimg_cli.workspace.lock import dataset_lock
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.tables import read_table, write_table
from medimg_cli.workspace.workspace import Workspace

Author = Literal["label-audit", "review"]


@dataclass(frozen=True)
class Mark:
    """What a row of the manifest is to say.

    Args:
        by: who asks for it: the checks (`--apply`) or a reviewer.
        check: the check that flagged the image.
        status: ok or excluded.
        reason: the manifest's column; begins with `MARK`.
        label: the new label, "" to leave it.
    """

    image_id: str
    by: Author
    check: str
    status: str
    reason: str
    label: str = ""


@dataclass(frozen=True)
class Entry:
    """One line of the journal: a row before and after its mark, all texts."""

    when: str
    by: str
    check: str
    image_id: str
    status_before: str
    reason_before: str
    label_before: str
    status: str
    reason: str
    label: str


@dataclass(frozen=True)
class Change:
    """What became of the manifest.

    Args:
        marked: marks written now.
        restored: image ids whose row is as it was before medimg marked it.
        left_alone: image ids whose row was changed by somebody else since, and stays so.
    """

    marked: tuple[Mark, ...] = ()
    restored: tuple[str, ...] = ()
    left_alone: tuple[str, ...] = ()


def journal_path(workspace: Workspace) -> Path:
    """Return where the marks are written down."""
    return workspace.audit_dir / "applied.csv"


def read_journal(workspace: Workspace) -> list[Entry]:
    """Return the marks that stand, oldest first.

    Raises:
        DataError: the journal cannot be read.
    """
    path = journal_path(workspace)
    if not path.is_file():
        return []
    names = [field.name for field in fields(Entry)]
    columns = read_table(path, required=names)
    return [Entry(*cells) for cells in zip(*(columns[name] for name in names), strict=True)]


def apply_marks(workspace: Workspace, marks: Sequence[Mark]) -> Change:
    """Mark rows that are not excluded yet; a row that is stays as it is.

    Raises:
        DataError: a class would be left without an image.
        MachineError: another process writes the data set, or it cannot be written.
    """
    return _rewrite(workspace, lambda _: False, lambda _: marks)


def undo_marks(workspace: Workspace) -> Change:
    """Give back every row that `--apply` or a reviewer marked; a second time nothing is left to do.

    Decisions of reviewers that were in force are taken back in the log too, so that the review page does not
    apply them again.

    Raises:
        DataError, MachineError: as `apply_marks`.
    """
    reviewed = {entry.image_id for entry in read_journal(workspace) if entry.by == "review"}
    change = _rewrite(workspace, lambda _: True, lambda _: ())
    contents = _contents(read_dataset(workspace)) if reviewed else {}
    in_force = DecisionsInForce(read_decisions(workspace), contents)
    for image in sorted(reviewed):
        while (decision := in_force.of(image)) is not None and decision.action != "keep":
            taken_back = Decision(now(), "medimg label-audit --undo", image, "undo")
            append_decision(workspace, taken_back)
            in_force.add(taken_back)
    return change


def apply_decisions(workspace: Workspace) -> Change:
    """Make the manifest say what the decisions of the review page say: mark what is new, give back the rest.

    Raises:
        DataError, MachineError: as `apply_marks`.
    """
    lines = read_decisions(workspace)

    def marks(dataset: Dataset) -> list[Mark]:
        labels = dict(zip(dataset.rows["image_id"], dataset.rows["label"], strict=True))
        # The oldest entry of an image holds the label of its source.
        labels |= {entry.image_id: entry.label_before for entry in reversed(read_journal(workspace))}
        found = DecisionsInForce(lines, _contents(dataset)).all()
        return [
            _mark_of(decision, labels[decision.image_id])
            for decision in found
            if decision.action in ("exclude", "relabel")
        ]

    wanted = {mark.image_id: mark for mark in marks(read_dataset(workspace))}

    def is_outdated(entry: Entry) -> bool:
        mark = wanted.get(entry.image_id)
        same = mark is not None and (mark.status, mark.reason) == (entry.status, entry.reason)
        return entry.by == "review" and not same

    return _rewrite(workspace, is_outdated, lambda _: tuple(wanted.values()))


def _mark_of(decision: Decision, label: str) -> Mark:
    """Return the mark a decision asks for; `label` is what the source says of the image."""
    by = decision.who or "a reviewer"
    why = f": {decision.why}" if decision.why else ""
    if decision.action == "exclude":
        reason = f"{MARK}review: excluded by {by}{why}"
        return Mark(decision.image_id, "review", decision.check, "excluded", reason)
    reason = f"{RELABELLED} from {label or 'no finding'} by {by}{why}"
    return Mark(decision.image_id, "review", decision.check, "ok", reason, decision.label)


def _contents(dataset: Dataset) -> dict[str, str]:
    return dict(zip(dataset.rows["image_id"], dataset.rows["sha256"], strict=True))


def _rewrite(
    workspace: Workspace, is_outdated: Callable[[Entry], bool], marks_for: Callable[[Dataset], Sequence[Mark]]
) -> Change:
    """Give back the rows of outdated entries, newest first, then mark; journal first, then manifest.

    The journal is written before the manifest: a process killed between the two leaves entries that match no
    row, which undoing passes over, never a mark that nobody wrote down.
    """
    with dataset_lock(workspace):
        dataset = read_dataset(workspace)
        journal = read_journal(workspace)
        table = _Rows(dataset)
        restored, left_alone, kept = [], [], []
        for entry in reversed(journal):
            if not is_outdated(entry):
                kept.append(entry)
            elif table.give_back(entry):
                restored.append(entry.image_id)
            else:
                left_alone.append(entry.image_id)
        kept.reverse()
        added, marked = [], []
        for mark in marks_for(dataset):
            entry_made = table.mark(mark)
            if entry_made is not None:
                added.append(entry_made)
                marked.append(mark)
        if added or len(kept) != len(journal):
            changed = Dataset(table.frame(), dataset.info)
            _refuse_lost_classes(dataset, changed)
            _write_journal(workspace, [*journal, *added])
            _write_rows(workspace, dataset, changed)
            _write_journal(workspace, [*kept, *added])
    return Change(tuple(marked), tuple(reversed(restored)), tuple(reversed(left_alone)))


def _write_journal(workspace: Workspace, entries: Sequence[Entry]) -> None:
    columns = [field.name for field in fields(Entry)]
    write_table(journal_path(workspace), pd.DataFrame(map(asdict, entries), columns=columns))


def _write_rows(workspace: Workspace, before: Dataset, after: Dataset) -> None:
    recorded = before.info.content_hash
    info = write_dataset(workspace, after, read_quarantine(workspace))
    if recorded and recorded != before.content_hash():
        # Somebody edited the manifest by hand before: the record must go on saying so.
        write_info(workspace, info.model_copy(update={"content_hash": recorded}))


def _refuse_lost_classes(before: Dataset, after: Dataset) -> None:
    had, has = set(before.usable["label"]), set(after.usable["label"])
    lost = sorted(had - has) if not before.info.multi_label else []
    if lost or after.usable.empty:
        raise DataError(
            f"every image of '{lost[0] if lost else 'the data set'}' would be excluded or relabelled",
            "nothing was changed; look at the findings one by one with `medimg label-audit --review`",
        )


class _Rows:
    """The columns of a manifest that marks change, by image id."""

    def __init__(self, dataset: Dataset) -> None:
        self._rows = dataset.rows
        self._places: dict[str, int] = {}
        for place, image in enumerate(dataset.rows["image_id"]):
            if image in self._places:
                raise DataError(
                    f"image_id '{image}' stands twice in the manifest", "run `medimg ingest` again"
                )
            self._places[image] = place
        self._status = list(dataset.rows["status"])
        self._reason = list(dataset.rows["reason"])
        self._label = list(dataset.rows["label"])

    def mark(self, mark: Mark) -> Entry | None:
        """Mark a usable row and return its journal entry; None where it is excluded already, or says so."""
        place = self._places.get(mark.image_id)
        if place is None or self._status[place] != "ok":
            return None
        label = mark.label if mark.status == "ok" else self._label[place]
        if (self._status[place], self._reason[place], self._label[place]) == (
            mark.status,
            mark.reason,
            label,
        ):
            return None
        before = (self._status[place], self._reason[place], self._label[place])
        self._status[place], self._reason[place], self._label[place] = mark.status, mark.reason, label
        return Entry(now(), mark.by, mark.check, mark.image_id, *before, mark.status, mark.reason, label)

    def give_back(self, entry: Entry) -> bool:
        """Give a row back as it was; False where it is no longer as the entry left it."""
        place = self._places.get(entry.image_id)
        if place is None:
            return False
        found = (self._status[place], self._reason[place], self._label[place])
        if found != (entry.status, entry.reason, entry.label):
            return False
        self._status[place] = entry.status_before
        self._reason[place] = entry.reason_before
        self._label[place] = entry.label_before
        return True

    def frame(self) -> pd.DataFrame:
        return self._rows.assign(status=self._status, reason=self._reason, label=self._label)


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        marks: one for each image to exclude.
        for_somebody: groups that nobody but a reader can resolve, as their images have different labels.
    """

    marks: tuple[Mark, ...]
    for_somebody: int


def plan_marks(findings: Iterable[Finding], dataset: Dataset, in_force: DecisionsInForce) -> Plan:
    """Return the exclusions that the remedies of `findings` ask for; `look` asks for none.

    Of copies the one stays that comes first by: a reviewer's decision to keep it; test before val before train,
    as taking the training copy ends the leak and leaves a published test set whole; a patient who is known; the
    lowest image id. Images that a reviewer kept although the check flagged them stay. Copies under different
    labels are never resolved here.
    """
    findings = list(findings)
    planner = _Planner(dataset, in_force)
    for finding in findings:
        if finding.remedy == "exclude":
            planner.exclude_all(finding)
    for finding in findings:  # afterwards: a picture that goes anyway must not be the copy that stays
        if finding.remedy == "keep-one":
            for group in finding.groups:
                planner.keep_one(finding, group)
    return Plan(tuple(planner.marks.values()), planner.for_somebody)


class _Planner:
    def __init__(self, dataset: Dataset, in_force: DecisionsInForce) -> None:
        usable = dataset.usable
        self._rows = usable.set_index("image_id")[["label", "split", "patient_id"]].to_dict("index")
        self._patients_known = dataset.info.patients_known
        self._in_force = in_force
        order = natural_order(image for image in usable["image_id"])
        self._places = {image: place for place, image in enumerate(order)}
        self.marks: dict[str, Mark] = {}
        self.for_somebody = 0

    def exclude_all(self, finding: Finding) -> None:
        for image in finding.image_ids:
            if image in self._rows and self._in_force.kept(image, finding.check) is None:
                note = finding.notes.get(image)
                self._mark(finding, image, f": {note}" if note else "")

    def keep_one(self, finding: Finding, group: Sequence[str]) -> None:
        left = [image for image in group if image in self._rows and image not in self.marks]
        if len(left) < 2:
            return
        if len({self._rows[image]["label"] for image in left}) > 1:
            self.for_somebody += 1
            return
        kept = [image for image in left if self._in_force.kept(image, finding.check) is not None]
        stays = min(kept or left, key=self._rank)
        for image in left:
            if image != stays and image not in kept:
                self._mark(finding, image, f": copy of {stays}")

    def _mark(self, finding: Finding, image: str, why: str) -> None:
        reason = f"{MARK}{finding.check}{why}"
        self.marks.setdefault(image, Mark(image, "label-audit", finding.check, "excluded", reason))

    def _rank(self, image: str) -> tuple[int, bool, int]:
        row = self._rows[image]
        split = str(row["split"])
        # test, val, train, then whatever else somebody wrote into the column
        place = len(SPLITS) - 1 - SPLITS.index(split) if split in SPLITS else len(SPLITS)
        nameless = not self._patients_known or row["patient_id"] == image
        return place, nameless, self._places[image]
