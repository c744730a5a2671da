"""What 30 to 200 labelled cases of the place of the test buy: python -m tests.benchmarks.bench_recalibrate RUN [DRAWS]

RUN is the folder of an evaluated run of one label an image. Patients are drawn from its predictions of test until there
are so many cases; on them `recalibrate` is done as the command does it, and the rest is the test. Printed: means over
draws with the 5th and 95th percentile, before (the model as it is) and after, by both rules.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from medimg_cli.predictions.operating_point import operating_point
from medimg_cli.predictions.predictions import probabilities_of, read_predictions
from medimg_cli.runs.run import ModelCard, Run
from medimg_cli.statistics.probabilities import log_loss_of, recalibrated
from medimg_cli.statistics.recalibration import adapt
from medimg_cli.statistics.sampling import sampling_of

TARGET = 0.95
SIZES = (30, 50, 100, 200)


def show(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201


def figures(
    card: ModelCard, table: pd.DataFrame, probabilities: NDArray[np.float64], at: float
) -> list[float]:
    """Return recall, specificity and log loss of a test at a threshold."""
    targets = card.labels.encode(table["y_true"].tolist())
    ill = card.labels.is_positive[targets]
    called = card.labels.positive_score(probabilities) >= at
    return [float(called[ill].mean()), float((~called[~ill]).mean()), log_loss_of(probabilities, targets)]


def one(
    card: ModelCard, local: pd.DataFrame, test: pd.DataFrame, rule: float | None
) -> tuple[list[float], str]:
    """Return the figures of test after recalibrating on the local cases, and what was changed."""
    given, targets = probabilities_of(local), card.labels.encode(local["y_true"].tolist())
    sampling = sampling_of(local, known=True)
    found = adapt(given, targets, effective=sampling.units / sampling.n)
    there, rest = (
        recalibrated(each, found.scale, found.shift, several=False)
        for each in (given, probabilities_of(test))
    )
    point = operating_point(
        card.labels, targets, there, target_recall=TARGET, split="local", assurance=rule, sampling=sampling
    )
    assert point.threshold is not None
    return figures(card, test, rest, point.threshold.value), found.method


def main(folder: Path, draws: int) -> None:
    run, generator = Run(folder), np.random.default_rng(0)
    card, table = run.read_card(), read_predictions(run.predictions_path("test"))
    assert card.threshold is not None
    patients = table["patient_id"].unique()
    show("cases after             recall                 specificity            log loss reached changed")
    for size in SIZES:
        rows: dict[str, list[list[float]]] = {"before": [], "recall .95": [], "assured .9": []}
        methods = []
        for _ in range(draws):
            order = generator.permutation(patients)
            place = table["patient_id"].map({name: at for at, name in enumerate(order)})
            sizes = table.groupby(place).size().sort_index().cumsum()
            taken = place <= int(np.searchsorted(sizes, size))
            local, test = table[taken], table[~taken]
            if not local["y_true"].isin(card.labels.positives).any():
                continue
            rows["before"].append(figures(card, test, probabilities_of(test), card.threshold.value))
            for name, rule in (("recall .95", None), ("assured .9", 0.9)):
                found, method = one(card, local, test, rule)
                rows[name].append(found)
            methods.append(method)
        for name, each in rows.items():
            found_at = np.array(each)
            texts = [
                f"{column.mean():.3f} ({np.quantile(column, 0.05):.3f}–{np.quantile(column, 0.95):.3f})"
                for column in found_at.T[:2]
            ]
            share = np.mean([method != "none" for method in methods])
            reached = (found_at[:, 0] >= TARGET).mean()
            loss = found_at[:, 2].mean()
            show(f"{size:5} {name:12} {texts[0]:22} {texts[1]:22} {loss:8.3f} {reached:7.2f} {share:7.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 200)
