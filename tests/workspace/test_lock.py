"""The lock: one holder, named, and free again however the holder ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medimg_cli.errors import MachineError
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
        assert time.monotonic() - began < 5


def test_a_place_that_is_no_folder_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(MachineError, match="cannot write"), locked(tmp_path / "file" / ".lock", doing=""):
        pass
