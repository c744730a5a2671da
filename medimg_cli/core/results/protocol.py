"""Figures by somebody else's definitions, to stand beside published ones."""

from pydantic import BaseModel, ConfigDict


class Protocol(BaseModel):
    """Two figures by the definitions of a benchmark's own evaluator.

    Args:
        name: of the benchmark: "medmnist".
        auc: area under the ROC curve; None where a class is shown only with or only without.
        acc: share of right answers, at 0.5 or of the most probable class, whatever threshold is in force.
        definition: what exactly the two are.
        reason: why one of them is None, "" where neither is.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    auc: float | None
    acc: float | None
    definition: str
    reason: str = ""
