"""The review page: what it shows, what a decision does, and what it refuses."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.audit.decisions import read_decisions
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.web.review.session import PAGE_IMAGES, ReviewSession
from tests.audit.audit_cohort import copies, doubted, rows_of
from tests.web.page import FINDINGS, Opened, forms_of, open_page


@pytest.fixture
def page(tmp_path: Path) -> Opened:
    return open_page(tmp_path)


def test_the_first_page_lists_the_findings_with_what_is_decided(page: Opened) -> None:
    page.decide("healthy/train-1", "keep", 2)
    text = page.client.get("/").text
    assert "0 of 4 decided" in text
    assert "1 of 3 decided" in text
    assert "2 groups of identical images" in text


def test_copies_stand_side_by_side_in_their_groups(page: Opened) -> None:
    text = page.client.get("/finding/1").text
    first, second = text.index("Group 1"), text.index("Group 2")
    assert (
        first
        < text.index("sick/train-6")
        < text.index("sick/test-21")
        < second
        < text.index("healthy/train-0")
    )
    assert "test, patient p21" in text
    assert "Keep all 2" in text


def test_a_decision_is_a_line_of_the_log_with_who_when_and_why(page: Opened) -> None:
    assert page.decide("sick/train-6", "exclude", why="the  same\nfilm") == 200
    (line,) = read_decisions(page.workspace)
    digest = rows_of(page.workspace).loc["sick/train-6", "sha256"]
    assert (line.who, line.image_id, line.action) == ("A. Reader", "sick/train-6", "exclude")
    assert (line.check, line.why, line.sha256) == ("exact-duplicates", "the same film", digest)
    assert "excluded by A. Reader" in page.client.get("/finding/1").text
    assert rows_of(page.workspace).loc["sick/train-6", "status"] == "ok"


def test_a_group_is_kept_at_once(page: Opened) -> None:
    text = page.client.get("/finding/1").text
    form = next(form for form in forms_of(text) if "decision" not in form and "image" in form)
    images = [page.number("sick/train-6"), page.number("sick/test-21")]
    sent = {**form, "decision": "keep", "image": [str(number) for number in images]}
    assert page.client.post("/decide", data=sent).status_code == 200
    assert [(line.image_id, line.action) for line in read_decisions(page.workspace)] == [
        ("sick/train-6", "keep"),
        ("sick/test-21", "keep"),
    ]


def test_without_a_script_a_form_leads_back_to_its_page(page: Opened) -> None:
    form = page.form(image=page.number("healthy/train-1"), finding=2, decision="keep", page=1)
    answer = page.client.post("/decide", data=form, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/finding/2?page=1")


def test_applying_changes_the_manifest_and_says_how_much(page: Opened) -> None:
    page.decide("sick/train-6", "exclude")
    page.decide("healthy/train-1", "relabel", 2, label="sick")
    assert page.session.pending() == 2
    answer = page.client.post("/apply", data=page.form(), headers={"Accept": "application/json"})
    assert answer.json() == {"marked": 2, "restored": 0, "left": 0, "pending": 0}
    rows = rows_of(page.workspace)
    assert rows.loc["sick/train-6", "status"] == "excluded"
    assert rows.loc["healthy/train-1", "label"] == "sick"
    page.decide("sick/train-6", "undo")
    assert page.session.pending() == 1
    page.client.post("/apply", data=page.form())
    assert rows_of(page.workspace).loc["sick/train-6", "status"] == "ok"


def test_what_was_decided_stands_in_the_next_sitting(page: Opened) -> None:
    page.decide("sick/train-6", "exclude")
    later = ReviewSession(page.workspace, read_dataset(page.workspace), (), "B. Reader")
    assert [card.name for card in later.decided()] == ["sick/train-6"]
    assert later.path_of(page.number("sick/train-6")) is not None
    later.decide([page.number("sick/train-6")], 0, "undo", [], "")
    assert later.decided() == ()
    assert [line.who for line in read_decisions(page.workspace)] == ["A. Reader", "B. Reader"]


def test_taking_back_where_nothing_stands_writes_nothing(page: Opened) -> None:
    assert page.decide("sick/train-6", "undo") == 200
    assert read_decisions(page.workspace) == []


def test_nobody_decides_without_a_name(tmp_path: Path) -> None:
    page = open_page(tmp_path, reviewer="")
    assert page.decide("sick/train-6", "exclude") == 400
    assert read_decisions(page.workspace) == []
    assert "Give your name first" in page.client.get("/finding/1").text
    page.client.post("/reviewer", data=page.form(name="  C.\tReader "))
    assert page.decide("sick/train-6", "exclude") == 200
    assert read_decisions(page.workspace)[0].who == "C. Reader"


@pytest.mark.parametrize(
    "change",
    [
        {"decision": "burn"},
        {"decision": ""},
        {"image": "9999"},
        {"image": "-1"},
        {"image": "../../etc/passwd"},
        {"image": "23"},
        {"finding": "3"},
        {"finding": "0"},
        {"decision": "relabel"},
        {"decision": "relabel", "label": "moon"},
        {"decision": "relabel", "label": "sick"},
    ],
)
def test_what_does_not_exist_is_refused_and_not_written(change: dict[str, str], page: Opened) -> None:
    form = page.form(image=page.number("sick/train-6"), finding=1, decision="exclude") | change
    answer = page.client.post("/decide", data=form, headers={"Accept": "application/json"})
    assert answer.status_code == 400
    assert "detail" in answer.json()
    assert read_decisions(page.workspace) == []


@pytest.mark.parametrize(("size", "sides"), [("small", (320, 240)), ("large", (500, 375))])
def test_an_image_is_a_png_of_its_pixels_and_nothing_else(
    size: str, sides: tuple[int, int], tmp_path: Path
) -> None:
    page = open_page(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (375, 500), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "raw/sick/train-6.png", pnginfo=_note())
    answer = page.client.get(f"/image/{page.number('sick/train-6')}/{size}")
    assert answer.headers["content-type"] == "image/png"
    assert b"DOE^JANE" not in answer.content
    assert Image.open(BytesIO(answer.content)).size == sides


def _note() -> object:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Patient", "DOE^JANE")
    return info


@pytest.mark.parametrize(
    "path",
    [
        "/image/9/small",  # in the data set, but no finding names it
        "/image/99/small",
        "/image/-1/small",
        "/image/0/huge",
        "/image/0/..%2f..%2fsmall",
        "/static/../review.html",
        "/static/layout.html",
        "/finding/0",
        "/finding/3",
        "/finding/1?page=2",
        "/finding/1?page=0",
    ],
)
def test_only_what_belongs_to_the_page_is_served(path: str, page: Opened) -> None:
    assert page.client.get(path).status_code == 404


def test_a_file_that_is_gone_is_a_missing_picture_not_an_end(page: Opened) -> None:
    (page.workspace.root / "raw/sick/train-6.png").unlink()
    answer = page.client.get(f"/image/{page.number('sick/train-6')}/small")
    assert answer.status_code == 404
    assert str(page.workspace.root) not in answer.text


def test_identities_in_names_are_masked_everywhere(tmp_path: Path) -> None:
    page = open_page(tmp_path)
    rows = page.workspace.manifest_path.read_text().replace("sick/train-6,", "sick/DOE^JANE_1980-02-03,")
    page.workspace.manifest_path.write_text(rows)
    finding = copies(("sick/DOE^JANE_1980-02-03", "sick/test-21"))
    page = Opened(
        page.workspace,
        ReviewSession(page.workspace, read_dataset(page.workspace), (finding,), "A"),
        page.guard,
        page.client,
    )
    shown = page.session.page(1, 1)
    assert shown is not None
    assert shown.groups[0][0].name == "sick/xxx^xxxx_####-##-##"


def test_thousands_of_images_come_in_pages_and_groups_stay_together(tmp_path: Path) -> None:
    page = open_page(tmp_path)
    ids = tuple(rows_of(page.workspace).index)
    many = doubted(*ids)
    pairs = copies(*zip(ids[::2], ids[1::2], strict=True))
    session = ReviewSession(page.workspace, read_dataset(page.workspace), (many, pairs), "A")
    assert len(ids) < PAGE_IMAGES
    first, second = session.page(1, 1), session.page(2, 1)
    assert first is not None and second is not None
    assert (len(first.groups), len(first.groups[0]), first.pages) == (1, 24, 1)
    assert [len(group) for group in second.groups] == [2] * 12


def test_a_long_finding_is_cut_into_pages_that_hold_every_image_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medimg_cli.web.review.session.PAGE_IMAGES", 5)
    page = open_page(tmp_path)
    ids = tuple(rows_of(page.workspace).index)
    groups = copies(ids[:3], ids[3:6], ids[6:18])
    session = ReviewSession(page.workspace, read_dataset(page.workspace), (groups,), "A")
    shown = []
    for number in range(1, 6):
        found = session.page(1, number)
        if found is None:
            break
        cards = [card.number for group in found.groups for card in group]
        assert 0 < len(cards) <= 5
        shown += cards
    assert sorted(shown) == list(range(18))


def test_a_class_name_cannot_break_the_page(tmp_path: Path) -> None:
    page = open_page(tmp_path)
    hostile = doubted("sick/train-6")
    object.__setattr__(hostile, "message", "<script>alert(1)</script>")
    object.__setattr__(page.session, "findings", (hostile,))
    assert "<script>alert" not in page.client.get("/").text
    assert "&lt;script&gt;" in page.client.get("/").text


def test_findings_without_images_are_not_for_this_page(tmp_path: Path) -> None:
    page = open_page(tmp_path, findings=(*FINDINGS, doubted()))
    assert len(page.session.findings) == len(FINDINGS)
