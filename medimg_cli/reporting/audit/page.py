"""The audit as one page: the verdict, every finding with its images, and what every check did."""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

import jinja2
import pandas as pd

from medimg_cli.audit.decisions import DecisionsInForce
from medimg_cli.audit.exclusions import Entry
from medimg_cli.audit.findings import SEVERITIES, AuditContext, AuditResult, Finding
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.pictures import as_data_uri
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.reporting.charts.scales import has_long_word, short_name, shortened, squeezed
from medimg_cli.reporting.content import STATEMENT, Fact
from medimg_cli.reporting.tables import number_format as numbers
from medimg_cli.reporting.tables import tables
from medimg_cli.workspace.files import templates_dir
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.progress import tracked
from medimg_cli.workspace.threads import map_ordered, takes_too_long

FINDING_IMAGES = 24
GROUP_IMAGES = 6
PAGE_IMAGES = 240
PAGE_BYTES = 12_000_000
PICTURE_PX = 256
_DECIDED = {"keep": "kept", "exclude": "to be excluded", "relabel": "relabelled"}


@dataclass(frozen=True)
class Card:
    """One image of a finding, its identities masked.

    Args:
        image_id: in the manifest; only to find its picture, never printed.
        name: the id as it is printed.
        facts: class, split and patient, in words.
        note: what the check says of this one image.
        decision: a reviewer's decision on it, "" without one.
        picture: `data:` address, None where there is none; then `absence` says why.
    """

    image_id: str
    name: str
    facts: str
    note: str = ""
    decision: str = ""
    picture: str | None = None
    absence: str = ""


@dataclass(frozen=True)
class Gallery:
    """The images shown of one finding.

    Args:
        number: of the finding, from 1; the page's anchors count so too.
        also: numbers of later findings about the very same images, which are not shown again for them.
        groups: images that belong together, in their order; a finding without groups has one of all images.
        grouped: whether the groups mean something.
        group_sizes: how many images each group shown has in truth.
        total_groups: how many groups there are.
        total: how many images the finding names.
    """

    number: int
    finding: Finding
    groups: tuple[tuple[Card, ...], ...]
    grouped: bool
    group_sizes: tuple[int, ...]
    total_groups: int
    total: int
    also: tuple[int, ...] = ()

    @property
    def shown(self) -> int:
        return len({card.image_id for group in self.groups for card in group})


@dataclass(frozen=True)
class AuditPageContent:
    """Everything the page says.

    Args:
        result: the audit.
        dataset: what was audited.
        galleries: one for each finding that names images, in the order of the findings.
        did: check → what it looked at.
        applied: how many images `--apply` and reviewers have marked in the manifest, in words; () for none.
        fail_on: the severity the verdict rests on.
    """

    result: AuditResult
    dataset: Dataset
    galleries: tuple[Gallery, ...]
    applied: tuple[str, ...]
    fail_on: str


def lay_out(findings: Sequence[Finding], card_of: Mapping[str, Card]) -> tuple[Gallery, ...]:
    """Choose the images of each finding that are shown, worst findings first, at most `PAGE_IMAGES` in all.

    Args:
        findings: in the order of the page.
        card_of: image id → its card without note, decision and picture.
    """
    galleries: dict[object, Gallery] = {}
    left = PAGE_IMAGES
    for number, finding in enumerate(findings, start=1):
        known = tuple(image for image in dict.fromkeys(finding.image_ids) if image in card_of)
        if not known:
            continue
        subject = (known, finding.groups, tuple(sorted(finding.notes.items())))
        if subject in galleries:
            earlier = galleries[subject]
            galleries[subject] = replace(earlier, also=(*earlier.also, number))
            continue
        groups = [tuple(image for image in group if image in card_of) for group in finding.groups]
        groups = [group for group in groups if group] or [known]
        chosen = tuple(_chosen(groups, min(FINDING_IMAGES, left), grouped=bool(finding.groups)))
        left -= sum(map(len, chosen))
        cards = tuple(
            tuple(replace(card_of[image], note=finding.notes.get(image, "")) for image in group)
            for group in chosen
        )
        sizes = tuple(len(group) for group in groups[: len(chosen)])
        grouped, total = bool(finding.groups), len(set(finding.image_ids))
        galleries[subject] = Gallery(number, finding, cards, grouped, sizes, len(groups), total)
    return tuple(galleries.values())


