"""How long an audit takes: drawn slices of six body parts at several sizes of the data set, or a folder of your own.

python -m tests.benchmarks.bench_audit [--sizes 6000,59000] [--source FOLDER] [--work DIR] [AUDIT OPTIONS …]

Each data set is ingested, then audited twice in processes of their own: wall and CPU seconds, peak memory of all its
processes together, what came of it; of several sizes the exponent of growth (CPU). Audit options, such as `--quick`, go to `medimg label-audit`.
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from medimg_cli.workspace.threads import map_ordered
from tests.benchmarks.bench_train import measure
from tests.benchmarks.bench_train.measure import Cost

SIDE_PX = 64
PARTS = ("abdomen-ct", "breast-mr", "chest-ct", "chest-xray", "hand", "head-ct")
SLICES = 24
Floats = NDArray[np.float32]


def main() -> int:
    """Print one line an audit; 0."""
    options, audit = _options()
    spent = []
    for size in [None] if options.source else [int(size) for size in options.sizes.split(",")]:
        work = options.work / str(size or "source")
        source = options.source or work / "images"
        if size is not None and not source.is_dir():
            draw_parts(source, size)
        if not (work / "dataset").is_dir():
            run(work, "ingest", str(source), "--seed", "1")
        for path in (work / "audit").glob("*"):
            path.unlink()
        for turn in ("first", "second"):
            cost = run(work, "label-audit", "--fail-on", "never", *audit)
            found = json.loads((work / "audit" / "audit.json").read_text())["findings"]
            sys.stdout.write(
                f"{size or source}: {turn} audit {cost.wall_seconds:.1f} s, {cost.cpu_seconds:.1f} s of CPU, "
                f"{cost.peak_bytes / 1e6:.0f} MB, {len(found)} findings\n"
            )
            spent += [(size or 0, cost.cpu_seconds)] if turn == "first" else []
    (few, brief), (many, long) = spent[0], spent[-1]
    if many > few:
        sys.stdout.write(f"exponent of growth: {math.log(long / brief) / math.log(many / few):.2f}\n")
    return 0


def draw_parts(folder: Path, count: int) -> None:
    """Write `count` JPEGs of 64 x 64 px, `PART/PATIENT_SLICE.jpeg`, neighbouring slices of a patient much alike."""
    volumes = -(-count // SLICES)
    shapes = np.random.default_rng(0).normal(0, 1, (len(PARTS), 1, 5, 5))

    def draw(number: int) -> None:
        random = np.random.default_rng(number + 1)
        part = number % len(PARTS)
        volume = 70 * _enlarged(shapes[part], SLICES)
        for side, depth, strength in ((4, 3, 25), (9, 5, 18), (20, 8, 14), (44, 12, 7)):
            volume = volume + _enlarged(random.normal(0, strength, (depth, side, side)), SLICES)
        down, across = np.mgrid[-1:1:64j, -1:1:64j]
        body = np.clip(8 * (1 - np.hypot(down / 0.9, across / random.uniform(0.7, 0.95))), 0, 1)
        pictures = np.clip((volume + 110) * body, 0, 255).astype(np.uint8)
        for place, picture in enumerate(pictures[: count - number * SLICES]):
            path = folder / PARTS[part] / f"{number:05d}_{place:03d}.jpeg"
            Image.fromarray(picture).save(path, "JPEG", quality=90)

    for part in PARTS:
        (folder / part).mkdir(parents=True, exist_ok=True)
    for _ in map_ordered(draw, range(volumes)):
        pass


def _enlarged(grid: NDArray[np.float64], slices: int) -> NDArray[np.float64]:
    """Return a grid (D, S, S) as (slices, 64, 64), linear between its points."""
    depth, side, _ = grid.shape
    through, plane = _between(depth, slices), _between(side, SIDE_PX)
    return np.asarray(plane @ np.tensordot(through, grid, 1) @ plane.T)


def _between(few: int, many: int) -> NDArray[np.float64]:
    places = np.linspace(0, few - 1, many)
    return np.asarray(np.maximum(0, 1 - np.abs(places[:, None] - np.arange(few))))


def run(work: Path, *arguments: str, environment: Mapping[str, str] = {}) -> Cost:
    """Run a command of medimg in a workspace; what it says is added to medimg.log there."""
    work.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "medimg_cli", *arguments, "--quiet", "-C", str(work)]
    cost = measure.run(command, log=work / "medimg.log", environment=environment)
    if cost.code:
        raise subprocess.CalledProcessError(cost.code, arguments, (work / "medimg.log").read_text()[-500:])
    return cost


def _options() -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="6000,59000")
    parser.add_argument("--source", type=Path)
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "bench_audit")
    return parser.parse_known_args()


if __name__ == "__main__":
    sys.exit(main())
