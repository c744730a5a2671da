"""How often the 95 % intervals that `medimg evaluate` prints hold the truth, by simulation.

    python -m tests.benchmarks.bench_coverage [--draws 500] [--processes 2] [--cells binary-60-0.85 ...] [--out FILE.csv]

A cell is a kind of study: two or four classes; 60 or 300 independent images, or 80 patients of 1 to 6 images whose
scores have a correlation of 0.3 within a patient; classes apart by an AUROC of 0.85 or 0.99. Scores are normal, and the
probabilities made of them are too extreme (logits times 1.4), so that calibration has something to find. The truth of
each figure is its value in a sample of 200,000 images. Prints a Markdown table: figures in rows, cells in columns, the
share of draws whose interval holds the truth, in per cent ("-" where most draws give no interval); with 500 draws its
standard error is 1.0 at 95 %. Draws in which a figure is undefined, or has no interval, are left out and counted in the CSV.
"""

import argparse
import csv
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.analyses import ComparedModel, Subject
from medimg_cli.evaluation.analyses.calibration import class_calibration
from medimg_cli.evaluation.analyses.comparison import comparison
from medimg_cli.evaluation.analyses.decision_curves import curve_of
from medimg_cli.evaluation.analyses.exams import patient_level
from medimg_cli.evaluation.analyses.operating import at_prevalences, trade_offs_of
from medimg_cli.evaluation.decided import ScoredPredictions
from medimg_cli.evaluation.metrics import METRICS
from medimg_cli.evaluation.results.decisions import Comparison, PatientLevels
from medimg_cli.evaluation.summary import overall
from medimg_cli.predictions.operating_point import OperatingPoint, given_point
from medimg_cli.statistics import sampling
from medimg_cli.statistics.estimate import Estimate

Floats = NDArray[np.float64]
MOST_IMAGES, WITHIN, EXTREME, RIVAL = 6, 0.3, 1.4, 0.8
LARGE = 200_000
PREVALENCE = {2: (0.6, 0.4), 4: (0.25, 0.25, 0.25, 0.25)}


@dataclass(frozen=True)
class Cell:
    """A kind of study: `size` images, or patients where these have several."""

    classes: int
    size: int
    clustered: bool
    area: float

    @property
    def name(self) -> str:
        return f"{'binary' if self.classes == 2 else 'four'}-{self.size}{'p' if self.clustered else ''}-{self.area}"


CELLS = [
    Cell(classes, size, size == 80, area)
    for classes in (2, 4)
    for size in (60, 300, 80)
    for area in (0.85, 0.99)
]


def apart(classes: int, area: float) -> float:
    """Return how far the mean of a class's own score lies above the others', in standard deviations."""
    if classes == 2:
        return float(np.sqrt(2) * norm.ppf(area))
    generator = np.random.default_rng(5)
    noise, truth = generator.normal(size=(20_000, classes)), generator.integers(0, classes, 20_000)

    def excess(step: float) -> float:
        answers = softmax(step * (noise + step * np.eye(classes)[truth]))
        ranks = answers[:, 0].argsort().argsort() + 1
        ill = int((truth == 0).sum())
        return float((ranks[truth == 0].sum() - ill * (ill + 1) / 2) / (ill * (len(truth) - ill))) - area

    return float(brentq(excess, 0.1, 8, xtol=1e-4))


def softmax(logits: Floats) -> Floats:
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    answers: Floats = shifted / shifted.sum(axis=1, keepdims=True)
    return answers


def draw(
    cell: Cell, step: float, size: int, generator: np.random.Generator
) -> tuple[ScoredPredictions, ScoredPredictions]:
    """Return the answers of a model and of a rival to the same images."""
    images = generator.integers(1, MOST_IMAGES + 1, size) if cell.clustered else np.ones(size, dtype=int)
    patient: NDArray[np.int64] = np.repeat(np.arange(size), images).astype(np.int64)
    truth = generator.choice(cell.classes, size, p=PREVALENCE[cell.classes])[patient].astype(np.int64)
    columns = 1 if cell.classes == 2 else cell.classes
    shared, own, other = (
        generator.normal(size=(count, columns)) for count in (size, len(patient), len(patient))
    )
    within = WITHIN if cell.clustered else 0.0
    noise = np.sqrt(within) * shared[patient] + np.sqrt(1 - within) * own
    rival_noise = np.sqrt(within) * shared[patient] + np.sqrt((1 - within) / 2) * (own + other)
    both = [answered(cell, step, truth, each, patient) for each in (noise, rival_noise + (1 - RIVAL) * other)]
    return both[0], both[1]


def answered(
    cell: Cell, step: float, truth: NDArray[np.int64], noise: Floats, patient: NDArray[np.int64]
) -> ScoredPredictions:
    prior = np.log(PREVALENCE[cell.classes])
    if cell.classes == 2:
        logit = step * (noise[:, 0] + step * (truth - 0.5)) + prior[1] - prior[0]
        logits = np.stack([np.zeros(len(truth)), logit], axis=1)
    else:
        logits = step * (noise + step * np.eye(cell.classes)[truth]) + prior
    answers = softmax(EXTREME * logits)
    names = [f"class{index}" for index in range(cell.classes)]
    table = pd.DataFrame({f"prob_{name}": answers[:, index] for index, name in enumerate(names)})
    table["y_true"], table["patient_id"] = np.array(names)[truth], patient.astype(str)
    table["image_id"] = np.arange(len(table)).astype(str)
    labels = LabelSpace(tuple(names), names[1] if cell.classes == 2 else None)
    point = given_point(labels, 0.5) if cell.classes == 2 else OperatingPoint()
    drawn = sampling.Sampling(patient if cell.clustered else None, len(table))
    return ScoredPredictions(table, labels, point, drawn)


