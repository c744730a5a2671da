"""One self-contained page from the templates: no script, no address to load anything from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from inspect import isfunction
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import jinja2

from medimg_cli.errors import UsageError
from medimg_cli.evaluation.evaluation import Evaluation
from medimg_cli.reporting import author_facts as given
from medimg_cli.reporting import cases, limitations, verdict
from medimg_cli.reporting.charts import (
    calibration_charts,
    curves,
    flow_diagram,
    forest,
    matrix_charts,
    scales,
)
from medimg_cli.reporting.charts.curves import precision_recall_chart, roc_chart
from medimg_cli.reporting.charts.matrix_charts import confusion_matrix
from medimg_cli.reporting.checklists import checklists
from medimg_cli.reporting.content import STATEMENT, ReportContent
from medimg_cli.reporting.tables import calibration_tables, group_tables, tables
from medimg_cli.reporting.tables import number_format as numbers
from medimg_cli.reporting.verdict import headline, leakage_line
from medimg_cli.workspace.files import templates_dir
from medimg_cli.workspace.plain_text import plural

Part = Literal["whole", "report", "appendix"]
"""Both on one page, or one of the two by itself."""

_BUILDERS = (
    calibration_charts, calibration_tables, cases, curves, flow_diagram, forest, group_tables, limitations,
    matrix_charts, tables, verdict,
)  # fmt: skip


def _public(*modules: ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the public functions of modules by name: templates build tables and charts from results with them."""
    found = {name: each for module in modules for name, each in vars(module).items() if isfunction(each)}
    return {name: each for name, each in found.items() if not name.startswith("_")}


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
    own = _own_environment()
    if templates is None:
        return own
    return own.overlay(loader=jinja2.FileSystemLoader([templates, templates_dir() / "report"]))


@cache
def _own_environment() -> jinja2.Environment:
    """Return the one of medimg's templates, each compiled once a process."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir() / "report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_public(numbers, scales) | {"plural": plural})
    environment.globals.update(_public(*_BUILDERS))
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


def evaluation_html(evaluation: Evaluation) -> str:
    """Return headline, confusion matrix and ROC curve as one piece of HTML that loads nothing; every text is escaped."""
    return (
        page_environment()
        .get_template("notebook.html")
        .render(
            headline=headline(evaluation),
            matrix=confusion_matrix(evaluation.confusion),
            curve=roc_chart(evaluation) or precision_recall_chart(evaluation),
            leakage=leakage_line(evaluation.leakage),
            statement=STATEMENT,
        )
    )
