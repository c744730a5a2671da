"""One sitting of a reviewer: the flagged images, what was decided of them, and the log it goes to."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medimg_cli.audit.decisions import Action, Decision, DecisionsInForce, append_decision, read_decisions
from medimg_cli.audit.exclusions import Change, apply_decisions, read_journal
from medimg_cli.audit.findings import Finding
from medimg_cli.dataset.labels import LABEL_SEP
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import UsageError
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.workspace.provenance import now
from medimg_cli.workspace.workspace import Workspace

PAGE_IMAGES = 48
LONGEST_TEXT = 500
_WORDS = {"keep": "kept", "exclude": "to be excluded", "relabel": "to be relabelled"}


@dataclass(frozen=True)
class ReviewCard:
    """One flagged image as the page shows it, identities masked.

    Args:
        number: its row in the manifest; what addresses and forms call it.
        action: what was decided, "" when nothing.
        decision: the same in words.
    """

    number: int
    name: str
    label: str
    facts: str
    note: str
    action: str
    decision: str


@dataclass(frozen=True)
class FindingState:
    """A finding and how far its review is.

    Args:
        number: from 1, in the order of the audit.
        total: images of it that can be shown.
    """

    number: int
    finding: Finding
    decided: int
    total: int


@dataclass(frozen=True)
class Page:
    """One page of a finding's images: groups of cards, `grouped` where the groups mean something."""

    state: FindingState
    groups: tuple[tuple[ReviewCard, ...], ...]
    grouped: bool
    number: int
    pages: int


