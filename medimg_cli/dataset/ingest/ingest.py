"""The way from sources to a manifest: read → label → examine → split → write; a dry run stops before the last."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic

import pandas as pd

from medimg_cli.dataset.class_names import (
    code_book_for,
    label_space,
    refuse_empty_classes,
    respelt,
    without_foreign_classes,
)
from medimg_cli.dataset.exams import UIDS, exams_named, with_exams
from medimg_cli.dataset.ingest.collect import (
    Changes,
    Gathered,
    compare,
    refuse_one_patient,
    remark,
    remark_positive,
)
from medimg_cli.dataset.ingest.examine import Copier, Examined, Examiner, quarantine_row
from medimg_cli.dataset.ingest.plausible import Question, open_questions, tables_in
from medimg_cli.dataset.ingest.previous import Containers, PreviousDataset, to_remember
from medimg_cli.dataset.ingest.sources import Reading, merge, plan_readings, records
from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.dataset.layouts import LAYOUTS, find_layout, name_sources
from medimg_cli.dataset.listing import Entry, Listing, Rejected, choose_frames, without_frame
from medimg_cli.dataset.manifest import (
    GONE,
    QUARANTINE_COLUMNS,
    VANISHED,
    VANISHED_EARLIER,
    Dataset,
    DatasetInfo,
    read_quarantine,
    write_dataset,
)
from medimg_cli.dataset.name_groups import (
    NameGroups,
    groups_in_names,
    looking,
    measured,
    rank_patterns,
    touched,
)
from medimg_cli.dataset.patients import UNKNOWN, patient_pattern, patients_of
from medimg_cli.dataset.splits import SplitPlan
from medimg_cli.errors import DataError, UsageError
from medimg_cli.images.image import DecodedImage
from medimg_cli.images.readers import frame_count
from medimg_cli.workspace.progress import Remarks, tracked
from medimg_cli.workspace.section import LabelCode
from medimg_cli.workspace.settings import IngestSettings
from medimg_cli.workspace.table_form import has_parquet, is_large
from medimg_cli.workspace.threads import map_ordered, takes_too_long
from medimg_cli.workspace.workspace import Workspace

SAMPLE, SAMPLE_SECONDS = 96, 2.0
"""A dry run decodes so many images, and none any more after so long."""
_IMAGE_SUFFIXES = tuple(
    ".jpg .jpeg .png .gif .bmp .pgm .ppm .tif .tiff .webp .dcm .dicom .ima .gz .nii .npy".split()
)


@dataclass
class Ingest:
    """One ingest; its steps are called in their order, each builds on what those before left here.

    Args:
        read_image: raises `UnreadableImage`, whose text becomes the reason.
        code_book: class → what it means.
        rejected_before: files that were refused before anything was listed.
        dry: decode a sample, hash nothing and write nothing.
        tested: as `label_space` has it.
    """

    workspace: Workspace
    sources: Sequence[Path]
    settings: IngestSettings
    previous: PreviousDataset
    remarks: Remarks
    read_image: Callable[[str], DecodedImage]
    code_book: Mapping[str, LabelCode] | None = None
    rejected_before: tuple[Rejected, ...] = ()
    dry: bool = False
    tested: bool = False

    readings: list[tuple[str, Reading]] = field(init=False)
    listing: Listing = field(init=False)
    space: LabelSpace = field(init=False)
    questions: list[Question] = field(init=False, default_factory=list)
    gathered: Gathered = field(init=False, default_factory=Gathered)
    examined: int = field(init=False, default=0)
    changes: Changes = field(init=False)
    quarantine: pd.DataFrame = field(init=False)
    rows: pd.DataFrame = field(init=False)
    info: DatasetInfo = field(init=False)
    groups: tuple[NameGroups, ...] = field(init=False, default=())

    @property
    def layout(self) -> str:
        """Return the layouts that the sources are read by, joined by "+"."""
        return "+".join(dict.fromkeys(layout for layout, _ in self.readings))

    def read(self) -> None:
        """List what the sources hold, by the layout of each."""
        taken = () if self.previous.info is None else tuple(o.prefix for o in self.previous.info.origins)
        named = name_sources(self.sources, taken=taken)
        readings = plan_readings(self.workspace, named, self.settings, self.previous)
        self.readings = [(find_layout(reading.sources, reading.settings), reading) for reading in readings]
        listings = [_listed(layout, reading) for layout, reading in self.readings]
        for (_, reading), found in zip(self.readings, listings, strict=True):
            if not found.entries and len(listings) > 1:
                places = ", ".join(str(source.path) for source in reading.sources)
                self.remarks.warn(f"no image was found in {places}")
        self.listing = merge(listings, self.rejected_before, several=self.settings.multi_label)
        for note in self.listing.notes:
            self.remarks.note(note)

    def label(self) -> None:
        """Tell the classes; a dry run collects what is implausible, else an ingest without `--yes` stops there.

        Raises:
            UsageError: something is implausible, and is not confirmed by an option.
            DataError: there is no image, or one class only.
        """
        first = self.previous.info is None
        # Who names the layout, or one of the folders as the disease, has stated what the folders are.
        stated = self.settings.layout != "auto" or self.settings.positive in self.listing.classes
        meant = self.settings.assume_yes or (stated and not self.listing.columns)
        self.questions = open_questions(self.listing, self.layout) if first and not meant else []
        if self.questions and not self.dry:
            worst = self.questions[0]
            raise UsageError(
                worst.question,
                f"{worst.option} answers it, --yes goes on as it is; `medimg ingest --dry-run` shows it all",
            )
        try:
            self.space = label_space(self.listing, self.settings, tested=self.tested)
        except DataError as error:
            table = next(iter(tables_in(self.listing)), None)
            option = (
                f"--labels {shlex.quote(table)}" if table and self.settings.labels is None else error.hint
            )
            hint = f"{error.hint}; {option}?" if table else error.hint
            if self.layout in ("folders", "names"):
                seen = LAYOUTS.get("names").suggestion(self.readings[0][1].sources[0])
                hint, option = seen or hint, seen or option
            if not self.dry or not self.listing.entries:
                raise DataError(error.what, hint) from error
            self.questions.append(Question(error.what, option))
            self.space = LabelSpace(self.listing.classes)

    def examine(self) -> None:
        """Decode every new or changed image once, of a dry run a sample; everything else gets its reason."""
        rejected = list(self.listing.rejected)
        entries: list[Entry] = []
        for choice in self._frames():
            if isinstance(choice, Rejected):
                rejected.append(choice)
            else:
                entries.append(choice)
        before = {} if self.previous.info is None else self.previous.info.containers
        self._containers = Containers(before)
        lost: set[str] = set()
        for entry, outcome in self._examined(entries):
            self.examined += 1
            if isinstance(outcome, Rejected):
                rejected.append(outcome)
                lost.add(entry.image_id)
                self.gathered.lose(entry, outcome.reason)
            else:
                self.gathered.add(outcome, self.previous)
        each = self.settings.frames.startswith(("all", "every"))
        if (several := self.gathered.in_frames()) and (self.dry or not each):
            how = (
                ", which a dry run does not count"
                if each
                else "; one of each is the image (--frames all takes all)"
            )
            self.remarks.note(f"{several} files read hold several frames or slices{how}")
        self._entries = [e for e in entries if e.image_id not in lost] if self.dry else self.gathered.entries
        self.changes = compare(self.gathered, self.previous, self._entries if self.dry else None)
        if self.dry:
            found = [(row.path, row.reason) for row in rejected]
            self.quarantine = pd.DataFrame(found, columns=["path", "reason"])
            try:
                labels = [entry.label for entry in self._entries]
                refuse_empty_classes(self.space, labels, list(self.quarantine["reason"]), self.listing.missed)
            except DataError as error:
                self.questions.append(Question(error.what, error.hint))
            return
        self.quarantine = self._quarantine(rejected)
        self.space = without_foreign_classes(
            self.space,
            self.gathered.foreign_labels(),
            self.settings,
            self.previous,
            self.remarks,
            tested=self.tested,
        )
        reasons_given, missed = list(self.quarantine["reason"]), self.listing.missed
        if self.settings.split[0] != 1:
            self.gathered.refuse_lost_train()
        refuse_empty_classes(
            self.space, self.gathered.labels(), reasons_given, missed, self.gathered.why_lost
        )

    def split(self) -> None:
        """Tell patients apart and give every image its split; the manifest is complete then, but not written."""
        entries, settings, previous = self._entries, self.settings, self.previous
        if settings.patient_regex == "auto":
            settings = self.settings = self._with_best_pattern()
        pattern = None if settings.patient_regex is None else patient_pattern(settings.patient_regex)
        headers = self._headers()
        exams, exams_from = exams_named(entries, headers, settings, previous)
        named = [header.get("patient_id", "") for header in headers]
        patients, origin = patients_of(entries, named, pattern, previous, self.remarks, exams)
        if self.dry:
            ids = [entry.image_id for entry in entries]
            labels = [entry.label for entry in entries]
            # Nothing is hashed: of identical files, which an ingest keeps together, a dry run knows nothing.
            self.rows = pd.DataFrame({"image_id": ids, "label": labels, "sha256": ids})
        else:
            self.rows = self.gathered.frame(previous.further_columns)
        rows = self.rows
        rows["patient_id"] = patients
        own = [without_frame(entry.image_id) for entry in entries]
        if not (self.dry and exams_from in UIDS):  # whose headers are not all read
            exams_from = with_exams(rows, exams, exams_from, own, self.remarks)
        splits = SplitPlan(entries, patients, list(rows["sha256"]), settings, previous)
        rows["split"] = splits.assign()
        if settings.folds is not None:
            rows["fold"] = splits.folds(list(rows["split"]))
        known = origin != UNKNOWN
        if not known and not self.groups:
            self.groups = self._ranked()
        self.groups = tuple(self._counted(found) for found in self.groups)
        self.info = DatasetInfo(
            classes=self.space.classes,
            positive=self.space.positive,
            positive_guessed=self.space.positive is not None and settings.positive is None,
            multi_label=settings.multi_label,
            seed=settings.seed,
            layout=self.layout,
            sources=tuple(self.workspace.relative(s.path) for _, r in self.readings for s in r.sources),
            patients_known=known,
            patients_from=origin,
            splits_given=splits.official,
            exams_from=exams_from,
            split_origin=splits.origin(list(rows["split"]), known=known),
            folds=settings.folds,
            name_pattern=self.groups[0].regex if self.groups and not known else None,
            code_book=code_book_for(self.space, self.code_book, previous),
            origins=records(self.workspace, self.readings),
            settings=to_remember(settings),
            containers=dict(sorted(self._containers.hashes.items())),
            vanished=previous.splits_to_keep(self.changes.lost, entries),
        )
        try:
            refuse_one_patient(rows, self.info, settings)
        except DataError as error:
            if not self.dry:
                raise
            # Where the classes are none, that each is one patient follows from it.
            self.questions += [] if self.questions else [Question(error.what, error.hint)]
        if not self.tested:
            remark_positive(self.info, self.remarks)
        remark(rows, self.info, settings, previous, self.changes, self.remarks)
        if self.info.name_pattern is not None:
            self.remarks.warn(f"file names group the images: {self.groups[0].line()}")

    def write(self) -> None:
        """Write the manifest, the quarantine and, where it is asked for, copies of the images."""
        entries = self._entries
        if (
            self.settings.copy_images and not self.settings.deidentify
        ):  # de-identified copies are there already
            copier = Copier(self.workspace)
            self.rows["path"] = [copier.copy(entry) for entry in entries]
        else:
            self.rows["path"] = [self.workspace.relative(Path(entry.path)) for entry in entries]
        write_dataset(self.workspace, Dataset(self.rows, self.info), self.quarantine)
        if is_large(len(self.rows)) and not has_parquet():
            self.remarks.note(
                "a manifest of so many rows is kept as Parquet after `pip install 'medimg[parquet]'`"
            )

    def _ranked(self) -> tuple[NameGroups, ...]:
        """Return the patterns by which file names group the images, the best first; one that stands stays."""
        names, labels = [e.relative for e in self._entries], [e.label for e in self._entries]
        before = self.previous.info
        if before is None:
            look = looking([e.path for e in self._entries], lambda path: self.read_image(path).pixels)
            return tuple(rank_patterns(names, labels, look))
        found = before.name_pattern and measured(
            before.name_pattern, groups_in_names(names, before.name_pattern)
        )
        return (found,) if found else ()

    def _with_best_pattern(self) -> IngestSettings:
        """Return the settings with the best pattern for `--patient-regex auto`, without one where there is none."""
        self.groups = self._ranked()
        best = self.groups[0] if self.groups else None
        if best is None:
            self.remarks.warn("--patient-regex auto: no pattern in the file names groups the images")
        else:
            self.remarks.note(f"--patient-regex auto takes {shlex.quote(best.regex)}, {best.why}")
        return self.settings.model_copy(update={"patient_regex": best.regex if best else None})

    def _counted(self, found: NameGroups) -> NameGroups:
        names = groups_in_names([entry.image_id for entry in self._entries], found.regex)
        return replace(found, test_images_touched=sum(touched(names, list(self.rows["split"]))))

    def _frames(self) -> Iterator[Entry | Rejected]:
        if (
            self.settings.frames == "middle" or self.dry
        ):  # no header needs to be opened for the readers' own choice
            yield from self.listing.entries
            return
        frames, seconds = self.settings.frames, self.settings.decode_seconds

        def choose(entry: Entry) -> list[Entry | Rejected]:
            return list(choose_frames(entry, frames, frame_count))

        def late(entry: Entry) -> list[Entry | Rejected]:
            return [self._late(entry)]

        for choices in map_ordered(choose, self.listing.entries, seconds=seconds, late=late):
            yield from choices

    def _examined(self, entries: Sequence[Entry]) -> Iterator[tuple[Entry, Examined | Rejected]]:
        examiner = Examiner(
            self.workspace, self.read_image, self.previous, self._containers, hashing=not self.dry
        )
        chosen = _sample(entries) if self.dry else entries
        seconds = self.settings.decode_seconds
        task = "" if self.dry else "examine"
        outcomes = map_ordered(examiner.examine, chosen, seconds=seconds, late=self._late, task=task)
        started = monotonic()
        for pair in tracked(
            zip(chosen, outcomes, strict=True), self.remarks.progress, "reading images", total=len(chosen)
        ):
            examiner.hash_container(*pair)
            yield pair
            if self.dry and monotonic() - started > SAMPLE_SECONDS:
                outcomes.close()
                return

    def _late(self, entry: Entry) -> Rejected:
        return Rejected(entry.path, takes_too_long(self.settings.decode_seconds))

    def _headers(self) -> list[Mapping[str, str]]:
        """Return what the header of each image names; of a dry run the patient alone, as the sample says of all."""
        if not self.dry:
            return self.gathered.headers
        seen = {
            e.image_id: h.get("patient_id", "")
            for e, h in zip(self.gathered.entries, self.gathered.headers, strict=True)
        }
        rest = next(iter(set(seen.values())), "") if len(set(seen.values())) < 2 else ""
        return [{"patient_id": seen.get(entry.image_id, rest)} for entry in self._entries]

    def _quarantine(self, rejected: Sequence[Rejected]) -> pd.DataFrame:
        """Return a row for everything that cannot be used, and for every image that is gone."""
        rows = list(
            map_ordered(
                lambda row: quarantine_row(self.workspace, row),
                rejected,
                seconds=self.settings.decode_seconds,
                late=lambda row: quarantine_row(self.workspace, row, hashing=False),
            )
        )
        known = {row["path"] for row in rows}
        known |= {self.workspace.relative(Path(entry.path)) for entry in self.gathered.entries}
        gone = dict.fromkeys((self.previous.cell(name, "path") for name in self.changes.vanished), VANISHED)
        if self.previous.info is not None:
            earlier = read_quarantine(self.workspace)
            earlier = earlier[earlier["reason"].isin(GONE)]
            gone = dict.fromkeys(earlier["path"], VANISHED_EARLIER) | gone
        rows += [
            {"path": path, "reason": reason, "bytes": "", "sha256": ""}
            for path, reason in gone.items()
            if path not in known
        ]
        rows.sort(key=lambda row: (str(row["path"]), str(row["reason"])))
        return pd.DataFrame(rows, columns=list(QUARANTINE_COLUMNS))


def _listed(layout: str, reading: Reading) -> Listing:
    """Return what a layout lists, its classes called as the settings say; a table's were when it was read."""
    listing = LAYOUTS.get(layout).list_images(reading.sources, reading.settings)
    mapping = reading.settings.map_classes if reading.settings.labels is None else {}
    return respelt(listing, mapping, several=reading.settings.multi_label)


def reasons(quarantine: pd.DataFrame) -> dict[str, int]:
    """Return reason → how many files, the commonest first; what concerns one file alone is cut off."""
    short = (str(reason).split(": ")[0].split(" (")[0] for reason in quarantine["reason"])
    return dict(Counter(short).most_common())


def _sample(entries: Sequence[Entry]) -> list[Entry]:
    """Return images spread evenly over the listing, and first of all files whose suffix is no image's."""
    odd = [e for e in entries if not e.relative.split("#")[0].lower().endswith(_IMAGE_SUFFIXES)]
    spread = entries[:: max(1, len(entries) // SAMPLE)]
    return list({entry.image_id: entry for entry in (*odd[: 2 * SAMPLE], *spread)}.values())
