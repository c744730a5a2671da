"""Identities beside the pixels of raster files: EXIF, XMP, IPTC, comments, hidden bytes."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from medimg_cli.audit.checks import check
from medimg_cli.audit.findings import AuditContext, Checked, Finding, Severity
from medimg_cli.images.image import HEAD_BYTES, UnreadableImage, sniff_format
from medimg_cli.images.image_files import ImageFile, image_files
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata
from medimg_cli.privacy.metadata.raster_metadata import (
    RASTER_FORMATS,
    MetadataIdentity,
    identities_in,
    read_metadata,
    read_metadata_of,
)
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import tracked
from medimg_cli.workspace.threads import map_ordered

NAME = "raster-metadata"
_SHOWN_PLACES = 4
_ADVICE = "write the pixels alone: `medimg deidentify` strips EXIF, XMP, comments and hidden bytes"
_WITHOUT = frozenset("dicom npy npz zip tar gzip".split())  # of DICOM another check tells
_Read = list[MetadataIdentity] | UnreadableMetadata | None


@check(NAME, "EXIF, XMP, comments or hidden bytes of image files name people, places, devices or times")
def raster_metadata(context: AuditContext) -> Checked:
    """Read what stands beside the pixels of JPEG, PNG, TIFF, BMP and WebP files, in archives too.

    What names a person, a place or a number is a warning; makes, times, numbers of devices and files, previews,
    free text and bytes behind the image's end are info, one finding a kind.
    """
    files = image_files(context.workspace, context.dataset.usable)
    done = tracked(map_ordered(_read, files), context.progress, "reading metadata", total=len(files))
    places: defaultdict[str, dict[str, list[str]]] = defaultdict(dict)
    direct: dict[str, MetadataIdentity] = {}
    unread: list[str] = []
    read = 0
    for images, found in zip(files.values(), done, strict=True):
        read += isinstance(found, list)
        unread += images if isinstance(found, UnreadableMetadata) else ()
        for identity in found if isinstance(found, list) else ():
            direct.setdefault(identity.kind, identity)
            places[identity.kind].setdefault(identity.place, []).extend(images)
    findings = [_finding(direct[kind], places[kind]) for kind in sorted(places)]
    return Checked((*findings, *_unread(unread)), f"metadata of {plural(read, 'raster file')} read")


def _read(file: ImageFile) -> _Read:
    """Return what a file gives away, why it cannot be read, or None for another format or a file that is gone."""
    try:
        content = file.content()
        if (found := _format(content)) not in RASTER_FORMATS:
            unknown = found is None or found in _WITHOUT
            return None if unknown else UnreadableMetadata(f"{found} is not looked into")
        texts = read_metadata_of(content) if isinstance(content, bytes) else read_metadata(content)
    except UnreadableMetadata as error:
        return error
    except (OSError, UnreadableImage):
        return None  # the matter of splits-and-manifest
    return identities_in(texts)


def _format(content: Path | bytes) -> str | None:
    if isinstance(content, bytes):
        return sniff_format(content[:HEAD_BYTES])
    with content.open("rb") as stream:
        return sniff_format(stream.read(HEAD_BYTES))


def _finding(identity: MetadataIdentity, places: dict[str, list[str]]) -> Finding:
    images = list(dict.fromkeys(image for part in places.values() for image in part))
    names = sorted(places, key=lambda place: -len(places[place]))
    listed = ", ".join(map(mask_identities, names[:_SHOWN_PLACES])) + (
        " …" if len(names) > _SHOWN_PLACES else ""
    )
    severity: Severity = "warning" if identity.direct else "info"
    message = f"{identity.words} in {plural(len(images), 'image')}: {listed} (Safe Harbor {identity.letter})"
    return Finding(NAME, severity, message, _ADVICE, tuple(images), len(images))


def _unread(images: Sequence[str]) -> list[Finding]:
    if not images:
        return []
    message = (
        f"the metadata of {plural(len(images), 'image')} cannot be read, so nobody knows who is named there"
    )
    return [Finding(NAME, "warning", message, "save these files again, as PNG", tuple(images), len(images))]
