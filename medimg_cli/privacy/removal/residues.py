"""What of a person is left in a file that was de-identified: the last look before it is put in place."""

import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from pydicom import Dataset, dcmread
from pydicom.charset import convert_encodings
from pydicom.datadict import keyword_for_tag

from medimg_cli.privacy.dicom.header_texts import element_texts, representation, text_of
from medimg_cli.privacy.dicom.header_values import (
    WHOLE,
    IdentityValues,
    encoded,
    found_among,
    harvest_texts,
    written_forms,
)
from medimg_cli.privacy.dicom.headers import HeaderIdentities, identities_of
from medimg_cli.privacy.dicom.normal_form import joined, plain_letters
from medimg_cli.privacy.dicom.rules import HeaderRule, rule_for
from medimg_cli.privacy.forms.names import is_placeholder
from medimg_cli.privacy.removal.profile import MARK_WORDS, Profile, Verb

_PATIENT_NAME = 0x00100010
# Makers stand as institution in test images and phantoms, and as maker in every file: no identity.
_MAKERS = (
    "Agfa, Canon Medical Systems, Carestream, Fujifilm, GE Healthcare, GE Medical Systems, Hitachi, Hologic, "
    "Konica Minolta, Philips Medical Systems, Samsung Medison, Shimadzu, Siemens Healthineers, Toshiba"
)
_MAKER_FORMS = frozenset(joined(form) for name in _MAKERS.split(", ") for form in (name, name.split()[0]))
_INSTITUTIONS = frozenset(["InstitutionName", "InstitutionAddress", "InstitutionalDepartmentName"])
_SHORTEST_TEXT = 5
_SHORTEST_FORM, _SHORTEST_IN_SAMPLES = 5, 8
"""Bytes of a value that compressed frames hold by chance in one of a million files; neighbouring plain samples are alike,
and spell short words more often: those of fewer bytes count where they differ from the rows beside them."""
_FOREIGN = 4
_UID = re.compile(rb"[0-2](?:\.[0-9]+){4,}")
_OUR_MARKS = (0x00120063, 0x00120064)
_PREAMBLE_BYTES = 132
_GROUP_LENGTH_BYTES = 12
# Pixel Data (7FE0,0010) as it begins in the file, by byte order.
_PIXEL_TAGS = (b"\xe0\x7f\x10\x00", b"\x7f\xe0\x00\x10")
_DEFLATED = "1.2.840.10008.1.2.1.99"


@dataclass(frozen=True)
class OriginalValues:
    """What a header says of people, as it was before.

    Args:
        harvested: names, numbers and dates in all the ways they are written.
        whole: keyword and whole value of every direct identity, at any depth, in capitals.
        written: keyword and every form in which a value may stand among bytes, parts of names and numbers too.
        codings: what Python calls the character sets of the header.
    """

    harvested: IdentityValues
    whole: tuple[tuple[str, str], ...]
    written: tuple[tuple[str, str], ...]
    codings: tuple[str, ...]

    def search(self, text: str) -> list[str]:
        """Return the keywords of the attributes whose values stand in `text`; names of six letters in words, too."""
        capitals, letters = text.upper(), plain_letters(text)
        found = dict.fromkeys(self.harvested.search(text))
        found |= dict.fromkeys(keyword for keyword, value in self.whole if value in capitals)
        for value, keywords in self.harvested.values.items():
            if len(value) >= WHOLE and value.isalpha() and value in letters:
                found |= dict.fromkeys(keywords)
        return list(found)


def original_values(header: Dataset) -> OriginalValues:
    """Return the values to look for; the header's own elements stay undecoded but for its sequences."""
    texts = list(element_texts(header))
    found = harvest_texts(texts)
    values = {
        value: keywords
        for value, keywords in found.values.items()
        if not (value in _MAKER_FORMS and keywords <= _INSTITUTIONS)  # people may be called Philips
    }
    harvested = IdentityValues(values, found.weak & values.keys())
    whole = dict.fromkeys(_whole_values(header))
    written = {
        (text.keyword, form)
        for text in texts
        for form in written_forms(text)
        if not (text.keyword in _INSTITUTIONS and joined(form) in _MAKER_FORMS)
    }
    codings = convert_encodings(header.original_character_set or None)
    return OriginalValues(harvested, tuple(whole), tuple(sorted(written | whole.keys())), tuple(codings))


def residues(content: bytes, values: OriginalValues, uids: set[str], profile: Profile) -> list[str]:
    """Return in words what is left in a de-identified DICOM file, nothing where it is clean.

    The header is scanned as the audit does, every text is searched for the values that stood in it, and all bytes for
    the forms in which values are written and for UIDs that were replaced.

    Args:
        content: the file.
    """
    dataset = dcmread(BytesIO(content), force=True)
    left = [f"{rule.keyword} {rule.display_tag}" for rule in _kept_rules(identities_of(dataset), profile)]
    for keyword, text in _texts(dataset):
        left += [
            f"the value of {name} in {keyword}" for name in values.search(text) if not profile.spares(name)
        ]
    header, pixels = _split(_inflated(content, dataset))
    header = header.lower()
    shortest = _SHORTEST_FORM if dataset.file_meta.TransferSyntaxUID.is_encapsulated else _SHORTEST_IN_SAMPLES
    forms: dict[bytes, tuple[str, str]] = {}
    for keyword, form in values.written:
        if not profile.spares(keyword) and form.lower() not in MARK_WORDS:
            forms |= {
                one: (keyword, form) for one in encoded(form, values.codings) if len(one) >= _SHORTEST_FORM
            }
    small = {one.lower(): named for one, named in forms.items()}
    left += [
        f"the value of {small[one][0]} in the bytes of the header"
        for one in sorted(found_among(small, header))
        if _stands(one, small[one][1], header)
    ]
    row = _row_bytes(dataset)
    left += [
        f"the value of {forms[one][0]} among the bytes of the pixels"
        for one in sorted(
            found_among(
                (one for one, (_, form) in forms.items() if _signs(form, one) >= _SHORTEST_FORM), pixels
            )
        )
        if _signs(forms[one][1], one) >= shortest or _differs_from_rows(one, pixels, row)
    ]
    if any(match.decode("ascii") in uids for match in _UID.findall(header)):
        left.append("a UID of the original")
    return list(dict.fromkeys(left))


