"""Nothing leaves the page, whatever classes, images, columns and levels are called."""

from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from pdfminer.high_level import extract_pages
from pdfminer.layout import LAParams, LTChar

from medimg_cli.reporting.charts.scales import short_name
from medimg_cli.reporting.content import Case, ReportContent
from medimg_cli.reporting.page import Part, render_page
from medimg_cli.reporting.pdf import write_pdf
from medimg_cli.stages.report import gather
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import make_cohort
from tests.reporting.results import subgroups, with_every_result
from tests.web.conftest import browser as browser

UNBROKEN = "Unbroken" + "x" * 180
COHORTS: dict[str, dict[str, object]] = {
    "unbroken": {"classes": ("NORMAL", UNBROKEN), "positive": UNBROKEN, "missed": 9},
    "fifty unbroken": {
        "classes": tuple(f"{UNBROKEN}{number:02}" for number in range(50)), "positive": None, "per_class": 2,
    },
    "fifty of words": {
        "classes": tuple(f"{'word ' * 36}{number:02}" for number in range(50)), "positive": None, "per_class": 2,
    },
    "markup": {
        "classes": ("<b>NORMAL</b>", "</td></table><script>alert(1)</script>", "{{7*7}}", "a&amp;b\"'>"),
        "positive": "</td></table><script>alert(1)</script>", "per_class": 12,
    },
    "other scripts": {
        "classes": ("正常な胸部エックス線写真所見なし", "肺炎の疑いがある" * 12, "דלקת ריאות חמורה מאוד", "التهاب رئوي حاد"),
        "positive": "דלקת ריאות חמורה מאוד", "per_class": 12,
    },
}  # fmt: skip


def _content(root: Path, options: dict[str, object]) -> ReportContent:
    cohort = make_cohort(root, **options)  # type: ignore[arg-type]
    found = gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test")
    (sex,) = subgroups().groupings
    groups = tuple(group.model_copy(update={"level": group.level * 90}) for group in sex.groups)
    named = {"column": "column_" * 27, "groups": groups, "between": {"recall": ("M" * 90, "F" * 90)}}
    wide = subgroups().model_copy(
        update={"groupings": (sex.model_copy(update=named),), "absent": ("age" * 70,)}
    )
    evaluation = with_every_result(found.evaluation).model_copy(update={"subgroups": wide})

    def renamed(cases: tuple[Case, ...]) -> tuple[Case, ...]:
        return tuple(replace(case, image_id=f"{'i' * 180}{case.image_id}") for case in cases)

    kinds = (
        replace(kind, shown=renamed(kind.shown), listed=renamed(kind.listed + kind.shown))
        for kind in found.cases
    )
    return replace(found, evaluation=evaluation, cases=tuple(kinds))


def _characters(node: object) -> Iterator[LTChar]:
    if isinstance(node, LTChar):
        yield node
    for child in node if hasattr(node, "__iter__") else ():
        yield from _characters(child)


@pytest.mark.parametrize(
    ("kind", "part"),
    [
        pytest.param("unbroken", "report", marks=pytest.mark.slow),
        ("unbroken", "appendix"),
        ("fifty unbroken", "report"),
        pytest.param("fifty of words", "report", marks=pytest.mark.slow),
        pytest.param("markup", "report", marks=pytest.mark.slow),
        ("other scripts", "report"),
    ],
)
def test_no_text_lies_outside_its_page(tmp_path: Path, kind: str, part: Part) -> None:
    target = BytesIO()
    write_pdf(target, render_page(_content(tmp_path, COHORTS[kind]), part=part))
    pages = list(extract_pages(target, laparams=LAParams(all_texts=True)))
    outside = [
        (number, character.get_text(), character.bbox)
        for number, page in enumerate(pages, start=1)
        for character in _characters(page)
        if character.get_text().strip()
        and not (character.x0 >= 0 and character.x1 <= page.width and 0 <= character.y0 <= character.y1 <= page.height)
    ]  # fmt: skip
    assert pages and outside == []
    assert part == "appendix" or len(pages) <= 8


@pytest.mark.parametrize("kind", ["fifty unbroken", "fifty of words"])
def test_names_that_begin_alike_stay_apart_and_stand_in_full_once(kind: str, tmp_path: Path) -> None:
    content = _content(tmp_path, COHORTS[kind])
    report = render_page(content, part="report")
    assert all(short_name(name) in report for name in content.evaluation.classes[:5])
    assert len({short_name(name) for name in content.evaluation.classes}) == 50
    appendix = render_page(content, part="appendix")
    assert all(f": {name}</li>" in appendix for name in content.evaluation.classes)


_BESIDE_THE_SCREEN = """() => [...document.querySelectorAll('.cover .scroll')]
    .filter(each => each.scrollWidth > each.clientWidth).map(each => each.textContent)"""


def test_no_column_of_the_first_page_stands_beside_the_screen_of_a_phone(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    browser = request.getfixturevalue("browser")
    page = browser.new_page(viewport={"width": 390, "height": 844})
    for name in ("plain", *COHORTS):
        html = render_page(_content(tmp_path / name, COHORTS.get(name, {})))
        page.set_content(html)
        assert page.locator(".cover .scroll").count() > 0
        assert page.evaluate(_BESIDE_THE_SCREEN) == [], name
    page.close()
