"""Requirements such as `recall>=0.9`, which an evaluation meets or not."""

import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from medimg_cli.core.results.estimate import Estimate
from medimg_cli.errors import UsageError
from medimg_cli.registry import did_you_mean

_COMPARISONS = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}
_REQUIREMENT = re.compile(r"\s*(?P<metric>\w+)\s*(?P<sign>>=|<=|>|<)\s*(?P<bound>[0-9.eE+-]+)\s*")


@dataclass(frozen=True)
class Requirement:
    """One bound on one metric's value."""

    metric: str
    sign: str
    bound: float

    def is_met(self, metrics: Mapping[str, Estimate]) -> bool:
        """Return whether the value is defined and inside the bound.

        Raises:
            UsageError: the evaluation has no such metric.
        """
        if self.metric not in metrics:
            raise UsageError(f"--require: unknown metric '{self.metric}'", did_you_mean(self.metric, metrics))
        value = metrics[self.metric].value
        return value is not None and bool(_COMPARISONS[self.sign](value, self.bound))

    def __str__(self) -> str:
        return f"{self.metric}{self.sign}{self.bound:g}"


def parse_requirements(texts: Sequence[str]) -> tuple[Requirement, ...]:
    """Read requirements.

    Raises:
        UsageError: a text is not METRIC>=NUMBER (or <=, >, <).
    """
    parsed = []
    for text in texts:
        match = _REQUIREMENT.fullmatch(text)
        try:
            parsed.append(Requirement(match["metric"], match["sign"], float(match["bound"])))  # type: ignore[index]
        except (TypeError, ValueError) as error:
            raise UsageError(
                f"cannot read --require {text!r}", "write it as 'recall>=0.9', in quotes"
            ) from error
    return tuple(parsed)
