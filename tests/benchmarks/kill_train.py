"""Kill `medimg train` at random moments; `--resume` must come to the very model an uninterrupted training gives.

python -m tests.benchmarks.kill_train [--times 20] [--patients 40] [--epochs 8]
"""

import argparse
import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

from tests.benchmarks.killing import is_killed, medimg, say

_EARLIEST = 0.3  # before, Python is still importing


def main() -> int:
    """Return 0 when every killed training came to the same weights."""
    options = _options()
    training = ("--epochs", str(options.epochs), "--batch-size", "16", "--patience", str(options.epochs))
    with tempfile.TemporaryDirectory(prefix="medimg-kill-") as name:
        workspace = Path(name)
        medimg("demo", str(workspace / "raw"), "--patients", str(options.patients), workspace=workspace)
        medimg("ingest", str(workspace / "raw"), "--patient-regex", r"(patient\d+)", workspace=workspace)
        medimg("preprocess", workspace=workspace)
        began = time.perf_counter()
        medimg("train", "--name", "whole", *training, workspace=workspace)
        seconds = time.perf_counter() - began
        wanted = _weights(workspace, "whole")
        say(f"uninterrupted: {seconds:.1f} s, weights {wanted[:16]}")
        generator = random.Random(options.seed)
        rounds: list[bool] = []
        while len(rounds) < options.times:
            moment = generator.uniform(_EARLIEST, 1.0) * seconds
            if (same := _round(len(rounds) + 1, workspace, moment, training, wanted)) is not None:
                rounds.append(same)
    failed = rounds.count(False)
    say(f"{len(rounds) - failed} of {len(rounds)} killed trainings came to the same weights")
    return 1 if failed else 0


def _round(
    number: int, workspace: Path, moment: float, training: tuple[str, ...], wanted: str
) -> bool | None:
    """Kill one training after `moment` seconds, go on, and compare; None when it had ended by itself."""
    run = f"killed-{number}-{moment:.3f}"
    if not is_killed("train", "--name", run, *training, workspace=workspace, after_seconds=moment):
        return None
    history = workspace / "runs" / run / "history.csv"
    epochs = len(history.read_text().splitlines()) - 1 if history.is_file() else 0
    if (workspace / "runs" / run / "last.ckpt").is_file():
        medimg("train", "--resume", run, workspace=workspace)
    else:  # within its first epoch, or after its last one: there is nothing to go on from
        if (workspace / "runs" / run / "model.json").is_file():
            return None
        run = f"{run}-anew"
        medimg("train", "--name", run, *training, workspace=workspace)
    same = _weights(workspace, run) == wanted
    say(
        f"{number:2}: killed after {moment:5.2f} s with {epochs} epochs done: {'the same weights' if same else 'OTHER WEIGHTS'}"
    )
    return same


def _weights(workspace: Path, run: str) -> str:
    return hashlib.sha256((workspace / "runs" / run / "model.safetensors").read_bytes()).hexdigest()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--patients", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
