"""Tables and plot of groups, disturbances and other models."""

from pathlib import Path

from medimg_cli.reporting.charts.forest import subgroup_chart
from medimg_cli.reporting.tables import group_tables
from tests.reporting import results
from tests.reporting.cohort import make_cohort


def test_few_positives_are_flagged_and_suppressed_groups_say_why() -> None:
    table = group_tables.subgroup_table(results.subgroups())
    assert table is not None
    assert [row[3] for row in table.rows] == ["31", "17 †", "3 †"]
    assert table.rows[2][4:] == ("not shown", "not shown", "not shown")
    assert group_tables.suppressed_lines(results.subgroups()) == (
        "sex: not known: fewer than 10 positive images",
    )


def test_the_largest_gap_names_its_groups_and_how_many_pairs_were_looked_at() -> None:
    table = group_tables.gap_table(results.subgroups())
    assert table is not None
    assert table.rows == (("sex", "Sensitivity", "+17.1 (−3.1 to +39.1) points", "M and F", "1"),)


def test_the_plot_of_groups_leaves_suppressed_ones_out_and_marks_all_images(tmp_path: Path) -> None:
    evaluation = make_cohort(tmp_path).evaluation
    chart = subgroup_chart(results.subgroups(), evaluation)
    assert chart is not None
    assert [label.text for label in chart.labels] == ["F", "M"]
    assert [heading.text for heading in chart.headings] == ["sex"]
    assert (
        chart.rule is not None and abs(chart.rule - (chart.left + 0.925 * (chart.right - chart.left))) < 0.01
    )
    assert [whisker.square for whisker in chart.whiskers] == [False, True, False, True]
    assert chart.whiskers[0].y < chart.whiskers[2].y < chart.bottom
    hidden = results.subgroups().groupings[0].groups[2:]
    none = results.subgroups().groupings[0].model_copy(update={"groups": hidden})
    assert subgroup_chart(results.subgroups().model_copy(update={"groupings": (none,)}), evaluation) is None


def test_patients_are_counted_and_never_named() -> None:
    table = group_tables.patient_table(results.patient_level())
    assert [row[1] for row in table.rows] == ["3 of 20", "2 of 20"]
    assert not any("person" in cell for row in table.rows for cell in row)


def test_disturbed_images_stand_below_undisturbed_ones_with_the_change() -> None:
    table = group_tables.robustness_table(results.robustness())
    assert table.rows[0][0] == "none"
    assert table.rows[1][-1] == "−10.1 (−17.1 to −2.1)"


def test_large_shifts_are_marked() -> None:
    table = group_tables.shift_table(results.shift())
    assert table is not None
    assert [row[3] for row in table.rows] == ["0.238 large", "0.042"]


def test_the_model_stands_above_its_baselines(tmp_path: Path) -> None:
    table = group_tables.baseline_table(results.baselines(), make_cohort(tmp_path).evaluation)
    assert table is not None
    assert [row[:2] for row in table.rows] == [
        ("this model", "92.5 % (85.5–97.5)"),
        ("majority class", "0 % (0–5.0)"),
        ("metadata only", "–"),
    ]


def test_a_comparison_tells_the_difference_before_p() -> None:
    table = group_tables.comparison_table(results.comparison())
    assert table.head.index("Difference") < table.head.index("p")
    assert table.rows[0][1:] == (
        "92.5 %", "87.4 %", "+5.1 (−1.2 to +11.7)", "5 / 3", "0.219", "0.438", "McNemar, exact",
    )  # fmt: skip
    assert table.rows[1][2:4] == ("not defined", "not defined: one class")
