"""Reading: what is handed to the reader, where its answers stand, and the reader itself where it is installed."""

import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from medimg_cli.privacy.pixels import text_reading
from medimg_cli.privacy.pixels.text_policy import boxes_to_blank, classify_line
from medimg_cli.privacy.pixels.text_reading import (
    ReadingUnavailable,
    TextLine,
    can_read,
    line_reader,
    read_regions,
    read_whole,
)
from medimg_cli.privacy.pixels.text_regions import MOST_REGIONS, Box, find_text_regions, mask_regions, overlap

Colour = NDArray[np.uint8]
needs_reader = pytest.mark.skipif(not can_read(), reason="the extra `ocr` is not installed")


class Listener:
    """Answers every picture with one line around its bright pixels, and keeps the sizes it was given."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def __call__(self, picture: Colour) -> list[TextLine]:
        assert picture.dtype == np.uint8
        assert picture.shape[2] == 3
        self.sizes.append((picture.shape[1], picture.shape[0]))
        rows, columns = np.nonzero(picture[..., 0] > 200)
        if not len(rows):
            return []
        x, y = int(columns.min()), int(rows.min())
        return [TextLine("seen", 0.9, Box(x, y, int(columns.max()) + 1 - x, int(rows.max()) + 1 - y))]


def _with_bar(width: int, height: int, bar: Box) -> NDArray[np.uint8]:
    pixels = np.full((height, width, 1), 20, dtype=np.uint8)
    pixels[bar.y : bar.y + bar.h, bar.x : bar.x + bar.w] = 255
    return pixels


def _same(first: Box, second: Box, within: int = 3) -> bool:
    pairs = ((first.x, second.x), (first.y, second.y), (first.w, second.w), (first.h, second.h))
    return all(abs(one - other) <= within for one, other in pairs)


@pytest.mark.parametrize(
    "bar", [Box(100, 80, 60, 10), Box(0, 0, 40, 12), Box(700, 560, 100, 40), Box(300, 200, 400, 120)]
)
def test_a_line_stands_where_it_stood_in_the_full_picture(bar: Box) -> None:
    pixels = _with_bar(800, 600, bar)
    (line,) = read_regions(pixels, [bar], Listener())
    assert _same(line.box, bar)
    assert line.box.x + line.box.w <= 800
    assert line.box.y + line.box.h <= 600


def test_small_signs_are_enlarged_and_large_ones_reduced() -> None:
    small, large = Listener(), Listener()
    read_regions(_with_bar(800, 600, Box(100, 80, 60, 10)), [Box(100, 80, 60, 10)], small)
    read_regions(_with_bar(800, 600, Box(100, 80, 500, 150)), [Box(100, 80, 500, 150)], large)
    assert small.sizes == [(3 * 120, 3 * 30)]
    assert large.sizes[0][0] < 800 / 4


def test_regions_close_to_each_other_are_read_together() -> None:
    near, far = Box(100, 100, 80, 12), Box(100, 116, 80, 12)
    listener = Listener()
    read_regions(_with_bar(800, 600, near), [near, far, Box(500, 500, 80, 12)], listener)
    assert len(listener.sizes) == 2


def test_at_the_limit_of_regions_the_whole_picture_is_read() -> None:
    bar = Box(100, 100, 80, 12)
    listener = Listener()
    read_regions(_with_bar(800, 600, bar), [bar] * MOST_REGIONS, listener)
    assert listener.sizes == [(800, 600)]


@pytest.mark.parametrize(
    ("width", "height", "pieces"),
    [(224, 224, 1), (1024, 1024, 1), (1800, 900, 2), (1800, 1300, 4), (4096, 2048, 3)],
)
def test_a_whole_picture_is_read_in_tiles_that_cover_it(width: int, height: int, pieces: int) -> None:
    for x in (3, width // 2 - 30, width - 70):
        listener = Listener()
        bar = Box(x, height - 25, 60, 16)
        lines = read_whole(_with_bar(width, height, bar), listener)
        assert any(_same(line.box, bar, within=4) for line in lines)
        assert len(listener.sizes) == pieces
        assert max(max(size) for size in listener.sizes) <= 1025


def test_a_line_two_tiles_share_is_told_once() -> None:
    bar = Box(940, 100, 60, 16)
    assert len(read_whole(_with_bar(1800, 600, bar), Listener())) == 1


def test_sixteen_bits_are_read_as_eight() -> None:
    bar = Box(100, 80, 60, 10)
    pixels = _with_bar(300, 200, bar).astype(np.uint16) * 257
    assert _same(read_regions(pixels, [bar], Listener())[0].box, bar)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    text_reading._load.cache_clear()
    monkeypatch.setattr(text_reading, "find_spec", lambda _: None)
    assert not can_read()
    with pytest.raises(ReadingUnavailable, match=r"medimg\[ocr\]"):
        line_reader()


def _film(text: str, level: int = 255, ground: int = 60, side: int = 400) -> NDArray[np.uint8]:
    pixels = np.full((side, side, 1), ground, dtype=np.uint8)
    grain = np.random.default_rng(0).integers(0, 6, pixels.shape, dtype=np.uint8)
    written = cv2.putText(
        pixels + grain, text, (30, 200), cv2.FONT_HERSHEY_SIMPLEX, 0.8, level, 2, cv2.LINE_AA
    )
    return np.asarray(written, dtype=np.uint8).reshape(side, side, 1)


@needs_reader
@pytest.mark.parametrize("text", ["MRN 4829173", "DOB 03.02.1980", "Anna Kowalski"])
@pytest.mark.parametrize("level", [255, 130])
def test_text_is_found_and_read(text: str, level: int) -> None:
    pixels = _film(text, level)
    lines = read_regions(pixels, find_text_regions(pixels), line_reader())
    assert text.replace(" ", "") in {line.text.replace(" ", "") for line in lines}
    assert "identity" in {classify_line(line).meaning for line in lines}


@needs_reader
def test_nothing_is_fetched_when_the_networks_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("something wants to reach the network")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    text_reading._load.cache_clear()
    assert [line.text for line in read_whole(_film("R LAT"), line_reader())] == ["R LAT"]


@needs_reader
def test_the_reader_says_the_same_in_many_threads() -> None:
    films = [_film(f"ID {111_213 * number}", side=300 + 16 * number) for number in range(1, 9)]
    alone = [read_whole(film, line_reader()) for film in films]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda film: read_whole(film, line_reader()), films))
    assert together == alone
    assert all(alone)


@needs_reader
def test_the_reader_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    text_reading._load.cache_clear()
    read_whole(np.zeros((200, 200, 1), dtype=np.uint8), line_reader())
    assert capfd.readouterr() == ("", "")


@needs_reader
def test_what_is_covered_cannot_be_read_again_and_markers_stay() -> None:
    pixels = cv2.putText(_film("MUELLER, HANS"), "PORTABLE", (30, 80), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    pixels = np.asarray(pixels, dtype=np.uint8).reshape(400, 400, 1)
    boxes = boxes_to_blank(pixels, line_reader())
    assert all(overlap(box, Box(30, 60, 140, 22)) == 0 for box in boxes)
    left = read_whole(mask_regions(pixels, boxes), line_reader())
    assert [line.text for line in left] == ["PORTABLE"]
