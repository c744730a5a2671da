"""One rule chooses the threshold, or none."""

import pytest
from pydantic import ValidationError

from medimg_cli.workspace.operating_settings import EvaluateSettings, ThresholdRule


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ({}, None),
        ({"target_recall": 0.9}, ThresholdRule("recall", 0.9)),
        ({"target_recall": 0.9, "lower_bound": True}, ThresholdRule("recall_bound", 0.9)),
        ({"target_specificity": 0.8}, ThresholdRule("specificity", 0.8)),
        ({"youden": True}, ThresholdRule("youden")),
        ({"miss_cost": 20}, ThresholdRule("miss_cost", 20)),
    ],
)
def test_the_options_name_a_rule(options: dict[str, object], rule: ThresholdRule | None) -> None:
    assert EvaluateSettings.model_validate(options).rule == rule


@pytest.mark.parametrize(
    "options",
    [
        {"target_recall": 0.9, "youden": True},
        {"target_recall": 0.9, "target_specificity": 0.9},
        {"youden": True, "miss_cost": 5},
        {"target_specificity": 0.9, "miss_cost": 5},
    ],
)
def test_two_rules_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="one rule chooses the threshold"):
        EvaluateSettings.model_validate(options)


@pytest.mark.parametrize("options", [{"lower_bound": True}, {"lower_bound": True, "youden": True}])
def test_a_lower_bound_is_one_of_recall(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="--target-recall"):
        EvaluateSettings.model_validate(options)


def test_nothing_is_kept_that_no_rule_chose() -> None:
    with pytest.raises(ValidationError, match="by which rule"):
        EvaluateSettings.model_validate({"keep_threshold": True})
    assert EvaluateSettings.model_validate({"youden": True, "keep_threshold": True}).keep_threshold


def test_keeping_a_threshold_changes_no_figure_so_it_is_not_on_record() -> None:
    said = EvaluateSettings.model_validate({"youden": True, "keep_threshold": True})
    assert said.shaping() == EvaluateSettings.model_validate({"youden": True}).shaping()


@pytest.mark.parametrize("given", ["0.01,0.1", (0.01, 0.1), " 0.01 , 0.1,"])
def test_prevalences_are_read_from_a_list(given: object) -> None:
    assert EvaluateSettings.model_validate({"prevalence": given}).prevalence == (0.01, 0.1)


def test_a_single_prevalence_is_a_list_of_one() -> None:
    assert EvaluateSettings.model_validate({"prevalence": 0.2}).prevalence == (0.2,)


@pytest.mark.parametrize("given", ["0", "1", "10%", "1.5"])
def test_a_prevalence_lies_between_0_and_1(given: str) -> None:
    with pytest.raises(ValidationError):
        EvaluateSettings.model_validate({"prevalence": given})
