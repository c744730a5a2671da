"""One self-contained page from the templates: no script, no address to load anything from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import jinja2

from medimg_cli.errors import UsageError
from medimg_cli.reporting import author_facts as given
from medimg_cli.reporting import cases, limitations, verdict
from medimg_cli.reporting.charts import calibration_charts, curves, flow_diagram, forest, matrix_charts
from medimg_cli.reporting.charts.scales import has_long_word, shortened, squeezed
from medimg_cli.reporting.checklists import checklists
from medimg_cli.reporting.content import STATEMENT, ReportContent
from medimg_cli.reporting.tables import calibration_tables, group_tables, tables
from medimg_cli.reporting.tables import number_format as numbers
from medimg_cli.workspace.files import templates_dir

Part = Literal["whole", "report", "appendix"]
"""Both on one page, or one of the two by itself."""

_FILTERS = (
    numbers.coded, numbers.duration, numbers.grouped, numbers.measured, numbers.number, numbers.percent,
    numbers.plain, numbers.plural, numbers.sentence, numbers.split_title, numbers.metric_title, shortened,
    has_long_word, squeezed,
)  # fmt: skip
# What templates build from the results that they show; each says in its own words when there is nothing to build.
_BUILDERS: tuple[Callable[..., Any], ...] = (
    calibration_charts.coverage_chart, calibration_charts.decision_chart, calibration_charts.trust_charts,
    calibration_tables.calibration_lines, calibration_tables.calibration_table,
    calibration_tables.conformal_facts, calibration_tables.conformal_table, calibration_tables.label_facts,
    calibration_tables.prevalence_table, calibration_tables.protocol_facts, calibration_tables.referral_table,
    calibration_tables.temperature_table, calibration_tables.together_table,
    calibration_tables.trade_off_table, cases.explanation_facts, curves.drawn_curves, curves.learning_charts,
    curves.precision_recall_chart, curves.roc_chart, flow_diagram.flow_chart, forest.forest_chart,
    forest.subgroup_chart, group_tables.baseline_table, group_tables.comparison_table, group_tables.gap_table,
    group_tables.exam_table, group_tables.patient_table, group_tables.robustness_table, group_tables.shift_table,
    group_tables.subgroup_table, group_tables.suppressed_lines, limitations.limitations, limitations.omitted,
    matrix_charts.confusion_matrix, numbers.change, tables.audit_table, tables.class_table, tables.code_book_table,
    tables.exclusion_table, tables.mix_up_table, tables.numeric_history, tables.performance_table,
    tables.setting_facts, tables.split_table, tables.threshold_table, verdict.gravest, verdict.prevalence_line,
    verdict.resampling_line, verdict.two_by_two, verdict.weakest_table,
)  # fmt: skip


@dataclass(frozen=True)
class Section:
    """A section: its anchor, its heading and its template `sections/<anchor>.html`."""

    anchor: str
    heading: str
    in_appendix: bool = False


def sections(content: ReportContent) -> tuple[Section, ...]:
    """Return the sections in the order of the report, those of the appendix last."""
    report = {
        "data": "Who was tested",
        "classes": "Each label" if content.evaluation.several_labels else "Each class",
        "curves": "Curves",
        "calibration": "Calibration",
        "cases": content.cases[0].title if content.cases else "Missed cases",
        "subgroups": "Patients and subgroups",
        "limits": "Limits",
    }
    appendix = {
        "performance": "Every measure",
        "threshold": "Operating threshold",
        "training": "Model and training",
        "audit": "Reference standard and label audit",
        "usefulness": "Usefulness",
        "abstention": "Abstention",
        "robustness": "Shift, robustness and external testing",
        "explanations": "Explanations and their sanity check",
        "comparison": "Baselines and comparison",
        "further": "Further cases and groups",
        "authors": "Facts from the authors",
        "checklists": "Reporting checklists",
        "provenance": "Provenance",
        "glossary": "How to read this report",
        "references": "References",
    }
    return (
        *(Section(anchor, heading) for anchor, heading in report.items()),
        *(Section(anchor, heading, in_appendix=True) for anchor, heading in appendix.items()),
    )


def render_page(content: ReportContent, *, templates: Path | None = None, part: Part = "whole") -> str:
    """Return the report as one HTML page.

    Args:
        content: what it says.
        templates: folder whose files take the place of medimg's templates of the same name.
        part: the report with its appendix, or one of them alone.

    Raises:
        UsageError: `templates` is no folder, or one of its files cannot be rendered.
    """
    context = page_context(content) | {"part": part}
    return rendered(page_environment(templates), "report.html", context, templates)


def rendered(
    environment: jinja2.Environment, name: str, context: dict[str, Any], templates: Path | None
) -> str:
    """Return one template, rendered.

    Raises:
        UsageError: `templates` holds one that cannot be rendered.
    """
    try:
        return environment.get_template(name).render(context)
    except jinja2.TemplateError as error:
        if templates is None:
            raise
        place = f"{error.name} line {error.lineno}: " if isinstance(error, jinja2.TemplateSyntaxError) else ""
        raise UsageError(
            f"--templates {templates}: {place}{error.message}",
            "compare with medimg's own templates/report, or leave --templates out",
        ) from error


def page_environment(templates: Path | None = None) -> jinja2.Environment:
    """Return the Jinja environment: everything escaped, an unknown name is an error.

    Raises:
        UsageError: `templates` is not a folder.
    """
    if templates is not None and not templates.is_dir():
        raise UsageError(f"--templates {templates} is not a folder", "name a folder of Jinja templates")
    folders = [templates] if templates is not None else []
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, templates_dir() / "report"]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update({each.__name__: each for each in _FILTERS})
    environment.globals.update({each.__name__: each for each in _BUILDERS})
    return environment


def page_context(content: ReportContent) -> dict[str, Any]:
    """Return every name the templates may use, beside the builders."""
    evaluation, dataset = content.evaluation, content.dataset
    headings = {section.anchor: section.heading for section in sections(content)} | {"cover": "Page 1"}
    return {
        "content": content,
        "evaluation": evaluation,
        "record": content.record,
        "card": content.card,
        "statement": STATEMENT,
        "sections": sections(content),
        "headline": verdict.headline(evaluation),
        "threshold": evaluation.threshold,
        "leakage": verdict.leakage_line(evaluation.leakage),
        "prevalence": verdict.prevalence_line(evaluation),
        "sources": tables.source_names(dataset.info.sources) if dataset else (),
        "why_not": partial(limitations.why_not, evaluation),
        "external": tuple(
            each for each in (evaluation, *content.external) if each.split.startswith("external")
        ),
        "flag": group_tables.FLAG,
        "most_classes": calibration_charts.MOST_CLASSES,
        "given": given.given_groups(content),
        "not_reported": given.not_reported(content),
        "asked": given.asked(),
        "checklists": checklists(content),
        "headings": headings | dict.fromkeys(given.anchors(), headings["authors"]),
    }
