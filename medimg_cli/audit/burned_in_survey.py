"""Which pictures of a data set are read for burned-in text, and what was read in each."""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from pydicom import Dataset
from scipy.special import betaincinv

from medimg_cli.audit.measurements.measurements import Reader
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import UnreadableImage, split_member
from medimg_cli.privacy.dicom.header_values import IdentityValues, harvest
from medimg_cli.privacy.dicom.headers import is_dicom
from medimg_cli.privacy.pixels.text_policy import Judgement, judge_line
from medimg_cli.privacy.pixels.text_reading import LineReader, TextLine, line_reader, read_regions, read_whole
from medimg_cli.privacy.pixels.text_regions import Box
from medimg_cli.workspace.progress import Progress, tracked
from medimg_cli.workspace.threads import map_ordered

# Reading takes 0.1 s for a row of signs and 1 s for a million pixels: of more pictures a random part is read.
MOST_READ = 300
# PS3.3 C.7.3.1.1.1 and C.8.6.1: screens of ultrasound machines, secondary captures, scanned film and paper.
_MODALITIES = frozenset(("US", "OT", "SC"))
_CONVERSIONS = frozenset(("DF", "WSD", "SD", "SI"))
_TAGS = ("BurnedInAnnotation", "Modality", "ConversionType")


@dataclass(frozen=True)
class Picture:
    """One picture as the audit knows it.

    Args:
        path: absolute; `set.npz#train/12` for a member.
        regions: where the first pass saw rows of signs.
        suspect: its header says that text is to be expected: then the whole picture is read.
    """

    image_id: str
    path: str
    regions: tuple[Box, ...] = ()
    suspect: bool = False

    @property
    def flagged(self) -> bool:
        return bool(self.regions) or self.suspect


@dataclass(frozen=True)
class Survey:
    """What was read.

    Args:
        flagged: how many pictures the first pass or their header point at.
        read: image id → its lines with what they amount to, of the flagged pictures that were read.
        sample: the same of unflagged ones, taken at random and read whole.
        unread: flagged pictures that were not read.
    """

    flagged: int
    read: Mapping[str, Sequence[tuple[TextLine, Judgement]]] = field(default_factory=dict)
    sample: Mapping[str, Sequence[tuple[TextLine, Judgement]]] = field(default_factory=dict)
    unread: tuple[str, ...] = ()

    @property
    def missed(self) -> int:
        """How many pictures of the sample hold text the first pass did not see."""
        return sum(
            any(judged.meaning in ("identity", "text") for _, judged in lines)
            for lines in self.sample.values()
        )

    @property
    def missed_at_most(self) -> float:
        """The share of unflagged pictures that hold text, at most (one-sided 95 %, Clopper and Pearson 1934)."""
        count, missed = len(self.sample), self.missed
        return float(betaincinv(missed + 1, count - missed, 0.95)) if missed < count else 1.0


def survey(
    pictures: Sequence[Picture], read: Reader, progress: Progress, *, sample: int, seed: int
) -> Survey:
    """Read flagged pictures, `MOST_READ` at most or `sample` if that is more, and `sample` others.

    Pictures that cannot be read any more are left out.

    Raises:
        ReadingUnavailable: the extra is missing.
    """
    generator = np.random.default_rng(seed)
    flagged = [picture for picture in pictures if picture.flagged]
    chosen = _some(flagged, max(MOST_READ, sample), generator)
    others = _some([picture for picture in pictures if not picture.flagged], sample, generator)
    work = [*chosen, *others]
    done = tracked(
        map_ordered(partial(_read_one, read=read, load=line_reader), work),
        progress,
        "reading text in pictures",
        total=len(work),
    )
    lines = {picture.image_id: found for picture, found in zip(work, done, strict=True) if found is not None}
    first = {picture.image_id for picture in chosen}
    return Survey(
        len(flagged),
        {image: found for image, found in lines.items() if image in first},
        {image: found for image, found in lines.items() if image not in first},
        tuple(picture.image_id for picture in flagged if picture.image_id not in lines),
    )


def expects_text(path: str) -> bool:
    """Return whether the header of a DICOM file says that text stands in the pixels, or its kind makes it likely.

    False for what is no DICOM file, for members of archives, and for a file that is gone or damaged.
    """
    file, member = split_member(path)
    if member is not None and not member.startswith("frame/"):
        return False
    try:
        if not is_dicom(Path(file)):
            return False
    except OSError:
        return False  # the matter of splits-and-manifest
    header = _header(file, _TAGS)
    burned_in, modality, conversion = (str(header.get(tag) or "").strip().upper() for tag in _TAGS)
    return burned_in == "YES" or modality in _MODALITIES or conversion in _CONVERSIONS


def _some(pictures: Sequence[Picture], most: int, generator: np.random.Generator) -> list[Picture]:
    """Return all pictures, or `most` of them at random, in their order."""
    if len(pictures) <= most:
        return list(pictures)
    places = np.sort(generator.choice(len(pictures), most, replace=False))
    return [pictures[place] for place in places]


def _read_one(
    picture: Picture, *, read: Reader, load: Callable[[], LineReader]
) -> list[tuple[TextLine, Judgement]] | None:
    """Return the lines of a picture with what they amount to, None where it cannot be read."""
    try:
        pixels = read(picture.path).pixels
    except UnreadableImage:
        return None
    reader = load()
    if picture.regions and not picture.suspect:
        lines = read_regions(pixels, picture.regions, reader)
    else:
        lines = read_whole(pixels, reader)
    values = _values(picture.path) if lines else None
    judged = [(line, judge_line(line, values)) for line in lines]
    return [(line, judgement) for line, judgement in judged if judgement.meaning != "nothing"]


def _values(path: str) -> IdentityValues | None:
    """Return the identities of the header that belongs to a picture, None where it has none."""
    file, _ = split_member(path)
    try:
        return harvest(_header(file)) if is_dicom(Path(file)) else None
    except OSError:
        return None


def _header(file: str, tags: Iterable[str] = ()) -> Dataset:
    """Return the header of a DICOM file, or those of its elements that are named; an empty one of a damaged file."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
        try:
            return header_of(Path(file), list(tags) or None)
        except Exception:  # damaged bytes make pydicom raise what struct and Python happen to raise;
            return Dataset()  # dicom-headers reports the file
