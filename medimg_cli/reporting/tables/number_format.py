"""Numbers as a reader sees them: with their interval, never rounded up to certainty."""

import re
from typing import Any

from markupsafe import Markup, escape

from medimg_cli.statistics.estimate import Estimate

FEW = 10
"""A share of fewer images than this is given by its counts only."""
_SHARES = frozenset(["accuracy", "balanced_accuracy", "precision", "recall", "specificity", "npv", "share"])
_CODE = re.compile(r"`([^`]+)`")
_AVERAGES = ("macro", "micro", "weighted")
_TITLES = {
    "recall": "Sensitivity (recall)",
    "specificity": "Specificity",
    "precision": "Positive predictive value (precision)",
    "npv": "Negative predictive value",
    "f1": "F1 score",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "mcc": "Matthews correlation",
    "kappa": "Cohen’s kappa",
    "weighted_kappa": "Cohen’s kappa, quadratic weights",
    "brier": "Brier score",
    "log_loss": "Log loss",
    "ece": "Expected calibration error",
}


def metric_title(name: str) -> str:
    """Return the field's term for a metric.

    >>> metric_title("macro_recall")
    'Sensitivity (recall), macro average'
    >>> metric_title("auroc of No_tumor")
    'AUROC of No_tumor'
    """
    name, of, label = name.partition(" of ")
    if of:
        return f"{metric_title(name)} of {label}"  # a class keeps its spelling
    average, _, rest = name.partition("_")
    if average in _AVERAGES and rest and name not in _TITLES:
        return f"{metric_title(rest)}, {average} average"
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def is_share(name: str) -> bool:
    """Return whether a metric is a proportion, shown in per cent."""
    name = name.partition(" of ")[0]
    average, _, rest = name.partition("_")
    return (rest if average in _AVERAGES else name) in _SHARES


def number(value: float | None, digits: int = 3) -> str:
    """Return a plain number whose rounding never claims 0 or 1.

    >>> number(0.99999), number(-0.25)
    ('> 0.999', '−0.250')
    """
    if value is None:
        return "not defined"
    if value < 0:
        return _negative(number(-value, digits))
    text = f"{value:.{digits}f}"
    step = 10.0**-digits
    if float(text) == 1.0 and value < 1.0:
        return f"> {1.0 - step:.{digits}f}"
    if float(text) == 0.0 and value > 0.0:
        return f"< {step:.{digits}f}"
    return text


def percent(value: float | None) -> str:
    """Return a share (0..1) in per cent.

    >>> percent(0.9487), percent(0.99999)
    ('94.9 %', '> 99.9 %')
    """
    return "not defined" if value is None else f"{_hundredths(value)} %"


def _negative(text: str) -> str:
    return f"> −{text[2:]}" if text.startswith("< ") else f"−{text}"


def _hundredths(value: float) -> str:
    if value < 0:
        return _negative(_hundredths(-value))
    if value in (0.0, 1.0):
        return f"{100 * value:.0f}"
    text = f"{100 * value:.1f}"
    return {"100.0": "> 99.9", "0.0": "< 0.1"}.get(text, text)


def interval(name: str, estimate: Estimate) -> str:
    """Return the interval alone, or "" where there is none or only counts are given.

    >>> interval("recall", Estimate(value=0.9, low=0.75, high=0.99999, n=390))
    '(75.0 to > 99.9)'
    """
    return "" if counts_only(name, estimate) else bounds(name, estimate)


def bounds(name: str, estimate: Estimate) -> str:
    """Return the interval, also beside counts of few images, of a share then with its unit; "" where there is none.

    >>> bounds("recall", Estimate(value=1 / 3, low=0.0614, high=0.7923, n=3, count=1))
    '(6.1–79.2 %)'
    """
    if estimate.low is None or estimate.high is None:
        return ""
    show = _hundredths if is_share(name) else number
    low, high = show(estimate.low), show(estimate.high)
    # A dash beside a sign reads as another sign.
    between = "–" if low[0].isdigit() and high[0].isdigit() else " to "
    return f"({low}{between}{high}{' %' if counts_only(name, estimate) else ''})"


def counts_only(name: str, estimate: Estimate) -> bool:
    """Return whether a share rests on so few images that a percentage would say more than they do."""
    return is_share(name) and estimate.count is not None and 0 < estimate.n < FEW


def point(name: str, estimate: Estimate) -> str:
    """Return the value alone; a perfect share without an interval says so, one of fewer than ten images its counts.

    >>> point("recall", Estimate(value=0.75, n=8, count=6))
    '6 of 8'
    """
    if estimate.value is None:
        return f"not defined: {estimate.reason or 'no images to measure it on'}"
    if counts_only(name, estimate):
        return counted(estimate)
    text = percent(estimate.value) if is_share(name) else number(estimate.value)
    if estimate.value in (0.0, 1.0) and is_share(name) and estimate.low is None:
        return f"{text} (no interval)"
    return text


def measured(name: str, estimate: Estimate) -> str:
    """Return value and 95 % interval.

    >>> measured("recall", Estimate(value=0.9487, low=0.9222, high=0.9665, n=390))
    '94.9 % (92.2–96.7)'
    """
    return f"{point(name, estimate)} {interval(name, estimate)}".rstrip()


def change(name: str, estimate: Estimate) -> str:
    """Return a difference with its sign and interval; of shares in percentage points.

    >>> change("recall", Estimate(value=-0.052, low=-0.081, high=0.01, n=390))
    '−5.2 (−8.1 to +1.0)'
    """
    if estimate.value is None:
        return point(name, estimate)
    text = _signed(name, estimate.value)
    if estimate.low is None or estimate.high is None:
        return text
    return f"{text} ({_signed(name, estimate.low)} to {_signed(name, estimate.high)})"


def _signed(name: str, value: float) -> str:
    text = f"{100 * value:+.1f}" if is_share(name) else f"{value:+.3f}"
    return "0" if not text.strip("+-0.") else text.replace("-", "−")


def counted(estimate: Estimate) -> str:
    """Return what a number rests on: "370 of 390", or its n."""
    if estimate.count is None:
        return f"n = {grouped(estimate.n)}"
    return f"{grouped(estimate.count)} of {grouped(estimate.n)}"


def grouped(value: int) -> str:
    """Return a count with thousands set apart: 12 345 is "12,345"."""
    return f"{value:,}"


def plain(value: Any) -> str:
    """Return a recorded setting or fact as one text."""
    if value is None or value in ("", [], (), {}):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{key} {plain(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain(item) for item in value)
    return str(value)


def duration(seconds: float | None) -> str:
    """Return a time span in the two units a person would use.

    >>> duration(3725.0)
    '1 h 2 min'
    """
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{minutes // 60} h {minutes % 60} min"


def sentence(text: str) -> str:
    """Return a remark as a sentence: a capital first, a full stop last.

    >>> sentence("only 4 positive images")
    'Only 4 positive images.'
    """
    whole = text[:1].upper() + text[1:]
    return whole if whole.endswith((".", "!", "?")) else f"{whole}."


def coded(text: str) -> Markup:
    """Return a remark as HTML, escaped; what stands between backticks is a command.

    >>> coded("`medimg evaluate` < 1")
    Markup('<code>medimg evaluate</code> &lt; 1')
    """
    return Markup(_CODE.sub(r"<code>\1</code>", str(escape(text))))


def split_title(name: str) -> str:
    """Return the name of a split as a word: train is "training", val is "validation"."""
    return {"train": "training", "val": "validation"}.get(name, name)
