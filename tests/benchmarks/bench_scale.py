"""Seconds and peak memory of a whole way, ingest to predict, over sizes of the data set.

    python -m tests.benchmarks.bench_scale [--sizes 10000,100000] [--work DIR]

Images are drawn as `bench_audit` draws them: JPEGs of 64 px, 24 neighbouring slices of a patient, six parts of the body.
A network learns once from 600 images (its answers do not matter, its speed does). Each command runs in a process of
its own, and memory is that of all processes that it starts, together. One line of JSON each, also appended to
DIR/scale.jsonl; what is there is not measured again. Last, for each step, the exponent of growth of CPU seconds from
the smallest size to the largest.
"""

import argparse
import json
import math
import os
import shutil
import sys
from pathlib import Path

from tests.benchmarks.bench_audit import draw_parts, run


def main() -> int:
    """Print one JSON object a step and size, then the exponents; 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="10000,100000")
    parser.add_argument("--work", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "bench_scale")
    wanted = parser.parse_args()
    sizes = sorted(int(size) for size in wanted.sizes.split(","))
    work, log = wanted.work.absolute(), wanted.work / "scale.jsonl"
    network = _network(work / "network")
    known = [json.loads(line) for line in log.read_text().splitlines()] if log.is_file() else []
    spent = {(row["images"], row["step"]): row["cpu_s"] for row in known}
    for size in sizes:
        place = work / str(size)
        source = str(place / "images")
        steps = {
            "ingest": ("ingest", source, "--seed", "1", "--patient-regex", r"(\d+)_\d+"),
            "label-audit --quick": ("label-audit", "--quick", "--fail-on", "never"),
            "preprocess": ("preprocess", "--size", "64"),
            "predict": ("predict", source, "--run", str(network), "--out", str(place / "rows.csv")),
        }
        if not (place / "images").is_dir():
            draw_parts(place / "images", size)
        for step, arguments in steps.items():
            if (size, step) in spent:
                continue
            cost = run(place, *arguments)
            row = {
                "images": size,
                "step": step,
                "wall_s": round(cost.wall_seconds, 1),
                "cpu_s": round(cost.cpu_seconds, 1),
                "peak_mb": round(cost.peak_bytes / 1e6),
            }
            spent[size, step] = cost.cpu_seconds
            sys.stdout.write(json.dumps(row) + "\n")
            sys.stdout.flush()
            with log.open("a") as file:
                file.write(json.dumps(row) + "\n")
    few, many = sizes[0], sizes[-1]
    for step in steps if many > few else ():
        exponent = math.log(spent[many, step] / spent[few, step]) / math.log(many / few)
        sys.stdout.write(f"{step}: exponent of growth {exponent:.2f}\n")
    return 0


def _network(work: Path) -> Path:
    """Return a run that learned from 600 images."""
    if not (work / "runs" / "first").is_dir():
        shutil.rmtree(work, ignore_errors=True)
        draw_parts(work / "images", 600)
        run(work, "ingest", str(work / "images"), "--seed", "1")
        run(work, "train", "--epochs", "1", "--size", "64", "--name", "first")
    return work / "runs" / "first"


if __name__ == "__main__":
    sys.exit(main())
