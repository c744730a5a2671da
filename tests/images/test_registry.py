"""The shelf's contract, and the one door."""

import os
import re
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medimg_cli.images.decoding import BoundedStream, foreign_decoder, refuse_huge
from medimg_cli.images.image import SIGNATURES, UnreadableImage
from medimg_cli.images.readers import AS_THE_FILE_SAYS, READERS, Content, read_image


def test_every_format_that_is_told_by_its_content_has_exactly_one_reader() -> None:
    formats = [name for reader in READERS.names() for name in READERS.get(reader).formats]
    told = "avif bmp dicom gif gzip heic jp2 jpeg nifti npy npz png tar tiff webp zip".split()
    assert sorted(formats) == sorted([*told, *SIGNATURES.names()])
    assert all(READERS.get(name).needs for name in READERS.names())


@pytest.mark.parametrize("name", READERS.names())
def test_no_reader_passes_rubbish_or_names_what_it_reads(name: str, tmp_path: Path) -> None:
    reader, path = READERS.get(name), tmp_path / "Jane_Doe"
    path.write_bytes(bytes(range(256)) * 8)
    for image_format in reader.formats:
        for member in (None, "page/7"):
            with path.open("rb") as stream, pytest.raises(UnreadableImage) as caught, foreign_decoder():
                reader.read(Content(stream, image_format, path), member, AS_THE_FILE_SAYS)
            assert re.fullmatch(r"(?!.*(?:Jane|0x)).+", str(caught.value))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"just some words\n" * 20, "not an image of a known format"),
        (b"\xff\xd8\xff\xe0 no jpeg", ""),
        (b"\x89PNG\r\n\x1a\n", ""),
        (b"II*\x00\x08\x00\x00\x00\xff\xff", ""),
        (b"BM" + bytes(60), ""),
        (b"RIFF\x10\x00\x00\x00WEBPVP8 ", ""),
        (b"PK\x03\x04" + bytes(40), "an archive"),
        (b"PK\x05\x06" + bytes(18), "an archive"),
        (b"\x93NUMPY\x01\x00", ""),
        (b"\x1f\x8b\x08\x00 no gzip", "compressed by gzip"),
        (bytes(128) + b"DICM" + bytes(20), ""),
    ],
)
def test_what_is_no_image_is_refused_in_one_line_without_its_path(
    tmp_path: Path, content: bytes, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "Jane_Doe.png"
    path.write_bytes(content)
    with pytest.raises(UnreadableImage) as caught:
        read_image(path.as_posix())
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "Jane" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_a_missing_file_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match=r"^file not found$"):
        read_image((tmp_path / "no.png").as_posix())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_or_a_folder_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path):
        with pytest.raises(UnreadableImage, match="not a regular file"):
            read_image(path.as_posix())


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_a_forbidden_file_is_said_to_be_forbidden(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch(mode=0)
    with pytest.raises(UnreadableImage, match="permission denied"):
        read_image((tmp_path / "a.png").as_posix())


def test_a_file_whose_name_looks_like_a_member_is_read_as_itself(tmp_path: Path) -> None:
    path = tmp_path / "set.npz#1.png"
    Image.new("L", (3, 2), 9).save(path)
    assert read_image(path.as_posix()).pixels.shape == (2, 3, 1)


def test_a_file_called_like_a_frame_is_read_as_itself(tmp_path: Path) -> None:
    folder = tmp_path / "a#frame"
    folder.mkdir()
    Image.new("L", (3, 2), 9).save(folder / "1", format="PNG")
    assert read_image((folder / "1").as_posix()).pixels.shape == (2, 3, 1)


@pytest.mark.parametrize(
    ("name", "named"), [("a.png", "png"), ("a.dcm", "dicom"), ("a.jpg", None), ("a", None)]
)
def test_a_wrong_suffix_is_said(tmp_path: Path, name: str, named: str | None) -> None:
    Image.new("L", (8, 8), 9).save(tmp_path / name, format="JPEG")
    assert read_image((tmp_path / name).as_posix()).facts.get("named") == named


@pytest.mark.parametrize("name", [b"two\nlines.png", b"caf\xe9.png", "größe ü.png".encode(), b" .png"])
def test_any_name_a_file_system_allows_can_be_read(tmp_path: Path, name: bytes) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/" + name)
    try:
        with Path(path).open("wb") as stream:
            Image.new("L", (3, 2), 9).save(stream, format="PNG")
    except OSError:
        pytest.skip("this file system takes no such name")
    assert read_image(path).pixels.shape == (2, 3, 1)


def test_a_library_that_is_missing_is_no_fault_of_an_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: object) -> tuple[str, ...]:
        raise ImportError("no pydicom")

    monkeypatch.setattr(type(READERS), "names", load)
    with pytest.raises(ImportError):
        read_image((tmp_path / "a.png").as_posix())


def test_threads_read_the_same_as_one_after_the_other(tmp_path: Path) -> None:
    paths = []
    for number in range(12):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20), dtype=np.uint8)
        paths.append((tmp_path / f"{number}.png").as_posix())
        Image.fromarray(pixels).save(paths[-1])
    expected = [read_image(path).pixel_sha256() for path in paths]
    with ThreadPoolExecutor(6) as pool:
        assert [image.pixel_sha256() for image in pool.map(read_image, paths * 5)] == expected * 5


def test_decoders_may_not_warn_and_the_filters_are_as_before_afterwards() -> None:
    before = list(warnings.filters)
    gate = threading.Barrier(4)

    def warn() -> None:
        with foreign_decoder():
            gate.wait(5)
            warnings.warn("noise", stacklevel=1)

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(warn) for _ in range(4)]:
            done.result()
    assert list(warnings.filters) == before


@pytest.mark.parametrize("error", [KeyError("x"), MemoryError(), ValueError("two\nlines"), IndexError()])
def test_whatever_a_decoder_raises_becomes_one_line(error: Exception) -> None:
    with pytest.raises(UnreadableImage) as caught, foreign_decoder():
        raise error
    assert str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_reason_names_neither_the_stream_nor_its_path(tmp_path: Path) -> None:
    path = tmp_path / "Jane.png"
    path.write_bytes(b"rubbish")
    with path.open("rb") as file:
        for stream in (file, BoundedStream.around(file)):
            with pytest.raises(UnreadableImage, match=r"^cannot identify image file$"), foreign_decoder():
                Image.open(stream)


@pytest.mark.parametrize("size", [(0, 5), (5, -1), (30_000, 30_000)])
def test_impossible_sizes_are_refused(size: tuple[int, int]) -> None:
    with pytest.raises(UnreadableImage, match="the header says"):
        refuse_huge(*size)


def test_an_ordinary_size_is_let_through() -> None:
    refuse_huge(20_000, 20_000)
