"""Which images the model got wrong, and in which order a reviewer should look at them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.predictions import classes_of, marks_of, probabilities_of
from medimg_cli.reporting.content import GALLERY_IMAGES, TABLE_ROWS, Case, Cases

_NONE = "none of them"
_SURE_FIRST = "The ones the model was surest about come first"


def wrong_cases(evaluation: Evaluation, predictions: pd.DataFrame) -> tuple[Cases, ...]:
    """Return the kinds of errors, the costly one first, without pictures.

    Args:
        evaluation: names the missed images and the threshold.
        predictions: y_true and prob_<class> columns; image_id where images have names.
    """
    if evaluation.several_labels:
        return (_missed_labels(predictions, evaluation),)
    table = _with_answers(predictions, evaluation)
    if evaluation.positive is None:
        return (_misclassified(table),)
    return (_missed(table, evaluation), _false_alarms(table, evaluation))


def _with_answers(predictions: pd.DataFrame, evaluation: Evaluation) -> pd.DataFrame:
    """Return image_id, truth, predicted and probability by the decision in force."""
    probabilities = probabilities_of(predictions)
    labels = LabelSpace(classes_of(predictions), evaluation.positive)
    predicted = decide(probabilities, labels, evaluation.threshold).names
    score = probabilities.max(axis=1) if labels.positive is None else labels.positive_score(probabilities)
    names = (
        predictions["image_id"]
        if "image_id" in predictions
        else [f"row {row + 2}" for row in predictions.index]
    )
    return pd.DataFrame(
        {"image_id": names, "truth": predictions["y_true"], "predicted": predicted, "probability": score}
    )


def _missed_labels(predictions: pd.DataFrame, evaluation: Evaluation) -> Cases:
    """Return the images of which a label was not called that they carry, with its probability."""
    probabilities = probabilities_of(predictions)
    labels = LabelSpace(evaluation.classes, several=True)
    decided = decide(probabilities, labels, thresholds=evaluation.thresholds)
    missed = (marks_of(predictions, evaluation.classes) == 1) & ~decided.calls
    table = pd.DataFrame(
        {
            "image_id": predictions["image_id"],
            "truth": predictions["y_true"],
            "predicted": [names or _NONE for names in decided.names],
            "probability": np.where(missed, probabilities, np.inf).min(axis=1),
        }
    )
    rows = table[missed.any(axis=1)].sort_values(["probability", "image_id"])
    meaning = f"{_SURE_FIRST}: the lowest probability of a label that was missed."
    return _cases("Images with a missed label", meaning, rows)


def _missed(table: pd.DataFrame, evaluation: Evaluation) -> Cases:
    known = evaluation.missed.ids if evaluation.missed is not None else ()
    rows = table[table["image_id"].isin(known)].sort_values(["probability", "image_id"])
    meaning = f"{_SURE_FIRST}: the lowest probability of {evaluation.positive}."
    return _cases("Missed cases", meaning, rows)


def _false_alarms(table: pd.DataFrame, evaluation: Evaluation) -> Cases:
    ill = LabelSpace(evaluation.classes, evaluation.positive).positives
    alarms = table[table["predicted"].isin(ill) & ~table["truth"].isin(ill)]
    rows = alarms.sort_values(["probability", "image_id"], ascending=[False, True])
    return _cases("False alarms", f"{_SURE_FIRST}: the highest probability of {evaluation.positive}.", rows)


def _misclassified(table: pd.DataFrame) -> Cases:
    wrong = table[table["predicted"] != table["truth"]]
    rows = wrong.sort_values(["probability", "image_id"], ascending=[False, True])
    meaning = f"{_SURE_FIRST}: the highest probability of the class answered."
    return _cases("Misclassified images", meaning, rows)


def _cases(title: str, meaning: str, rows: pd.DataFrame) -> Cases:
    kept = rows.head(GALLERY_IMAGES + TABLE_ROWS)
    columns = (kept[name] for name in ("image_id", "truth", "predicted", "probability"))
    cases = tuple(
        Case(str(image), str(truth), str(predicted), float(probability))
        for image, truth, predicted, probability in zip(*columns, strict=True)
    )
    return Cases(title, meaning, cases[:GALLERY_IMAGES], cases[GALLERY_IMAGES:], len(rows))


def explained_cases(evaluation: Evaluation, predictions: pd.DataFrame, most: int) -> tuple[Cases, ...]:
    """Return errors and right answers to show the evidence of, at most so many each, without pictures.

    Of several labels an image there are none: which of them a picture would be of has no one answer.
    """
    if evaluation.several_labels:
        return ()
    wrong = wrong_cases(evaluation, predictions)[0]
    table = _with_answers(predictions, evaluation)
    right = table[table["predicted"] == table["truth"]]
    if evaluation.positive is not None:
        right = right[right["truth"].isin(LabelSpace(evaluation.classes, evaluation.positive).positives)]
    rows = right.sort_values(["probability", "image_id"], ascending=[False, True])
    title = "Right answers" if evaluation.positive is None else "Found cases"
    found = _cases(title, f"{_SURE_FIRST}.", rows)
    return tuple(replace(kind, shown=kind.shown[:most], listed=()) for kind in (wrong, found) if kind.total)
