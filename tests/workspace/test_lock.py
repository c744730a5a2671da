"""The lock: one holder, named, and free again however the holder ends."""

import os
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from medimg_cli.errors import MachineError
from medimg_cli.workspace import lock
from medimg_cli.workspace.lock import locked

HOLDER = """
import sys, time
from pathlib import Path
from medimg_cli.workspace.lock import locked
with locked(Path(sys.argv[1]), doing="counting sheep"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_holder_is_named_while_it_lives_and_blocks_nobody_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "deep" / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(MachineError) as refused, locked(path, doing="counting"):
            pass
        assert refused.value.what == f"another medimg (process {holder.pid}) is counting"
        holder.send_signal(signal.SIGKILL)
    with locked(path, doing="counting"):
        assert path.read_text() == f"{os.getpid()}\n"


def test_the_lock_is_free_after_an_error_inside(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="inside"), locked(tmp_path / ".lock", doing="failing"):
        raise ValueError("inside")
    began = time.monotonic()
    with locked(tmp_path / ".lock", doing="going on"):
        assert time.monotonic() - began < 20


def test_a_place_that_is_no_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MachineError, match="cannot write"), locked(tmp_path / "file" / ".lock", doing=""):
        pass


def test_on_windows_a_byte_behind_the_end_is_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: set[tuple[int, int]] = set()

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count) == (2, 1)
        place = (os.fstat(descriptor).st_ino, os.lseek(descriptor, 0, os.SEEK_CUR))
        if place in taken:
            raise PermissionError(13, "Permission denied")
        taken.add(place)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    windows = runpy.run_path(lock.__file__)
    path = tmp_path / ".lock"
    with windows["locked"](path, doing="counting"):
        assert path.read_text() == f"{os.getpid()}\n"
        assert windows["is_held"](path)
        with pytest.raises(MachineError, match=f"process {os.getpid()}"), windows["locked"](path, doing="a"):
            pass
        with path.open("a") as stream, pytest.raises(MachineError, match="another medimg is writing"):
            windows["claim"](stream.fileno(), doing="writing")
    assert min(place for _, place in taken) > path.stat().st_size
