"""Which images the model got wrong, and in which order a reviewer should look at them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.predictions.decide import decide
from medimg_cli.predictions.predictions import classes_of, marks_of, probabilities_of
from medimg_cli.reporting.content import (
    FALSE_ALARMS,
    GALLERY_IMAGES,
    TABLE_ROWS,
    Case,
    Cases,
    Fact,
    ReportContent,
)
from medimg_cli.reporting.tables.number_format import percent, sentence
from medimg_cli.runs.explanation import Explanation
from medimg_cli.workspace.plain_text import plural
from medimg_cli.workspace.tables import safe_csv

_SHUFFLED = "Maps of the same network, its weights shuffled"
_NAMING = ("path", "message")
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
        {
            "image_id": names,
            "patient": predictions.get("patient_id", names),
            "truth": predictions["y_true"],
            "predicted": predicted,
            "probability": score,
        }
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
            "patient": predictions.get("patient_id", predictions["image_id"]),
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
    meaning = f"{_SURE_FIRST}: the highest probability of {evaluation.positive}."
    return _cases("False alarms", meaning, rows, FALSE_ALARMS)


def _misclassified(table: pd.DataFrame) -> Cases:
    wrong = table[table["predicted"] != table["truth"]]
    rows = wrong.sort_values(["probability", "image_id"], ascending=[False, True])
    meaning = f"{_SURE_FIRST}: the highest probability of the class answered."
    return _cases("Misclassified images", meaning, rows)


def _cases(title: str, meaning: str, rows: pd.DataFrame, most: int = GALLERY_IMAGES) -> Cases:
    """Return the cases in their order, but first one image of each patient."""
    turns = rows.groupby("patient", sort=False).cumcount()
    kept = rows.iloc[np.argsort(turns.to_numpy(), kind="stable")].head(most + TABLE_ROWS)
    columns = (kept[name] for name in ("image_id", "truth", "predicted", "probability"))
    cases = tuple(
        Case(str(image), str(truth), str(predicted), float(probability))
        for image, truth, predicted, probability in zip(*columns, strict=True)
    )
    if (patients := rows["patient"].nunique()) < len(rows):
        meaning += f" They are of {plural(patients, 'patient')}: one image of each stands before the others."
    return Cases(title, meaning, cases[:most], cases[most:], len(rows))


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


def explanation_facts(content: ReportContent) -> tuple[Fact, ...]:
    """Return the sanity check and what blanking the warmest places does, () where nobody looked."""
    if content.explained is None:
        return ()
    known = content.explained.known
    facts = [
        Fact("Sanity check", sentence(known.verdict + (f": {known.withheld}" if known.withheld else "")))
    ]
    facts += _similarities(known)
    if known.blanked is not None:
        blanked, between = known.blanked, ""
        if blanked.interval is not None:
            low, high = map(percent, blanked.interval)
            between = f" (95 % interval {low} to {high}; by chance 50 %)"
        facts.append(
            Fact(
                "Blanking the warmest tenth of an image",
                f"Lowers the logit by {_signed(blanked.hottest)}; the same shape elsewhere, by "
                f"{_signed(blanked.elsewhere)}. "
                f"In {round(blanked.share * known.images)} of {plural(known.images, 'image')} the warmest places mattered "
                f"more{between}.",
            )
        )
    return tuple(facts)


def _between(known: Explanation, what: str) -> str:
    bounds = known.intervals.get(what)
    return "" if bounds is None else f", 95 % interval {bounds[0]:.2f} to {bounds[1]:.2f}"


def _signed(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")


def _similarities(known: Explanation) -> list[Fact]:
    names = {"all": f"{_SHUFFLED}: all", "head": f"{_SHUFFLED}: the head’s alone"}
    limit = {"all": f"; they pass up to {known.limit:g}", "head": ""}
    return [
        Fact(
            name,
            f"Rank correlation {known.similarity[what]:.2f}{_between(known, what)} (mean of its absolute value over "
            f"{plural(known.images, 'validation image')} and {plural(len(known.seeds), 'shuffling')}){limit[what]}.",
        )
        for what, name in names.items()
        if known.similarity.get(what) is not None
    ]


def predictions_csv(table: pd.DataFrame) -> bytes:
    """Return a predictions table as CSV without paths and messages, and with patients numbered in order of appearance.

    A path may name a person or a site, and an id of a patient may be that of the hospital. Which images belong to
    one patient is kept, so every figure can be computed again from it.

    Args:
        table: texts, as `dataset.manifest.read_table` returns it.
    """
    shown = table.drop(columns=[name for name in _NAMING if name in table.columns])
    if "patient_id" in shown:
        numbers, _ = pd.factorize(shown["patient_id"])
        shown = shown.assign(patient_id=[f"patient-{number + 1}" for number in numbers])
    return safe_csv(shown).encode("utf-8")
