"""Whether every class stands in every split, often enough to learn from and to measure on."""

from collections import Counter
from math import sqrt

import pandas as pd

from medimg_cli.audit.checks import check, label_sets
from medimg_cli.audit.findings import AuditContext, Checked, CheckSkipped, Finding, Severity
from medimg_cli.dataset.manifest import SPLITS, DatasetInfo
from medimg_cli.statistics.intervals import wilson
from medimg_cli.workspace.plain_text import plural

NAME = "class-balance"
FEW_TEST_CASES = 10
EXPECTED_RECALL = 0.95  # what `train --target-recall` aims at by default
_LONGEST_NAME = 40
UNEVEN_RATIO = 10.0
VERY_UNEVEN_RATIO = 100.0
# A drift is reported when it matters (ten points, or twice as frequent) and is no accident (three
# standard errors): the first alone cries over ten images, the second alone over any large data set.
DRIFT_POINTS = 0.10
DRIFT_RATIO = 2.0
DRIFT_STANDARD_ERRORS = 3.0


@check(NAME, "a class is missing in a split, rare, or more frequent in one split than in another")
def class_balance(context: AuditContext) -> Checked:
    """Look at how often each class stands in each split.

    Raises:
        CheckSkipped: no usable image has a label.
    """
    rows = context.dataset.usable
    if rows.empty:
        raise CheckSkipped("no usable image")
    labels = pd.Series(list(map(sorted, label_sets(rows, context.dataset.info))), index=rows.index)
    memberships = rows.assign(label=labels).explode("label").dropna(subset="label")
    images = {str(split): Counter(map(str, part["label"])) for split, part in memberships.groupby("split")}
    sizes = {str(split): int(size) for split, size in rows["split"].value_counts().items()}
    classes = context.dataset.info.classes
    found = (
        *_missing_classes(images, sizes, classes),
        *_few_test_cases(memberships, context.dataset.info.patients_known, classes),
        *_uneven_classes(memberships, classes),
        *_drifts(images, sizes, classes, context.dataset.info.positive),
    )
    did = f"{plural(len(rows), 'image')} of {plural(len(classes), 'class')} counted by split"
    return Checked(found, did + _expected_width(memberships, context.dataset.info))


def _missing_classes(
    images: dict[str, Counter[str]], sizes: dict[str, int], classes: tuple[str, ...]
) -> list[Finding]:
    found = []
    for split in SPLITS:
        missing = [name for name in classes if not images.get(split, Counter())[name]]
        if split not in sizes:
            found += _missing_split(split)
        elif missing:
            severity: Severity = "warning" if split == "val" else "error"
            message = f"{split} holds no image of {', '.join(missing)}"
            advice = "collect such images or split again: what a split lacks cannot be learned or measured"
            found.append(Finding(NAME, severity, message, advice, (), len(missing)))
    return found


def _missing_split(split: str) -> list[Finding]:
    if split == "train":
        return [Finding(NAME, "error", "no image is in train", "run `medimg ingest --split` again", (), 0)]
    use = "the threshold has nothing to be chosen on" if split == "val" else "nothing can be evaluated"
    advice = f"run `medimg ingest --split` with a share for {split}"
    return [Finding(NAME, "warning", f"no image is in {split}: {use}", advice, (), 0)]


def _few_test_cases(
    memberships: pd.DataFrame, patients_known: bool, classes: tuple[str, ...]
) -> list[Finding]:
    """Report the classes with few independent cases in test: patients where known, else images."""
    test = memberships[memberships["split"] == "test"]
    unit, column = ("patient", "patient_id") if patients_known else ("image", "image_id")
    found = []
    for name in classes:
        part = test[test["label"] == name]
        cases = int(part[column].nunique())
        if 0 < cases < FEW_TEST_CASES:
            found.append(_few(name, plural(cases, unit), cases, tuple(part["image_id"])))
    return found


def _few(name: str, shown: str, cases: int, image_ids: tuple[str, ...]) -> Finding:
    hits = max(cases - 1, 1)
    low, high = wilson(hits, cases)
    message = (
        f"test holds {shown} of {name}: finding {hits} of {cases} is a recall of {hits / cases:.2f} with a "
        f"95 % interval from {low:.2f} to {high:.2f} (±{(high - low) / 2:.2f})"
    )
    advice = "put more of this class into test, or say in the report how wide the interval is"
    return Finding(NAME, "warning", message, advice, image_ids, cases)


def _expected_width(memberships: pd.DataFrame, info: DatasetInfo) -> str:
    """Return how wide the interval of a good recall will be in test, for the disease or else the rarest class.

    Counted in patients where they are known, as images of one patient are no independent cases.
    """
    test = memberships[memberships["split"] == "test"]
    column, unit = ("patient_id", "test patient") if info.patients_known else ("image_id", "test image")
    cases = test.groupby("label")[column].nunique()
    if cases.empty:
        return ""
    positive = info.positive
    name = positive if positive is not None and positive in cases.index else str(cases.idxmin())
    n = int(cases[name])
    hits = round(EXPECTED_RECALL * n)
    low, high = wilson(hits, n)
    shown = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return (
        f"; at recall {hits / n:.2f} ({hits:,} of {plural(n, unit)} of {shown}) the 95 % interval is about "
        f"±{(high - low) / 2:.2f} (Wilson)"
    )


def _uneven_classes(memberships: pd.DataFrame, classes: tuple[str, ...]) -> list[Finding]:
    counts = Counter(memberships["label"])
    present = [name for name in classes if counts[name]]
    if len(present) < 2:
        return []
    rarest, commonest = min(present, key=counts.__getitem__), max(present, key=counts.__getitem__)
    ratio = counts[commonest] / counts[rarest]
    if ratio <= UNEVEN_RATIO:
        return []
    message = f"{commonest} has {ratio:.0f} times the images of {rarest}"
    message += f" ({counts[commonest]:,} against {counts[rarest]:,})"
    advice = "keep `train --class-weights balanced`, and judge by recall and precision, not by accuracy"
    severity: Severity = "warning" if ratio > VERY_UNEVEN_RATIO else "info"
    return [Finding(NAME, severity, message, advice, (), counts[rarest])]


def _drifts(
    images: dict[str, Counter[str]], sizes: dict[str, int], classes: tuple[str, ...], positive: str | None
) -> list[Finding]:
    """Report for val and test the class whose share differs most from train; of two, the disease."""
    named = (positive,) if positive is not None and len(classes) == 2 else classes
    found = []
    for split in SPLITS[1:]:
        if "train" not in sizes or split not in sizes:
            continue
        shares = {
            name: (images["train"][name] / sizes["train"], images[split][name] / sizes[split])
            for name in named
        }
        drifted = [name for name in named if _is_drift(*shares[name], sizes["train"], sizes[split])]
        if drifted:
            worst = max(drifted, key=lambda name: abs(shares[name][0] - shares[name][1]))
            before, after = shares[worst]
            message = f"{worst} is {before:.1%} of train but {after:.1%} of {split}"
            advice = "precision, NPV and calibration depend on this share: read them for this split only"
            found.append(Finding(NAME, "warning", message, advice, (), len(drifted)))
    return found


def _is_drift(before: float, after: float, n_before: int, n_after: int) -> bool:
    if not before or not after:
        return False
    pooled = (before * n_before + after * n_after) / (n_before + n_after)
    error = sqrt(pooled * (1 - pooled) * (1 / n_before + 1 / n_after))
    matters = abs(before - after) > DRIFT_POINTS or max(before / after, after / before) > DRIFT_RATIO
    return matters and abs(before - after) > DRIFT_STANDARD_ERRORS * error
