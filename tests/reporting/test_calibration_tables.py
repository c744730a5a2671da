"""Tables of calibration, usefulness and abstention."""

from pathlib import Path

from medimg_cli.reporting.tables import calibration_tables as trust_tables
from tests.reporting import results
from tests.reporting.cohort import make_cohort


def test_the_temperature_is_shown_before_and_after() -> None:
    found = results.calibration()
    table = trust_tables.temperature_table(found)
    assert table is not None
    assert table.rows[0] == ("Brier score", "0.051", "0.042")
    assert trust_tables.temperature_table(found.model_copy(update={"uncalibrated": {}})) is None


def test_calibration_stands_alone_with_interval_where_there_is_one(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    said = {fact.label: fact.text for fact in trust_tables.calibration_lines(evaluation)}
    assert said == {
        "Brier score": "0.042 (0.030–0.060)",
        "Log loss": "0.182",
        "Expected calibration error": "0.031",
    }
    bare = evaluation.model_copy(update={"calibration": None})
    assert len(trust_tables.calibration_lines(bare)) == 1


def test_a_trade_off_that_no_threshold_gives_says_so() -> None:
    table = trust_tables.trade_off_table(results.operating())
    assert table is not None
    assert table.rows[0][:2] == ("Specificity of at least 90.0 %", "87.5 % (80.5–92.5)")
    assert table.rows[1] == ("Sensitivity of at least 99.0 %", "no threshold gives it", "–", "–")


def test_predictive_values_are_shown_at_each_prevalence_and_class() -> None:
    found = results.operating()
    table = trust_tables.prevalence_table(found)
    assert table is not None
    assert table.rows[0][0] == "50.0 %, as observed here"
    assert table.rows[0][-1] == "not defined"
    assert table.rows[1][3:] == ("4.9 (3.6–6.2)", "5.2")
    two = found.model_copy(
        update={"by_class": {"a": found.by_class["PNEUMONIA"], "b": found.by_class["PNEUMONIA"]}}
    )
    both = trust_tables.prevalence_table(two)
    assert (
        both is not None and both.head[0] == "Class" and [row[0] for row in both.rows] == ["a", "a", "b", "b"]
    )


def test_referrals_name_what_is_missed_among_the_rest() -> None:
    table = trust_tables.referral_table(results.abstention(), "PNEUMONIA")
    assert table is not None
    assert table.rows[1] == ("10.0 %", "8", "97.3 % (90.3–100)", "1", "2.8 % (0–7.8)")


def test_labels_that_go_together_are_a_table_of_few_labels_only(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation.model_copy(update={"label_set": results.label_set()})
    table = trust_tables.together_table(evaluation)
    assert table is not None and table.rows[1] == ("PNEUMONIA", "13", "54")
    assert trust_tables.together_table(evaluation, most=1) is None
    assert trust_tables.label_facts(evaluation)[0].text == "1.42 by the reference standard, 1.61 called"
