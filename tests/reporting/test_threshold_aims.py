"""What a threshold was to reach stands beside what it reached; a rule without a target has none."""

from pathlib import Path

import pytest

from medimg_cli.evaluation.evaluation import write_evaluation
from medimg_cli.reporting.page import render_page
from medimg_cli.reporting.tables.tables import threshold_table
from medimg_cli.runs.run import Threshold
from medimg_cli.stages.report import gather
from medimg_cli.workspace.progress import SilentProgress
from medimg_cli.workspace.settings import ReportSettings
from tests.reporting.cohort import Cohort, make_cohort

AIMS = [
    ({"target_recall": 0.9}, "90.0 %", "–"),
    ({"target_specificity": 0.8}, "–", "80.0 %"),
    ({}, "–", "–"),
]


def threshold(aim: dict[str, float]) -> Threshold:
    return Threshold(
        value=0.4, rule="a rule", split="val", achieved_recall=0.95, achieved_specificity=0.85, **aim
    )


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    return make_cohort(tmp_path, per_class=4, missed=0)


@pytest.mark.parametrize(("aim", "recall", "specificity"), AIMS)
def test_the_page_shows_the_aim_beside_the_figure_it_is_of(
    cohort: Cohort, aim: dict[str, float], recall: str, specificity: str
) -> None:
    chosen = cohort.evaluation.model_copy(update={"threshold": threshold(aim)})
    write_evaluation(cohort.run.metrics_path("test"), chosen)
    page = render_page(gather(cohort.workspace, cohort.run, ReportSettings(), SilentProgress(), split="test"))
    assert f'Sensitivity (recall)</th><td class="right">{recall}</td><td class="right">95.0 %</td>' in page
    assert f'Specificity</th><td class="right">{specificity}</td><td class="right">85.0 %</td>' in page


def test_each_labels_aim_is_named(cohort: Cohort) -> None:
    classes = ("a", "b", "c")
    chosen = {name: threshold(aim) for name, (aim, _, _) in zip(classes, AIMS, strict=True)}
    several = {"several_labels": True, "classes": classes, "thresholds": chosen}
    table = threshold_table(cohort.evaluation.model_copy(update=several))
    assert table is not None
    assert [row[2] for row in table.rows] == ["90.0 %", "specificity 80.0 %", "–"]
