"""report on the command line: the questions, and where they are written."""

import json
from pathlib import Path

import pytest

from medimg_cli.api.prerequisites import as_evaluated
from medimg_cli.cli.app import run
from medimg_cli.errors import ExitCode
from medimg_cli.evaluation.evaluation import write_evaluation
from medimg_cli.reporting.study_facts import Facts, read_facts
from medimg_cli.runs.run import Run
from medimg_cli.workspace.settings import Settings
from tests.reporting.cohort import make_cohort


def test_a_bare_init_facts_writes_the_questions_of_the_workspace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["report", "-C", str(tmp_path), "--init-facts"]) == ExitCode.DONE
    assert read_facts(tmp_path / "report.yaml") == Facts()
    assert f"wrote {tmp_path / 'report.yaml'}" in capsys.readouterr().out.replace("\n", "")
    assert run(["report", "--init-facts", "-C", str(tmp_path)]) == ExitCode.USAGE
    assert "exists already" in capsys.readouterr().err


def test_init_facts_takes_another_file_and_answers_in_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "study" / "facts.yaml"
    assert run(["report", "--init-facts", str(target), "--json"]) == ExitCode.DONE
    answer = json.loads(capsys.readouterr().out)
    assert answer["outputs"] == [target.as_posix()]
    assert target.is_file()


def test_an_evaluation_that_is_there_is_reported_as_it_was_asked_for(tmp_path: Path) -> None:
    cohort, settings = make_cohort(tmp_path), Settings()
    asked = settings.evaluate.model_copy(update={"robustness": True, "prevalence": (0.02,), "alpha": 0.2})
    leakage = cohort.evaluation.leakage.model_copy(update={"allowed": True, "near_duplicates": 3})
    before = cohort.evaluation.model_copy(update={"asked": asked.shaping(), "leakage": leakage})
    write_evaluation(cohort.run.metrics_path("test"), before)
    found = as_evaluated(settings, cohort.run).evaluate
    assert found.shaping() == asked.shaping()
    assert (found.allow_leak, found.near_duplicates) == (True, True)


def test_what_another_version_asked_and_what_was_never_evaluated_is_asked_as_set(tmp_path: Path) -> None:
    cohort, settings = make_cohort(tmp_path), Settings()
    before = cohort.evaluation.model_copy(update={"asked": {"no such setting": 1}})
    write_evaluation(cohort.run.metrics_path("test"), before)
    assert as_evaluated(settings, cohort.run) == settings
    assert as_evaluated(settings, Run(tmp_path / "nowhere")) == settings
