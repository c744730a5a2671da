"""How long `medimg evaluate --predictions` takes on a large table, and how much memory.

    python -m tests.benchmarks.bench_evaluate [--rows 100000] [--classes 8] [--patients 20000]

Writes tables of random answers with and without patients, runs the whole command on each in a process of its own, and
prints one JSON object: seconds, CPU seconds and peak memory; then the seconds of its costly parts alone. Exits with 1
where a floor is missed: 20 s with patients, 12 s without, of which 14 s and 12 s of CPU; hard metrics 3 s without and 10 s with; DeLong 1 s.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS, of_table
from medimg_cli.evaluation.metrics.counts import balanced_accuracy_of, f1s_of, kappa_of, mcc_of
from medimg_cli.predictions.operating_point import OperatingPoint
from medimg_cli.statistics.areas import delong
from medimg_cli.statistics.sampling import sampling_of

FLOORS = {
    "command with patients": 20.0,
    "command without patients": 12.0,
    "hard metrics with patients": 10.0,
    "hard metrics without patients": 3.0,
    "DeLong of all classes": 1.0,
}
CPU_FLOORS = {"command with patients": 14.0, "command without patients": 12.0}
HARD = ("recall", "precision", "specificity", "npv", "f1")


def draw_table(rows: int, classes: int, patients: int, seed: int = 0) -> pd.DataFrame:
    """Return answers that are right in about two of three images; images of a patient are alike."""
    generator = np.random.default_rng(seed)
    names = [f"class{index}" for index in range(classes)]
    patient = generator.integers(0, patients, rows)
    truth = generator.choice(classes, rows, p=np.arange(classes, 0, -1) / (classes * (classes + 1) / 2))
    logits = generator.normal(0, 1, (rows, classes)) + generator.normal(0, 0.5, (patients, classes))[patient]
    logits[np.arange(rows), truth] += 2
    answers = np.exp(logits)
    answers /= answers.sum(axis=1, keepdims=True)
    table = pd.DataFrame({"image_id": [f"image{n:06d}" for n in range(rows)]})
    table["patient_id"] = [f"patient{n:05d}" for n in patient]
    table["y_true"] = np.array(names)[truth]
    return table.assign(**{f"prob_{name}": answers[:, index] for index, name in enumerate(names)})


def whole_command(table: Path) -> dict[str, float]:
    """Return seconds, CPU seconds and peak memory of the command, as the kernel counts them."""
    command = [sys.executable, "-m", "medimg_cli", "evaluate", "--predictions", str(table), "--json"]
    began = time.perf_counter()
    child = os.posix_spawn(
        sys.executable,
        command,
        os.environ,
        file_actions=[(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)],
    )
    _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f"{' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    seconds = time.perf_counter() - began
    peak_mb = used.ru_maxrss / 1024
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "peak_mb": round(peak_mb),
    }


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 2)


def hard_metrics(here: ScoredPredictions) -> None:
    """Compute every metric of decisions, of each class and over classes, with its interval."""
    for view in here.views.values():
        for name in HARD:
            METRICS.get(name)(view)
    for of in (balanced_accuracy_of, lambda tables: f1s_of(tables).mean(axis=1), kappa_of, mcc_of):
        of_table(here.cells, len(here.classes), of, here.sampling, undefined="")


def answered(table: pd.DataFrame, *, known: bool) -> ScoredPredictions:
    classes = tuple(name.removeprefix("prob_") for name in table.columns if name.startswith("prob_"))
    here = ScoredPredictions(table, LabelSpace(classes), OperatingPoint(), sampling_of(table, known=known))
    len(here.views)  # what every figure shares
    return here


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--classes", type=int, default=8)
    parser.add_argument("--patients", type=int, default=20_000)
    options = parser.parse_args()
    table = draw_table(options.rows, options.classes, options.patients)
    commands: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, columns in (("with", []), ("without", ["patient_id"])):
            path = Path(folder) / f"{name}.csv"
            table.drop(columns=columns).to_csv(path, index=False)
            commands[f"command {name} patients"] = whole_command(path)
    seconds = {name: found["seconds"] for name, found in commands.items()}
    for name, known in (("with", True), ("without", False)):
        here = answered(table, known=known)
        seconds[f"hard metrics {name} patients"] = seconds_of(lambda here=here: hard_metrics(here))  # type: ignore[misc]
    views = here.views.values()
    seconds["DeLong of all classes"] = seconds_of(lambda: [delong(view.truth, view.score) for view in views])
    missed = [name for name, floor in FLOORS.items() if seconds[name] > floor]
    missed += [f"{name}, CPU" for name, floor in CPU_FLOORS.items() if commands[name]["cpu_seconds"] > floor]
    sys.stdout.write(
        json.dumps({"commands": commands, "seconds": seconds, "missed": missed}, indent=1) + "\n"
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
