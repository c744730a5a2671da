"""Identities in DICOM headers, by PS3.15 Table E.1-1."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from medimg_cli.audit.checks import check, not_read
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding, Severity
from medimg_cli.images.image import split_member
from medimg_cli.privacy.dicom.headers import (
    HeaderIdentities,
    UnreadableHeader,
    is_dicom,
    read_header_identities,
)
from medimg_cli.privacy.dicom.rules import HeaderRule
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.threads import map_ordered

NAME = "dicom-headers"
_KIND_WORDS = {
    "date": "dates or times",
    "characteristic": "characteristics of the patient",
    "uid": "UIDs",
    "device": "the device",
    "text": "free text, which may hold anything,",
    "private": "private attributes, which may hold anything,",
}
_LISTED = 30
_ADVICE = "de-identify the files before they, or tables made from them, leave the institution"


@check(NAME, "headers name the patient, people, places or dates (PS3.15 Table E.1-1)")
def dicom_headers(context: AuditContext) -> Checked:
    """Report what headers give away: keyword and tag, never a value.

    Direct identities are one warning per attribute: a local header leaks nothing by itself, but it travels
    with every copy of the file. Dates, UIDs, devices, free text and private attributes are one info each.
    Where Patient Identity Removed (0012,0062) is YES, new UIDs are expected, shifted dates where the file says that
    they are, and an attribute whose value
    may be an invented one (actions Z and D) is info: nobody but its maker can tell.

    Raises:
        CheckSkipped: there is no DICOM file.
    """
    rows = context.dataset.usable
    files = [
        (str(image), Path(context.workspace.absolute(path)))
        for image, path in zip(rows["image_id"], rows["path"], strict=True)
        if split_member(path)[1] is None
    ]
    ids = [image for image, _ in files]
    headers = _read_all([path for _, path in files])
    if all(header is None for header in headers):
        raise CheckSkipped("no DICOM file in the data set")
    total = sum(header is not None for header in headers)
    scanned = [
        (i, header) for i, header in zip(ids, headers, strict=True) if isinstance(header, HeaderIdentities)
    ]
    found = (
        *_attributes(scanned, total),
        *_burned_in([image for image, header in scanned if header.burned_in], total),
        *not_read(
            NAME,
            "{} cannot be read, so nobody knows who is named there",
            "export these files again",
            [i for i, header in zip(ids, headers, strict=True) if isinstance(header, UnreadableHeader)],
        ),
    )
    return Checked(found, f"{plural(total, 'header')} read, nested sequences included")


def _read_all(paths: Sequence[Path]) -> list[HeaderIdentities | UnreadableHeader | None]:
    with warnings.catch_warnings():
        # Odd headers are the readers' matter; here only what they hold counts.
        warnings.filterwarnings("ignore", category=UserWarning, module="pydicom")
        return list(map_ordered(_read, paths))


def _read(path: Path) -> HeaderIdentities | UnreadableHeader | None:
    """Return what a header holds, why it cannot be read, or None for what is no DICOM file or is gone."""
    try:
        return read_header_identities(path) if is_dicom(path) else None
    except FileNotFoundError:
        return None  # the matter of splits-and-manifest
    except UnreadableHeader as error:
        return error
    except OSError as error:
        return UnreadableHeader(str(error.strerror))


def _attributes(scanned: Sequence[tuple[str, HeaderIdentities]], total: int) -> list[Finding]:
    direct: defaultdict[tuple[Severity, HeaderRule], list[str]] = defaultdict(list)
    indirect: defaultdict[str, dict[HeaderRule, list[str]]] = defaultdict(dict)
    for image, header in scanned:
        for rule in header.attributes:
            if rule.kind == "identity":
                invented = header.identity_removed and rule.allows_dummy
                direct["info" if invented else "warning", rule].append(image)
            elif not (header.identity_removed and _is_invented(rule, header)):
                indirect[rule.kind].setdefault(rule, []).append(image)
    found = [
        _direct(rule, severity, images, total)
        for (severity, rule), images in sorted(direct.items(), key=lambda item: (item[0][0], item[0][1].tag))
    ]
    return found + [_indirect(kind, rules, total) for kind, rules in sorted(indirect.items())]


def _is_invented(rule: HeaderRule, header: HeaderIdentities) -> bool:
    """Return whether de-identification leaves such values: new UIDs and, where the file says so, shifted dates."""
    return rule.kind == "uid" or (rule.kind == "date" and header.dates_modified)


def _direct(rule: HeaderRule, severity: Severity, images: list[str], total: int) -> Finding:
    source = ", ".join(part for part in (f"Safe Harbor {rule.letter}", rule.rule_id) if part)
    message = (
        f"{rule.keyword} {rule.display_tag} holds a value in {len(images):,} of {total:,} headers ({source})"
    )
    advice = _ADVICE
    if severity == "info":
        message += "; Patient Identity Removed is YES"
        advice = "make sure that the values are invented ones"
    return Finding(NAME, severity, message, advice, tuple(images), len(images))


def _indirect(kind: str, rules: dict[HeaderRule, list[str]], total: int) -> Finding:
    images = sorted({image for part in rules.values() for image in part})
    named = [rule for rule in sorted(rules, key=lambda r: r.tag) if rule.tag]
    listed = ", ".join(f"{rule.keyword} ({rule.rule_id or rule.display_tag})" for rule in named[:_LISTED])
    more = f" and {len(named) - _LISTED} more" if len(named) > _LISTED else ""
    letters = ", ".join(sorted({rule.letter for rule in rules}))
    message = f"{_KIND_WORDS[kind]} in {len(images):,} of {total:,} headers (Safe Harbor {letters})"
    message += f": {listed}{more}" if named else ""
    return Finding(NAME, "info", message, _ADVICE, tuple(images), len(images))


def _burned_in(images: list[str], total: int) -> list[Finding]:
    if not images:
        return []
    message = f"Burned In Annotation (0028,0301) is YES in {len(images):,} of {total:,} headers"
    message += ": identities stand in the pixels"
    advice = "mask or exclude these images: such text can also give away the ward, and with it the label"
    return [Finding(NAME, "warning", message, advice, tuple(images), len(images))]
