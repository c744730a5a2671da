"""Where a process finds its place: torchrun's environment, Slurm's, or none."""

import pytest

from medimg_cli.errors import UsageError
from medimg_cli.training.distributed import ranks as seats
from medimg_cli.training.distributed.ranks import Process, first_host, process_of

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "gpu03",
    "MASTER_PORT": "29500",
}
SRUN = {
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_STEP_TASKS_PER_NODE": "4,3",
    "SLURM_STEP_NODELIST": "gpu[03-04]",
    "SLURM_JOB_ID": "4711",
    "SLURM_STEP_ID": "0",
    "SLURM_CPUS_PER_TASK": "8",
}


def test_nobody_else_is_there_without_a_launcher() -> None:
    assert process_of({}) == Process()
    assert process_of({"WORLD_SIZE": "1", "RANK": "0"}) == Process()


def test_a_batch_script_is_no_step_of_several_tasks() -> None:
    batch = {"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_JOB_ID": "4711", "SLURM_NODELIST": "gpu[03-04]"}
    assert process_of(batch) == Process()


def test_torchrun_says_it_all() -> None:
    assert process_of(TORCHRUN) == Process(5, 8, 1, 4, "gpu03", 29500)


def test_tasks_of_srun_agree_without_talking() -> None:
    process = process_of(SRUN)
    assert (process.rank, process.size, process.local_rank, process.local_size, process.address) == (
        5,
        7,
        1,
        3,
        "gpu03",
    )
    other = process_of(SRUN | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"})
    assert (other.port, other.address, other.local_size) == (process.port, process.address, 4)
    assert process_of(SRUN | {"SLURM_JOB_ID": "4712"}).port != process.port
    assert 1024 < process.port < 32768


def test_the_environment_may_say_where_tasks_of_srun_meet() -> None:
    process = process_of(SRUN | {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "4000"})
    assert (process.address, process.port) == ("10.0.0.1", 4000)


def test_torchrun_below_srun_counts() -> None:
    assert process_of(SRUN | TORCHRUN).size == 8


@pytest.mark.parametrize(
    "broken", [{"RANK": "8"}, {"RANK": "one"}, {"MASTER_PORT": ""}, {"WORLD_SIZE": "many"}]
)
def test_a_broken_environment_is_one_line(broken: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        process_of(TORCHRUN | broken)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu[03-05,9],login", "gpu03"),
        ("gpu[7,9]", "gpu7"),
        ("a-1,a-2", "a-1"),
        ("r[1-2]n[7-8],x", "r1n7"),
        ("localhost", "localhost"),
    ],
)
def test_the_first_of_slurms_machines_is_where_all_meet(nodes: str, first: str) -> None:
    assert first_host(nodes) == first


def test_processes_of_one_machine_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(seats, "usable_cores", lambda: 16)
    assert Process().threads() == 16
    assert Process(local_size=4, size=4).threads() == 4
    assert Process(local_size=32, size=32).threads() == 1
    # Slurm has bound each task to cores of its own, and says how many.
    assert process_of(SRUN).threads() == 8
    monkeypatch.setattr(seats, "usable_cores", lambda: 4)
    assert process_of(SRUN).threads() == 4


@pytest.mark.parametrize(
    ("given", "threads"), [("1", 1), ("4", 4), ("64", 16), ("3,2", 3), ("", 16), ("0", 16), ("many", 16)]
)
def test_a_training_alone_takes_no_more_threads_than_the_environment_grants(
    given: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seats, "usable_cores", lambda: 16)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert Process().threads() == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert process_of(TORCHRUN).threads() == 16 // process_of(TORCHRUN).local_size  # torchrun sets it unasked
