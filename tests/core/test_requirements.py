"""Requirements on metrics."""

import pytest

from medimg_cli.core.requirements import parse_requirements
from medimg_cli.core.results.estimate import Estimate
from medimg_cli.errors import UsageError

METRICS = {"recall": Estimate(value=0.9, n=10), "auroc": Estimate(value=None, n=10, reason="one class")}


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("recall>=0.9", True),
        ("recall > 0.9", False),
        ("recall<=0.9", True),
        ("recall<0.9", False),
        ("auroc>=0", False),
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
