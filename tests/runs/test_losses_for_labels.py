"""The loss fits the kind of labels, or one line says why not."""

from typing import Any

import pytest

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import UsageError
from medimg_cli.runs.requirements_for_training import answers_for, loss_for
from medimg_cli.workspace.settings import TrainSettings

ONE, SEVERAL = LabelSpace(("a", "b", "c")), LabelSpace(("a", "b", "c"), several=True)


def settings(**options: Any) -> TrainSettings:
    return TrainSettings.model_validate(options)


@pytest.mark.parametrize(
    ("labels", "options", "loss", "answers"),
    [
        (ONE, {}, "ce", "softmax"),
        (ONE, {"loss": "focal"}, "focal", "softmax"),
        (ONE, {"loss": "ordinal"}, "ordinal", "ordinal"),
        (SEVERAL, {}, "bce", "sigmoid"),
        (SEVERAL, {"loss": "focal"}, "focal", "sigmoid"),
    ],
)
def test_the_labels_decide_what_is_not_said(
    labels: LabelSpace, options: dict[str, Any], loss: str, answers: str
) -> None:
    found = loss_for(settings(**options), labels)
    assert (found, answers_for(found, labels)) == (loss, answers)


@pytest.mark.parametrize(
    ("labels", "options", "what"),
    [
        (SEVERAL, {"loss": "ce"}, "--loss ce knows one label an image"),
        (SEVERAL, {"loss": "ordinal"}, "--loss ordinal knows one label an image"),
        (SEVERAL, {"sampler": "weighted"}, "--sampler weighted draws classes evenly"),
        (ONE, {"loss": "bce"}, "--loss bce is for several labels an image"),
    ],
)
def test_a_contradiction_is_one_line(labels: LabelSpace, options: dict[str, Any], what: str) -> None:
    with pytest.raises(UsageError, match=what):
        loss_for(settings(**options), labels)
