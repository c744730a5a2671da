"""What a text read from pixels amounts to: an identity, a known marker, other text, or nothing."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from numpy.typing import NDArray

from medimg_cli.images.image import DecodedImage
from medimg_cli.privacy.dicom.header_values import IdentityValues, letter_of
from medimg_cli.privacy.forms.names import SAFE_HARBOR, Identity, find_identities, is_date
from medimg_cli.privacy.pixels.markers import has_known_word, is_marker
from medimg_cli.privacy.pixels.text_reading import LineReader, TextLine, read_regions, read_whole
from medimg_cli.privacy.pixels.text_regions import Box, Pixels, find_text_regions, mask_regions

Meaning = Literal["identity", "text", "marker", "nothing"]

# Kind → letter of the list in 45 CFR 164.514(b)(2)(i), and what it is in words.
KINDS = SAFE_HARBOR | {
    "place": ("B", "the name of a hospital or practice"),
    "time": ("", "a time of day"),
    "text": ("", "other text"),
}
# Below the first a text is taken for none, below the second it says nothing sure: measured on real X-rays, where
# what is no text is seldom read with more than 0.7, and drawn identities with less than 0.9 in 1 of 100.
_LEAST_CONFIDENCE, _SURE = 0.6, 0.8
# Crossing ribs and collar bones are read as an A or an X, with much confidence, and as words of three letters, with
# little: of single letters only the sides count.
_LEAST_SIGNS, _LEAST_SIGNS_UNSURE = 3, 5
_SIDES = "LR"

_PLACE = re.compile(
    r"HOSPITAL|(?<![A-Z])(?:HOSP|CLINIC|KLINIK|KLINIKUM|CLINIQUE|CLINICA|INFIRMARY|MEDICAL ?(?:CENT(?:ER|RE)|GROUP)"
    r"|UNIVERSIT\w+|PRAXIS|RADIOLOGY (?:DEPT|ASSOCIATES))(?![A-Z])"
)
# The reader loses blanks and marks, so that none is asked for: DOB03.02.1980, ID0048.
_MARKED_NUMBER = re.compile(
    r"(?<![A-Z])(?:MRN|ACC(?:ESSION)?(?: ?NO)?|(?:PAT(?:IENT)?)?[ .]?ID(?: ?NO)?|PID|UHID|SSN|DOB|NHS|CASE ?NO)"
    r"[ .:#=_-]*[A-Z]{0,3}[-O]?\d[\d-]{2,}"
)
_MARKED_NAME = re.compile(r"(?<![A-Z])(?:NAME|PATIENT|PAT|PHYSICIAN|OPERATOR|TECH)[ .]*[:=][ ]*[A-Z]{2,}")
# As written, capitals and small letters apart; R² is no name, nor is DR 60 (dynamic range).
_TITLED = re.compile(r"(?<![A-Za-z])(?:(?:Dr|Prof|Mrs|Mr|Ms)\b\.? ?|(?:DR|PROF|MRS|MR|MS)\. ?)[A-Z][A-Za-z.]")
_INITIAL = re.compile(r"(?<![A-Za-z0-9])[A-Z0]\. ?[A-Z][a-z]{2,}")
# The caret of DICOM names is read as a quotation mark now and then.
_FAMILY_FIRST = re.compile(r"(?<![^\W\d_])[^\W\d_]{2,}(?:, ?|[\^\"*~])[^\W\d_]{2,}")
_WORD = r"(?:[A-ZÀ-Þ][a-zß-ÿ]+|[A-ZÀ-Þ]{2,})"
# Five letters at least: two short syllables are what texture is read as.
_TWO_CAPITALISED = re.compile(
    rf"(?<![^\W_])(?=[^\W\d_]+ +[^\W\d_]{{3}}|[^\W\d_]{{3}}){_WORD} +{_WORD}(?![^\W_])"
)
_SHORT_DATE = re.compile(r"(?<!\d)(\d{1,2})([-./])(\d{1,2})\2((?:19|20)?\d\d)")
_TIME = re.compile(r"(?<!\d)(?:[01]?\d|2[0-3])[:.][0-5]\d[:.][0-5]\d(?!\d)")
_NUMBER = re.compile(r"\d{6,}")
_TELEPHONE = re.compile(r"\+ ?\d[\d ()/-]{7,}\d|(?<![\d.])\d{3}[ -]\d{3}[ -]\d{4}(?!\d)")


@dataclass(frozen=True)
class TextCategory:
    """What a text is.

    Args:
        meaning: an identity; a text nobody knows; a marker; nothing that can be called text.
        kinds: what of: keys of `KINDS`, and keywords of attributes whose value it is; () of markers and nothing.
    """

    meaning: Meaning
    kinds: tuple[str, ...] = ()


def classify_text(text: str, confidence: float = 1.0, values: IdentityValues | None = None) -> TextCategory:
    """Return what a text read from pixels amounts to.

    Args:
        confidence: of the reader, 0..1.
        values: of the header of the same picture.

    >>> classify_text("DOE^JANE").kinds, classify_text("R LAT").meaning, classify_text("19:02:31").kinds
    (('name',), 'marker', ('time',))
    """
    plain = " ".join(unicodedata.normalize("NFKC", text).split())
    capitals = plain.upper()
    if confidence < _LEAST_CONFIDENCE or not any(sign.isalnum() for sign in plain):
        return TextCategory("nothing")
    kinds = dict.fromkeys(_identities(plain, capitals))
    if values is not None and (keywords := values.search(plain, sure=True)):
        # The patient's own attributes come first, private ones last.
        kinds[
            min(keywords, key=lambda word: (not word.startswith("Patient"), word.startswith("("), word))
        ] = None
    if kinds and confidence >= _SURE:
        return TextCategory("identity", tuple(kinds))
    if _TIME.search(plain):
        return TextCategory("text", ("time",))
    signs = [sign for sign in capitals if sign.isalnum()]
    if is_marker(capitals):
        return TextCategory("marker" if len(signs) > 1 or signs[0] in _SIDES else "nothing")
    least = _LEAST_SIGNS if confidence >= _SURE else _LEAST_SIGNS_UNSURE
    return TextCategory("text", ("text",)) if len(signs) >= least else TextCategory("nothing")


def _identities(plain: str, capitals: str) -> Iterator[str]:
    """Yield the kind of every identity in a text, by the forms of names and numbers and by what pixels add to them."""
    found = find_identities(plain)
    yield from (identity.kind for identity in found if identity.kind != "record-number")
    if _MARKED_NUMBER.search(capitals):
        yield "marked-number"
    if _PLACE.search(capitals):
        yield "place"
    if _TELEPHONE.search(plain):
        yield "phone"
    elif _has_record_number(plain, [identity for identity in found if identity.kind == "date"]):
        yield "record-number"
    if any(map(_is_short_date, _SHORT_DATE.finditer(plain))):
        yield "date"
    if _is_name(plain, capitals):
        yield "name"


def _has_record_number(plain: str, dates: Sequence[Identity]) -> bool:
    """Return whether six digits or more stand there outside dates.

    Three of them have to differ: ribs and scales are read as 111111.
    """
    return any(
        len(set(match.group())) >= 3 and all(match.end() <= d.start or d.end <= match.start() for d in dates)
        for match in _NUMBER.finditer(plain)
    )


def _is_short_date(match: re.Match[str]) -> bool:
    """Return whether day, month and year stand there in some order; 19.02.31 may as well be a time."""
    first, mark, second, last = match.groups()
    if mark == "." and len(last) == 2 and _TIME.fullmatch(match.group()):
        return False
    year = last if len(last) == 4 else f"20{last}"
    orders = [(year, second, first), (year, first, second)]
    if len(first) == len(last) == 2:
        orders.append((f"20{first}", second, last))
    return any(is_date(*order) for order in orders)


def _is_name(plain: str, capitals: str) -> bool:
    """Return whether a person is named: by a word before it, or by its form where no word of it is known."""
    if _MARKED_NAME.search(capitals) or _TITLED.search(plain):
        return True
    family_first = (match.group().upper() for match in _FAMILY_FIRST.finditer(plain))
    if any(not has_known_word(pair) for pair in family_first):
        return True
    return not has_known_word(capitals) and (
        _INITIAL.search(plain) is not None or _TWO_CAPITALISED.search(plain) is not None
    )


def describe(kind: str) -> tuple[str, str]:
    """Return the letter of Safe Harbor, "" where it has none, and the words for a kind of a `TextCategory`."""
    return KINDS.get(kind) or (letter_of(kind), f"the value of {kind}")


def classify_line(line: TextLine, values: IdentityValues | None = None) -> TextCategory:
    return classify_text(line.text, line.confidence, values)


def boxes_to_blank(pixels: Pixels, reader: LineReader | None, *, whole: bool = True) -> list[Box]:
    """Return what `deidentify --mask-text` has to cover in (H, W, C) pixels.

    With a reader: every line that is not a known marker, be it understood or not; where the first pass saw a row
    of signs and the reader saw no line at all, there is none. Without one: every row of signs, with a margin.

    Args:
        whole: have the whole picture read, not only the regions.
    """
    regions = find_text_regions(pixels)
    if reader is None:
        return [_wider(region, pixels.shape[1], pixels.shape[0]) for region in regions]
    lines = read_whole(pixels, reader) if whole else []
    lines += read_regions(pixels, regions, reader)
    covered = [line.box for line in lines if classify_line(line).meaning != "marker"]
    return [_wider(box, pixels.shape[1], pixels.shape[0]) for box in covered]


def covered(image: DecodedImage, boxes: Sequence[Box] | None = None) -> DecodedImage:
    """Return the image with every row of signs in it covered, as `deidentify --mask-text` does without a reader.

    Args:
        boxes: what to cover instead.
    """
    if boxes is None:
        boxes = boxes_to_blank(image.as_uint8(), None)
    if not boxes:
        return image
    masked: NDArray[Any] = mask_regions(image.pixels, boxes)
    return replace(image, pixels=masked)


def _wider(box: Box, width: int, height: int) -> Box:
    """Return the box with a margin: its ends may be a letter short, and soft edges can be read."""
    beside, above = round(0.5 * box.h) + 2, round(0.15 * box.h) + 2
    x, y = max(0, box.x - beside), max(0, box.y - above)
    return Box(x, y, min(width, box.x + box.w + beside) - x, min(height, box.y + box.h + above) - y)
