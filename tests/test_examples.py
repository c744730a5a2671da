"""The job script for clusters: its syntax, its calls, and what it does when it is stopped."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medimg_cli.errors import ExitCode
from tests.test_docs import parses

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
SBATCH = EXAMPLES / "slurm.sbatch"
_PATIENCE_SECONDS = 120.0

# Stands for medimg: notes how it was called; `train` saves for a while when told to stop, if STAYS is set.
MEDIMG = """#!/usr/bin/env bash
trap 'sleep 0.3; echo saved >>"$CALLS"; exit 130' TERM
echo "$*" >>"$CALLS"
[[ "$*" != "${FAILS:-}"* || -z "${FAILS:-}" ]] || exit 3
[[ "$1" != train || -z "${STAYS:-}" ]] || for _ in {1..400}; do sleep 0.05; done
"""
SCONTROL = """#!/usr/bin/env bash
echo "scontrol $*" >>"$CALLS"
"""
# Stands for Slurm's, which starts a command once a task.
SRUN = """#!/usr/bin/env bash
echo "srun $*" >>"$CALLS"
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""


def commands_of(text: str) -> list[str]:
    """Return every `medimg …` call of a script, those in its comments too, variables filled in."""
    filled = re.sub(r'"\$\(.*?\)"|"\$\w+"|"\$\w+/[\w.]+"', "7", text)
    nested = re.findall(r'"\$\((medimg [^)]*)\)"', text)
    return [call.strip() for call in re.findall(r"\bmedimg [a-z]+(?: [^&`#\n]*)?", filled)] + nested