def _chosen(groups: Sequence[Sequence[str]], most: int, *, grouped: bool) -> Iterator[tuple[str, ...]]:
    """Yield the beginnings of groups until `most` images are chosen; a group is shown by two or not at all."""
    for group in groups:
        size = min(len(group), GROUP_IMAGES if grouped else most, most)
        if size < (2 if grouped and len(group) > 1 else 1):
            return
        yield tuple(group[:size])
        most -= size


def with_pictures(
    galleries: Sequence[Gallery], pictures: Mapping[str, tuple[str | None, str]]
) -> tuple[Gallery, ...]:
    """Return the galleries with their pictures, as many as `PAGE_BYTES` allow.

    Args:
        pictures: image id → (`data:` address or None, why there is none).
    """
    spent = 0
    done = []
    for gallery in galleries:
        groups = []
        for group in gallery.groups:
            cards = []
            for card in group:
                picture, absence = pictures[card.image_id]
                spent += len(picture or "")
                if spent > PAGE_BYTES:
                    picture, absence = None, "left out: the page is as large as it may be"
                cards.append(replace(card, picture=picture, absence=absence))
            groups.append(tuple(cards))
        done.append(replace(gallery, groups=tuple(groups)))
    return tuple(done)


def gather_page(
    context: AuditContext, result: AuditResult, in_force: DecisionsInForce, journal: Sequence[Entry]
) -> AuditPageContent:
    """Return what the page says; only the images it shows are decoded.

    Args:
        in_force: decisions of reviewers.
        journal: marks that stand in the manifest.
    """
    galleries = lay_out(result.findings, _cards(context.dataset, result.findings))
    galleries = _with_decisions(_with_pictures(context, galleries), in_force)
    return AuditPageContent(result, context.dataset, galleries, _applied(journal), context.settings.fail_on)


def _cards(dataset: Dataset, findings: Sequence[Finding]) -> dict[str, Card]:
    """Return the card of every image that a finding names, identities masked."""
    named = {image for finding in findings for image in finding.image_ids}
    rows = dataset.rows[dataset.rows["image_id"].isin(named)]
    known = dataset.info.patients_known
    return {str(row["image_id"]): _card(row, patients_known=known) for _, row in rows.iterrows()}


def _card(row: "pd.Series[str]", *, patients_known: bool) -> Card:
    facts = [row["label"] or "no finding", row["split"]]
    if patients_known and row["patient_id"] != row["image_id"]:
        facts.append(f"patient {mask_identities(row['patient_id'])}")
    return Card(row["image_id"], mask_identities(row["image_id"]), ", ".join(facts))


def _with_pictures(context: AuditContext, galleries: tuple[Gallery, ...]) -> tuple[Gallery, ...]:
    shown = dict.fromkeys(card.image_id for g in galleries for group in g.groups for card in group)
    path_of = dict(zip(context.dataset.rows["image_id"], context.dataset.rows["path"], strict=True))

    def picture(image: str) -> tuple[str | None, str]:
        try:
            return as_data_uri(context.read(context.workspace.absolute(path_of[image])), PICTURE_PX), ""
        except UnreadableImage as reason:
            return None, mask_identities(str(reason))
        except OSError as error:  # the file went away, or may not be opened
            return None, (error.strerror or "cannot be read").lower()

    seconds = context.settings.decode_seconds
    pictures = map_ordered(picture, shown, seconds=seconds, late=lambda _: (None, takes_too_long(seconds)))
    drawn = tracked(pictures, context.progress, "pictures for the page", total=len(shown))
    return with_pictures(galleries, dict(zip(shown, drawn, strict=True)))


def _with_decisions(galleries: tuple[Gallery, ...], in_force: DecisionsInForce) -> tuple[Gallery, ...]:
    def decided(card: Card, check: str) -> Card:
        answer = in_force.answer(card.image_id, check)
        if answer is None:
            return card
        to = f" {answer.label}" if answer.label else ""
        why = f": {mask_identities(answer.why)}" if answer.why else ""
        return replace(card, decision=f"{_DECIDED[answer.action]}{to} by {answer.who or 'a reviewer'}{why}")

    def of_gallery(gallery: Gallery) -> Gallery:
        check = gallery.finding.check
        groups = tuple(tuple(decided(card, check) for card in group) for group in gallery.groups)
        return replace(gallery, groups=groups)

    return tuple(map(of_gallery, galleries))


