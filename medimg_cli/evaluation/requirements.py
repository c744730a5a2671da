"""Requirements such as `recall>=0.9`, `auroc.low>=0.9` or `recall[COVID]>=0.9`, which an evaluation meets or not."""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medimg_cli.errors import UsageError
from medimg_cli.registry import did_you_mean
from medimg_cli.statistics.estimate import Estimate

_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_REQUIREMENT = re.compile(
    r"\s*(?P<metric>\w+(\[[^\]]+\])?)(\.(?P<end>low|high))?\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[0-9.eE+-]+)\s*"
)


@dataclass(frozen=True)
class Requirement:
    """One bound on one metric.

    Args:
        metric: its name, "recall[COVID]" for that of one class against the rest.
        end: "low" or "high" where an end of its 95 % interval is meant, "value" where the figure itself is.
    """

    metric: str
    sign: str
    bound: float
    end: Literal["value", "low", "high"] = "value"

    def is_met(self, metrics: Mapping[str, Estimate]) -> bool:
        """Return whether the value, or end of the interval, is defined and inside the bound.

        Raises:
            UsageError: the evaluation has no such metric.
        """
        if self.metric not in metrics:
            raise UsageError(f"--require: unknown metric '{self.metric}'", did_you_mean(self.metric, metrics))
        value = self._found(metrics)
        return value is not None and bool(_COMPARISONS[self.sign](value, self.bound))

    def missed_by(self, metrics: Mapping[str, Estimate]) -> str:
        """Return the requirement with what was found instead, and how far off that is."""
        value, estimate = self._found(metrics), metrics[self.metric]
        if value is None:
            return f"{self} ({'not defined' if estimate.value is None else 'it has no interval'})"
        way = "short" if ">" in self.sign else "too much"
        return f"{self} (it is {value:.4f}, {abs(value - self.bound):.4f} {way})"

    def _found(self, metrics: Mapping[str, Estimate]) -> float | None:
        found: float | None = getattr(metrics[self.metric], self.end)
        return found

    def __str__(self) -> str:
        end = "" if self.end == "value" else f".{self.end}"
        return f"{self.metric}{end}{self.sign}{self.bound:g}"


def parse_requirements(texts: Sequence[str]) -> tuple[Requirement, ...]:
    """Read requirements.

    Raises:
        UsageError: a text is not METRIC>=NUMBER (or <=, >, <).
    """
    parsed = []
    for text in texts:
        match = _REQUIREMENT.fullmatch(text)
        try:
            metric, sign, bound = match["metric"], match["sign"], float(match["bound"])  # type: ignore[index]
            parsed.append(Requirement(metric, sign, bound, match["end"] or "value"))  # type: ignore[index, arg-type]
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"cannot read --require {text!r}",
                "write it as 'recall>=0.9', 'auroc.low>=0.9' or 'recall[CLASS]>=0.9', in quotes",
            ) from error
    return tuple(parsed)


def unmet_of(
    requirements: Sequence[Requirement],
    metrics: Mapping[str, Estimate],
    per_class: Mapping[str, Mapping[str, Estimate]],
) -> tuple[str, ...]:
    """Return each requirement that is not met, with what was found instead; raises as `is_met` does.

    Args:
        metrics: of the whole evaluation.
        per_class: class → those of the class against the rest.
    """
    of_classes = {
        f"{metric}[{name}]": estimate
        for name, figures in per_class.items()
        for metric, estimate in figures.items()
    }
    known = {**metrics, **of_classes}
    return tuple(wanted.missed_by(known) for wanted in requirements if not wanted.is_met(known))