class Job:
    """One job of the script, on a cluster whose programs only take notes."""

    def __init__(self, folder: Path) -> None:
        self.study, self.calls_path = folder / "study", folder / "calls"
        self.run = self.study / "runs" / "baseline-seed3"
        self.study.mkdir()
        self.calls_path.touch()
        programs = self.programs = folder / "bin"
        programs.mkdir()
        for name, content in (("medimg", MEDIMG), ("scontrol", SCONTROL), ("srun", SRUN)):
            (programs / name).write_text(content)
            (programs / name).chmod(0o755)
        clean = {
            name: value for name, value in os.environ.items() if not name.startswith(("MEDIMG", "SLURM"))
        }
        self.environment = clean | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "CALLS": str(self.calls_path),
            "SLURM_ARRAY_TASK_ID": "3",
            "SLURM_JOB_ID": "42",
        }

    def begin(self, **more: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(["bash", str(SBATCH)], cwd=self.study, env=self.environment | more)

    def done(self, **more: str) -> int:
        return self.begin(**more).wait(_PATIENCE_SECONDS)

    @property
    def calls(self) -> list[str]:
        return self.calls_path.read_text().splitlines()


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.s[hb]*")), ids=lambda path: path.name)
def test_an_example_script_is_shell(path: Path) -> None:
    done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_job_script_calls_what_the_program_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = commands_of(SBATCH.read_text(encoding="utf-8"))
    assert {call.split()[1] for call in calls} == {
        "ingest",
        "preprocess",
        "train",
        "evaluate",
        "report",
        "runs",
    }
    for call in calls:
        assert parses(call, monkeypatch) == ExitCode.DONE, call


def test_slurm_reads_every_line_that_is_meant_for_it() -> None:
    head = re.split(r"^(?!#|$)", SBATCH.read_text(encoding="utf-8"), maxsplit=1, flags=re.MULTILINE)[0]
    options = re.findall(r"^#SBATCH (--[a-z-]+)", head, flags=re.MULTILINE)
    assert {"--requeue", "--signal", "--gres", "--time"} <= set(options)
    assert len(options) == SBATCH.read_text(encoding="utf-8").count("\n#SBATCH")


def test_a_task_of_an_array_trains_its_own_seed(job: Job) -> None:
    assert job.done() == 0
    assert job.calls == [
        "train --name baseline-seed3 --seed 3 --device cuda",
        "evaluate baseline-seed3",
        f"report baseline-seed3 --out {job.run}/report.html",
    ]


def test_several_tasks_train_together_and_one_process_does_the_rest(job: Job) -> None:
    assert job.done(SLURM_NTASKS="8", SLURM_CPUS_PER_TASK="4") == 0
    train = "train --name baseline-seed3 --seed 3 --device cuda"
    assert job.calls == [
        f"srun --kill-on-bad-exit=1 --cpus-per-task=4 medimg {train}",
        train,
        "evaluate baseline-seed3",
        f"report baseline-seed3 --out {job.run}/report.html",
    ]


def in_array(job: Job, *call: str, **more: str) -> int:
    """Run a task of an array that divides one command; Slurm says how many there are."""
    slurm = {"SLURM_ARRAY_TASK_MAX": "8", **more}
    script = ["bash", str(EXAMPLES / "slurm-array.sbatch"), *call]
    return subprocess.run(script, cwd=job.study, env=job.environment | slurm, check=False).returncode


def test_each_task_of_an_array_does_its_shard_of_a_command(job: Job) -> None:
    assert in_array(job, "predict", "./my films", "--out", "answers.csv") == 0
    assert in_array(job, "ingest", "./raw", SHARDS="12", SLURM_ARRAY_TASK_MAX="3") == 0
    assert in_array(job, "ingest", FAILS="ingest") == 3
    assert job.calls == [
        "predict ./my films --out answers.csv --shard 3/8",
        "ingest ./raw --shard 3/12",
        "ingest --shard 3/8",
    ]
    job.environment.pop("SLURM_ARRAY_TASK_ID")
    assert in_array(job, "ingest") != 0
    assert len(job.calls) == 3


# Stands for Dask's scheduler, which writes where it is, and for a worker; both stay until they are ended.
DASK = """#!/usr/bin/env bash
echo "dask $*" >>"$CALLS"
trap 'exit 0' TERM
[[ "$1" != scheduler || -n "${FAILS:-}" ]] || echo '{"address": "tcp://node1:4711"}' >"${@: -1}"
[[ -z "${FAILS:-}" ]] || exit 1
for _ in {1..400}; do sleep 0.05; done
"""


def on_dask(job: Job, *call: str, **more: str) -> int:
    program = job.programs / "dask"
    program.write_text(DASK)
    program.chmod(0o755)
    slurm = {"SLURM_NTASKS": "3", "SLURM_CPUS_PER_TASK": "4", **more}
    script = ["bash", str(EXAMPLES / "slurm-dask.sbatch"), *call]
    return subprocess.run(
        script, cwd=job.study, env=job.environment | slurm, check=False, timeout=_PATIENCE_SECONDS
    ).returncode


def test_a_job_of_several_machines_runs_a_command_on_its_own_dask(job: Job) -> None:
    assert on_dask(job, "preprocess", "--size", "224") == 0
    file = f"{job.study}/.dask-42.json"
    assert job.calls[-1] == "preprocess --size 224 --scheduler tcp://node1:4711"
    assert [
        call
        for call in job.calls
        if call.startswith("srun --overlap --ntasks=2 --cpus-per-task=4 dask worker")
    ]
    assert f"dask scheduler --protocol tcp --port 0 --no-dashboard --scheduler-file {file}" in job.calls
    assert not Path(file).exists()


@pytest.mark.parametrize(("surroundings", "code"), [({"SLURM_NTASKS": "1"}, 2), ({"FAILS": "scheduler"}, 5)])
def test_a_job_without_its_dask_ends_with_a_code(job: Job, surroundings: dict[str, str], code: int) -> None:
    assert on_dask(job, "preprocess", **surroundings) == code
    assert not [call for call in job.calls if call.startswith("preprocess")]


def test_a_command_that_fails_on_dask_ends_the_job_with_its_code(job: Job) -> None:
    program = job.programs / "medimg"
    program.write_text("#!/usr/bin/env bash\nexit 3\n")
    assert on_dask(job, "preprocess") == 3


@pytest.mark.parametrize(
    ("there", "first"),
    [
        (["model.json", "last.ckpt"], "train --resume baseline-seed3"),
        (["run.json"], "runs --remove baseline-seed3 --yes"),
        (["model.json"], "evaluate baseline-seed3"),
    ],
)
def test_a_job_that_is_begun_again_does_what_is_left(job: Job, there: list[str], first: str) -> None:
    job.run.mkdir(parents=True)
    for name in there:
        (job.run / name).touch()
    assert job.done() == 0
    assert job.calls[0] == first


def test_a_failure_ends_the_job_with_its_code(job: Job) -> None:
    assert job.done(FAILS="evaluate") == 3
    assert [call.split()[0] for call in job.calls] == ["train", "evaluate"]


@pytest.mark.parametrize(
    ("told", "afterwards"),
    [(signal.SIGTERM, ["saved"]), (signal.SIGUSR1, ["saved", "scontrol requeue 42"])],
)
def test_a_stopped_job_lets_medimg_save_first(job: Job, told: signal.Signals, afterwards: list[str]) -> None:
    running = job.begin(STAYS="yes")
    try:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while not job.calls and time.monotonic() < deadline:
            time.sleep(0.02)
        running.send_signal(told)
        assert running.wait(_PATIENCE_SECONDS) == ExitCode.INTERRUPTED
    finally:
        running.kill()
        running.wait()
    assert job.calls[1:] == afterwards


@pytest.mark.parametrize(
    ("there", "root", "installed", "code"),
    [
        (["python3", "apt-get"], True, [], 0),
        (["apt-get"], True, ["python3-venv"], 0),
        (["apt-get"], False, [], ExitCode.MACHINE),
        ([], True, [], ExitCode.MACHINE),
    ],
)
def test_the_set_up_installs_python_where_it_may_and_says_what_lacks_elsewhere(
    tmp_path: Path, there: list[str], root: bool, installed: list[str], code: int
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, lines in {
        "python3": 'echo "$*" >>"$CALLS"',
        "apt-get": 'echo "${@: -1}" >>"$INSTALLED"; mv "$SPARE" "$(dirname -- "$0")/python3"',
    }.items():
        program = programs / name if name in there else tmp_path / f"spare-{name}"
        program.write_text(f"#!/bin/bash\nPATH=/usr/bin:/bin\n{lines}\n")
        program.chmod(0o755)
    for name in ("dirname", "mkdir", "sleep", "tail"):
        (programs / name).symlink_to(str(shutil.which(name)))
    text = (EXAMPLES / "setup.sh").read_text(encoding="utf-8").replace("EUID == 0", str(int(root)))
    (programs / "setup.sh").write_text(text, encoding="utf-8")
    script = f"source {programs}/setup.sh; environment={tmp_path}/.venv programs=$environment/bin; make_environment"
    calls, got = tmp_path / "calls", tmp_path / "installed"
    names = {"PATH": programs, "CALLS": calls, "INSTALLED": got, "SPARE": tmp_path / "spare-python3"}
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        env={name: str(value) for name, value in names.items()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == code, done.stderr
    assert (got.read_text().split() if got.exists() else []) == installed
    if code:
        assert done.stderr.splitlines()[-2:] == [
            "error: no Python 3.11 or newer on the PATH",
            "hint: install one, or set PYTHON=/path/to/python3.11",
        ]
    else:
        assert f"-m venv {tmp_path}/.venv" in calls.read_text()


def test_the_set_up_takes_no_program_of_the_environment_for_one_of_dcmtk() -> None:
    """pynetdicom puts an echoscu and a storescu of its own there."""
    source = f"source {EXAMPLES}/setup.sh; prepare_program() {{ echo $2 $({{ shift 2; command -v $@ || true; }}); }}"
    done = subprocess.run(
        [
            "/bin/bash",
            "-euo",
            "pipefail",
            "-c",
            f"{source}; PATH={Path(sys.executable).parent}; prepare_dicom",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["dicom3tools", "dcmtk", "orthanc-dicomweb"]
