"""Text in the pixels: an identity is an error, other text a warning, a marker info."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.audit.checks import burned_in_text as burned_in
from medimg_cli.audit.checks.burned_in_text import burned_in_text
from medimg_cli.audit.findings import AuditContext, Finding
from medimg_cli.images.image import DecodedImage
from medimg_cli.privacy.pixels.text_reading import LineReader, ReadingUnavailable, TextLine
from medimg_cli.privacy.pixels.text_regions import Box
from medimg_cli.workspace.settings import LabelAuditSettings
from tests.audit.checks.cohort import clean_cohort, ids, with_measurements, with_rows
from tests.privacy.dicom_files import write_dicom

REGION = "10,10,80,12"


def _blank(_: str) -> DecodedImage:
    return DecodedImage(np.zeros((100, 120, 1), dtype=np.uint8), 8)


def _cohort(folder: Path, flagged: list[str], sample: int = 0) -> AuditContext:
    context = with_measurements(clean_cohort(folder), flagged, text_regions=REGION)
    return replace(context, read=_blank, settings=LabelAuditSettings(ocr_sample=sample))


def _reads(monkeypatch: pytest.MonkeyPatch, *texts: str) -> None:
    """Have every picture hold these lines."""

    def read(_: object) -> list[TextLine]:
        return [TextLine(text, 0.95, Box(2, 2 + 20 * row, 60, 10)) for row, text in enumerate(texts)]

    monkeypatch.setattr(burned_in, "line_reader", lambda: read)


def _missing() -> LineReader:
    raise ReadingUnavailable("install medimg[ocr] to have it read")


def test_an_identity_in_the_pixels_is_an_error_that_does_not_show_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _reads(monkeypatch, "MUELLER^HANS", "1980-02-03")
    flagged = ids("train", "sick", 2)
    findings = burned_in_text(_cohort(tmp_path, flagged)).findings
    assert [finding.severity for finding in findings] == ["error", "error"]
    date, name = findings
    assert (
        date.message
        == "a calendar date stands in the pixels of 2 images, such as '####-##-##' (Safe Harbor C)"
    )
    assert "'xxxxxxx^xxxx' (Safe Harbor A)" in name.message
    assert name.image_ids == tuple(flagged)
    assert name.notes[flagged[0]] == "2 lines: name; date"
    assert (name.count, name.remedy) == (2, "look")
    shown = " ".join(f"{f.message} {f.advice} {f.notes}" for f in findings)
    assert not any(part in shown for part in ("MUELLER", "HANS", "1980"))


def test_other_text_is_a_warning_and_masked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _reads(monkeypatch, "Svensson", "19:02:31")
    findings = burned_in_text(_cohort(tmp_path, ids("train", "sick", 1))).findings
    assert [(f.severity, f.message) for f in findings] == [
        ("warning", "other text stands in the pixels of 1 image, such as 'xxxxxxxx'"),
        ("warning", "a time of day stands in the pixels of 1 image, such as '##:##:##'"),
    ]


def test_markers_are_info_with_their_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _reads(monkeypatch, "R LAT", "80 kV")
    (finding,) = burned_in_text(_cohort(tmp_path, ids("train", "sick", 3))).findings
    assert finding.severity == "info"
    assert finding.message == (
        "side and view markers or technical figures stand in 3 of 3 images read (KV 3, LAT 3, R 3): "
        "no identity, but a possible shortcut"
    )


def test_regions_in_which_nothing_is_read_are_no_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _reads(monkeypatch)
    checked = burned_in_text(_cohort(tmp_path, ids("train", "sick", 3), sample=10))
    assert checked.findings == ()
    assert checked.did == (
        "108 images searched, 3 may hold text; 3 of these read, and 10 others: 0 with text, "
        "so at most 25.9% of the unflagged ones (95 %)"
    )


def test_text_that_only_the_sample_shows_is_a_finding_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _reads(monkeypatch, "MRN 4829173")
    checked = burned_in_text(_cohort(tmp_path, [], sample=4))
    assert {finding.severity for finding in checked.findings} == {"error"}
    assert checked.findings[0].count == 4
    assert "4 with text, so at most 100.0%" in checked.did


def test_without_the_extra_what_may_be_text_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(burned_in, "line_reader", _missing)
    flagged = ids("train", "sick", 2)
    checked = burned_in_text(_cohort(tmp_path, flagged, sample=3))
    (finding,) = checked.findings
    assert (finding.severity, finding.image_ids) == ("warning", tuple(flagged))
    assert finding.message == "2 of 108 images may hold text in their pixels, and nobody read it"
    assert "medimg[ocr]" in finding.advice
    assert "none read" in checked.did


def test_without_the_extra_and_without_regions_it_is_silent_and_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(burned_in, "line_reader", _missing)
    checked = burned_in_text(_cohort(tmp_path, [], sample=3))
    assert checked.findings == ()
    assert (
        checked.did == "108 images searched, 0 may hold text; none read: install medimg[ocr] to have it read"
    )


@pytest.mark.parametrize(("text", "severity"), [("R", "info"), ("DOE^JANE", "warning")])
def test_flagged_images_nobody_read_are_named_as_gravely_as_the_others_turned_out(
    text: str, severity: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(burned_in, "MOST_READ", 2)
    _reads(monkeypatch, text)
    rest: Finding = burned_in_text(_cohort(tmp_path, ids("train", "sick", 5))).findings[-1]
    assert (rest.severity, rest.count) == (severity, 3)
    assert rest.message == "3 of 5 images that may hold text were not read: 2 drawn at random were"
    assert "--ocr-sample" in rest.advice


def test_a_header_that_says_so_sends_an_image_to_reading(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _reads(monkeypatch, "Svensson")
    path = write_dicom(tmp_path / "a.dcm", BurnedInAnnotation="YES", PatientName="Svensson^Ulla")
    context = with_rows(_cohort(tmp_path, []), ids("train", "sick", 1), path=str(path))
    (finding,) = burned_in_text(context).findings
    assert finding.severity == "error"
    assert finding.message == (
        "the value of PatientName stands in the pixels of 1 image, such as 'xxxxxxxx' (Safe Harbor A)"
    )


def test_an_image_that_cannot_be_read_is_left_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _reads(monkeypatch, "Svensson")
    image = ids("train", "sick", 1)
    context = with_measurements(_cohort(tmp_path, image), image, readable=False)
    assert burned_in_text(context).findings == ()