def _applied(journal: Sequence[Entry]) -> tuple[str, ...]:
    """Return what medimg has marked in the manifest before this audit, in words."""
    if not journal:
        return ()
    excluded = sum(entry.status == "excluded" for entry in journal)
    counts = ((excluded, "excluded"), (len(journal) - excluded, "relabelled"))
    counted = " and ".join(f"{plural(count, 'image')} {what}" for count, what in counts if count)
    return (
        f"Marked in the manifest before this audit: {counted}, by --apply or on the review page; "
        "audit/applied.csv has each with its reason, and --undo gives them back.",
    )


_DO_FIRST = 3


def render_audit_page(content: AuditPageContent) -> str:
    """Return the audit as one HTML page that loads nothing and runs nothing; the same audit gives the same bytes."""
    environment = _environment()
    style = environment.get_template("style.css").render() + environment.get_template("audit.css").render()
    # The browser compares the text between the tags, which begins and ends with a line break (CSP Level 3 §8.3).
    digest = hashlib.sha256(f"\n{style}\n".encode()).digest()
    return environment.get_template("audit.html").render(
        content=content,
        result=content.result,
        galleries=content.galleries,
        style=style,
        style_hash=base64.b64encode(digest).decode("ascii"),
        statement=STATEMENT,
        verdict=_verdict(content),
        counts=_counts(content),
        about=_about(content),
        first=tuple(enumerate(content.result.findings, start=1))[:_DO_FIRST],
        rule=_rule(content),
        data_facts=_data_facts(content),
        split_table=tables.split_table(content.dataset),
        exclusion_table=tables.exclusion_table(content.dataset),
        anchors={number: g.number for g in content.galleries for number in (g.number, *g.also)},
    )


@cache
def _environment() -> jinja2.Environment:
    folders = [templates_dir() / "audit", templates_dir() / "report"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=lambda name: name is not None and not name.endswith(".css"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (
        numbers.coded,
        numbers.grouped,
        plural,
        numbers.sentence,
        has_long_word,
        short_name,
        shortened,
        squeezed,
    )
    environment.filters.update({each.__name__: each for each in filters})
    return environment


def _about(content: AuditPageContent) -> str:
    """Return the set's name and size: "chest_xray: 5,840 images of 2 classes"."""
    info, usable = content.dataset.info, content.dataset.usable
    name = ", ".join(map(mask_identities, tables.source_names(info.sources))) or "data set"
    size = f"{plural(len(usable), 'image')} of {plural(len(info.classes), 'class')}"
    patients = usable["patient_id"].nunique()
    return f"{name}: {size}" + (f", {plural(patients, 'patient')}" if info.patients_known else "")


def _counts(content: AuditPageContent) -> str:
    """Return "2 errors, 1 warning", or that nothing was found."""
    tally = Counter(finding.severity for finding in content.result.findings)
    nouns = {"error": "error", "warning": "warning", "info": "remark"}
    parts = [plural(tally[name], nouns[name]) for name in SEVERITIES if tally[name]]
    return ", ".join(parts) or "no findings"


def _verdict(content: AuditPageContent) -> str:
    """Return the first word of the page; `--fail-on never` changes the exit code, not what was found."""
    return "Passed" if content.result.passed else "Did not pass"


def _rule(content: AuditPageContent) -> str:
    """Return what the verdict rests on, in words."""
    if content.result.failed:
        return "A check stopped on an error of its own, so the audit is not complete."
    rules = {
        "error": "An audit passes without an error.",
        "warning": "An audit passes without an error or a warning (--fail-on warning).",
        "never": "An audit passes without an error; the command was not to fail (--fail-on never).",
    }
    return rules[content.fail_on]


def _data_facts(content: AuditPageContent) -> tuple[Fact, ...]:
    dataset, info = content.dataset, content.dataset.info
    usable = dataset.usable
    positive = f", positive class {info.positive}" if info.positive else ""
    patients = dataset.patients_in_words
    if info.patients_known:
        patients = f"{numbers.grouped(usable['patient_id'].nunique())}, {patients}"
    excluded = len(dataset.rows) - len(usable)
    sources = ", ".join(map(mask_identities, tables.source_names(info.sources)))
    return (
        Fact("Sources", f"{sources} (layout {info.layout})"),
        Fact(
            "Images", f"{numbers.grouped(len(usable))} audited, {numbers.grouped(excluded)} excluded before"
        ),
        Fact("Patients", patients),
        Fact("Classes", ", ".join(info.classes) + positive),
        Fact("Split", info.split_origin),
        Fact("Files that could not be used", numbers.grouped(info.quarantined)),
        Fact("Data set, SHA-256", content.result.dataset_hash),
    )
