"""Archives: their files are found and read in memory, and nothing in them can do harm."""

import gzip
import io
import os
import tarfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.errors import DataError
from medimg_cli.images import archives
from medimg_cli.images.archives import GzipAccess, has_member, list_members, read_member
from medimg_cli.images.image import UnreadableImage

CONTENTS = {f"case {number}/view.png": bytes([number]) * (50 + number) for number in range(20)}
KINDS = ("zip", "tar", "tar.gz")


def pack(path: Path, contents: dict[str, bytes]) -> Path:
    """Write the contents as the kind of archive the suffix says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in contents.items():
                archive.writestr(name, content)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_listed_in_order_and_read_in_any(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"set.{kind}", CONTENTS)
    assert list_members(path) == list(CONTENTS)
    for name in reversed(CONTENTS):
        assert read_member(path, name) == CONTENTS[name]
    with pytest.raises(UnreadableImage, match="no such file"):
        read_member(path, "case 99/view.png")


@pytest.mark.parametrize("kind", KINDS)
def test_what_an_archive_is_is_told_by_its_content(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"set.{kind}", CONTENTS).rename(tmp_path / "download")
    assert len(list_members(path)) == 20


@pytest.mark.parametrize("kind", KINDS)
def test_folders_and_litter_are_left_out(tmp_path: Path, kind: str) -> None:
    names = ["a/b.png", "__MACOSX/a/._b.png", ".DS_Store", "a/.hidden", "a/Thumbs.db", "./c.png"]
    path = pack(tmp_path / f"set.{kind}", dict.fromkeys(names, b"x"))
    if kind == "zip":
        with zipfile.ZipFile(path, "a") as archive:
            archive.mkdir("empty")
    assert list_members(path) == ["a/b.png", "c.png"]
    assert not has_member(path, "empty/")


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_that_points_outside_is_only_a_name(tmp_path: Path, kind: str) -> None:
    names = ("../outside.png", "/etc/passwd", "a/../../b.png")
    (tmp_path / "inner").mkdir()
    path = pack(tmp_path / "inner" / f"set.{kind}", dict.fromkeys(names, b"inside"))
    assert [read_member(path, name) for name in list_members(path)] == [b"inside"] * 3
    assert sorted(item.name for item in (tmp_path / "inner").iterdir()) == [f"set.{kind}"]


@pytest.mark.parametrize("kind", KINDS)
def test_names_are_those_that_unpackers_write(tmp_path: Path, kind: str) -> None:
    names = ["./a/1.png", "/a/2.png", "a//3.png", "../a/4.png", "./a/./5.png"]
    path = pack(tmp_path / f"set.{kind}", {name: name.encode() for name in [*names, "a/1.png"]})
    listed = ["a/1 (2).png", "a/2.png", "a/3.png", "a/4.png", "a/5.png", "a/1.png"]
    assert list_members(path) == listed  # the first is written as the last is
    assert [read_member(path, name).decode() for name in list_members(path)] == [*names, "a/1.png"]
    assert read_member(path, "/a/2.png") == b"/a/2.png"  # as a manifest of an earlier version has it


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drive", ["", "C:\\", "D:\\", "\\"])
def test_backslashes_part_names_where_there_are_no_slashes(drive: str, tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"set.{kind}", {f"{drive}a\\1.png": b"1", f"{drive}b\\2.png": b"2"})
    assert list_members(path) == ["a/1.png", "b/2.png"]
    assert read_member(path, "b/2.png") == b"2"


def test_a_backslash_in_a_tar_beside_slashes_is_part_of_a_name(tmp_path: Path) -> None:
    contents = {"a/x\\1.png": b"1", "b\\2.png": b"2"}
    assert list_members(pack(tmp_path / "set.tar", contents)) == list(contents)
    assert list_members(pack(tmp_path / "set.zip", contents)) == ["a/x/1.png", "b/2.png"]


@pytest.mark.parametrize("kind", KINDS)
def test_members_without_a_name_get_one_each_and_stand_in_no_folder(tmp_path: Path, kind: str) -> None:
    names = [".", "..", "./..", "a/1.png", "/../a/1.png", "../..", "a//1.png"]
    path = pack(tmp_path / f"set.{kind}", {name: name.encode() for name in names})
    listed = ["unnamed", "unnamed (2)", "unnamed (3)", "a/1.png", "a/1 (2).png", "unnamed (4)", "a/1 (3).png"]
    assert list_members(path) == listed
    assert [read_member(path, name).decode() for name in listed] == names


@pytest.mark.parametrize("kind", KINDS)
def test_an_archive_that_changes_is_read_anew(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"set.{kind}", {"a": b"old"})
    assert read_member(path, "a") == b"old"
    pack(path, {"a": b"new"})
    os.utime(path, ns=(1, 1))
    assert read_member(path, "a") == b"new"


@pytest.mark.parametrize("kind", KINDS)
def test_threads_share_an_archive(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"set.{kind}", CONTENTS)
    names = [*CONTENTS, *reversed(CONTENTS)] * 5
    with ThreadPoolExecutor(6) as pool:
        read = list(pool.map(lambda name: read_member(path, name), names))
    assert read == [CONTENTS[name] for name in names]


@pytest.mark.parametrize("kind", KINDS)
def test_a_truncated_archive_is_one_clear_error(tmp_path: Path, kind: str) -> None:
    noise = {f"{number}.png": os.urandom(3000) for number in range(8)}
    path = pack(tmp_path / f"set.{kind}", noise)
    path.write_bytes(path.read_bytes()[:12_000])
    with pytest.raises(DataError, match="cannot be read as an archive") as caught:
        list_members(path)
    assert "\n" not in caught.value.what
    with pytest.raises(UnreadableImage, match="the archive cannot be read"):
        read_member(path, "0.png")


def test_a_damaged_header_in_the_middle_of_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "set.tar", CONTENTS)
    content = bytearray(path.read_bytes())
    content[1024 * 5 + 3] ^= 0xFF  # a header and one block for each of these members
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged after its first members"):
        list_members(path)


@pytest.mark.parametrize("position", ["local", "stored"])
def test_damaged_bytes_of_a_zip_are_noticed_by_their_checksum(tmp_path: Path, position: str) -> None:
    path = tmp_path / "set.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.png", b"picture " * 20)
    content = bytearray(path.read_bytes())
    content[0 if position == "local" else 60] ^= 1
    path.write_bytes(content)
    with pytest.raises((UnreadableImage, DataError)):
        list_members(path)
        read_member(path, "a.png")


def test_an_encrypted_member_says_so(tmp_path: Path) -> None:
    path = pack(tmp_path / "set.zip", {"a.png": b"secret"})
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + offset] |= 1
    path.write_bytes(content)
    assert list_members(path) == ["a.png"]
    with pytest.raises(UnreadableImage, match="encrypted"):
        read_member(path, "a.png")


def test_links_and_devices_of_a_tar_are_listed_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w") as tar:
        for name, kind in (("sym", tarfile.SYMTYPE), ("hard", tarfile.LNKTYPE), ("dev", tarfile.CHRTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
    assert list_members(path) == ["sym", "hard", "dev"]
    for name, reason in (("sym", "a link"), ("hard", "a link"), ("dev", "not an ordinary file")):
        with pytest.raises(UnreadableImage, match=reason):
            read_member(path, name)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "HARMLESS_BYTES", 1 << 20)
    path = pack(tmp_path / "set.zip", {"bomb.png": bytes(3 << 20), "small.png": bytes(1 << 18)})
    with pytest.raises(UnreadableImage, match="a decompression bomb"):
        read_member(path, "bomb.png")
    assert len(read_member(path, "small.png")) == 1 << 18


def test_a_gzip_bomb_is_refused_while_its_index_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "HARMLESS_BYTES", 1 << 20)
    path = pack(tmp_path / "set.tar.gz", {"bomb.png": bytes(8 << 20)})
    with pytest.raises(DataError, match="a decompression bomb"):
        list_members(path)


@pytest.mark.parametrize("kind", KINDS)
def test_size_and_number_of_members_are_bounded(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path / f"set.{kind}", CONTENTS)
    monkeypatch.setattr(archives, "LIMIT_MEMBER_BYTES", 60)
    assert read_member(path, "case 1/view.png")
    with pytest.raises(UnreadableImage, match="69 bytes in its archive, more than the limit of 60"):
        read_member(path, "case 19/view.png")
    monkeypatch.setattr(archives, "LIMIT_MEMBERS", 19)
    with pytest.raises(DataError, match="more than 19 members"):
        list_members(pack(tmp_path / f"other.{kind}", CONTENTS))


def test_a_name_that_is_no_utf8_is_listed_readably_and_found_again(tmp_path: Path) -> None:
    path = tmp_path / "set.tar"
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        info = tarfile.TarInfo("caf\udce9.png")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"x"))
    assert list_members(path) == ["caf\\xe9.png"]
    assert read_member(path, "caf\\xe9.png") == b"x"


@pytest.mark.parametrize("content", [b"", b"words", gzip.compress(b"no tar", mtime=0), b"PK\x03\x04 no zip"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "set.zip").write_bytes(content)
    with pytest.raises(DataError):
        list_members(tmp_path / "set.zip")


def test_a_missing_archive_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="no such file or directory"):
        read_member(tmp_path / "no.zip", "a.png")


PLAIN = np.random.default_rng(0).integers(0, 40, 1_500_000, dtype=np.uint8).tobytes()


def opened(path: Path, content: bytes) -> GzipAccess:
    path.write_bytes(content)
    return GzipAccess(path, watch=lambda *_: None)


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_STEP_BYTES", 100_000)
    monkeypatch.setattr(archives, "_CHUNK_BYTES", 10_000)


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
    monkeypatch.setattr(archives, "_LIMIT_POINTS", 4)
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
