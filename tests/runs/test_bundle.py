"""Bundles: their bytes, and what is refused of those that somebody else made."""

import hashlib
import io
import shutil
import stat
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.errors import MachineError, RunError
from medimg_cli.runs import bundle
from medimg_cli.runs.bundle import SUMS, unpacked, write_bundle

FILES: dict[str, Path | bytes] = {
    "model.json": b'{"arch": "small-cnn"}',
    "members/seed-1/model.onnx": b"weights" * 500,
}


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "model.zip"
    write_bundle(path, FILES)
    return path


def sums(files: dict[str, bytes]) -> bytes:
    return "".join(
        f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()
    ).encode()


def zipped(
    path: Path, files: dict[str, bytes], change: Callable[[zipfile.ZipInfo], None] | None = None
) -> Path:
    """Write a zip as somebody else might, with right sums."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (files | {SUMS: sums(files)}).items():
            info = zipfile.ZipInfo(name)
            if change is not None and name != SUMS:
                change(info)
            archive.writestr(info, content)
    return path


def refused(path: Path) -> str:
    """Return why a bundle is refused; nothing of it may be left."""
    before = set(Path(tempfile.gettempdir()).glob("medimg-*"))
    with pytest.raises(RunError) as error, unpacked(path):
        pass
    assert str(path) in error.value.what
    assert set(Path(tempfile.gettempdir()).glob("medimg-*")) - before == set()
    return error.value.what


def test_what_was_put_in_comes_out_and_is_gone_afterwards(written: Path) -> None:
    with unpacked(written) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        for name, content in FILES.items():
            assert (folder / name).read_bytes() == content
    assert not folder.exists()


def test_the_same_files_give_the_same_bytes(written: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights" * 500)
    again = tmp_path / "again.zip"
    write_bundle(again, {"members/seed-1/model.onnx": source, "model.json": FILES["model.json"]})
    assert again.read_bytes() == written.read_bytes()
    assert b"source" not in again.read_bytes()
    with zipfile.ZipFile(again) as archive:
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_sums_are_what_sha256sum_reads(written: Path, tmp_path: Path) -> None:
    shutil.unpack_archive(written, tmp_path / "out")
    lines = (tmp_path / "out" / SUMS).read_text().splitlines()
    for line in lines:
        expected, name = line.split("  ")
        assert hashlib.sha256((tmp_path / "out" / name).read_bytes()).hexdigest() == expected
    assert [line.split("  ")[1] for line in lines] == sorted(FILES)


def test_every_byte_counts(written: Path) -> None:
    content = bytearray(written.read_bytes())
    for place in (content.find(b"weights") + 3, content.find(b"small-cnn")):
        changed = bytearray(content)
        changed[place] ^= 1
        written.write_bytes(bytes(changed))
        assert "is damaged" in refused(written)


@pytest.mark.parametrize("length", [0, 1, 30, 3000])
def test_a_bundle_cut_short_is_refused(written: Path, length: int) -> None:
    written.write_bytes(written.read_bytes()[:length])
    assert "is damaged, or no bundle" in refused(written)


@pytest.mark.parametrize(
    "name",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a\\evil",
        "C:evil",
        "a//evil",
        "./evil",
        "a/",
        "evil\n",
        "..",
        "é:evil",
    ],
)
def test_a_name_that_could_lead_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    path = zipped(tmp_path / "x.zip", {"model.json": b"{}", name: b"x"})
    assert "is no name of a bundle's file" in refused(path)
    assert not (tmp_path.parent / "evil").exists()


def test_a_link_is_refused(tmp_path: Path) -> None:
    def link(info: zipfile.ZipInfo) -> None:
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16

    assert "is a link" in refused(zipped(tmp_path / "x.zip", {"model.json": b"/etc/passwd"}, link))


def test_an_encrypted_member_is_refused(written: Path) -> None:
    content = bytearray(written.read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1  # the flags of the first member (APPNOTE 4.3.12)
    written.write_bytes(bytes(content))
    assert "is encrypted" in refused(written)


def test_a_member_that_stands_there_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("model.json", b"{}")
        archive.writestr("model.json", b"[]")
        archive.writestr(SUMS, sums({"model.json": b"[]"}))
    assert "stands in it twice" in refused(path)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "HARMLESS_BYTES", 3 << 20)
    files = {"model.json": b"{}"} | {f"{number}": bytes(2 << 20) for number in range(2)}
    path = zipped(
        tmp_path / "x.zip", files, lambda info: setattr(info, "compress_type", zipfile.ZIP_DEFLATED)
    )
    assert path.stat().st_size < 10_000
    assert "would grow to 4 MiB" in refused(path)


def test_a_member_larger_than_it_says_is_refused(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.zip", {"model.json": bytes(100_000)})
    content = path.read_bytes()
    central = content.rfind(b"PK\x01\x02", 0, content.rfind(b"PK\x01\x02"))
    small = (10).to_bytes(4, "little")
    path.write_bytes(content[: central + 20] + small + small + content[central + 28 :])
    assert "is damaged" in refused(path)


def test_a_directory_that_points_before_the_file_is_refused(written: Path) -> None:
    content = written.read_bytes()
    offset = int.from_bytes(content[-6:-2], "little")  # of the directory (APPNOTE 4.3.16)
    written.write_bytes(content[:-6] + (offset + 5000).to_bytes(4, "little") + content[-2:])
    assert "is damaged, or no bundle" in refused(written)


def test_too_many_files_are_refused(tmp_path: Path) -> None:
    files = {f"{number}": b"" for number in range(bundle.LIMIT_FILES)} | {"model.json": b"{}"}
    assert "it has 1002 files" in refused(zipped(tmp_path / "x.zip", files))


def test_sums_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    def with_sums(files: dict[str, bytes], content: bytes | None) -> str:
        path = tmp_path / "x.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, value in files.items():
                archive.writestr(name, value)
            if content is not None:
                archive.writestr(SUMS, content)
        return refused(path)

    one = {"model.json": b"{}"}
    assert "it has no SHA256SUMS" in with_sums(one, None)
    assert "it has no SHA256SUMS" in with_sums(one, b"#" * (2 << 20))
    assert "model.json is not the file that" in with_sums(one, sums({"model.json": b"[]"}))
    assert "lacks 'model.onnx'" in with_sums(one, sums(one | {"model.onnx": b""}))
    assert "'more' does not stand in its SHA256SUMS" in with_sums(one | {"more": b""}, sums(one))
    assert "lacks 'model.json'" in with_sums({"more": b""}, sums({"more": b""}))
    assert "is damaged" in with_sums(one, b"\xff\xfe")


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("image.png", b"x")
    for content in (b"\x89PNG", buffer.getvalue()):
        path = tmp_path / "x.zip"
        path.write_bytes(content)
        assert "no bundle" in refused(path)


def test_a_full_disk_is_told_apart_from_a_bad_bundle(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(bundle, "_take_out", full)
    with pytest.raises(MachineError, match="No space left"), unpacked(written):
        pass


def test_a_bundle_with_any_byte_changed_is_refused_or_the_same(written: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    content = written.read_bytes()
    path, whole = tmp_path / "changed.zip", 0
    for _ in range(150):
        changed = bytearray(content)
        for place in generator.integers(len(content), size=generator.integers(1, 4)):
            changed[place] = generator.integers(256)
        path.write_bytes(bytes(changed))
        try:
            with unpacked(path) as folder:
                found = {name: (folder / name).read_bytes() for name in FILES}
        except RunError:
            continue
        assert found == FILES  # a date, say, or the length of a comment
        whole += 1
    assert whole < 50
