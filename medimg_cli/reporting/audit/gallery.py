"""From an audit to the content of its page: cards of images, their pictures and what reviewers said of them."""

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from medimg_cli.audit.decisions import Standing
from medimg_cli.audit.exclusions import Entry
from medimg_cli.audit.findings import AuditContext, AuditResult, Finding
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.images.browser_images import as_data_uri
from medimg_cli.images.image import UnreadableImage
from medimg_cli.privacy.forms.masking import mask_identities
from medimg_cli.reporting.audit.content import (
    PICTURE_PX,
    AuditPageContent,
    Card,
    Gallery,
    lay_out,
    with_pictures,
)
from medimg_cli.reporting.tables.number_format import plural
from medimg_cli.workspace.progress import tracked
from medimg_cli.workspace.threads import map_ordered

_DECIDED = {"keep": "kept", "exclude": "to be excluded", "relabel": "relabelled"}


def gather_page(
    context: AuditContext, result: AuditResult, standing: Standing, journal: Sequence[Entry]
) -> AuditPageContent:
    """Return what the page says; only the images it shows are decoded.

    Args:
        standing: decisions of reviewers.
        journal: marks that stand in the manifest.
    """
    galleries = lay_out(result.findings, _cards(context.dataset, result.findings))
    galleries = _with_decisions(_with_pictures(context, galleries), standing)
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

    drawn = tracked(map_ordered(picture, shown), context.progress, "pictures for the page", total=len(shown))
    return with_pictures(galleries, dict(zip(shown, drawn, strict=True)))


def _with_decisions(galleries: tuple[Gallery, ...], standing: Standing) -> tuple[Gallery, ...]:
    def decided(card: Card, check: str) -> Card:
        answer = standing.answer(card.image_id, check)
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
    said = " and ".join(f"{plural(count, 'image')} {what}" for count, what in counts if count)
    return (
        f"Marked in the manifest before this audit: {said}, by --apply or on the review page; "
        "audit/applied.csv has each with its reason, and --undo gives them back.",
    )
