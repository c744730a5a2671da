"""How a threshold is chosen, as settings say it."""

import re
from dataclasses import dataclass
from typing import Literal

RuleName = Literal["recall", "recall_assured", "recall_bound", "specificity", "youden", "miss_cost"]


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is chosen.

    Args:
        name: recall: the highest that reaches it. recall_assured: the highest at which the recall to come reaches it with
            a probability. recall_bound: the highest at which the lower end of its 95 % interval reaches it.
            specificity: the lowest that reaches it. youden: the highest recall + specificity (Youden WJ. Cancer
            1950;3:32-35). miss_cost: the least cost of misses and false alarms. Of equals the lowest threshold is taken
            by the last two: it misses fewer.
        wanted: recall or specificity, above 0, at most 1; for miss_cost how many false alarms a miss counts as, above
            0; unused by youden.
        assurance: that probability, in 0..1; unused by the others.
    """

    name: RuleName
    wanted: float = 0.0
    assurance: float = 0.0

    @property
    def words(self) -> str:
        """Return the rule for people."""
        return _WORDS[self.name].format(wanted=f"{self.wanted:g}", assurance=f"{self.assurance:g}")

    @property
    def target_recall(self) -> float | None:
        return self.wanted if self.name.startswith("recall") else None

    @property
    def target_specificity(self) -> float | None:
        return self.wanted if self.name == "specificity" else None


_WORDS: dict[RuleName, str] = {
    "recall": "highest threshold with recall ≥ {wanted}",
    "recall_assured": "highest threshold whose recall reaches {wanted} with probability {assurance}",
    "recall_bound": "highest threshold whose recall's lower 95 % bound is ≥ {wanted}",
    "specificity": "lowest threshold with specificity ≥ {wanted}",
    "youden": "highest recall + specificity (Youden)",
    "miss_cost": "least cost where a miss counts as {wanted} false alarms",
}


def rule_in_words(words: str) -> ThresholdRule | None:
    """Return the rule that a threshold says it was chosen by, None where it was given or another version chose it.

    >>> rule_in_words("highest threshold with recall ≥ 0.95")
    ThresholdRule(name='recall', wanted=0.95, assurance=0.0)
    """
    for name, template in _WORDS.items():
        pattern = re.escape(template)
        for blank in ("wanted", "assurance"):
            pattern = pattern.replace(re.escape("{" + blank + "}"), rf"(?P<{blank}>\d[\d.e+-]*)")
        found = re.fullmatch(pattern, words)
        if found is not None:
            return ThresholdRule(name, **{blank: float(value) for blank, value in found.groupdict().items()})
    return None
