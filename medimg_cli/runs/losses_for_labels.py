"""Which loss fits a data set's kind of labels, and what the network's answers then mean."""

from typing import Literal

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import UsageError
from medimg_cli.statistics.probabilities import AnswerKind
from medimg_cli.workspace.settings import TrainSettings

LossName = Literal["ce", "focal", "bce", "ordinal"]
_OF_SEVERAL = ("bce", "focal")


def loss_for(chosen: TrainSettings, labels: LabelSpace) -> LossName:
    """Return the loss: as set, else bce where an image may carry several labels, and ce where it has one.

    Raises:
        UsageError: the loss or the sampler is of another kind of labels.
    """
    if chosen.loss == "auto":
        name: LossName = "bce" if labels.several else "ce"
    else:
        name = chosen.loss
    if labels.several and name not in _OF_SEVERAL:
        raise UsageError(
            f"--loss {name} knows one label an image, and this data set has several",
            "leave it out, or give --loss bce or focal",
        )
    if labels.several and chosen.sampler == "weighted":
        raise UsageError(
            "--sampler weighted draws classes evenly, which several labels an image do not allow",
            "leave it out: --class-weights balanced counts rare labels more",
        )
    if not labels.several and name == "bce":
        raise UsageError(
            "--loss bce is for several labels an image, and this data set has one",
            "leave it out, or ingest with --multi-label",
        )
    return name


def answers_for(loss: LossName, labels: LabelSpace) -> AnswerKind:
    """Return how the logits of a network trained with `loss` become probabilities."""
    if labels.several:
        return "sigmoid"
    return "ordinal" if loss == "ordinal" else "softmax"
