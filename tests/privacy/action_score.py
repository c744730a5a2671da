"""How many of the actions de-identification owes are done, counted as the MIDI-B challenge counts them.

The ten kinds of action are those of MIDI-B (MICCAI 2024, arXiv 2507.23608), applied to identities of our own:
required actions are counted per attribute, and the score is correct over required.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.datadict import keyword_for_tag
from pydicom.tag import BaseTag

from medimg_cli.privacy.dicom.header_texts import is_class, representation, text_of
from medimg_cli.privacy.dicom.rules import rule_for
from medimg_cli.privacy.removal.header_cleaner import shifted_date, shifted_date_time
from tests.privacy.planted_identities import BY_VALUE, NESTED, TOP_LEVEL, left_in

_STANDARD_ROOT = "1.2.840.10008."
_MARKS = (
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
)
_NOT_NULL = ("PatientID", "PatientName", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_SECRET_TEXTS = frozenset([*TOP_LEVEL.values(), *NESTED.values(), BY_VALUE])
_TEXTS = frozenset(["AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"])


@dataclass
class Score:
    """Actions required and done, by kind."""

    required: Counter[str] = field(default_factory=Counter)
    correct: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _uids: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _patients: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def count(self, kind: str, done: bool, what: str = "") -> None:
        self.required[kind] += 1
        self.correct[kind] += done
        if not done:
            self.failures.append(f"{kind}: {what}")

    @property
    def share(self) -> float:
        return sum(self.correct.values()) / sum(self.required.values())

    def add(self, before: bytes, after: bytes, days: Callable[[str], int]) -> None:
        """Count the actions of one file with shifted dates; `days` gives the shift of a PatientID."""
        old, new = dcmread(BytesIO(before), force=True), dcmread(BytesIO(after))
        patient = text_of(old, 0x00100020)
        if patient:
            self._patients[patient].add(text_of(new, 0x00100020))
        for keyword in _NOT_NULL:
            if keyword in old:
                self.count("text_notnull", bool(str(new.get(keyword, ""))), keyword)
        left = left_in(after)
        for kind in left_in(before):
            self.count("text_removed", kind not in left, kind)
        self._compare(old, new, days(patient) if patient else None)
        if "PixelData" in old:
            samples = _samples(old)
            if samples is not None:
                self.count("pixels_retained", samples == _samples(new), "PixelData")

    def finish(self) -> None:
        """Count what shows only over all files: one original, one replacement."""
        for kind, seen in (("uid_consistent", self._uids), ("patid_consistent", self._patients)):
            for original, replacements in seen.items():
                self.count(kind, len(replacements) == 1, original)
            everywhere = [value for values in seen.values() for value in values]
            self.count(kind, len(everywhere) == len(set(everywhere)), "two originals share a replacement")

    def _compare(self, old: Dataset, new: Dataset, days: int | None) -> None:
        for tag, vr in _owed(old):
            name = keyword_for_tag(tag)
            if vr in ("DA", "DT"):
                if days is not None:  # else the file's study decides, which the caller does not know
                    self._date(old, new, tag, vr, days)
            elif vr == "UI":
                self._uid(old, new, tag)
            elif vr == "SQ":
                self.count("tag_retained", tag in new, name)
                pairs = zip(old[tag].value or (), new[tag].value or (), strict=True) if tag in new else ()
                for one, other in pairs:
                    self._compare(one, other, days)
            elif rule_for(int(tag)) is None and vr != "PN":
                self.count("tag_retained", tag in new, name)
                text = text_of(old, tag)
                if vr in _TEXTS and text and text not in _SECRET_TEXTS:
                    self.count("text_retained", text_of(new, tag) == text, f"{name} {text}")

    def _date(self, old: Dataset, new: Dataset, tag: BaseTag, vr: str, days: int) -> None:
        rule = rule_for(int(tag))
        move = shifted_date if vr == "DA" else shifted_date_time
        moved = [move(part, days) for part in text_of(old, tag).split("\\")]
        if (rule is None or "M" in rule.cleans) and None not in moved:
            self.count(
                "date_shifted",
                text_of(new, tag) == "\\".join(str(part) for part in moved),
                keyword_for_tag(tag),
            )

    def _uid(self, old: Dataset, new: Dataset, tag: BaseTag) -> None:
        rule = rule_for(int(tag))
        if is_class(tag) or (rule is not None and rule.action == "X"):
            return
        before, after = text_of(old, tag).split("\\"), text_of(new, tag).split("\\")
        for one, other in zip(before, after, strict=True):
            if one and not one.startswith(_STANDARD_ROOT):
                self.count("uid_changed", bool(other) and one != other, keyword_for_tag(tag))
                self._uids[one].add(other)


def _samples(dataset: Dataset) -> bytes | None:
    """Return decoded pixels, None where nothing here decodes them."""
    try:
        return bytes(dataset.pixel_array.tobytes())
    except Exception:  # decoders raise what they like
        return None


def _owed(dataset: Dataset) -> Iterator[tuple[BaseTag, str]]:
    """Yield the attributes the table leaves, or changes into something that can be compared."""
    for tag in list(dataset.keys()):
        vr = representation(dataset, tag)
        rule = rule_for(int(tag))
        if vr is None or keyword_for_tag(tag) in _MARKS or tag.group == 0x7FE0:
            continue
        if vr == "SQ" and rule is not None and not rule.action.endswith("U*"):
            continue
        yield tag, vr
