"""What a data set must have before a network is trained on it."""

from typing import Literal

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.dataset.manifest import Dataset
from medimg_cli.errors import DataError, UsageError
from medimg_cli.statistics.probabilities import AnswerKind
from medimg_cli.workspace.settings import TrainSettings

_FEW_POSITIVES = 10


def check_splits(dataset: Dataset) -> None:
    """Refuse a data set of which nothing could be learnt, or no epoch chosen.

    Raises:
        DataError: a class is missing in training or never known to be absent there, or there is no validation image, or
            none of the disease where a threshold is to be chosen.
    """
    counts = dataset.counts(dataset.of_split("train"))
    missing = [name for name in dataset.info.classes if name not in counts]
    if missing:
        raise DataError(
            f"no image of class '{missing[0]}' in the training split", "ingest with another --split"
        )
    if dataset.info.multi_label:
        absent = (dataset.targets(dataset.of_split("train")) == 0).any(axis=0)
        always = [name for name, known in zip(dataset.info.classes, absent, strict=True) if not known]
        if always:
            raise DataError(
                f"no image without '{always[0]}' in the training split",
                "a table has to say 0 where a finding is absent; an empty cell beside zeros means that nobody judged it",
            )
    if dataset.of_split("val").empty:
        raise DataError(
            "no image in the validation split", "ingest with a validation share, such as 0.7,0.15,0.15"
        )
    labels = dataset.labels
    if dataset.info.multi_label or labels.positive is None:
        return
    if not set(labels.positives) & set(dataset.counts(dataset.of_split("val"))):
        raise DataError(
            f"no image of '{labels.positive}' in the validation split, so no threshold can be chosen there",
            "ingest with a larger validation share, such as 0.7,0.15,0.15, or another --seed",
        )


def remarks_on_val(dataset: Dataset) -> list[str]:
    """Return what is worth knowing of a small validation split: classes that are missing there, few positives."""
    counts, labels = dataset.counts(dataset.of_split("val")), dataset.labels
    missing = [name for name in labels.classes if name not in counts]
    remarks = [f"the val split has no image of {name}: its figures are not defined there" for name in missing]
    positives = sum(counts.get(name, 0) for name in labels.positives)
    if labels.positive is not None and not labels.several and positives < _FEW_POSITIVES:
        images = f"{positives} image{'' if positives == 1 else 's'}"
        remarks.append(
            f"the threshold rests on {images} of '{labels.positive}' in val: expect another recall in use"
        )
    return remarks


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
