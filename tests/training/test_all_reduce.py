"""Several processes come to the model of one: two that talk through gloo, beside one alone."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from medimg_cli.errors import ExitCode, UsageError
from medimg_cli.training.augmentation.augment import preset
from medimg_cli.training.distributed import all_reduce as distributed
from medimg_cli.training.distributed.all_reduce import ALONE, World, check_batch_size
from medimg_cli.training.distributed.ranks import Process
from tests.conftest import draw_cohort, medimg
from tests.training.one_of_many import IN_SINGLE, WAYS, both_precisions, started

Outcome = tuple[dict[str, Tensor], list[dict[str, float]]]
DOUBLE, SINGLE = 0, 1


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Outcome]]]:
    """Return what one process alone, and each of two, came to."""
    together = tmp_path_factory.mktemp("together")
    processes = started(2, str(together))
    found = {"alone": both_precisions()}
    for process in processes:
        _, said = process.communicate(timeout=300)
        assert (process.returncode, said) == (0, "")
    for rank, name in enumerate(("first", "second")):
        found[name] = torch.load(together / f"{rank}.pt", weights_only=True)
    return found


@pytest.mark.parametrize(
    ("precision", "apart", "way"),
    [*((DOUBLE, 1e-12, way) for way in WAYS), *((SINGLE, 1e-4, way) for way in IN_SINGLE)],
)
def test_two_processes_come_to_the_weights_of_one(
    outcomes: dict[str, Any], precision: int, apart: float, way: str
) -> None:
    alone, _ = outcomes["alone"][precision][way]
    first, _ = outcomes["first"][precision][way]
    for name, value in alone.items():
        assert torch.allclose(first[name].double(), value.double(), rtol=0, atol=apart), name


@pytest.mark.parametrize("way", IN_SINGLE)
def test_all_processes_hold_the_same_bits(outcomes: dict[str, Any], way: str) -> None:
    first, second = (outcomes[name][SINGLE][way][0] for name in ("first", "second"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_figures_are_those_of_all_images(outcomes: dict[str, Any]) -> None:
    for way in WAYS:
        (alone,), (first,) = (outcomes[name][DOUBLE][way][1][:1] for name in ("alone", "first"))
        for name in set(alone) - {"seconds"}:
            assert first[name] == pytest.approx(alone[name], abs=1e-12, nan_ok=True), (way, name)


@pytest.mark.parametrize(("count", "size"), [(32, 2), (7, 3), (1, 4), (5, 5)])
def test_every_image_of_a_batch_is_somebodys_once(count: int, size: int) -> None:
    worlds = [World(Process(rank, size)) for rank in range(size)]
    rows = np.concatenate([np.arange(count)[world.own(count)] for world in worlds])
    assert rows.tolist() == list(range(count))


@pytest.mark.parametrize("name", ["light", "derm", "none"])
def test_a_slice_is_changed_as_it_is_within_its_batch(name: str) -> None:
    images = torch.randint(256, (7, 3, 12, 12), dtype=torch.uint8)
    whole_chance, slice_chance = torch.Generator().manual_seed(1), torch.Generator().manual_seed(1)
    whole = preset(name)(images, whole_chance)
    part = preset(name)(images, slice_chance, slice(2, 5))
    assert torch.equal(part, whole[2:5])
    assert torch.equal(whole_chance.get_state(), slice_chance.get_state())


def test_a_batch_too_small_for_all_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    check_batch_size(1)
    monkeypatch.setattr(distributed, "_here", World(Process(0, 4)))
    check_batch_size(4)
    with pytest.raises(UsageError, match="--batch-size 3 leaves some of 4 processes without an image"):
        check_batch_size(3)


def test_alone_a_signal_interrupts_at_once() -> None:
    with ALONE.stopping_together(), pytest.raises(KeyboardInterrupt):
        ALONE.on_signal(signal.SIGTERM, None)


def test_together_a_signal_waits_for_the_step_and_a_second_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, now = World(Process(0, 2)), 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    with pytest.raises(KeyboardInterrupt):  # while others wait, there is no step
        world.on_signal(signal.SIGTERM, None)
    with world.stopping_together():
        assert not world.stop_is_asked()
        world.on_signal(signal.SIGTERM, None)
        world.on_signal(signal.SIGTERM, None)  # the same one again, from the launcher
        assert world.stop_is_asked()
        now += 5
        with pytest.raises(KeyboardInterrupt):
            world.on_signal(signal.SIGTERM, None)


@pytest.mark.slow
def test_the_command_trains_with_two_processes_and_resumes_to_the_same_bits(tmp_path: Path) -> None:
    draw_cohort(tmp_path / "raw")
    assert medimg(tmp_path, "ingest", str(tmp_path / "raw"), "--patient-regex", r"(patient\d+)") == 0
    options = ("--epochs", "4", "--batch-size", "8", "--patience", "9", "--nproc", "2")
    assert _ended(_begun(tmp_path, *options, "--name", "whole"))[0] == 0
    stopped = _begun(tmp_path, *options, "--name", "stopped")
    _wait_for(tmp_path / "runs" / "stopped" / "last.ckpt")
    stopped.send_signal(signal.SIGTERM)
    assert _ended(stopped)[0] == ExitCode.INTERRUPTED
    assert (tmp_path / "runs" / "stopped" / "model.json").is_file()
    code, said, _ = _ended(_begun(tmp_path, "--resume", "stopped", "--nproc", "2", "--json"))
    assert code == 0
    assert json.loads(said)["epochs_run"] == 4
    weights = [tmp_path / "runs" / name / "model.safetensors" for name in ("whole", "stopped")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="only root takes the machine's names away")
def test_processes_find_each_other_where_no_name_is_resolved(tmp_path: Path) -> None:
    draw_cohort(tmp_path / "raw")
    assert medimg(tmp_path, "ingest", str(tmp_path / "raw"), "--patient-regex", r"(patient\d+)") == 0
    nameless = 'for file in hosts resolv.conf; do mount --bind /dev/null /etc/$file; done; hostname nobody; exec "$@"'
    train = [
        sys.executable,
        "-m",
        "medimg_cli",
        "train",
        "--epochs",
        "1",
        "--nproc",
        "2",
        "-q",
        "-C",
        str(tmp_path),
    ]
    done = subprocess.run(
        ["unshare", "-mu", "sh", "-c", nameless, "sh", *train],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (done.returncode, "[W" in done.stderr) == (0, False), done.stderr


@pytest.mark.slow
def test_a_process_that_dies_ends_all_with_one_error(tmp_path: Path) -> None:
    draw_cohort(tmp_path / "raw")
    assert medimg(tmp_path, "ingest", str(tmp_path / "raw"), "--patient-regex", r"(patient\d+)") == 0
    training = _begun(tmp_path, "--epochs", "50", "--batch-size", "8", "--nproc", "2", "--name", "dying")
    _wait_for(tmp_path / "runs" / "dying" / "last.ckpt")
    os.kill(_last_child(training.pid), signal.SIGKILL)
    code, _, said = _ended(training)
    assert code == ExitCode.MACHINE
    assert said.count("error:") == 1
    assert "of 2 was ended by SIGKILL" in said


def _begun(workspace: Path, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "medimg_cli", "train", *arguments, "-q", "-C", str(workspace)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def _ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Return how a process ended, and what it said on stdout and on stderr."""
    said, complained = process.communicate(timeout=300)
    return process.returncode, said, complained


def _wait_for(path: Path) -> None:
    until = time.monotonic() + 300
    while not path.exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert path.exists()


def _last_child(parent: int) -> int:
    """Return the number of the process that `parent` started last (Linux)."""
    return int(Path(f"/proc/{parent}/task/{parent}/children").read_text().split()[-1])
