"""Several labels an image: how they go together."""

import numpy as np

from medimg_cli.evaluation.analyses import ANALYSES, Subject
from medimg_cli.evaluation.metrics import rate
from medimg_cli.evaluation.results.decisions import LabelSet


@ANALYSES.register("label_set")
def label_set(subject: Subject) -> LabelSet | str:
    """Return cardinality, exact matches and co-occurrence of the labels."""
    here = subject.here
    if not here.labels.several:
        return "each image has one label"
    judged = np.flatnonzero(~np.isnan(here.marks).any(axis=1))
    if not len(judged):
        return "no image was judged for every label"
    truth, calls = here.marks[judged] == 1, here.calls[judged]
    right = (truth == calls).all(axis=1)
    carried = (here.marks == 1).astype(np.int64)
    return LabelSet(
        cardinality=(float(truth.sum(axis=1).mean()), float(calls.sum(axis=1).mean())),
        exact_match=rate(right, here.sampling.of(judged), undefined="no image"),
        together=tuple(map(tuple, (carried.T @ carried).tolist())),
    )
