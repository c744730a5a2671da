"""Atomic writes, hashes, JSON without NaN, and the templates."""

import errno
import json
import math
import os
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path

import numpy as np
import pytest

from medimg_cli.errors import DataError, MachineError
from medimg_cli.workspace import files
from medimg_cli.workspace.files import (
    atomic_path,
    disk_errors,
    read_json,
    sha256_of_file,
    sha256_of_text,
    templates_dir,
    to_jsonable,
    write_json,
    write_text,
)


def test_a_failed_write_leaves_the_previous_file(tmp_path: Path) -> None:
    target = tmp_path / "table.csv"
    write_text(target, "before")
    with pytest.raises(KeyboardInterrupt), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "before"
    assert list(tmp_path.iterdir()) == [target]


def test_windows_syncs_what_is_open_for_writing_and_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sync(descriptor: int) -> None:
        os.write(descriptor, b"")  # refused where it is open for reading alone

    monkeypatch.setattr(files, "ON_WINDOWS", True)
    monkeypatch.setattr(os, "fsync", sync)
    write_text(tmp_path / "a.txt", "one\ntwo\n")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"
    files.synced(tmp_path)


def test_a_text_has_the_same_bytes_on_every_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "write_text", partialmethod(_written_on_windows, Path.write_text))
    write_text(tmp_path / "a.txt", "one\ntwo\n")
    assert (tmp_path / "a.txt").read_bytes() == b"one\ntwo\n"


def _written_on_windows(
    path: Path, write: Callable[..., int], text: str, encoding: str, newline: str | None = None
) -> int:
    return write(path, text, encoding=encoding, newline=newline or "\r\n")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MachineError) as caught:
        write_text(tmp_path / "file" / "below.txt", "x")
    assert "below.txt" in caught.value.what


def test_nan_becomes_null(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": math.nan, "y": [np.float32(1.5), np.int64(2)], "z": Path("a/b")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"x": None, "y": [1.5, 2], "z": "a/b"}
    assert to_jsonable({1: {math.inf}}) == {"1": [None]}


def test_hashes_are_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-2, appendix B.1
    assert sha256_of_file(tmp_path / "a") == sha256_of_text("abc") == known


def test_a_missing_or_broken_json_is_a_data_error(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{")
    for name in ("broken.json", "missing.json"):
        with pytest.raises(DataError, match=name):
            read_json(tmp_path / name)


def test_templates_are_found_in_the_checkout() -> None:
    assert (templates_dir() / "report" / "report.html").is_file()


def test_what_a_library_says_of_a_full_disk_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(MachineError) as told, disk_errors(tmp_path / "a.dcm", "free some"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError as error:
            raise OSError(f"With tag (7FE0,0010) got exception: {error}\nTraceback (most …") from error
    assert told.value.what == f"cannot write {tmp_path / 'a.dcm'}: No space left on device"
