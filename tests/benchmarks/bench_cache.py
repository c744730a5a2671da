"""One epoch-style pass over the pixel cache against one over a loader that decodes every image again.

python -m tests.benchmarks.bench_cache FOLDER [--size 224] [--rounds 3] [--limit 2000]

Both yield shuffled batches of 64 on one thread. The loader does what torchvision's ImageFolder does: open, convert
to RGB, resize (Pillow, bilinear, antialiased). The rounds are interleaved; the best of each counts.
"""

import argparse
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from medimg_cli.cli.app import run
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.stages.preprocess import preprocess
from medimg_cli.training.batches import PixelBatches
from medimg_cli.workspace.settings import PreprocessSettings
from medimg_cli.workspace.workspace import Workspace

BATCH = 64


def main() -> int:
    """Print both rates and their ratio; 0 when the cache is at least 100 times as fast."""
    options = _options()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="medimg-bench-") as name:
        workspace = Workspace(Path(name))
        with redirect_stdout(sys.stderr):
            code = run(["ingest", str(options.folder), "-C", name, "--quiet"])
        if code:
            return code
        made = preprocess(workspace, PreprocessSettings(size=options.size))
        rows = read_dataset(workspace).usable.sample(frac=1, random_state=0).head(options.limit)
        paths = [workspace.absolute(path) for path in rows["path"]]
        positions = made.cache.positions(rows["image_id"].tolist())
        targets = np.zeros(len(positions), dtype=np.int64)
        cached = PixelBatches(made.cache.pixels, positions, targets=targets, batch_size=BATCH)
        slow, fast = [], []
        for _ in range(options.rounds):
            slow.append(_seconds_of_loader(paths, options.size))
            fast.append(_seconds_of_cache(cached))
    loader, cache = len(paths) / min(slow), len(paths) / min(fast)
    sys.stdout.write(
        f"{len(paths)} images at {options.size} px, {made.cache.recipe.channels} channel(s)\n"
        f"loader {loader:,.0f} images/s, cache {cache:,.0f} images/s: {cache / loader:.0f} times as fast\n"
        f"made by medimg preprocess at {made.images_per_second or 0:,.0f} images/s\n"
    )
    return 0 if cache >= 100 * loader else 1


def _seconds_of_loader(paths: list[str], size: int) -> float:
    began = time.perf_counter()
    for start in range(0, len(paths), BATCH):
        images = []
        for path in paths[start : start + BATCH]:
            with Image.open(path) as picture:
                images.append(
                    np.asarray(picture.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))
                )
        torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
    return time.perf_counter() - began


def _seconds_of_cache(batches: PixelBatches) -> float:
    began = time.perf_counter()
    for _ in batches.shuffled(torch.Generator().manual_seed(0)):
        pass
    return time.perf_counter() - began


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="class folders of images")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=int, default=2000)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