def _signs(form: str, encoded_form: bytes) -> int:
    """Return how many bytes of an encoded form vary, as those do that neighbouring samples spell by chance."""
    constant = any(
        len(set(encoded_form[half::2])) == 1 for half in (0, 1)
    )  # of 16 bits each, one half the alphabet
    return len(form) if constant else max(len(form), len(encoded_form))


def _row_bytes(dataset: Dataset) -> int:
    """Return the bytes of a row of pixels, 0 where there are none, or compressed ones."""
    if dataset.file_meta.TransferSyntaxUID.is_encapsulated:
        return 0
    numbers = [dataset.get(name) or 0 for name in ("Columns", "SamplesPerPixel", "BitsAllocated")]
    return math.prod(one if isinstance(one, int) else 0 for one in numbers) // 8


def _differs_from_rows(form: bytes, pixels: bytes, row: int) -> bool:
    """Return whether bytes differ from those in the rows above and below much more than rows of these pixels do."""
    held = np.frombuffer(pixels, np.uint8).astype(np.int16)
    if not row or len(held) < 2 * row:
        return False
    usual = float(np.median(np.abs(held[row:] - held[:-row])))
    at = -1
    while (at := pixels.find(form, at + 1)) >= 0:
        rows = [
            held[start : start + len(form)]
            for start in (at - row, at + row)
            if 0 <= start <= len(held) - len(form)
        ]
        steps = [float(np.mean(np.abs(held[at : at + len(form)] - one))) for one in rows]
        if steps and min(steps) > _FOREIGN * usual + _FOREIGN:
            return True
    return False


def _stands(form: bytes, text: str, header: bytes) -> bool:
    """Return whether a form stands in a header: not inside a longer number, and a short one in no longer word."""
    edge = rb"\d" if text[:1].isdigit() and text[-1:].isdigit() else rb"[a-z]" if len(text) < WHOLE else b""
    return not edge or re.search(rb"(?<!%b)%b(?!%b)" % (edge, re.escape(form), edge), header) is not None


def _kept_rules(found: HeaderIdentities, profile: Profile) -> Iterator[HeaderRule]:
    """Yield the attributes that hold a value where the profile leaves none."""
    for rule in sorted(found.attributes, key=lambda rule: rule.tag):
        if not rule.action:
            if not (rule.kind == "date" and profile.dates != "remove"):
                yield rule
            continue
        verb = profile.verb(rule)
        if verb is Verb.REMOVE or (verb is Verb.EMPTY and rule.tag != _PATIENT_NAME):
            yield rule


def _texts(dataset: Dataset) -> Iterator[tuple[str, str]]:
    """Yield (keyword, text) of every text in a data set, those in sequences too."""
    for tag in list(dataset.keys()):
        vr = representation(dataset, tag)
        if tag in _OUR_MARKS:
            continue
        if vr == "SQ":
            for item in dataset[tag].value or ():
                yield from _texts(item)
        elif vr in ("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"):
            yield keyword_for_tag(tag), text_of(dataset, tag)


def _whole_values(dataset: Dataset) -> Iterator[tuple[str, str]]:
    for tag in list(dataset.keys()):
        vr = representation(dataset, tag)
        if vr == "SQ":
            for item in dataset[tag].value or ():
                yield from _whole_values(item)
            continue
        rule = rule_for(int(tag))
        if vr == "PN" or (vr is not None and rule is not None and rule.kind == "identity"):
            for value in text_of(dataset, tag).split("\\"):
                plain = value.strip(" \0^=")
                maker = vr != "PN" and joined(plain) in _MAKER_FORMS
                telling = not maker and not is_placeholder(plain)
                if len(plain) >= _SHORTEST_TEXT and telling:
                    yield keyword_for_tag(tag), plain.upper()


def _split(content: bytes) -> tuple[bytes, bytes]:
    """Return (header, pixels) of a file's bytes."""
    starts = [position for tag in _PIXEL_TAGS if (position := content.find(tag, _PREAMBLE_BYTES)) > 0]
    end = min(starts, default=len(content))
    return content[:end], content[end:]


def _inflated(content: bytes, dataset: Dataset) -> bytes:
    """Return the bytes of a file with its data set inflated where it is deflated (PS3.5 annex A.5)."""
    if dataset.file_meta.get("TransferSyntaxUID") != _DEFLATED:
        return content
    start = _PREAMBLE_BYTES + _GROUP_LENGTH_BYTES + int(dataset.file_meta.FileMetaInformationGroupLength)
    return content[:start] + zlib.decompress(content[start:], -zlib.MAX_WBITS)
