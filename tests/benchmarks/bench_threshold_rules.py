"""How often a threshold chosen on k positives keeps its recall in the population, and what that costs.

python -m tests.benchmarks.bench_threshold_rules [DRAWS]

Scores are normal, those of positives shifted so that the area under the ROC curve is 0.85 or 0.97. Clustered: patients
with 1 to 4 positive images, correlation 0.5 within a patient. Each rule chooses on k positive images; recall and
specificity of its threshold in the population are known exactly. Where a rule cannot be met, all positives are called.
"""

import sys

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from medimg_cli.predictions.threshold_choice import (
    NoThresholdError,
    place_by,
    positives_of,
    recall_bound,
    steps_of,
)
from medimg_cli.statistics.sampling import Sampling
from medimg_cli.workspace.operating_settings import ThresholdRule

TARGET, ALIKE = 0.95, 0.5
RULES = {
    "recall": ThresholdRule("recall", TARGET),
    "assured .8": ThresholdRule("recall_assured", TARGET, 0.8),
    "assured .9": ThresholdRule("recall_assured", TARGET, 0.9),
    "bound": ThresholdRule("recall_bound", TARGET),
}


def draw(
    generator: np.random.Generator, images: int, *, clustered: bool
) -> tuple[NDArray[np.float64], Sampling]:
    """Return standard normal scores of so many positive images, and how they were sampled."""
    if not clustered:
        return generator.normal(size=images), Sampling(None, images)
    patients = np.repeat(np.arange(images), generator.integers(1, 5, images))[:images]
    own = generator.normal(size=images)[patients]
    scores = np.sqrt(ALIKE) * own + np.sqrt(1 - ALIKE) * generator.normal(size=images)
    return scores, Sampling(patients, images)


def thresholds(score: NDArray[np.float64], sampling: Sampling) -> dict[str, tuple[float, bool]]:
    """Return rule → its threshold, and whether it could be met."""
    steps = steps_of(np.ones(len(score), dtype=bool), score)
    found = {}
    for name, rule in RULES.items():
        try:
            place = place_by(rule, steps, recall_bound(score, sampling), positives_of(score, sampling))
            found[name] = float(steps.value[place]), True
        except NoThresholdError:
            found[name] = float(score.min()), False
    return found


def show(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201


def main(draws: int) -> None:
    generator = np.random.default_rng(0)
    show("clustered positives rule        reached  recall(mean) shortfall  spec(AUC .85) spec(.97)  met")
    oracle = norm.ppf(1 - TARGET)
    shifts = {area: np.sqrt(2) * norm.ppf(area) for area in (0.85, 0.97)}
    show(
        "threshold of the population:", {a: round(float(norm.cdf(oracle + s)), 3) for a, s in shifts.items()}
    )
    for clustered in (False, True):
        for images in (10, 20, 45, 73, 100, 200, 400, 700):
            rows: dict[str, list[tuple[float, bool]]] = {name: [] for name in RULES}
            few = draws // 5 if clustered else draws
            for _ in range(few):
                for name, one in thresholds(*draw(generator, images, clustered=clustered)).items():
                    rows[name].append(one)
            for name, ones in rows.items():
                at = np.array([value for value, _ in ones])
                recall = norm.sf(at)
                specificity = [float(norm.cdf(at + shift).mean()) for shift in shifts.values()]
                show(
                    f"{clustered!s:9} {images:9} {name:11} {(recall >= TARGET).mean():8.2f} {recall.mean():13.3f}"
                    f" {np.maximum(TARGET - recall, 0).mean():9.4f} {specificity[0]:13.3f} {specificity[1]:9.3f}"
                    f" {np.mean([met for _, met in ones]):5.2f}",
                )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
