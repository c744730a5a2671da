"""Two ingests at once: the second is told so, and a dead one leaves nothing locked."""

import subprocess
import sys
from pathlib import Path

import pytest

from medimg_cli.errors import ExitCode, MachineError
from medimg_cli.workspace.lock import dataset_lock
from medimg_cli.workspace.workspace import Workspace

_HOLDER = """
import sys, time
from pathlib import Path
from medimg_cli.workspace.lock import dataset_lock
from medimg_cli.workspace.workspace import Workspace
with dataset_lock(Workspace(Path(sys.argv[1]))):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_writer_is_told_who_writes_and_a_killed_one_holds_nothing(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "study")
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(workspace.root)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(MachineError) as caught, dataset_lock(workspace):
            pass
        assert f"another medimg (process {holder.pid}) is writing the data set" in caught.value.what
        assert caught.value.exit_code == ExitCode.MACHINE
        assert "wait" in caught.value.hint
        holder.kill()
        holder.wait()
    with dataset_lock(workspace):
        assert (workspace.root / "dataset").is_dir()


def test_nothing_is_left_when_nothing_was_written(tmp_path: Path) -> None:
    with dataset_lock(Workspace(tmp_path / "new" / "study")):
        assert (tmp_path / "new" / "study").is_dir()
    assert list(tmp_path.iterdir()) == []


def test_what_was_written_stays(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "study")
    with dataset_lock(workspace):
        workspace.manifest_path.write_text("x")
    assert workspace.manifest_path.read_text() == "x"
    assert (tmp_path / "study").is_dir()
