"""How each tool is started: medimg as its commands, a peer as its driver in its own environment."""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.bench_train.cohorts import Cohort
from tests.benchmarks.bench_train.environments import PEERS, python_of
from tests.benchmarks.bench_train.measure import Cost, run
from tests.benchmarks.bench_train.scenarios import Scenario

_PATH = {"PYTHONPATH": str(Path(__file__).parents[3])}  # this checkout, for every environment
_STARTER = "tests.benchmarks.bench_train.peers.start"
MEDIMG = "medimg"
TOOLS = (MEDIMG, *PEERS)


@dataclass(frozen=True)
class Job:
    """One training.

    Args:
        data: folder with `weights/`.
        folder: empty; what the tool leaves, its log among it.
    """

    scenario: Scenario
    cohort: Cohort
    seed: int
    data: Path
    folder: Path

    @property
    def predictions(self) -> Path:
        return self.folder / "predictions.csv"

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def pretrained(self) -> Path | None:
        return None if self.scenario.pretrained is None else self.data / self.scenario.pretrained


def train(tool: str, job: Job, envs: Path) -> Cost:
    """Train with one tool and predict the test folder; what it cost up to the trained model."""
    shutil.rmtree(job.folder, ignore_errors=True)
    job.folder.mkdir(parents=True)
    return _train_medimg(job) if tool == MEDIMG else _train_peer(tool, job, envs)


def _train_medimg(job: Job) -> Cost:
    """Run the commands a user types; whatever is not needed to equal the peers is left at its default."""
    medimg = [sys.executable, "-m", "medimg_cli"]
    workspace = ["-C", str(job.folder / "workspace")]
    (job.folder / "workspace").mkdir()
    total = Cost(0.0, 0.0, 0, 0)
    for command in (["ingest", str(job.cohort.fit)], ["train", *_train_options(job)]):
        cost = run([*medimg, *command, *workspace], log=job.log, environment=_PATH)
        total = Cost(
            total.wall_seconds + cost.wall_seconds,
            total.cpu_seconds + cost.cpu_seconds,
            max(total.peak_bytes, cost.peak_bytes),
            cost.code,
        )
        if cost.code:
            return total
    predict = ["predict", str(job.cohort.test), "--out", str(job.predictions)]
    code = run([*medimg, *predict, *workspace], log=job.log, environment=_PATH).code
    return Cost(total.wall_seconds, total.cpu_seconds, total.peak_bytes, code)


def _train_options(job: Job) -> list[str]:
    scenario = job.scenario
    options = ["--arch", scenario.arch, "--epochs", str(scenario.epochs), "--batch-size", str(scenario.batch)]
    options += ["--seed", str(job.seed), "--set", f"preprocess.size={scenario.size_px}"]
    # torchvision's first convolution, as the peers have it; medimg would make it smaller for small images.
    options += ["--set", "train.stem=own"]
    if job.pretrained is not None:
        options += ["--weights", str(job.pretrained)]
    if scenario.freeze:
        options += ["--freeze", "backbone"]
    return options


def _train_peer(tool: str, job: Job, envs: Path) -> Cost:
    scenario, cohort = job.scenario, job.cohort
    command = [str(python_of(envs, tool)), "-m", _STARTER, f"drive_{tool}"]
    command += ["--train", str(cohort.folder("train")), "--val", str(cohort.folder("val"))]
    command += ["--test", str(cohort.test), "--size", str(scenario.size_px), "--arch", scenario.arch]
    command += ["--epochs", str(scenario.epochs), "--batch", str(scenario.batch), "--seed", str(job.seed)]
    command += ["--out", str(job.predictions)]
    if job.pretrained is not None:
        command += ["--pretrained", str(job.pretrained)]
    if scenario.freeze:
        command += ["--freeze"]
    return run(
        command,
        log=job.log,
        marker=job.predictions.with_suffix(".trained"),
        environment={**PEERS[tool].variables, **_PATH},
    )
