"""The API's description as a page that loads nothing: drawn here, from the same document that /openapi.json gives."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import jinja2

from medimg_cli.workspace.files import templates_dir


@dataclass(frozen=True)
class Route:
    """One route of the document.

    Args:
        fields: (name, kind, whether it has to be there, what it means) of its form.
        answers: (status, what it means, media types).
    """

    method: str
    path: str
    summary: str
    description: str
    fields: tuple[tuple[str, str, bool, str], ...]
    answers: tuple[tuple[str, str, str], ...]


def docs_page(document: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        document: OpenAPI 3.1.
    """
    text: str = _template().render(info=document["info"], routes=list(_routes(document)))
    return text


def _routes(document: Mapping[str, Any]) -> Iterator[Route]:
    for path, methods in document["paths"].items():
        for method, told in methods.items():
            yield Route(
                method=method.upper(),
                path=path,
                summary=told.get("summary", ""),
                description=told.get("description", ""),
                fields=tuple(_fields(told)),
                answers=tuple(
                    (status, answer["description"], ", ".join(answer.get("content", {})))
                    for status, answer in sorted(told["responses"].items())
                ),
            )


def _fields(told: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, str]]:
    for content in told.get("requestBody", {}).get("content", {}).values():
        schema = content["schema"]
        for name, field in schema["properties"].items():
            yield name, _kind(field), name in schema["required"], field.get("description", "")


def _kind(field: Mapping[str, Any]) -> str:
    if field.get("format") == "binary":
        return "file"
    if field.get("type") == "array":
        return f"one or several of {_kind(field['items'])}"
    if "enum" in field:
        return " or ".join(field["enum"])
    low, high = field.get("minimum"), field.get("maximum")
    kind = str(field.get("type", ""))
    return kind if low is None or high is None else f"{kind}, {low} to {high}"


@lru_cache(maxsize=1)
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir() / "serve"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("docs.html")
