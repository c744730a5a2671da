"""Kill `medimg preprocess` at random moments; the next run must finish, and the array equal an uninterrupted one.

python -m tests.benchmarks.kill_preprocess [--source FOLDER] [--times 20] [--images 3000]
"""

import argparse
import hashlib
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from tests.benchmarks.killing import is_killed, medimg, say

SIDE_PX = 320
_EARLIEST = 0.3  # before, Python is still importing


def main() -> int:
    """Return 0 when every killed run was continued to the same bytes."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="medimg-kill-") as name:
        workspace = Path(name)
        source = options.source or _draw(workspace / "raw", options.images)
        medimg("ingest", str(source), workspace=workspace)
        began = time.perf_counter()
        medimg("preprocess", "--size", "224", workspace=workspace)
        seconds = time.perf_counter() - began
        wanted = _digest(workspace)
        say(f"uninterrupted: {seconds:.1f} s, array {wanted[:16]}")
        generator = random.Random(options.seed)
        rounds: list[bool] = []
        while len(rounds) < options.times:
            moment = generator.uniform(_EARLIEST, 1.0) * seconds
            if (same := _round(len(rounds) + 1, workspace, moment, wanted)) is not None:
                rounds.append(same)
    failed = rounds.count(False)
    say(f"{len(rounds) - failed} of {len(rounds)} killed runs were continued to the same bytes")
    return 1 if failed else 0


def _round(number: int, workspace: Path, moment: float, wanted: str) -> bool | None:
    """Kill one run after `moment` seconds, run again, and compare; None when it had ended by itself."""
    shutil.rmtree(workspace / "cache", ignore_errors=True)
    killed = is_killed("preprocess", "--size", "224", workspace=workspace, after_seconds=moment)
    if not killed or list(workspace.glob("cache/*/index.csv")):
        return None
    journalled = sum(
        max(0, len(path.read_bytes().splitlines()) - 1) for path in workspace.glob("cache/*/journal.csv")
    )
    began = time.perf_counter()
    medimg("preprocess", "--size", "224", workspace=workspace)
    same = _digest(workspace) == wanted
    say(
        f"{number:2}: killed after {moment:5.2f} s with {journalled:5} rows in the journal; "
        f"next run {time.perf_counter() - began:5.2f} s: {'the same bytes' if same else 'OTHER BYTES'}"
    )
    return same


def _draw(folder: Path, images: int) -> Path:
    generator = np.random.default_rng(0)
    for number in range(images):
        pixels = generator.integers(0, 256, (SIDE_PX, SIDE_PX), dtype=np.uint8)
        target = folder / ("a", "b")[number % 2] / f"{number:05}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(target, compress_level=1)
    return folder


def _digest(workspace: Path) -> str:
    """Return the hash of array and index."""
    digest = hashlib.sha256()
    for name in ("pixels.npy", "index.csv"):
        (path,) = workspace.glob(f"cache/*/{name}")
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, help="folder of images; else noise is drawn")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
