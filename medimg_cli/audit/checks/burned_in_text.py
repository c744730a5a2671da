"""Text burned into the pixels: what of it names somebody, what nobody knows, and what nobody read."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

from medimg_cli.audit.burned_in_survey import Picture, Survey, expects_text, survey
from medimg_cli.audit.checks import check, plural
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Severity
from medimg_cli.privacy.forms.masking import mask
from medimg_cli.privacy.pixels.markers import known_words
from medimg_cli.privacy.pixels.text_policy import Judgement, describe
from medimg_cli.privacy.pixels.text_reading import ReadingUnavailable, TextLine
from medimg_cli.privacy.pixels.text_regions import decode_regions
from medimg_cli.workspace.threads import map_ordered

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


def _identities(lines: Mapping[str, Sequence[tuple[TextLine, Judgement]]]) -> Iterator[Finding]:
    for kind, examples in sorted(_by_kind(lines, "identity").items()):
        letter, words = describe(kind)
        message = f"{words} stands in the pixels of {plural(len(examples), 'image')}, such as "
        message += f"'{_example(examples)}' (Safe Harbor {letter})"
        yield _finding("error", message, _HIDE, lines, list(examples))


def _other_text(lines: Mapping[str, Sequence[tuple[TextLine, Judgement]]]) -> Iterator[Finding]:
    for kind, examples in sorted(_by_kind(lines, "text").items()):
        _, words = describe(kind)
        message = f"{words} stands in the pixels of {plural(len(examples), 'image')}, such as "
        message += f"'{_example(examples)}'"
        yield _finding("warning", message, _LOOK, lines, list(examples))


def _markers(lines: Mapping[str, Sequence[tuple[TextLine, Judgement]]]) -> Iterator[Finding]:
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
    lines: Mapping[str, Sequence[tuple[TextLine, Judgement]]], meaning: str
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
    lines: Mapping[str, Sequence[tuple[TextLine, Judgement]]],
    images: list[str],
) -> Finding:
    notes = {image: _note(lines[image]) for image in images}
    return Finding(NAME, severity, message, advice, tuple(images), len(images), notes=notes)


def _note(lines: Sequence[tuple[TextLine, Judgement]]) -> str:
    """Return what stands in one image: `2 lines: date; name`."""
    kinds = dict.fromkeys(kind for _, judged in lines for kind in judged.kinds)
    count = sum(bool(judged.kinds) for _, judged in lines)
    return f"{plural(count, 'line')}: {'; '.join(kinds)}"
