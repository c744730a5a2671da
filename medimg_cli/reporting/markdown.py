"""The model card and the datasheet: Markdown beside the report, from the same records and the same facts."""

import re
from pathlib import Path
from typing import Any

import yaml

from medimg_cli.reporting.author_facts import given
from medimg_cli.reporting.content import ReportContent
from medimg_cli.reporting.page import page_context, page_environment, rendered
from medimg_cli.reporting.tables.number_format import metric_title
from medimg_cli.reporting.tables.tables import source_names
from medimg_cli.statistics.estimate import Estimate

# Names that the Hugging Face hub knows metrics by; the others keep ours.
_HUB_METRICS = {"auroc": "roc_auc", "mcc": "matthews_correlation", "brier": "brier_score"}
# Licences the hub knows by these names; any other one is "other" with a name of its own.
_HUB_LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense",
)  # fmt: skip
_SPACE = re.compile(r"\s+")
_SIGNS = re.compile(r"([\\`*_\[\]<>|~&#])")


class Verbatim(str):
    """A text that is Markdown or YAML already."""


def render_card(content: ReportContent, *, templates: Path | None = None) -> str:
    """Return the model card: sections of Mitchell M et al. (FAT* 2019, 10.1145/3287560.3287596) below a YAML head.

    The head follows the metadata of model cards on the Hugging Face hub; its numbers are those of the evaluation.

    Raises:
        UsageError: a template of `templates` cannot be rendered.
    """
    head = yaml.safe_dump(card_metadata(content), sort_keys=False, allow_unicode=True, width=110)
    return _render("model-card.md", content, templates, front_matter=Verbatim(head))


def render_datasheet(content: ReportContent, *, templates: Path | None = None) -> str:
    """Return the datasheet of the data: sections of Gebru T et al. (CACM 2021;64(12):86-92, 10.1145/3458723).

    Raises:
        UsageError: a template of `templates` cannot be rendered.
    """
    return _render("datasheet.md", content, templates)


def _render(name: str, content: ReportContent, templates: Path | None, **more: Any) -> str:
    environment = page_environment(templates).overlay(autoescape=False, finalize=as_markdown)
    environment.filters = environment.filters | {"metric_title": metric_title}
    context = page_context(content) | more | {"say": lambda key: given(content, key)}
    return rendered(environment, name, context, templates)


def as_markdown(value: object) -> str:
    r"""Return a value as one line that Markdown shows as it is, whatever signs a class or an answer holds.

    >>> as_markdown("NORMAL_2 <b>")
    'NORMAL\\_2 \\<b\\>'
    """
    if isinstance(value, Verbatim):
        return value
    return _SIGNS.sub(r"\\\1", _SPACE.sub(" ", str(value)))


def card_metadata(content: ReportContent) -> dict[str, Any]:
    """Return the head of the model card, ready for YAML; numbers are the evaluation's, unrounded."""
    evaluation = content.evaluation
    figures = {name: figure for name, figure in evaluation.metrics.items() if figure.value is not None}
    sources = source_names(content.dataset.info.sources) if content.dataset else ("unknown",)
    return {
        **_licence(content),
        "library_name": "medimg",
        "pipeline_tag": "image-classification",
        "tags": ["medical-imaging", "image-classification", content.card.arch],
        "metrics": [_HUB_METRICS.get(name, name) for name in figures],
        "model-index": [
            {
                "name": evaluation.run,
                "results": [
                    {
                        "task": {"type": "image-classification", "name": "Image classification"},
                        "dataset": {
                            "type": _slug(sources),
                            "name": ", ".join(sources),
                            "split": evaluation.split,
                            "revision": evaluation.dataset_hash,
                        },
                        "metrics": [_metric(name, figure) for name, figure in figures.items()],
                    }
                ],
            }
        ],
    }


def _metric(name: str, figure: Estimate) -> dict[str, Any]:
    known = {"low": figure.low, "high": figure.high, "method": figure.method or None, "n": figure.n}
    return {
        "type": _HUB_METRICS.get(name, name),
        "name": metric_title(name),
        "value": figure.value,
        "args": {key: value for key, value in known.items() if value is not None},
    }


def _licence(content: ReportContent) -> dict[str, str]:
    licence = content.facts.openness.licence
    if licence is None:
        return {}
    known = licence.lower()
    return {"license": known} if known in _HUB_LICENCES else {"license": "other", "license_name": licence}


def _slug(sources: tuple[str, ...]) -> str:
    """Return the names of the sources as one identifier."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(sources).lower()).strip("-") or "unknown"
