"""What `label-audit --apply` does about a finding: which images go, and which copy of a picture stays."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from medimg_cli.audit.decisions import Standing
from medimg_cli.audit.exclusions import Mark
from medimg_cli.audit.findings import Finding
from medimg_cli.dataset.labels import natural_order
from medimg_cli.dataset.manifest import MARK, SPLITS, Dataset


@dataclass(frozen=True)
class Plan:
    """What is to be done.

    Args:
        marks: one for each image to exclude.
        for_somebody: groups that nobody but a reader can resolve, as their images have different labels.
    """

    marks: tuple[Mark, ...]
    for_somebody: int


def plan_marks(findings: Iterable[Finding], dataset: Dataset, standing: Standing) -> Plan:
    """Return the exclusions that the remedies of `findings` ask for; `look` asks for none.

    Of copies the one stays that comes first by: a reviewer's decision to keep it; test before val before train,
    as taking the training copy ends the leak and leaves a published test set whole; a patient who is known; the
    lowest image id. Images that a reviewer kept although the check flagged them stay. Copies under different
    labels are never resolved here.
    """
    findings = list(findings)
    planner = _Planner(dataset, standing)
    for finding in findings:
        if finding.remedy == "exclude":
            planner.exclude_all(finding)
    for finding in findings:  # afterwards: a picture that goes anyway must not be the copy that stays
        if finding.remedy == "keep-one":
            for group in finding.groups:
                planner.keep_one(finding, group)
    return Plan(tuple(planner.marks.values()), planner.for_somebody)


class _Planner:
    def __init__(self, dataset: Dataset, standing: Standing) -> None:
        usable = dataset.usable
        self._rows = usable.set_index("image_id")[["label", "split", "patient_id"]].to_dict("index")
        self._patients_known = dataset.info.patients_known
        self._standing = standing
        order = natural_order(image for image in usable["image_id"])
        self._places = {image: place for place, image in enumerate(order)}
        self.marks: dict[str, Mark] = {}
        self.for_somebody = 0

    def exclude_all(self, finding: Finding) -> None:
        for image in finding.image_ids:
            if image in self._rows and self._standing.kept(image, finding.check) is None:
                note = finding.notes.get(image)
                self._mark(finding, image, f": {note}" if note else "")

    def keep_one(self, finding: Finding, group: Sequence[str]) -> None:
        left = [image for image in group if image in self._rows and image not in self.marks]
        if len(left) < 2:
            return
        if len({self._rows[image]["label"] for image in left}) > 1:
            self.for_somebody += 1
            return
        kept = [image for image in left if self._standing.kept(image, finding.check) is not None]
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
