"""Which pictures are read, and what is concluded from a random sample."""

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from medimg_cli.audit.checks import burned_in_text as burned_in
from medimg_cli.audit.checks.burned_in_text import Picture, Survey, expects_text, survey
from medimg_cli.images.image import DecodedImage, UnreadableImage
from medimg_cli.privacy.pixels.text_policy import TextCategory, classify_line
from medimg_cli.privacy.pixels.text_reading import LineReader, TextLine
from medimg_cli.privacy.pixels.text_regions import Box
from medimg_cli.workspace.progress import SilentProgress
from tests.privacy.dicom_files import write_dicom

REGION = Box(10, 10, 60, 12)


def answering(text: str) -> LineReader:
    return lambda _: [TextLine(text, 0.9, Box(1, 1, 30, 10))] if text else []


class Readings:
    """Hands out blank pictures and keeps which were asked for."""

    def __init__(self, unreadable: frozenset[str] = frozenset()) -> None:
        self.paths: list[str] = []
        self._unreadable = unreadable
        self._lock = threading.Lock()

    def __call__(self, path: str) -> DecodedImage:
        with self._lock:
            self.paths.append(path)
        if path in self._unreadable:
            raise UnreadableImage("gone")
        return DecodedImage(np.zeros((100, 120, 1), dtype=np.uint8), 8)


def pictures(flagged: int, others: int) -> list[Picture]:
    with_regions = [Picture(f"f{n}", f"/f{n}.png", (REGION,)) for n in range(flagged)]
    return with_regions + [Picture(f"o{n}", f"/o{n}.png") for n in range(others)]


def _survey(
    monkeypatch: pytest.MonkeyPatch, of: list[Picture], text: str, sample: int = 5, seed: int = 0
) -> tuple[Survey, Readings]:
    monkeypatch.setattr(burned_in, "line_reader", lambda: answering(text))
    readings = Readings()
    return survey(of, readings, SilentProgress(), sample=sample, seed=seed), readings


def test_all_flagged_pictures_are_read_and_a_sample_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    found, readings = _survey(monkeypatch, pictures(3, 50), "")
    assert set(found.read) == {"f0", "f1", "f2"}
    assert len(found.sample) == 5
    assert set(found.sample) <= {f"o{n}" for n in range(50)}
    assert len(readings.paths) == 8
    assert (found.flagged, found.unread) == (3, ())


def test_the_sample_is_the_same_for_the_same_seed_only(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = [set(_survey(monkeypatch, pictures(0, 200), "", seed=seed)[0].sample) for seed in (1, 1, 2)]
    assert samples[0] == samples[1] != samples[2]


def test_of_too_many_flagged_pictures_a_random_part_is_read_and_the_rest_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(burned_in, "MOST_READ", 10)
    found, _ = _survey(monkeypatch, pictures(25, 0), "", sample=0)
    assert (found.flagged, len(found.read), len(found.unread)) == (25, 10, 15)
    assert set(found.unread) | set(found.read) == {f"f{n}" for n in range(25)}
    assert set(found.read) != {f"f{n}" for n in range(10)}
    assert not _survey(monkeypatch, pictures(25, 0), "", sample=25)[0].unread


def test_text_in_the_sample_counts_as_missed_and_a_marker_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _survey(monkeypatch, pictures(0, 9), "MRN 4829173")[0].missed == 5
    assert _survey(monkeypatch, pictures(0, 9), "Svensson")[0].missed == 5
    assert _survey(monkeypatch, pictures(0, 9), "R")[0].missed == 0


def test_how_often_the_first_pass_may_miss_is_bounded_by_the_sample() -> None:
    line = TextLine("Svensson", 0.9, REGION)
    text = [(line, classify_line(line))]
    empty: dict[str, list[tuple[TextLine, TextCategory]]] = {f"o{n}": [] for n in range(40)}
    assert Survey(0, {}, empty).missed_at_most == pytest.approx(1 - 0.05 ** (1 / 40))  # 7.2 %
    bound = Survey(0, {}, {**empty, "o0": text}).missed_at_most
    # With that share in truth, one or none among 40 is seen in one sample of twenty.
    assert (1 - bound) ** 40 + 40 * bound * (1 - bound) ** 39 == pytest.approx(0.05)
    assert Survey(0, {}, {"o0": text}).missed_at_most == 1.0


def test_a_picture_that_is_gone_is_left_out_and_named_as_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(burned_in, "line_reader", lambda: answering("DOE^JANE"))
    readings = Readings(frozenset({"/f0.png", "/o0.png"}))
    found = survey(pictures(2, 1), readings, SilentProgress(), sample=5, seed=0)
    assert (set(found.read), found.sample, found.unread) == ({"f1"}, {}, ("f0",))


def test_no_reader_is_loaded_where_no_picture_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> LineReader:
        raise AssertionError("loaded")

    monkeypatch.setattr(burned_in, "line_reader", refuse)
    readings = Readings(frozenset({"/o0.png"}))
    assert survey(pictures(0, 1), readings, SilentProgress(), sample=5, seed=0).read == {}


@pytest.mark.parametrize(
    "header",
    [{"BurnedInAnnotation": "YES"}, {"Modality": "US"}, {"Modality": "OT"}, {"ConversionType": "WSD"}],
)
def test_a_header_that_makes_text_likely_sends_the_picture_to_reading(
    header: dict[str, Any], tmp_path: Path
) -> None:
    path = str(write_dicom(tmp_path / "a.dcm", **header))
    assert expects_text(path)
    assert expects_text(f"{path}#frame/0")


def test_other_files_are_not_sent(tmp_path: Path) -> None:
    assert not expects_text(str(write_dicom(tmp_path / "a.dcm", Modality="CR", BurnedInAnnotation="NO")))
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "c.dcm").write_bytes(bytes(128) + b"DICM\x01")
    for name in ("b.png", "c.dcm", "gone.dcm", "set.npz#train/1"):
        assert not expects_text(str(tmp_path / name))


def test_a_suspect_is_read_whole_though_no_region_was_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = _survey(monkeypatch, [Picture("us", "/us.dcm", suspect=True)], "Svensson", sample=0)
    assert [line.text for line, _ in found.read["us"]] == ["Svensson"]


def test_the_values_of_a_pictures_own_header_are_searched_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = write_dicom(tmp_path / "a.dcm", PatientName="Svensson^Ulla")
    other = write_dicom(tmp_path / "b.dcm", PatientName="Berg^Nils")
    both = [Picture("a", str(named), (REGION,)), Picture("b", str(other), (REGION,))]
    found, _ = _survey(monkeypatch, both, "Svensson")
    assert [judged.kinds for _, judged in found.read["a"]] == [("PatientName",)]
    assert [judged.kinds for _, judged in found.read["b"]] == [("text",)]
