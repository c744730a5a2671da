"""Every readable DICOM file at hand, identities planted: none left, every file written or named."""

import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from medimg_cli.images.decoding import quiet_decoding
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.readers import read_image
from medimg_cli.privacy.dicom.header_texts import is_class
from medimg_cli.privacy.dicom.headers import is_dicom
from medimg_cli.privacy.removal.deidentify_dicom import deidentify_dicom
from medimg_cli.privacy.removal.profile import CannotDeidentify, Profile
from medimg_cli.privacy.removal.pseudonyms import Pseudonyms
from tests.privacy.action_score import Score
from tests.privacy.planted_identities import left_in, planted, secrets

_KEY = Pseudonyms(b"k" * 32)
_STANDARD_ROOT = "1.2.840.10008."
_MILLISECONDS = 80


@pytest.fixture(scope="module")
def files(shared_data: Path) -> list[Path]:
    found = [path for path in sorted((shared_data / "dicom").rglob("*")) if path.is_file() and is_dicom(path)]
    assert len(found) == 177
    return found


def _uids(dataset: Dataset) -> Iterator[str]:
    for element in dataset.iterall():
        if element.VR == "UI" and not is_class(element.tag) and element.value:
            values = element.value if isinstance(element.value, list) else [element.value]
            yield from (str(value) for value in values if not str(value).startswith(_STANDARD_ROOT))


def test_of_all_planted_kinds_none_is_left_and_every_file_is_written_or_named(files: list[Path]) -> None:
    written, seconds, uids = 0, 0.0, 0
    refused: dict[str, str] = {}
    for number, path in enumerate(files):
        with quiet_decoding():
            content = planted(path)
        assert left_in(content) >= set(secrets()) - {"trailing"}
        begun = time.thread_time()
        try:
            clean = deidentify_dicom(content, Profile(), _KEY).content
        except CannotDeidentify as error:
            refused[str(path)] = str(error)
            continue
        finally:
            seconds += time.thread_time() - begun
        written += 1
        assert left_in(clean) == set(), path
        if number % 5 == 0:
            assert deidentify_dicom(content, Profile(), _KEY).content == clean
        with quiet_decoding():
            before = set(_uids(dcmread(BytesIO(content), force=True)))
            after = set(_uids(dcmread(BytesIO(clean))))
        assert before.isdisjoint(after), path
        uids += len(before)
    assert written == 164
    assert uids > 500
    # Eight indices of other files, two whose headers say nothing of rows and columns, one of a codestream that no
    # decoder reads, one of "1A" frames, and a waveform.
    assert sum("DICOMDIR" in reason for reason in refused.values()) == 8
    assert sum("how many pixels" in reason for reason in refused.values()) == 2
    assert sum("no decoder here reads" in reason for reason in refused.values()) == 1
    assert sum("WaveformData" in reason for reason in refused.values()) == 1 and len(refused) == 13
    assert seconds / len(files) * 1000 < _MILLISECONDS


@pytest.mark.slow
def test_the_pixels_decode_as_before(files: list[Path], tmp_path: Path) -> None:
    compared = 0
    for path in files:
        try:
            clean = deidentify_dicom(path.read_bytes(), Profile(), _KEY).content
        except CannotDeidentify:
            continue
        (tmp_path / "clean.dcm").write_bytes(clean)
        assert _seen(tmp_path / "clean.dcm") == _seen(path), path
        compared += 1
    assert compared == 164


def _seen(path: Path) -> str:
    try:
        return read_image(str(path)).pixel_sha256()
    except UnreadableImage as error:
        return str(error)


@pytest.mark.slow
@pytest.mark.parametrize("with_planted", [False, True])
def test_the_actions_owed_are_done(with_planted: bool, files: list[Path]) -> None:
    score = Score()
    for path in files:
        with quiet_decoding():
            content = planted(path) if with_planted else path.read_bytes()
            try:
                clean = deidentify_dicom(content, Profile(dates="shift"), _KEY).content
            except CannotDeidentify:
                continue
            score.add(content, clean, _KEY.shift_days)
    score.finish()
    assert set(score.required) >= {
        "tag_retained",
        "text_notnull",
        "text_retained",
        "date_shifted",
        "uid_changed",
        "uid_consistent",
        "patid_consistent",
        "pixels_retained",
    }
    assert sum(score.required.values()) > 5000
    assert score.share >= 0.999, (score.share, score.failures[:20])
