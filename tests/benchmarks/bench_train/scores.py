"""What a table of predictions is worth, reckoned the same way for every tool."""

from pathlib import Path
from statistics import fmean

import pandas as pd
from sklearn.metrics import roc_auc_score

_PREFIX = "prob_"


def score(predictions: Path, test: Path) -> tuple[float, float]:
    """Return AUROC of the class that comes last in the alphabet, and accuracy, on a test folder.

    Args:
        predictions: CSV with `path` and one column `prob_CLASS` a class; the class of an image is its folder.
        test: the folder; every image of it must be there once.

    Raises:
        ValueError: images are missing, or there twice.
    """
    table = pd.read_csv(predictions)
    columns = sorted(name for name in table.columns if name.startswith(_PREFIX))
    names = [f"{Path(path).parent.name}/{Path(path).name}" for path in table["path"]]
    wanted = sorted(f"{path.parent.name}/{path.name}" for path in test.glob("*/*"))
    if sorted(names) != wanted:
        raise ValueError(f"{predictions}: {len(names)} rows for {len(wanted)} test images")
    truth = [name.split("/")[0] for name in names]
    chosen = [str(name).removeprefix(_PREFIX) for name in table[columns].idxmax(axis="columns")]
    positive = columns[-1].removeprefix(_PREFIX)
    auroc = roc_auc_score([label == positive for label in truth], table[columns[-1]])
    right = [said == true for said, true in zip(chosen, truth, strict=True)]
    return float(auroc), fmean(right)
