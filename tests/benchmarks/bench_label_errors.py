"""How many flipped labels `label-errors` finds, beside plain disagreement, and its time beside cleanlab's.

    python -m tests.benchmarks.bench_label_errors ../shared/data/medmnist/pneumoniamnist.npz [--weights FILE]

Ingests the source, takes its train split (`--all`: every split), flips 5 % of the labels at random with seeds 0, 1
and 2, and prints one JSON object. "first" ranks all labels by self-confidence and takes as many as were flipped.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]
from numpy.typing import NDArray

from medimg_cli.audit.label_quality import (
    confident_learning,
    mean_auroc,
    out_of_fold,
    quick_features,
    self_confidence,
    side_by_side,
)
from medimg_cli.audit.measurements.measurements import measure_images
from medimg_cli.audit.shortcuts.separability import folds_by_patient
from medimg_cli.dataset.manifest import read_dataset
from medimg_cli.dataset.splits import group_identical
from medimg_cli.images.readers import read_image
from medimg_cli.training.networks.embedding import Embedding
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.workspace import Workspace
from tests.conftest import medimg

SHARE = 0.05
SEEDS = (None, 0, 1, 2)


def load(
    workspace: Workspace, splits: tuple[str, ...], weights: Path | None
) -> tuple[NDArray[np.float32], NDArray[np.int64], list[str], int]:
    """Return features, labels, groups and the number of classes."""
    dataset = read_dataset(workspace)
    rows = dataset.of_split(*splits)
    measured = measure_images(workspace, rows, read_image, SilentProgress())
    features = quick_features(measured.thumbnails.of(list(rows["image_id"])))
    if weights is not None:
        paths = [workspace.absolute(path) for path in rows["path"]]
        features = side_by_side(features, Embedding(weights, read_image)(paths))
    hashes = measured.table.loc[rows["image_id"], "pixel_sha256"]
    groups = group_identical(list(rows["patient_id"]), list(hashes))
    return features, dataset.labels.encode(list(rows["label"])), groups, len(dataset.info.classes)


def flip(labels: NDArray[np.int64], seed: int | None) -> NDArray[np.bool_]:
    """Return which labels are to be flipped, SHARE of them; none without a seed."""
    chosen = np.zeros(len(labels), dtype=bool)
    if seed is not None:
        generator = np.random.default_rng(seed)
        chosen[generator.choice(len(labels), round(SHARE * len(labels)), replace=False)] = True
    return chosen


def scores(listed: NDArray[np.bool_], flipped: NDArray[np.bool_]) -> dict[str, float | int]:
    """Return how many are listed, and which share of them and of the flipped ones is right."""
    hits = int((listed & flipped).sum())
    precision, recall = hits / max(int(listed.sum()), 1), hits / max(int(flipped.sum()), 1)
    return {"listed": int(listed.sum()), "precision": round(precision, 3), "recall": round(recall, 3)}


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time of one call."""
    begin = time.process_time()
    work()
    return round(time.process_time() - begin, 4)


def measure(
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    groups: list[str],
    classes: int,
    seed: int | None,
) -> dict[str, object]:
    flipped = flip(labels, seed)
    step = np.random.default_rng(seed).integers(1, classes, len(labels))
    given = np.where(flipped, (labels + step) % classes, labels)
    begin = time.process_time()
    answers = out_of_fold(
        features, given, folds_by_patient(given.astype(str).tolist(), groups, seed=0), classes=classes
    )
    fitting = time.process_time() - begin
    final = answers.final
    found = confident_learning(given, final)
    first = np.zeros(len(labels), dtype=bool)
    first[np.argsort(self_confidence(given, final), kind="stable")[: int(flipped.sum())]] = True
    theirs = find_label_issues(given, final, filter_by="confident_learning", n_jobs=1)
    return {
        "seed": seed,
        "flipped": int(flipped.sum()),
        "auroc": round(mean_auroc(given, answers.first), 3),
        "first": scores(first, flipped),
        "confident": scores(found.issues, flipped),
        "disagreement": scores(final.argmax(axis=1) != given, flipped),
        "about_wrong": round(found.wrong_labels, 1),
        "same_set_as_cleanlab": bool(np.array_equal(theirs, found.issues)),
        "fit_cpu_s": round(fitting, 2),
        "confident_cpu_s": seconds(lambda: confident_learning(given, final)),
        "cleanlab_cpu_s": seconds(
            lambda: find_label_issues(given, final, filter_by="confident_learning", n_jobs=1)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--all", action="store_true", help="every split, not only train")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if medimg(Path(folder), "ingest", str(options.source)) != 0:
            sys.exit(f"{options.source} cannot be ingested")
        splits = ("train", "val", "test") if options.all else ("train",)
        data = load(Workspace(Path(folder)), splits, options.weights)
    results = [measure(*data, seed) for seed in SEEDS]
    sys.stdout.write(json.dumps({"images": len(data[1]), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
