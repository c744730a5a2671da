"""Names that the templates of the analyses use."""

from functools import partial
from typing import Any

from medimg_cli.reporting import explanations as explained
from medimg_cli.reporting import not_run as omitted
from medimg_cli.reporting.charts import calibration_charts as trust_charts
from medimg_cli.reporting.charts import group_charts
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.tables import calibration_tables as trust_tables
from medimg_cli.reporting.tables import group_tables

_MOST = trust_charts.MOST_CLASSES


def analysis_context(content: ReportContent) -> dict[str, Any]:
    """Return tables and charts of every analysis, None or () for one that has no result."""
    evaluation = content.evaluation
    return {
        "why_not": partial(omitted.why_not, evaluation),
        "omitted": omitted.omitted(content),
        "external": tuple(
            each for each in (evaluation, *content.external) if each.split.startswith("external")
        ),
        "flag": group_tables.FLAG,
        "explanation_facts": explained.explanation_facts(content),
        **_calibration(content),
        **_usefulness(content),
        **_abstention(content),
        **_groups(content),
        **_surroundings(content),
    }


def _calibration(content: ReportContent) -> dict[str, Any]:
    evaluation, found = content.evaluation, content.evaluation.calibration
    by_class = {} if found is None else found.by_class
    drawn = [trust_charts.reliability_chart(name, each) for name, each in list(by_class.items())[:_MOST]]
    histograms = {} if evaluation.histograms is None else evaluation.histograms.by_class
    return {
        "calibration_lines": trust_tables.calibration_lines(evaluation),
        "temperature_table": trust_tables.temperature_table(found) if found else None,
        "calibration_table": trust_tables.calibration_table(found) if found else None,
        "reliability_charts": tuple(chart for chart in drawn if chart is not None),
        "reliability_beyond": max(0, len(by_class) - _MOST),
        "histogram_charts": tuple(
            trust_charts.histogram_chart(name, each, evaluation)
            for name, each in list(histograms.items())[:_MOST]
        ),
    }


def _usefulness(content: ReportContent) -> dict[str, Any]:
    evaluation = content.evaluation
    curves = {} if evaluation.decision_curves is None else evaluation.decision_curves.by_class
    drawn = [trust_charts.decision_chart(name, each) for name, each in list(curves.items())[:_MOST]]
    operating = evaluation.operating
    return {
        "decision_charts": tuple(chart for chart in drawn if chart is not None),
        "decision_beyond": max(0, len(curves) - _MOST),
        "prevalence_table": trust_tables.prevalence_table(operating) if operating else None,
        "trade_off_table": trust_tables.trade_off_table(operating) if operating else None,
    }


def _abstention(content: ReportContent) -> dict[str, Any]:
    evaluation = content.evaluation
    abstention, conformal = evaluation.abstention, evaluation.conformal
    return {
        "coverage_chart": trust_charts.coverage_chart(abstention) if abstention else None,
        "referral_table": trust_tables.referral_table(abstention, evaluation.positive)
        if abstention
        else None,
        "conformal_table": trust_tables.conformal_table(conformal) if conformal else None,
        "conformal_facts": trust_tables.conformal_facts(conformal) if conformal else (),
    }


def _groups(content: ReportContent) -> dict[str, Any]:
    evaluation = content.evaluation
    found, patients = evaluation.subgroups, evaluation.patient_level
    return {
        "patient_table": group_tables.patient_table(patients) if patients else None,
        "subgroup_table": group_tables.subgroup_table(found) if found else None,
        "subgroup_chart": group_charts.subgroup_chart(found, evaluation) if found else None,
        "gap_table": group_tables.gap_table(found) if found else None,
        "suppressed": group_tables.suppressed_lines(found) if found else (),
        "label_facts": trust_tables.label_facts(evaluation),
        "together_table": trust_tables.together_table(evaluation),
        "protocol_facts": trust_tables.protocol_facts(evaluation),
    }


def _surroundings(content: ReportContent) -> dict[str, Any]:
    evaluation = content.evaluation
    shift, robustness = evaluation.shift, evaluation.robustness
    baselines, comparison = evaluation.baselines, evaluation.comparison
    return {
        "shift_table": group_tables.shift_table(shift) if shift else None,
        "robustness_table": group_tables.robustness_table(robustness) if robustness else None,
        "baseline_table": group_tables.baseline_table(baselines, evaluation) if baselines else None,
        "comparison_table": group_tables.comparison_table(comparison) if comparison else None,
    }
