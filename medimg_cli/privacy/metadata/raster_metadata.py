"""Identities beside the pixels of JPEG, PNG, TIFF, BMP and WebP files: EXIF, XMP, IPTC, comments, hidden bytes."""

import mmap
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from medimg_cli.images.image import HEAD_BYTES, sniff_format
from medimg_cli.privacy.forms.names import SAFE_HARBOR, find_identities, is_placeholder
from medimg_cli.privacy.metadata.containers import TRAILING, bmp_texts, jpeg_texts, png_texts, webp_texts
from medimg_cli.privacy.metadata.metadata_text import Bytes, MetadataText, UnreadableMetadata, bounded
from medimg_cli.privacy.metadata.tiff_tags import tiff_texts


@dataclass(frozen=True)
class MetadataIdentity:
    """What one text beside the pixels gives away.

    Args:
        place: as in `MetadataText`.
        kind: a key of `KINDS`.
    """

    place: str
    kind: str

    @property
    def letter(self) -> str:
        """Return the letter in 45 CFR 164.514(b)(2)(i)."""
        return KINDS[self.kind][0]

    @property
    def words(self) -> str:
        return KINDS[self.kind][1]

    @property
    def direct(self) -> bool:
        """Return whether it names a person, a place or a number by itself."""
        return KINDS[self.kind][2]


# Kind → letter of Safe Harbor, what it is in words, whether it identifies by itself.
KINDS: dict[str, tuple[str, str, bool]] = {
    "person": ("A", "a person named as author, owner or contact", True),
    "location": ("B", "where the picture was taken", True),
    "contact": ("D", "a telephone number, address or e-mail of somebody", True),
    **{
        kind: (letter, words, kind not in ("date", "uid", "url"))
        for kind, (letter, words) in SAFE_HARBOR.items()
    },
    "serial": ("M", "the serial number of a device", False),
    "equipment": ("M", "the make, model or software of a device", False),
    "rights": ("A", "who holds the rights", False),
    "time": ("C", "when the picture was made or changed", False),
    "unique": ("R", "a number that exists only once", False),
    "maker-note": ("R", "a note of the camera's maker, which may hold anything", False),
    "thumbnail": ("R", "a small second picture, which may show what was cut or masked", False),
    "trailing": ("R", "bytes behind the image's end, which may hold anything", False),
    "free-text": ("R", "free text, which may hold anything", False),
    "unread": ("R", "more than medimg reads, which may hold anything", False),
}
_FIELDS: dict[str, str] = {
    field: kind
    for kind, fields in {
        "person": "artist author xpauthor creator ownername cameraownername byline bylinetitle captionwriter "
        "captionwriters contact personinimage patient patientname patientsname owner uploadedby operator physician",
        "location": "city sublocation provincestate state location locationcreated locationshown",
        "contact": "ciadrextadr ciadrcity ciadrpcode citelwork ciemailwork ciurlwork",
        "serial": "bodyserialnumber serialnumber lensserialnumber cameraserialnumber lensid",
        "equipment": "make model lensmake lensmodel lens hostcomputer software creatortool softwareagent "
        "softwarename firmware processingsoftware programname",
        "rights": "copyright rights copyrightnotice credit source webstatement usageterms",
        "time": "datetime datetimeoriginal datetimedigitized createdate modifydate metadatadate datecreated "
        "timecreated datereleased timereleased datedigitized timedigitized creationtime time when date "
        "datecreate datemodify datetimestamp gpsdatestamp gpstimestamp",
        "unique": "imageuniqueid documentid instanceid originaldocumentid digitalimageguid uniquedocumentid "
        "photoshopurl rawfilename derivedfrom derivedfromdocumentid identifier legacyiptcdigest",
        "maker-note": "makernote",
    }.items()
    for field in fields.split()
}
# Of these formats the values are numbers or words of a standard, not of a person.
_STANDARD_WORDS = (
    "offsettime offsettimeoriginal offsettimedigitized subsectime subsectimeoriginal subsectimedigitized "
    "format colormode iccprofile orientation pixelxdimension pixelydimension colorspace xresolution yresolution "
    "resolutionunit exifversion flashpixversion nativedigest action changed type mimetype compression "
    "gpslatituderef gpslongituderef gpsaltituderef gpsversionid gpsdestlatituderef gpsdestlongituderef "
    "imagewidth imagelength bitspersample samplesperpixel photometricinterpretation planarconfiguration "
    "sidecarforextension marked rating hasextendedxmp"
)
_STANDARD = frozenset(_STANDARD_WORDS.split())
_FORMAT_WORDS = re.compile(r"^(?:EXIF|XMP|IPTC|TIFF|Photoshop|PNG (?:tEXt|zTXt|iTXt|chunk)|PNG|ICC) ?")
_ICC = "ICC "
# In these a long number is a version or a reference; only forms that cannot be chance count.
_SURE = frozenset(["e-mail", "name", "marked-number", "social-security-number", "phone"])
_DIGEST = re.compile(r"(?:xmp\.[did]+:|uuid:|adobe:docid:\S*?:)?[0-9A-Fa-f-]{16,}|\d{1,4}")