def figures_of(pair: tuple[ScoredPredictions, ScoredPredictions]) -> dict[str, Estimate]:
    """Return every figure with an interval by its name."""
    here, other = pair
    found = dict(overall(here))
    if here.labels.positive is None:
        found |= {f"{name} of a class": METRICS.get(name)(here.views["class1"]) for name in METRICS.names()}
    view = here.views["class1"]
    calibrated = class_calibration(view)
    found |= {
        f"calibration {name}": getattr(calibrated, name) for name in ("ece_equal_mass", "slope", "intercept")
    }
    if view.truth.any() and not view.truth.all():
        found |= dict(of_decisions(here))
    subject = Subject(here=here, other_model=ComparedModel("", other, "", ""))
    compared = comparison(subject)
    if isinstance(compared, Comparison):
        found |= {f"difference of {row.name}": row.difference for row in compared.differences}
    levels = patient_level(subject)
    if isinstance(levels, PatientLevels):
        found |= {f"patients' {name}": each for name, each in levels.levels[0].metrics.items()}
    return found


def of_decisions(here: ScoredPredictions) -> Iterator[tuple[str, Estimate]]:
    view = here.views["class1"]
    at = at_prevalences(view, (0.1,))
    yield from ((f"{name} at 10 %", getattr(at[-1], name)) for name in ("precision", "npv", "alarms_per_100"))
    for row in trade_offs_of(view):
        free = row.recall if row.fixed == "specificity" else row.specificity
        yield f"{'recall' if row.fixed == 'specificity' else 'specificity'} at {row.fixed} {row.wanted}", free
    curve = curve_of(view, np.array([0.1, 0.3, 0.5]))
    for place, threshold in enumerate(curve.thresholds):
        ends = (curve.low[place], curve.high[place]) if curve.low else (None, None)
        yield (
            f"net benefit at {threshold:g}",
            Estimate(value=curve.model[place], low=ends[0], high=ends[1], n=view.n),
        )


def truths(cell: Cell, step: float) -> dict[str, float]:
    size = LARGE // 3 if cell.clustered else LARGE
    kept = {name: getattr(sampling, name) for name in ("REPLICATES", "_FEWEST_REPLICATES", "_MOST_DRAWS")}
    for name, value in (("REPLICATES", 4), ("_FEWEST_REPLICATES", 4), ("_MOST_DRAWS", 1)):
        setattr(sampling, name, value)
    try:
        found = figures_of(draw(cell, step, size, np.random.default_rng(99)))
    finally:
        for name, value in kept.items():
            setattr(sampling, name, value)
    return {name: each.value for name, each in found.items() if each.value is not None}


def cover(work: tuple[Cell, int, int]) -> tuple[str, dict[str, tuple[int, int, int, float]]]:
    """Return figure → draws whose interval holds the truth, those with an interval, all, and its mean width."""
    cell, draws, part = work
    step = apart(cell.classes, cell.area)
    truth = truths(cell, step)
    counts: Mapping[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0.0])
    generator = np.random.default_rng([2026, part, cell.classes, cell.size, int(100 * cell.area)])
    for _ in range(draws):
        for name, each in figures_of(draw(cell, step, cell.size, generator)).items():
            held = counts[name]
            held[2] += 1
            if each.low is not None and each.high is not None:
                held[1] += 1
                held[0] += each.low - 1e-12 <= truth[name] <= each.high + 1e-12
                held[3] += each.high - each.low
    return cell.name, {
        name: (int(h[0]), int(h[1]), int(h[2]), h[3] / max(1, h[1])) for name, h in counts.items()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--cells", nargs="*", default=[cell.name for cell in CELLS])
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    cells = [cell for cell in CELLS if cell.name in asked.cells]
    with ProcessPoolExecutor(asked.processes) as pool:
        results = dict(pool.map(cover, [(cell, asked.draws, 0) for cell in cells]))
    if asked.out:
        with asked.out.open("w", newline="") as stream:
            rows = csv.writer(stream)
            rows.writerow(["cell", "figure", "held", "with_interval", "draws", "mean_width"])
            rows.writerows(
                [cell, name, *row] for cell, found in results.items() for name, row in found.items()
            )
    sys.stdout.write(markdown(results) + "\n")
    return 0


def markdown(results: Mapping[str, Mapping[str, tuple[int, int, int, float]]]) -> str:
    names = dict.fromkeys(name for found in results.values() for name in found)
    lines = ["| figure | " + " | ".join(results) + " |", "|---" * (len(results) + 1) + "|"]
    for name in names:
        shown = []
        for found in results.values():
            held, known, draws, _ = found.get(name, (0, 0, 0, 0.0))
            shown.append("" if not draws else "-" if 2 * known < draws else f"{100 * held / known:.1f}")
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
