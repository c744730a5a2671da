"""Exam AUROC of each pooling, with the paired difference to the mean and its interval by patients.

    python -m tests.benchmarks.bench_exams drawn [--shown 1 --exams 300]   # slices whose scores are drawn
    python -m tests.benchmarks.bench_exams chest-xray ../shared/data/chest_xray   # a patient's radiographs as one exam
    python -m tests.benchmarks.bench_exams WORKSPACE RUN [--split test]    # a run's predictions, exams or else patients

Drawn: exams of 20 slices, of the ill ones `shown` show it; a slice's logit is normal, higher by two where it shows it.
Chest X-rays: a logistic regression on 32 × 32 pixels learns from the published train folder and answers the test folder.
"""

import argparse
import re
from pathlib import Path

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.dataset.manifest import EXAM
from medimg_cli.predictions.exam_answers import POOLINGS
from medimg_cli.predictions.exams import exam_table, targets_of
from medimg_cli.predictions.predictions import classes_of, probabilities_of, read_predictions
from medimg_cli.runs.run import Run
from medimg_cli.statistics.areas import auroc_influence
from medimg_cli.statistics.sampling import sampling_of
from medimg_cli.workspace.workspace import Workspace

SLICES, GAIN = 20, 2.0
_PATIENT = re.compile(r"person\d+|(?:NORMAL2-)?IM-\d+")


def drawn(exams: int, shown: int, seed: int) -> pd.DataFrame:
    """Return the answers to the slices of exams, two exams a patient, half of the patients ill."""
    generator = np.random.default_rng(seed)
    exam = np.repeat(np.arange(exams), SLICES)
    ill = (exam // 2) % 2 == 1
    there = ill & (np.tile(np.arange(SLICES), exams) < shown)
    of_patient = generator.normal(0, 0.5, exams)[exam // 2]
    logit = generator.normal(-2, 1, len(exam)) + GAIN * there + of_patient
    score = 1 / (1 + np.exp(-logit))
    truth = np.where(ill, "ill", "well")
    table = pd.DataFrame({EXAM: exam, "patient_id": exam // 2, "y_true": truth})
    return table.assign(prob_well=1 - score, prob_ill=score)


def chest_xray(folder: Path) -> pd.DataFrame:
    """Return the answers to the published test images, those of one patient being an exam."""
    sides = {}
    for side in ("train", "test"):
        paths = sorted((folder / side).rglob("*.jpeg"))
        sides[side] = (
            pd.DataFrame(
                {
                    "y_true": [path.parent.name for path in paths],
                    "patient_id": [_PATIENT.match(path.name)[0] for path in paths],  # type: ignore[index]
                }
            ),
            np.stack([_thumbnail(path) for path in paths]),
        )
    (known, learnt), (asked, pixels) = sides["train"], sides["test"]
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, max_iter=500)).fit(
        learnt, known["y_true"]
    )
    chances = model.predict_proba(pixels)
    table = asked.assign(**{f"prob_{name}": chances[:, k] for k, name in enumerate(model.classes_)})
    return table.assign(**{EXAM: table["patient_id"]})


def _thumbnail(path: Path) -> NDArray[np.float64]:
    with Image.open(path) as image:
        image.draft("L", (32, 32))
        return np.asarray(image.convert("L").resize((32, 32)), dtype=np.float64).ravel()


def show(table: pd.DataFrame, labels: LabelSpace) -> None:
    """Print a line for each pooling."""
    areas = {}
    for rule in POOLINGS:
        exams = exam_table(table, labels, rule)
        truth = labels.is_positive[targets_of(exams, labels).astype(int)]
        areas[rule] = auroc_influence(truth, labels.positive_score(probabilities_of(exams)))
    sampling = sampling_of(exams, known=True)
    typer.echo(
        f"{len(table):,} images, {len(exams):,} exams, {sampling.units:,} patients, {truth.sum():,} exams positive"
    )
    mean, influence = areas["mean"]
    for rule, (area, own) in areas.items():
        error, apart = float(np.sqrt(sampling.variance(own - influence))), area - mean
        own_error = float(np.sqrt(sampling.variance(own)))
        typer.echo(
            f"{rule:11} AUROC {area:.3f} ({area - 1.96 * own_error:.3f} to {min(1, area + 1.96 * own_error):.3f}), "
            f"minus that of the mean {apart:+.3f} ({apart - 1.96 * error:+.3f} to {apart + 1.96 * error:+.3f})"
        )


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("workspace", help="drawn, chest-xray, or a workspace")
    asked.add_argument("run", nargs="?", default="")
    asked.add_argument("--split", default="test")
    asked.add_argument("--exams", type=int, default=300)
    asked.add_argument("--shown", type=int, default=1)
    given = asked.parse_args()
    if given.workspace == "drawn":
        show(drawn(given.exams, given.shown, seed=0), LabelSpace(("well", "ill"), "ill"))
        return
    if given.workspace == "chest-xray":
        show(chest_xray(Path(given.run)), LabelSpace(("NORMAL", "PNEUMONIA"), "PNEUMONIA"))
        return
    run = Run(Workspace(Path(given.workspace)).runs_dir / given.run)
    table = read_predictions(run.predictions_path(given.split))
    if EXAM not in table:
        table[EXAM] = table["patient_id"]
    show(table, LabelSpace(classes_of(table), run.read_card().positive))


if __name__ == "__main__":
    main()
