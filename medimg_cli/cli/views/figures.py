"""Figures as commands show them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from medimg_cli.statistics.estimate import Estimate


def value_text(estimate: "Estimate") -> str:
    """Return the value to four decimals."""
    return "not defined" if estimate.value is None else f"{estimate.value:.4f}"


def interval_text(estimate: "Estimate") -> str:
    """Return the interval, "" where there is none, or why there is no value."""
    if estimate.reason:
        return estimate.reason
    if estimate.low is None or estimate.high is None:
        return ""
    return f"{estimate.low:.4f} to {estimate.high:.4f}"


def figure_text(estimate: "Estimate") -> str:
    """Return value and interval: "0.9487 (0.9222 to 0.9665)"."""
    interval = interval_text(estimate)
    return value_text(estimate) + (f" ({interval})" if interval else "")