def read_metadata(path: Path) -> list[MetadataText]:
    """Return every text beside the pixels of an image file, in its order; nothing is decoded.

    The file is mapped, not loaded. At most 1 MiB of one text, 10,000 texts and 16 Mi characters of a file are
    kept, also of compressed texts that would grow beyond; then an entry that is not `complete` says so. Bytes
    between the strips of a TIFF are not looked at.

    Raises:
        UnreadableMetadata: it is no such image, or is damaged before its end.
        OSError: it cannot be opened.
    """
    with path.open("rb") as stream:
        if not stream.read(1):
            raise UnreadableMetadata("the file is empty")
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return read_metadata_of(mapped)


def read_metadata_of(data: Bytes) -> list[MetadataText]:
    """Return what `read_metadata` does, of bytes: a member of an archive.

    Raises:
        UnreadableMetadata: they are no such image, or are damaged before their end.
    """
    form = sniff_format(bytes(data[:HEAD_BYTES]))
    if form not in _READERS:
        raise UnreadableMetadata(f"{form or 'this'} is no format whose metadata medimg reads")
    return list(bounded(_READERS[form](data)))


_READERS: dict[str, Callable[[Bytes], Iterator[MetadataText]]] = {
    "jpeg": jpeg_texts,
    "png": png_texts,
    "webp": webp_texts,
    "bmp": bmp_texts,
    "tiff": partial(tiff_texts, form="TIFF"),
}
RASTER_FORMATS = frozenset(_READERS)
"""What `sniff_format` calls the formats whose metadata is read."""


def identities_in(texts: Iterable[MetadataText]) -> list[MetadataIdentity]:
    """Return what the texts give away: by the field they stand in, and by the form of what they say.

    Descriptions in colour profiles and words of a standard (orientation, colour space, units) are silent.

    >>> [found.kind for found in identities_in([MetadataText("EXIF Artist", "Roe, Jim")])]
    ['person']
    >>> [found.kind for found in identities_in([MetadataText("PNG tEXt Comment", "DOE^JANE")])]
    ['name', 'free-text']
    """
    found = [MetadataIdentity(text.place, kind) for text in texts for kind in _kinds(text)]
    return list(dict.fromkeys(found))


def _kinds(text: MetadataText) -> Iterator[str]:
    """Yield the kinds of one text."""
    if not text.complete:
        yield "unread"
    field = re.sub(r"[^a-z]", "", _FORMAT_WORDS.sub("", text.place).lower())
    if text.place.startswith(_ICC) or field in _STANDARD:
        return
    own = _own_kind(text, field)
    sure_only = own is not None and own != "free-text"
    if own != "time":
        forms = {identity.kind for identity in find_identities(text.text)}
        yield from sorted(forms & _SURE if sure_only else forms)
    if own is not None:
        yield own


def _own_kind(text: MetadataText, field: str) -> str | None:
    """Return the kind that the place itself says, None for a text that says nothing."""
    if text.place == TRAILING:
        return "trailing"
    if field.endswith("thumbnail") or field == "thumbnails":
        return "thumbnail"
    if not text.text or is_placeholder(text.text):
        return None
    kind = _FIELDS.get(field)
    if kind is None and "GPS" in text.place:
        return "location"
    if kind is None and _DIGEST.fullmatch(text.text):
        return None if text.text.isdigit() else "unique"
    return kind or "free-text"
