"""How a threshold is chosen, as settings say it."""

from dataclasses import dataclass
from typing import Literal

RuleName = Literal["recall", "recall_bound", "specificity", "youden", "miss_cost"]


@dataclass(frozen=True)
class ThresholdRule:
    """How a threshold is chosen.

    Args:
        name: recall: the highest that reaches it. recall_bound: likewise for the lower end of its 95 % interval.
            specificity: the lowest that reaches it. youden: the highest recall + specificity (Youden WJ. Cancer
            1950;3:32-35). miss_cost: the least cost of misses and false alarms. Of equals the lowest threshold is taken
            by the last two: it misses fewer.
        wanted: recall or specificity, above 0, at most 1; for miss_cost how many false alarms a miss counts as, above
            0; unused by youden.
    """

    name: RuleName
    wanted: float = 0.0

    @property
    def words(self) -> str:
        """Return the rule for people."""
        wanted = f"{self.wanted:g}"
        return {
            "recall": f"highest threshold with recall ≥ {wanted}",
            "recall_bound": f"highest threshold whose recall's lower 95 % bound is ≥ {wanted}",
            "specificity": f"lowest threshold with specificity ≥ {wanted}",
            "youden": "highest recall + specificity (Youden)",
            "miss_cost": f"least cost where a miss counts as {wanted} false alarms",
        }[self.name]

    @property
    def target_recall(self) -> float | None:
        return self.wanted if self.name in ("recall", "recall_bound") else None

    @property
    def target_specificity(self) -> float | None:
        return self.wanted if self.name == "specificity" else None
