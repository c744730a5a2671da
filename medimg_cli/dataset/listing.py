"""What sources list as their content, before anything is decoded: what layouts return and ingest reads."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

NO_LABEL = "no label in the table"
"""How the reason of a row begins that says no class."""


@dataclass(frozen=True)
class Source:
    """One place images come from.

    Args:
        path: absolute; a folder or a file.
        prefix: what its image ids begin with, "" or "name/", so that several sources cannot collide.
        ignored: absolute paths inside it that are no input: the labels table, medimg's own artefacts.
    """

    path: Path
    prefix: str = ""
    ignored: frozenset[Path] = frozenset()


@dataclass(frozen=True, slots=True)
class Entry:
    """One image a source lists.

    Args:
        image_id: posix, unique across all sources.
        path: what `images.readers.read_image` opens.
        label: its class; of several labels, in the order of the classes with `LABEL_SEP` between.
        relative: posix path relative to its source, where a patient's name is searched.
        patient_id: None when the layout does not know it.
        split: train, val or test where the source fixes it.
        exam: that it is of, "" when the layout does not know it.
        extra: further columns by name.
    """

    image_id: str
    path: str
    label: str
    relative: str
    patient_id: str | None = None
    split: str | None = None
    exam: str = ""
    extra: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file, or a row of a table, that cannot be an image of the data set, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Missed:
    """A row of a table that names no file, or several.

    Args:
        table: its name.
        number: of the row, as a spreadsheet counts.
        value: what was looked for.
        label: what it says the image is.
    """

    table: str
    number: int
    value: str
    reason: str
    label: str | None


@dataclass(frozen=True)
class Column:
    """A column of a table of labels.

    Args:
        taken_for: image, label, patient, split, exam, "carried along" or "left out: may identify people".
        values: the commonest of its cells.
        distinct: how many different filled cells it has.
    """

    name: str
    taken_for: str
    values: tuple[str, ...]
    distinct: int


@dataclass(frozen=True)
class Listing:
    """All that the sources hold.

    Args:
        classes: in the order of every probability vector; a class may turn out to have no readable image.
        notes: what the user should know about how the sources were read.
        columns: of the table of labels, () without one.
        label_source: how the label of an image was found, for people.
        missed: rows of tables without a file; they are among the rejected.
    """

    entries: tuple[Entry, ...]
    rejected: tuple[Rejected, ...]
    classes: tuple[str, ...]
    notes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    label_source: str = "name of its class folder"
    missed: tuple[Missed, ...] = ()


def missed_text(missed: Sequence[Missed]) -> str:
    """Return how many rows name no file, which, and what was looked for, by two examples of different reasons."""
    kinds = {re.sub(r"[:(].*", "", row.reason): row for row in reversed(missed)}
    examples = [*dict.fromkeys([*reversed(kinds.values()), *missed])][:2]
    reasons = "; ".join(
        f"row {row.number} '{row.value}': {row.reason}" if row.value else f"row {row.number}: {row.reason}"
        for row in sorted(examples, key=lambda row: row.number)
    )
    numbers = ", ".join(str(row.number) for row in missed[:5]) + (", …" if len(missed) > 5 else "")
    rows = "row names" if len(missed) == 1 else "rows name"
    return f"{missed[0].table}: {len(missed):,} {rows} no single file ({numbers}): {reasons}"


_FRAME = re.compile(r"#frame/\d+$")


def choose_frames(entry: Entry, frames: str, frame_count: Callable[[str], int]) -> Iterator[Entry | Rejected]:
    """Yield the images to take from one listed file: itself where it has one frame.

    With "all" or "every:5" (frames 0, 5, 10 …), each frame is an image of its own id (`a.dcm#frame/3`, from 0); else the file stays one image.

    Args:
        frames: middle (the reader's own choice), first, all, every:N, or the number of a frame.
        frame_count: tells the frames of a path, 1 for what cannot be read: decoding it says why.
    """
    count = 1 if frames == "middle" else frame_count(entry.path)
    if count == 1:
        yield entry
    elif frames == "all" or frames.startswith("every:"):
        for number in range(0, count, int(frames.partition(":")[2] or 1)):
            member = f"#frame/{number}"
            yield replace(
                entry,
                image_id=f"{entry.image_id}{member}",
                path=f"{entry.path}{member}",
                relative=f"{entry.relative}{member}",
            )
    else:
        number = 0 if frames == "first" else int(frames)
        if number < count:
            yield replace(entry, path=f"{entry.path}#frame/{number}")
        else:
            yield Rejected(entry.path, f"has {count} frames, counted from 0: no frame {number}")


def without_frame(image_id: str) -> str:
    """Return the id of the file an image is a frame of, or the id itself.

    >>> without_frame("SICK/a.dcm#frame/3")
    'SICK/a.dcm'
    """
    return _FRAME.sub("", image_id)
