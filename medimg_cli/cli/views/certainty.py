"""How far probabilities can be believed, and what it takes to be sure: a few lines under the figures of evaluate."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from medimg_cli.evaluation.evaluation import Evaluation
    from medimg_cli.statistics.estimate import Estimate

_REFERRED = 0.1


def draw_certainty(console: "Console", evaluation: "Evaluation") -> None:
    """Show calibration error before and after the temperature, recall of the rest, and conformal sets."""
    from rich.markup import escape

    for line in (_calibration(evaluation), _rest(evaluation), _sets(evaluation)):
        if line:
            console.print(escape(line))


def _calibration(evaluation: "Evaluation") -> str:
    found = evaluation.calibration
    if found is None or found.ece is None:
        return ""
    line = f"calibration error {found.ece:.4f}"
    if "ece" in found.uncalibrated and found.temperature is not None:
        line += f" ({found.uncalibrated['ece']:.4f} without the temperature of {found.temperature:.3g})"
    return line


def _rest(evaluation: "Evaluation") -> str:
    if evaluation.abstention is None:
        return ""
    rest = next((each for each in evaluation.abstention.referrals if each.share == _REFERRED), None)
    if rest is None or rest.recall.value is None:
        return ""
    which = "recall" if evaluation.positive is not None else "macro recall"
    missed = "" if rest.missed is None else f", missed {rest.missed} of {rest.recall.n}"
    return f"{100 * rest.share:.0f} % to a reader: {which} of the rest {_shown(rest.recall)}{missed}"


def _sets(evaluation: "Evaluation") -> str:
    sets = evaluation.conformal
    if sets is None:
        return ""
    line = (
        f"sets meant to hold the right class {1 - sets.alpha:.4g} of the time do {_shown(sets.coverage)}, "
        f"{sets.mean_size:.2f} classes on average"
    )
    said = [
        f"sets that leave out {name} are withheld: such a set {why}" for name, why in sets.withheld.items()
    ]
    return "; ".join([line, *said])


def _shown(estimate: "Estimate") -> str:
    if estimate.value is None:
        return "not defined"
    if estimate.low is None or estimate.high is None:
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f} ({estimate.low:.4f} to {estimate.high:.4f})"
