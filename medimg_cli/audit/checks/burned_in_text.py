"""Text burned into the pixels: what of it names somebody, what nobody knows, and what nobody read."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from pydicom import Dataset
from scipy.special import betaincinv

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Severity
from medimg_cli.audit.measurements.measurements import Reader
from medimg_cli.images.dicom.bombs import header_of
from medimg_cli.images.image import UnreadableImage, split_member
from medimg_cli.privacy.dicom.header_values import IdentityValues, harvest
from medimg_cli.privacy.dicom.headers import is_dicom
from medimg_cli.privacy.forms.names import mask
from medimg_cli.privacy.pixels.markers import known_words
from medimg_cli.privacy.pixels.text_policy import TextCategory, classify_line, describe
from medimg_cli.privacy.pixels.text_reading import (
    LineReader,
    ReadingUnavailable,
    TextLine,
    line_reader,
    read_regions,
    read_whole,
)
from medimg_cli.privacy.pixels.text_regions import Box, decode_regions
from medimg_cli.workspace.plain_text import plural
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
    read: Mapping[str, Sequence[tuple[TextLine, TextCategory]]] = field(default_factory=dict)
    sample: Mapping[str, Sequence[tuple[TextLine, TextCategory]]] = field(default_factory=dict)
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
        map_ordered(partial(_read_one, read=read, load=line_reader), work, task="text"),
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
) -> list[tuple[TextLine, TextCategory]] | None:
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
    judged = [(line, classify_line(line, values)) for line in lines]
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


NAME = "burned-in-text"
_NAMED_MARKERS = 5
_HIDE = "cover it (medimg deidentify --mask-text) or exclude the images: a de-identified header does not help here"
_LOOK = "look at these images: text can name somebody, or tell the ward or the day and with them the label"
_COMPARE = "compare how often they stand in each class: a network reads them before it reads the anatomy"


@check(NAME, "names, dates, numbers or other text stand in the pixels themselves", "text", quick=False)
def burned_in_text(context: AuditContext) -> Checked:
    """Report what is read in the pixels: an identity is an error, text nobody knows a warning, a marker info.

    Every picture was searched for rows of signs while it was measured. Where some were seen, and where a DICOM
    header makes text likely, they are read, together with a random sample of the others, which tells how often
    the first pass is wrong. Without the extra `ocr` nothing is read, and what was seen is a warning.
    """
    pictures = _pictures(context)
    flagged = [picture.image_id for picture in pictures if picture.flagged]
    searched = f"{plural(len(pictures), 'image')} searched, {len(flagged):,} may hold text"
    settings = context.settings
    try:
        found = survey(
            pictures, context.read, context.progress, sample=settings.ocr_sample, seed=settings.seed
        )
    except ReadingUnavailable as reason:
        findings = [_unread(flagged, len(pictures), str(reason))] if flagged else []
        return Checked(tuple(findings), f"{searched}; none read: {reason}")
    return Checked(tuple(_findings(found)), f"{searched}; {_read(found)}")


def _pictures(context: AuditContext) -> list[Picture]:
    """Return the readable images of the data set, in its order."""
    rows = context.dataset.usable
    regions = context.measurements.loc[context.measurements["readable"].astype(bool), "text_regions"]
    known = [
        (str(image), context.workspace.absolute(path))
        for image, path in zip(rows["image_id"], rows["path"], strict=True)
        if image in regions.index
    ]
    suspects = map_ordered(expects_text, [path for _, path in known])
    return [
        Picture(image, path, tuple(decode_regions(str(regions[image]))), suspect)
        for (image, path), suspect in zip(known, suspects, strict=True)
    ]


def _read(found: Survey) -> str:
    """Return how much was read, as half a sentence."""
    text = f"{len(found.read):,} of these read"
    if not found.sample:
        return text
    return (
        f"{text}, and {len(found.sample):,} others: {found.missed} with text, "
        f"so at most {found.missed_at_most:.1%} of the unflagged ones (95 %)"
    )


def _findings(found: Survey) -> Iterator[Finding]:
    lines = {**found.read, **found.sample}
    yield from _identities(lines)
    yield from _other_text(lines)
    yield from _markers(lines)
    if found.unread:
        yield _rest(found)


def _identities(lines: Mapping[str, Sequence[tuple[TextLine, TextCategory]]]) -> Iterator[Finding]:
    for kind, examples in sorted(_by_kind(lines, "identity").items()):
        letter, words = describe(kind)
        message = f"{words} stands in the pixels of {plural(len(examples), 'image')}, such as "
        message += f"'{_example(examples)}' (Safe Harbor {letter})"
        yield _finding("error", message, _HIDE, lines, list(examples))


def _other_text(lines: Mapping[str, Sequence[tuple[TextLine, TextCategory]]]) -> Iterator[Finding]:
    for kind, examples in sorted(_by_kind(lines, "text").items()):
        _, words = describe(kind)
        message = f"{words} stands in the pixels of {plural(len(examples), 'image')}, such as "
        message += f"'{_example(examples)}'"
        yield _finding("warning", message, _LOOK, lines, list(examples))


def _markers(lines: Mapping[str, Sequence[tuple[TextLine, TextCategory]]]) -> Iterator[Finding]:
    """Yield one finding on known markers; their words name nobody and are shown as they are."""
    words: Counter[str] = Counter()
    images: list[str] = []
    for image, found in lines.items():
        texts = [line.text.upper() for line, judged in found if judged.meaning == "marker"]
        if texts:
            images.append(image)
            words.update(set().union(*map(known_words, texts)))
    if images:
        ranked = sorted(words.items(), key=lambda item: (-item[1], item[0]))
        often = ", ".join(f"{word} {count:,}" for word, count in ranked[:_NAMED_MARKERS])
        message = f"side and view markers or technical figures stand in {len(images):,} of {len(lines):,}"
        message += f" images read{f' ({often})' if often else ''}: no identity, but a possible shortcut"
        yield Finding(NAME, "info", message, _COMPARE, tuple(images), len(images))


def _rest(found: Survey) -> Finding:
    """Return the finding on flagged images nobody read: as grave as what was read of the others makes it."""
    worse = any(j.meaning in ("identity", "text") for lines in found.read.values() for _, j in lines)
    message = f"{len(found.unread):,} of {plural(found.flagged, 'image')} that may hold text were not read: "
    message += f"{len(found.read):,} drawn at random were"
    advice = "read more of them with --ocr-sample, or look at them"
    return Finding(NAME, "warning" if worse else "info", message, advice, found.unread, len(found.unread))


def _unread(flagged: list[str], total: int, reason: str) -> Finding:
    message = (
        f"{len(flagged):,} of {plural(total, 'image')} may hold text in their pixels, and nobody read it"
    )
    advice = f"{reason}, or look at these images: names and dates may stand there"
    return Finding(NAME, "warning", message, advice, tuple(flagged), len(flagged))


def _by_kind(
    lines: Mapping[str, Sequence[tuple[TextLine, TextCategory]]], meaning: str
) -> dict[str, dict[str, str]]:
    """Return kind → image id → the first text of that kind in it."""
    found: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for image, texts in lines.items():
        for line, judged in texts:
            for kind in judged.kinds if judged.meaning == meaning else ():
                found[kind].setdefault(image, line.text)
    return found


def _example(examples: Mapping[str, str]) -> str:
    """Return the text of the first image, masked whole and cut: its form is enough to find it again."""
    text = mask(" ".join(next(iter(examples.values())).split()))
    return text if len(text) <= 40 else f"{text[:39]}…"


def _finding(
    severity: Severity,
    message: str,
    advice: str,
    lines: Mapping[str, Sequence[tuple[TextLine, TextCategory]]],
    images: list[str],
) -> Finding:
    notes = {image: _note(lines[image]) for image in images}
    return Finding(NAME, severity, message, advice, tuple(images), len(images), notes=notes)


def _note(lines: Sequence[tuple[TextLine, TextCategory]]) -> str:
    """Return what stands in one image: `2 lines: date; name`."""
    kinds = dict.fromkeys(kind for _, judged in lines for kind in judged.kinds)
    count = sum(bool(judged.kinds) for _, judged in lines)
    return f"{plural(count, 'line')}: {'; '.join(kinds)}"
