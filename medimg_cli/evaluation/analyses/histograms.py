"""How often each probability was answered, by what the images show."""

import numpy as np
from numpy.typing import NDArray

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.decided import Answered
from medimg_cli.evaluation.metrics.probability import equal_width
from medimg_cli.evaluation.results.decisions import Histogram, Histograms

BINS = 20


@ANALYSES.register("histograms")
def histograms(subject: Subject) -> Histograms | str:
    """Return a histogram for each class that is asked about: by true class, or of the class and of all others."""
    here = subject.here
    if not here.n:
        return "no image"
    by_class = {}
    for name, view in here.questions.items():
        groups = {name: view.truth, f"not {name}": ~view.truth}
        if here.labels.positive and not here.labels.several:
            groups = _true_classes(here)
        bins = equal_width(view.score, BINS)
        counted = {group: np.bincount(bins[rows], minlength=BINS) for group, rows in groups.items()}
        by_class[name] = Histogram(
            bins=BINS, counts={group: tuple(counts.tolist()) for group, counts in counted.items()}
        )
    return Histograms(by_class=by_class)


def _true_classes(here: Answered) -> dict[str, NDArray[np.bool_]]:
    """Return class → its images (N,), the positive one first."""
    order = sorted(range(len(here.classes)), key=lambda index: not here.labels.is_positive[index])
    return {here.classes[index]: here.truth == index for index in order}
