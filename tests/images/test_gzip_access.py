"""Reading at any place of a gzip file."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.images import gzip_access
from medimg_cli.images.gzip_access import GzipAccess

PLAIN = np.random.default_rng(0).integers(0, 40, 1_500_000, dtype=np.uint8).tobytes()


def opened(path: Path, content: bytes) -> GzipAccess:
    path.write_bytes(content)
    return GzipAccess(path, watch=lambda *_: None)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip_access, "_STEP_BYTES", 100_000)
    monkeypatch.setattr(gzip_access, "_CHUNK_BYTES", 10_000)


def test_any_place_is_read_in_any_order_and_by_threads(tmp_path: Path) -> None:
    access = opened(tmp_path / "a.gz", gzip.compress(PLAIN))
    places = np.random.default_rng(1).integers(0, len(PLAIN), 60).tolist()
    with ThreadPoolExecutor(4) as pool:
        read = list(pool.map(lambda place: access.read_at(place, 5000), places))
    assert read == [PLAIN[place : place + 5000] for place in places]


def test_once_unpacked_a_place_costs_no_more_than_one_step(tmp_path: Path) -> None:
    access = opened(tmp_path / "a.gz", gzip.compress(PLAIN))
    access.read_at(len(PLAIN) - 1, 1)
    nearest = access._nearest(777_777)
    assert 0 <= 777_777 - nearest.position <= 110_000


def test_reading_on_starts_where_the_last_read_ended(tmp_path: Path) -> None:
    access = opened(tmp_path / "a.gz", gzip.compress(PLAIN))
    access.read_at(0, 50_000)
    assert access._nearest(50_000).position == 50_000


def test_the_number_of_points_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzip_access, "_LIMIT_POINTS", 4)
    access = opened(tmp_path / "a.gz", gzip.compress(PLAIN))
    access.read_at(len(PLAIN), 1)
    assert len(access._points) <= 4
    assert access.read_at(1_234_567, 10) == PLAIN[1_234_567:1_234_577]


def test_gzip_files_one_after_the_other_with_padding_are_one(tmp_path: Path) -> None:
    parts = gzip.compress(PLAIN[:70_000]) + bytes(25_000) + gzip.compress(PLAIN[70_000:90_000]) + bytes(512)
    access = opened(tmp_path / "a.gz", parts)
    assert access.read_at(0, 200_000) == PLAIN[:90_000]
    assert access.stream().read() == PLAIN[:90_000]


def test_beyond_the_end_there_is_nothing(tmp_path: Path) -> None:
    access = opened(tmp_path / "a.gz", gzip.compress(b"abc"))
    assert access.read_at(1, 10) == b"bc"
    assert access.read_at(100, 10) == b""


def test_a_truncated_file_is_noticed(tmp_path: Path) -> None:
    access = opened(tmp_path / "a.gz", gzip.compress(PLAIN)[:-9])
    with pytest.raises(EOFError, match="truncated"):
        access.read_at(0, len(PLAIN) + 1)


def test_unpacking_can_be_watched_and_stopped(tmp_path: Path) -> None:
    def stop(unpacked: int, packed: int) -> None:
        raise OverflowError(f"{unpacked} {packed}")

    (tmp_path / "a.gz").write_bytes(gzip.compress(bytes(1_000_000)))
    with pytest.raises(OverflowError) as caught:
        GzipAccess(tmp_path / "a.gz", watch=stop).read_at(900_000, 1)
    unpacked, packed = map(int, str(caught.value).split())
    assert 100_000 <= unpacked <= 110_000
    assert packed < 2000
