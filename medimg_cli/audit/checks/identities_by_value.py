"""Values of identifying header attributes that stand somewhere else as well."""

import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from functools import cache

import pandas as pd

from medimg_cli.audit.checks import check, not_read
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding, Severity
from medimg_cli.dataset.listing import without_frame
from medimg_cli.dataset.manifest import COLUMNS
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.image_files import ImageFile, image_files
from medimg_cli.privacy.dicom.header_values import IdentityValues, letter_of, merge
from medimg_cli.privacy.dicom.headers import HeaderValues, UnreadableHeader, quiet_headers, read_values
from medimg_cli.privacy.forms.names import mask_identities, own_part
from medimg_cli.privacy.metadata.metadata_text import UnreadableMetadata
from medimg_cli.privacy.metadata.raster_metadata import read_metadata as read_raster
from medimg_cli.privacy.metadata.raster_metadata import read_metadata_of
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import tracked
from medimg_cli.workspace.threads import map_ordered

NAME = "identities-by-value"
_SHOWN_PLACES = 4
_ADVICE = "removing the attribute is not enough: de-identify the files, and rename them and clear the columns named here"
_PATIENT = "the manifest column patient_id"
_Header = HeaderValues | UnreadableHeader | None
# keyword → place → images
_Places = defaultdict[str, dict[str, list[str]]]


@check(NAME, "what a DICOM header identifies somebody by stands in names, tables or other attributes too")
def identities_by_value(context: AuditContext) -> Checked:
    """Harvest names, numbers, birth dates and places of every header and search them everywhere else.

    Searched are the other attributes of the same file, and of every file of the data set its name, its folders,
    its manifest row and, in raster files, its metadata. Values of one header are searched in the names of all
    files; codes of less than six signs and names of three letters only in those of their own file. What a
    header marked as de-identified repeats is info: such values may be invented ones.

    Raises:
        CheckSkipped: there is no DICOM file.
    """
    rows = context.dataset.usable
    files = image_files(context.workspace, rows)
    headers = dict(zip(files, _read_all(context, list(files)), strict=True))
    total = sum(header is not None for header in headers.values())
    if not total:
        raise CheckSkipped("no DICOM file in the data set")
    known = {file: header for file, header in headers.items() if isinstance(header, HeaderValues)}
    classes = context.dataset.info.classes
    merged = merge(h.values for h in known.values() if not h.identity_removed).without(classes)
    own = {image: header for file, header in known.items() for image in files[file]}
    direct: _Places = defaultdict(dict)
    marked: _Places = defaultdict(dict)
    for image, keyword, place in (
        *_in_headers(known, files),
        *_in_rows(context, rows, own, merged),
        *_in_metadata([file for file, header in headers.items() if header is None], files, merged),
    ):
        removed = image in own and own[image].identity_removed
        (marked if removed else direct)[keyword].setdefault(place, []).append(image)
    found = [
        *_findings(direct, "warning"),
        *_findings(marked, "info"),
        *not_read(
            NAME,
            "{} cannot be read, so their values are searched nowhere",
            "export these files again",
            [i for file, h in headers.items() if isinstance(h, UnreadableHeader) for i in files[file]],
        ),
    ]
    values = plural(len(merged.values), "value")
    return Checked(
        tuple(found), f"{values} of {plural(total, 'header')} searched in {plural(len(rows), 'row')}"
    )


def _read_all(context: AuditContext, files: list[ImageFile]) -> list[_Header]:
    with warnings.catch_warnings():
        quiet_headers()
        done = tracked(map_ordered(_read, files), context.progress, "reading headers", total=len(files))
        return list(done)


def _read(file: ImageFile) -> _Header:
    try:
        return read_values(file.content())
    except UnreadableHeader as error:
        return error
    except (OSError, UnreadableImage):
        return None  # the matter of splits-and-manifest


def _in_headers(
    known: Mapping[ImageFile, HeaderValues], files: Mapping[ImageFile, list[str]]
) -> Iterator[tuple[str, str, str]]:
    for file, header in known.items():
        for keyword, path in sorted(header.repeated):
            for image in files[file]:
                yield image, keyword, path


def _in_rows(
    context: AuditContext, rows: pd.DataFrame, own: Mapping[str, HeaderValues], merged: IdentityValues
) -> Iterator[tuple[str, str, str]]:
    """Yield what stands in names and in cells: of the image's own header, or a sure value of any header."""
    classes = context.dataset.info.classes
    columns = [column for column in ("patient_id", "reason", *_carried(rows)) if column in rows]

    @cache
    def anywhere(text: str) -> tuple[str, ...]:
        return tuple(merged.search(text, sure=True))

    for row in rows.to_dict("records"):
        image = str(row["image_id"])
        mine = own[image].values.without(classes) if image in own else IdentityValues()
        path = own_part(row["path"], context.dataset.info.sources)
        folder, _, name = path.rpartition("/")
        texts = {"the folder name": folder, "the file name": name}
        texts |= {f"the manifest column {mask_identities(column)}": str(row[column]) for column in columns}
        if texts.get(_PATIENT) == without_frame(image):  # nobody knew the patient: the id is the file's name
            del texts[_PATIENT]
        if image not in path and path not in image:
            texts["the image id"] = image
        for place, text in texts.items():
            for keyword in sorted({*anywhere(text), *mine.search(text)} if text else ()):
                yield image, keyword, place


def _carried(rows: pd.DataFrame) -> list[str]:
    return [str(column) for column in rows.columns if column not in COLUMNS]


def _in_metadata(
    rasters: list[ImageFile], files: Mapping[ImageFile, list[str]], merged: IdentityValues
) -> Iterator[tuple[str, str, str]]:
    """Yield what stands beside the pixels of the raster files that lie among DICOM files."""
    for file in rasters if merged else ():
        try:
            content = file.content()
            texts = read_metadata_of(content) if isinstance(content, bytes) else read_raster(content)
        except (UnreadableMetadata, UnreadableImage, OSError):
            continue  # raster-metadata says so
        for text in texts:
            for keyword in merged.search(text.text, sure=True):
                for image in files[file]:
                    yield image, keyword, mask_identities(text.place)


def _findings(places: _Places, severity: Severity) -> Iterator[Finding]:
    for keyword, by_place in sorted(places.items()):
        of_image: defaultdict[str, dict[str, None]] = defaultdict(dict)
        for place, images in by_place.items():
            for image in images:
                of_image[image][place] = None
        counts = Counter(place for found in of_image.values() for place in found)
        listed = [f"{place} ({plural(count, 'image')})" for place, count in counts.most_common(_SHOWN_PLACES)]
        more = len(counts) - len(listed)
        message = f"the value of {keyword} stands in {', '.join(listed)}"
        message += f" and {plural(more, 'other place')}" if more else ""
        message += f" (Safe Harbor {letter_of(keyword)})"
        if severity == "info":
            message += "; Patient Identity Removed is YES"
        notes = {image: f"{keyword}: {', '.join(found)}" for image, found in of_image.items()}
        yield Finding(NAME, severity, message, _ADVICE, tuple(of_image), len(of_image), notes=notes)
