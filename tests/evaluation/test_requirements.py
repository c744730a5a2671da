"""Requirements on metrics."""

import pytest

from medimg_cli.errors import UsageError
from medimg_cli.evaluation.requirements import parse_requirements, unmet_of
from medimg_cli.statistics.estimate import Estimate

METRICS = {
    "recall": Estimate(value=0.9, low=0.8, high=0.95, n=10),
    "auroc": Estimate(value=None, n=10, reason="one class"),
}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("recall>=0.9", True),
        ("recall > 0.9", False),
        ("recall<=0.9", True),
        ("recall<0.9", False),
        ("auroc>=0", False),
        ("recall.low>=0.8", True),
        ("recall.low>=0.9", False),
        ("recall.high<=0.95", True),
        ("auroc.low>=0", False),
    ],
)
def test_a_bound_is_met_or_not_and_an_undefined_value_never_is(text: str, met: bool) -> None:
    (requirement,) = parse_requirements([text])
    assert requirement.is_met(METRICS) is met


def test_an_unreadable_requirement_says_how_to_write_it() -> None:
    with pytest.raises(UsageError, match=r"recall=0\.9"):
        parse_requirements(["recall=0.9"])


def test_an_unknown_metric_gets_a_proposal() -> None:
    (requirement,) = parse_requirements(["recal>=0.9"])
    with pytest.raises(UsageError) as caught:
        requirement.is_met(METRICS)
    assert caught.value.hint == "did you mean 'recall'?"


def test_what_is_not_met_is_told_with_what_was_found() -> None:
    wanted = parse_requirements(
        ["recall>=0.5", "recall.low>=0.85", "recall<0.75", "auroc>=0.9", "ece.high<0.1"]
    )
    assert unmet_of(wanted, METRICS | {"ece": Estimate(value=0.05, n=10)}, {}) == (
        "recall.low>=0.85 (it is 0.8000, 0.0500 short)",
        "recall<0.75 (it is 0.9000, 0.1500 too much)",
        "auroc>=0.9 (not defined)",
        "ece.high<0.1 (it has no interval)",
    )


def test_a_figure_of_one_class_may_be_wanted() -> None:
    wanted = parse_requirements(["recall[no finding, old]>=0.9", "recall[b].low >= 0.5", "recall>=0.9"])
    per_class = {
        "no finding, old": {"recall": Estimate(value=0.7, n=10)},
        "b": {"recall": Estimate(value=0.8, low=0.6, high=0.9, n=10)},
    }
    assert unmet_of(wanted, METRICS, per_class) == (
        "recall[no finding, old]>=0.9 (it is 0.7000, 0.2000 short)",
    )
    with pytest.raises(UsageError, match=r"unknown metric 'recall\[c\]'"):
        unmet_of(parse_requirements(["recall[c]>0"]), METRICS, per_class)