class ReviewSession:
    """What the routes of the review page call; safe in threads.

    Args:
        workspace: holds the log and the manifest.
        dataset: what was audited.
        findings: of the audit, worst first; those that name no image are left out.
        reviewer: who decides; "" until the page has asked.
    """

    def __init__(
        self, workspace: Workspace, dataset: Dataset, findings: Sequence[Finding], reviewer: str = ""
    ) -> None:
        self._workspace = workspace
        self._dataset = dataset
        self._lock = threading.Lock()
        rows = dataset.rows
        self._ids: list[str] = list(rows["image_id"])
        self._numbers = {image: number for number, image in enumerate(self._ids)}
        self._columns = {
            name: list(rows[name]) for name in ("path", "label", "split", "patient_id", "sha256")
        }
        contents = dict(zip(self._ids, self._columns["sha256"], strict=True))
        self._in_force = DecisionsInForce(read_decisions(workspace), contents)
        self.findings = tuple(f for f in findings if any(image in self._numbers for image in f.image_ids))
        named = {self._numbers[i] for f in self.findings for i in f.image_ids if i in self._numbers}
        self._shown = named | {self._numbers[decision.image_id] for decision in self._in_force.all()}
        self.reviewer = ""
        self.introduce(reviewer)
        self.written = 0

    def introduce(self, name: str) -> None:
        """Take down who decides from now on."""
        self.reviewer = _one_line(name)[:80]

    @property
    def classes(self) -> tuple[str, ...]:
        return self._dataset.info.classes

    @property
    def multi_label(self) -> bool:
        return self._dataset.info.multi_label

    def path_of(self, number: int) -> str | None:
        """Return the absolute path of an image the page shows, None for every other number."""
        return self._workspace.absolute(self._columns["path"][number]) if number in self._shown else None

    def states(self) -> tuple[FindingState, ...]:
        """Return every finding with how many of its images are decided."""
        return tuple(self._state(number) for number in range(1, len(self.findings) + 1))

    def page(self, finding: int, page: int) -> Page | None:
        """Return one page (from 1) of a finding (from 1), None when there is no such one."""
        if not 1 <= finding <= len(self.findings):
            return None
        flagged = self.findings[finding - 1]
        pages = _paginate(flagged, self._numbers)
        if not 1 <= page <= len(pages):
            return None
        groups = tuple(tuple(self._card(image, flagged) for image in group) for group in pages[page - 1])
        return Page(self._state(finding), groups, bool(flagged.groups), page, len(pages))

    def card(self, number: int, finding: int) -> ReviewCard:
        """Return an image as `finding` (from 1; 0 for none) shows it.

        Raises:
            UsageError: there is no such image or finding on the page.
        """
        if number not in self._shown or not 0 <= finding <= len(self.findings):
            raise UsageError("no such image on this page", "load the page again")
        return self._card(self._ids[number], self.findings[finding - 1] if finding else None)

    def decided(self) -> tuple[ReviewCard, ...]:
        """Return every image that a decision stands on."""
        with self._lock:
            found = self._in_force.all()
        return tuple(self._card(decision.image_id, None) for decision in found)

    def decide(
        self, numbers: Sequence[int], finding: int, action: Action, labels: Sequence[str], why: str
    ) -> None:
        """Write a decision on each image to the log; the manifest changes when the decisions are applied.

        Args:
            numbers: of the images.
            finding: whose images they are, from 1; 0 to take a decision back outside any finding.
            labels: of a relabel: one class, or several where an image may carry several.

        Raises:
            UsageError: nobody has given a name, or an image, the finding or a label does not exist; then nothing
                is written.
            MachineError: the log cannot be written.
        """
        if not self.reviewer:
            raise UsageError("who decides?", "give your name first")
        if finding == 0 and action != "undo":
            raise UsageError("a decision answers a finding", "decide on the page of the finding")
        for number in numbers:
            self.card(number, finding)
        label_of = {n: self._label(labels, n) if action == "relabel" else "" for n in numbers}
        with self._lock:
            for number, label in label_of.items():
                self._write(number, finding, action, label, _one_line(why)[:LONGEST_TEXT])

    def _write(self, number: int, finding: int, action: Action, label: str, why: str) -> None:
        image = self._ids[number]
        if action == "undo" and self._in_force.of(image) is None:
            return
        decision = Decision(
            when=now(),
            who=self.reviewer,
            image_id=image,
            action=action,
            check=self.findings[finding - 1].check if finding else "",
            label=label,
            why=why,
            sha256=self._columns["sha256"][number],
        )
        append_decision(self._workspace, decision)
        self._in_force.add(decision)
        self.written += 1

    def apply(self) -> Change:
        """Bring the manifest into line with the decisions; raises as `audit.exclusions.apply_decisions`."""
        with self._lock:
            return apply_decisions(self._workspace)

    def pending(self) -> int:
        """Return how many rows of the manifest do not yet say what was decided."""
        marked = {
            (entry.image_id, entry.label if entry.status == "ok" else "")
            for entry in read_journal(self._workspace)
            if entry.by == "review"
        }
        with self._lock:
            found = self._in_force.all()
        wanted = {(d.image_id, d.label) for d in found if d.action in ("exclude", "relabel")}
        return len({image for image, _ in marked ^ wanted})

    def _label(self, labels: Sequence[str], number: int) -> str:
        unknown = [label for label in labels if label not in self.classes]
        if unknown or not labels or (len(labels) > 1 and not self.multi_label):
            raise UsageError("no such class", "choose one of the list")
        label = LABEL_SEP.join(name for name in self.classes if name in labels)
        if label == self._columns["label"][number]:
            raise UsageError(f"the image is labelled {label} already", "choose another class, or keep it")
        return label

    def _state(self, number: int) -> FindingState:
        finding = self.findings[number - 1]
        images = [image for image in dict.fromkeys(finding.image_ids) if image in self._numbers]
        with self._lock:
            decided = sum(self._in_force.answer(image, finding.check) is not None for image in images)
        return FindingState(number, finding, decided, len(images))

    def _card(self, image: str, finding: Finding | None) -> ReviewCard:
        number = self._numbers[image]
        label, split, patient = (self._columns[name][number] for name in ("label", "split", "patient_id"))
        known = self._dataset.info.patients_known and patient != image
        facts = f"{split}, patient {mask_identities(patient)}" if known else split
        with self._lock:
            answer = self._in_force.answer(image, finding.check) if finding else self._in_force.of(image)
        note = finding.notes.get(image, "") if finding else ""
        words = "" if answer is None else _decision_text(answer)
        action = "" if answer is None else answer.action
        return ReviewCard(number, mask_identities(image), label or "no finding", facts, note, action, words)


def _decision_text(decision: Decision) -> str:
    to = f" {decision.label}" if decision.label else ""
    why = f": {mask_identities(decision.why)}" if decision.why else ""
    when = f"{decision.when[:10]} {decision.when[11:16]} UTC"
    return f"{_WORDS[decision.action]}{to} by {decision.who}, {when}{why}"


def _one_line(text: str) -> str:
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())


def _paginate(finding: Finding, known: dict[str, int]) -> list[list[tuple[str, ...]]]:
    """Return pages of groups of image ids; a group stays on one page unless it is longer than one."""
    pages: list[list[tuple[str, ...]]] = []
    room = 0
    for group in _groups(finding, known):
        if len(group) > room:
            pages.append([])
            room = PAGE_IMAGES
        pages[-1].append(group)
        room -= len(group)
    return pages


def _groups(finding: Finding, known: dict[str, int]) -> Iterator[tuple[str, ...]]:
    if finding.groups:
        placed = {image for group in finding.groups for image in group}
        ungrouped = tuple(image for image in finding.image_ids if image not in placed)
        wholes = [*finding.groups, *((image,) for image in ungrouped)]
    else:
        wholes = [finding.image_ids]
    for whole in wholes:
        images = [image for image in dict.fromkeys(whole) if image in known]
        for start in range(0, len(images), PAGE_IMAGES):
            yield tuple(images[start : start + PAGE_IMAGES])
