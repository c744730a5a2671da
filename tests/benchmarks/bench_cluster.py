"""Wall and CPU seconds of `preprocess` on 1, 2 and 3 Dask workers: storage that waits, and images that are large.

python -m tests.benchmarks.bench_cluster [--images 144] [--workers 1,2,3] [--rounds 1] [--task NAME] [--work DIR]

`waits`: drawn JPEGs of 64 px, and each worker sleeps .5 s before it reads one. `computes`: PNGs of 3,072 px, without a sleep; how
far that goes depends on the free cores. Workers are processes of this machine (`--scheduler local:N`), and the command's whole time
counts, with the seconds in which they start. The cache of every number of workers has to have the same bytes.
"""

import argparse
import hashlib
import shutil
import sys
import tempfile
from pathlib import Path
from statistics import median

from PIL import Image

from tests.benchmarks.bench_audit import draw_parts, run
from tests.benchmarks.bench_train.measure import Cost

SLEEP = """
import time
from medimg_cli.images import readers
from medimg_cli.preprocessing import probe_images

def late(*arguments, read=readers.read_image):
    time.sleep(0.5)
    return read(*arguments)

if readers.read_image.__name__ != "late":
    readers.read_image = probe_images.read_image = late
"""


def main() -> int:
    """Print one row a task and number of workers; 1 when the bytes differ."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=144)
    parser.add_argument("--workers", default="1,2,3")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--task", choices=("waits", "computes"), help="of both")
    parser.add_argument("--work", type=Path)
    asked = parser.parse_args()
    sys.stdout.write(
        f"| task, {asked.images} images | workers | wall s | to one | CPU s | SHA-256 |\n|{'---|' * 6}\n"
    )
    with tempfile.TemporaryDirectory(dir=asked.work) as folder:
        sleep = Path(folder) / "sleep_before_reading.py"
        sleep.write_text(SLEEP)
        found = {
            task: _measure(Path(folder) / task, asked, enlarge, environment)
            for task, enlarge, environment in (
                ("waits", 1, {"DASK_DISTRIBUTED__WORKER__PRELOAD": str(sleep)}),
                ("computes", 48, {}),
            )
            if asked.task in (None, task)
        }
    return 0 if all(len(hashes) == 1 for hashes in found.values()) else 1


def _measure(place: Path, asked: argparse.Namespace, enlarge: int, environment: dict[str, str]) -> set[str]:
    """Print a task's rows, and return the hashes of its caches."""
    draw_parts(place / "images", asked.images)
    for path in list((place / "images").rglob("*.jpeg")) if enlarge > 1 else ():
        with Image.open(path) as picture:
            picture.resize((picture.width * enlarge,) * 2).save(path.with_suffix(".png"), compress_level=1)
        path.unlink()
    run(place, "ingest", str(place / "images"), "--seed", "1")
    numbers = [int(number) for number in asked.workers.split(",")]
    costs: dict[int, list[Cost]] = {number: [] for number in numbers}
    hashes: set[str] = set()
    for _ in range(asked.rounds):
        for number in numbers:
            shutil.rmtree(place / "cache", ignore_errors=True)
            on = ("--scheduler", f"local:{number}", "--set", "cluster.chunk=4")
            costs[number].append(run(place, "preprocess", "--size", "64", *on, environment=environment))
            pixels = b"".join(path.read_bytes() for path in sorted((place / "cache").rglob("*.npy")))
            hashes.add(hashlib.sha256(pixels).hexdigest())
    one = median(cost.wall_seconds for cost in costs[numbers[0]])
    for number in numbers:
        wall, cpu = (
            median(getattr(cost, f"{kind}_seconds") for cost in costs[number]) for kind in ("wall", "cpu")
        )
        same = min(hashes)[:12] if len(hashes) == 1 else "DIFFERENT"
        sys.stdout.write(
            f"| {place.name} | {number} | {wall:.1f} | {wall / one:.2f} | {cpu:.1f} | {same} |\n"
        )
        sys.stdout.flush()
    return hashes


if __name__ == "__main__":
    sys.exit(main())
