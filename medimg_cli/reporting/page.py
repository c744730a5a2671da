"""One self-contained page from the templates: no script, no address to load anything from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from medimg_cli.errors import UsageError
from medimg_cli.reporting import author_facts as given
from medimg_cli.reporting import limitations as limits
from medimg_cli.reporting.analysis_context import analysis_context
from medimg_cli.reporting.charts import curves
from medimg_cli.reporting.charts import flow_diagram as flow
from medimg_cli.reporting.charts import matrix_charts as grids
from medimg_cli.reporting.checklists import checklists
from medimg_cli.reporting.content import GALLERY_IMAGES, STATEMENT, ReportContent
from medimg_cli.reporting.tables import (
    headline,
    label_thresholds,
    tables,
)
from medimg_cli.reporting.tables import (
    number_format as numbers,
)
from medimg_cli.workspace.files import templates_dir


@dataclass(frozen=True)
class Section:
    """A section: its anchor, its heading and its template `sections/<anchor>.html`."""

    anchor: str
    heading: str


def sections(content: ReportContent) -> tuple[Section, ...]:
    """Return the sections in the order of the report."""
    return (
        Section("intended-use", "Intended use and how to read this report"),
        Section("data", "Data flow"),
        Section("audit", "Reference standard and label audit"),
        Section("training", "Model and training"),
        Section("threshold", "Operating threshold"),
        Section("performance", "Performance"),
        Section("cases", content.cases[0].title if content.cases else "Missed cases"),
        Section("calibration", "Calibration"),
        Section("usefulness", "Usefulness"),
        Section("abstention", "Abstention"),
        Section("patients", "Results by patient"),
        Section("subgroups", "Subgroups"),
        Section("robustness", "Shift, robustness and external testing"),
        Section("explanations", "Explanations and their sanity check"),
        Section("comparison", "Baselines and comparison"),
        Section("limits", "Limitations, and what did not run"),
        Section("authors", "Facts from the authors"),
        Section("checklists", "Reporting checklists"),
        Section("ethics", "Ethics and decision support"),
        Section("provenance", "Provenance"),
        Section("glossary", "Glossary"),
        Section("references", "References"),
    )


def render_page(content: ReportContent, *, templates: Path | None = None) -> str:
    """Return the report as one HTML page.

    Args:
        content: what it says.
        templates: folder whose files take the place of medimg's templates of the same name.

    Raises:
        UsageError: `templates` is no folder, or one of its files cannot be rendered.
    """
    return rendered(page_environment(templates), "report.html", page_context(content), templates)


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
        raise UsageError(
            f"--templates {templates}: {_place(error)}{error.message}",
            "compare with medimg's own templates/report, or leave --templates out",
        ) from error


def _place(error: jinja2.TemplateError) -> str:
    if isinstance(error, jinja2.TemplateSyntaxError):
        return f"{error.name} line {error.lineno}: "
    return ""


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
    for name in (
        "coded",
        "duration",
        "grouped",
        "measured",
        "number",
        "percent",
        "plain",
        "plural",
        "sentence",
        "split_title",
    ):
        environment.filters[name] = getattr(numbers, name)
    return environment


def page_context(content: ReportContent) -> dict[str, Any]:
    """Return every name the templates may use."""
    evaluation = content.evaluation
    return {
        "content": content,
        "evaluation": evaluation,
        "record": content.record,
        "card": content.card,
        "statement": STATEMENT,
        "gallery_images": GALLERY_IMAGES,
        "sections": sections(content),
        "headline": headline.headline(evaluation),
        "threshold": headline.threshold_in_force(evaluation),
        "leakage": headline.leakage_line(evaluation.leakage),
        "limitations": limits.limitations(content),
        **_said_context(content),
        **_data_context(content),
        **_training_context(content),
        **_performance_context(content),
        **analysis_context(content),
    }


def _said_context(content: ReportContent) -> dict[str, Any]:
    """Return what people said and did not say, and the checklists that both records and people fill."""
    headings = {section.anchor: section.heading for section in sections(content)} | {"cover": "Cover"}
    headings |= {anchor: headings[section] for anchor, section in given.places().items()}
    return {
        "given": given.given_groups(content),
        "not_reported": given.not_reported(content),
        "asked": given.asked(),
        "checklists": checklists(content),
        "headings": headings,
    }


def _data_context(content: ReportContent) -> dict[str, Any]:
    dataset, audit = content.dataset, content.audit
    return {
        "sources": tables.source_names(dataset.info.sources) if dataset else (),
        "split_table": tables.split_table(dataset) if dataset else None,
        "code_book": tables.code_book_table(dataset) if dataset else None,
        "exclusion_table": tables.exclusion_table(dataset) if dataset else None,
        "flow_chart": flow.flow_chart(dataset) if dataset else None,
        "count_chart": grids.count_chart(tables.class_counts(dataset)) if dataset else None,
        "audit_table": tables.audit_table(audit) if audit else None,
    }


def _training_context(content: ReportContent) -> dict[str, Any]:
    history = tables.numeric_history(content.history)
    return {
        "learning_charts": curves.learning_charts(history, content.record.best_epoch),
        "settings": tables.setting_facts(content.settings),
        "test_recall": headline.positive_recall(content.evaluation),
    }


def _performance_context(content: ReportContent) -> dict[str, Any]:
    evaluation = content.evaluation
    at_argmax = evaluation.confusion_at_argmax
    if at_argmax == evaluation.confusion or headline.threshold_in_force(evaluation) is None:
        at_argmax = None
    roc, precision_recall = curves.roc_chart(evaluation), curves.precision_recall_chart(evaluation)
    return {
        "performance_table": tables.performance_table(evaluation),
        "class_table": tables.class_table(evaluation),
        "threshold_table": label_thresholds.threshold_table(evaluation),
        "mix_up_table": tables.mix_up_table(evaluation.confusion) if evaluation.confusion else None,
        "matrices": grids.matrices(evaluation.confusion) if evaluation.confusion else (),
        "argmax_matrices": grids.matrices(at_argmax) if at_argmax else (),
        "forest_chart": grids.forest_chart(evaluation),
        "curve_charts": tuple(chart for chart in (roc, precision_recall) if chart is not None),
        "curves_left_out": len(evaluation.roc) - len(curves.drawn_curves(evaluation, evaluation.roc)),
        "prevalence": headline.prevalence_line(evaluation),
        "resampling": headline.resampling_line(evaluation),
    }
