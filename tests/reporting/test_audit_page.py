"""The audit's page: complete, offline, bounded in size, and nothing in it that a name could break."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from medimg_cli.audit.decisions import Decision, DecisionsInForce
from medimg_cli.audit.exclusions import Entry
from medimg_cli.audit.findings import AuditContext, AuditResult, Finding, SkippedCheck
from medimg_cli.audit.measurements.measurements import measure_images
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.images.readers import read_image
from medimg_cli.reporting.audit import page as audit_content
from medimg_cli.reporting.audit.page import (
    FINDING_IMAGES,
    Card,
    gather_page,
    lay_out,
    render_audit_page,
    with_pictures,
)
from medimg_cli.reporting.content import STATEMENT
from medimg_cli.workspace.progress import SilentProgress
from tests.audit.audit_cohort import audit_of, blank, copies, doubted, rows_of, write_study

NOBODY = DecisionsInForce([], {})


@pytest.fixture
def context(tmp_path: Path) -> AuditContext:
    workspace = write_study(tmp_path)
    dataset = read_dataset(workspace)
    measured = measure_images(workspace, dataset.usable, read_image, SilentProgress())
    return AuditContext(workspace, dataset, dataset.rows[:0], measured.table, measured.thumbnails, read_image)


def page_of(context: AuditContext, *findings: Finding, **changes: object) -> str:
    result = replace(audit_of(context.workspace, *findings), **changes)  # type: ignore[arg-type]
    return render_audit_page(gather_page(context, result, NOBODY, []))


def test_the_verdict_is_the_headline(context: AuditContext) -> None:
    page = page_of(context, copies(("sick/train-6", "sick/test-21")), blank("sick/val-15"))
    assert page.index('<p class="about">') < page.index("<h1>") < page.index("Do these two first")
    assert page.index("Do these two first") < page.index('<section id="findings">')
    assert "<h1>Did not pass: 1 error, 1 warning</h1>" in page
    assert page.index("<h1>") < page.index('<section id="findings">')
    assert "<h1>Passed: no findings</h1>" in page_of(context, passed=True)


def test_never_failing_changes_the_exit_code_and_not_what_the_page_says_of_passing(
    context: AuditContext,
) -> None:
    never = replace(context, settings=context.settings.model_copy(update={"fail_on": "never"}))
    assert "<h1>Did not pass: 1 error" in page_of(never, copies(("sick/train-6", "sick/test-21")))
    assert "<h1>Passed: 1 warning</h1>" in page_of(never, blank("sick/val-15"), passed=True)
    assert "<h1>Passed: no findings</h1>" in page_of(never, passed=True)


def test_it_says_what_every_check_did_and_why_others_did_not_run(context: AuditContext) -> None:
    skipped = (SkippedCheck("dicom-headers", "no DICOM file in the data set"),)
    page = page_of(context, did={"exact-duplicates": "24 images compared"}, checks_skipped=skipped)
    assert "24 images compared." in page
    assert "No DICOM file in the data set." in page


def test_the_facts_of_the_data_set_stand_on_it(context: AuditContext) -> None:
    page = page_of(context)
    assert context.dataset.content_hash() in page
    assert "24 audited, 0 excluded before" in page
    assert STATEMENT in page


def test_copies_stand_together_with_class_split_and_patient(context: AuditContext) -> None:
    page = page_of(context, copies(("sick/train-6", "sick/test-21"), ("healthy/train-0", "healthy/train-1")))
    groups = re.findall(r'<div class="group".*?</figure>\s*</div>', page, flags=re.DOTALL)
    assert len(groups) == 2
    assert "sick/train-6" in groups[0] and "sick, test, patient p21" in groups[0]
    assert groups[0].count("<img") == 2
    assert 'alt="sick/train-6: sick, train, patient p6"' in groups[0]


def test_notes_stand_with_their_image(context: AuditContext) -> None:
    assert "every pixel is 0" in page_of(context, blank("sick/val-15"))


def test_it_loads_nothing_runs_nothing_and_its_style_is_the_one_its_policy_allows(
    context: AuditContext,
) -> None:
    page = page_of(context, copies(("sick/train-6", "sick/test-21")))
    assert not re.search(r"<script|<link|<iframe|@import|url\(| style=| on\w+=", page)
    assert set(re.findall(r'\ssrc="([^,"]*)', page)) == {"data:image/jpeg;base64"}
    assert all(address.startswith("#") for address in re.findall(r'\shref="([^"]*)"', page))
    assert "default-src 'none'" in page


def test_every_link_leads_somewhere(context: AuditContext) -> None:
    same = doubted("sick/train-6")
    page = page_of(context, copies(("sick/train-6", "sick/test-21")), same, replace(same, check="other"))
    targets = set(re.findall(r'\sid="([^"]*)"', page))
    links = set(re.findall(r'\shref="#([^"]*)"', page))
    assert links and links <= targets


def test_findings_about_the_very_same_images_share_their_pictures(context: AuditContext) -> None:
    first, second = doubted("sick/train-6"), replace(doubted("sick/train-6"), check="other")
    page = page_of(context, first, second)
    assert page.count("<img") == 1
    assert "other, warning: Labels that look wrong." in page


def test_hostile_names_are_shown_as_text(context: AuditContext) -> None:
    hostile = replace(
        doubted("sick/train-6"), message='<script>alert("1")</script>', notes={"sick/train-6": "<b>"}
    )
    page = page_of(context, hostile)
    assert "<script" not in page and "<b>" not in page
    assert "&lt;script&gt;" in page


def test_identities_in_names_are_masked(context: AuditContext) -> None:
    rows = context.dataset.rows.copy()
    rows.loc[6, ["image_id", "patient_id"]] = ["sick/DOE^JANE", "MRN 12345678"]
    changed = replace(context, dataset=replace(context.dataset, rows=rows))
    page = page_of(changed, doubted("sick/DOE^JANE"))
    assert "sick/xxx^xxxx" in page and "########" in page
    assert "DOE" not in page and "12345678" not in page


def test_an_image_that_cannot_be_read_any_more_says_why(context: AuditContext) -> None:
    (context.workspace.root / "raw/sick/train-6.png").write_bytes(b"")
    (context.workspace.root / "raw/sick/train-7.png").unlink()
    page = page_of(context, doubted("sick/train-6", "sick/train-7"))
    assert "No picture: the file is empty" in page
    assert page.count("No picture: ") == 2
    assert str(context.workspace.root) not in page


def test_what_reviewers_decided_stands_with_the_image(context: AuditContext) -> None:
    digest = str(rows_of(context.workspace).loc["sick/train-6", "sha256"])
    line = Decision("2026-01-01T00:00:00Z", "A. Reader", "sick/train-6", "relabel", "label-errors", "healthy")
    in_force = DecisionsInForce([replace(line, sha256=digest)], {"sick/train-6": digest})
    result = audit_of(context.workspace, doubted("sick/train-6"))
    page = render_audit_page(gather_page(context, result, in_force, []))
    assert "relabelled healthy by A. Reader" in page


def test_what_was_applied_before_is_told(context: AuditContext) -> None:
    entry = Entry("", "label-audit", "x", "a", "ok", "", "sick", "excluded", "label-audit: x", "sick")
    result: AuditResult = audit_of(context.workspace)
    page = render_audit_page(gather_page(context, result, NOBODY, [entry, entry]))
    assert "Marked in the manifest before this audit: 2 images excluded, by --apply" in page


def _cards(count: int) -> dict[str, Card]:
    return {f"i{n}": Card(f"i{n}", f"i{n}", "sick, train") for n in range(count)}


def test_a_long_finding_shows_some_images_and_says_of_how_many(context: AuditContext) -> None:
    ids = tuple(f"i{n}" for n in range(431))
    (gallery,) = lay_out([doubted(*ids)], _cards(431))
    assert (gallery.shown, gallery.total) == (FINDING_IMAGES, 431)
    rows = context.dataset.rows
    many = doubted(*rows["image_id"], *(f"gone-{n}" for n in range(40)))
    assert "24 of 64 images shown" in page_of(context, many)


def test_groups_are_shown_by_two_or_more_and_long_ones_in_part() -> None:
    groups = [
        ("i0", "i1"),
        tuple(f"i{n}" for n in range(2, 20)),
        *((f"i{n}", f"i{n + 1}") for n in range(20, 60, 2)),
    ]
    (gallery,) = lay_out([copies(*groups)], _cards(60))
    sizes = [len(group) for group in gallery.groups]
    assert sizes == [2, 6, *[2] * 8]
    assert gallery.group_sizes[:2] == (2, 18)
    assert gallery.total_groups == 22


def test_the_page_is_bounded_whatever_the_number_of_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    findings = [doubted(*(f"i{n}" for n in range(start, start + 30))) for start in range(0, 900, 30)]
    galleries = lay_out(findings, _cards(930))
    assert sum(gallery.shown for gallery in galleries) == audit_content.PAGE_IMAGES
    assert len(galleries) == 30
    monkeypatch.setattr(audit_content, "PAGE_BYTES", 1000)
    pictures: dict[str, tuple[str | None, str]] = {f"i{n}": ("x" * 300, "") for n in range(930)}
    cards = [card for g in with_pictures(galleries, pictures) for group in g.groups for card in group]
    assert sum(card.picture is not None for card in cards) == 3
    assert all("as large as it may be" in card.absence for card in cards[3:])
