"""The pages of `medimg serve`: upload, model card, sign-in, the API's description and the PDF, from `templates/serve`, in several languages.

The page draws pictures on a canvas and loads nothing but its own styles and scripts, so that the policy of
`web.guard.SECURITY_HEADERS` is enough for it. What it needs of the interface:

- `/login` and `/static/` have to be in reach without the cookie, for the sign-in page;
- refusals carry a code of `error:` in the catalogue, and `Retry-After` where it helps to ask again;
- `/api/view` says in headers `X-Frames`, and of grey pictures with a window `X-Window-Centre`, `X-Window-Width`; `X-Modality: CT`
  offers the windows of lung, bone and brain.
"""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import jinja2
from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse
from markupsafe import Markup

from medimg_cli.web.serving.sentences import (
    Fields,
    PredictionText,
    Words,
    chosen_language,
    flag_in_words,
    languages,
    measured_in_words,
    positive_of,
    positives_of,
    prediction_text,
    rule_in_words,
    words_of,
)
from medimg_cli.workspace.files import templates_dir

_LANG = re.compile(r"[?&]lang=([a-z]{2,8})(?:&|$)")
_STATIC = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SPLITS = {"val": "card.split_val", "out-of-fold": "card.split_oof"}
_FONTS = "Noto Sans, DejaVu Sans, sans-serif"
_FLAGS = ("out-of-distribution", "inverted?", "size-unlike-training", "low-quality", "uncertain")


@dataclass(frozen=True)
class PageLimits:
    """What the page tells before anything is sent; the server enforces it all the same.

    Args:
        max_upload_mb: of one file, in millions of bytes.
        max_files: that a reader may add at once.
    """

    max_upload_mb: int
    max_files: int


@dataclass(frozen=True)
class Result:
    """One image of the PDF.

    Args:
        entry: of `predictions`, its path masked.
        picture: PNG of the de-identified picture; None where there is none.
    """

    entry: Fields
    picture: bytes | None


def install(app: FastAPI, model: Fields, limits: PageLimits) -> None:
    """Add `GET /`, `/card`, `/static/{name}` and `/favicon.ico` to an application.

    Args:
        app: gets the routes.
        model: the facts of the model, as `GET /api/model` has them.
        limits: of an upload.
    """

    @app.get("/", include_in_schema=False)
    def page(request: Request) -> Response:
        words = _words_for(request)
        return _show(
            "page.html", words, model=_known(model), limits=limits, page_data=_page_data(words, model, limits)
        )

    @app.get("/card", include_in_schema=False)
    def card(request: Request) -> Response:
        words = _words_for(request)
        return _show("card.html", words, **_card_context(model, words))

    @app.get("/static/{name}", include_in_schema=False)
    def static(name: str) -> Response:
        return _static(name)

    @app.get("/favicon.ico", include_in_schema=False)
    def icon() -> Response:  # browsers ask for one even where a page names another
        return Response(status_code=204)


def login_page(request: Request, *, refused: bool = False) -> Response:
    """Return the page that asks for the token and posts it to `/login`.

    Args:
        request: says the language.
        refused: a wrong token was given.
    """
    words = _words_for(request)
    return _show("login.html", words, status_code=403 if refused else 401, refused=refused)


def result_page(model: Fields, results: Sequence[Result], language: str | None, day: date) -> str:
    """Return one self-contained HTML page for WeasyPrint: a sheet for each image.

    Args:
        model: the facts of the model, as `GET /api/model` has them.
        results: in the order of the upload.
        language: as asked; English where there is no such language.
        day: that the PDF says it was made on.
    """
    words = words_of(chosen_language(language, None))
    shown = [
        _Sheet(one.entry["path"], prediction_text(one.entry, model, words), _data_uri(one)) for one in results
    ]
    style = (_folder() / "result.css").read_text(encoding="utf-8")
    context = _model_context(model, words)
    template = _environment().get_template("result.html")
    return template.render(
        _language_context(words),
        sheets=shown,
        day=day.isoformat(),
        style=Markup(style),
        fonts=_FONTS,
        **context,
    )


class _Known(dict[str, Any]):
    """The facts of a model, None for those nobody knows."""

    def __missing__(self, key: str) -> None:
        return None


def _known(facts: Fields) -> _Known:
    return _Known({name: _known(one) if isinstance(one, Mapping) else one for name, one in facts.items()})


@dataclass(frozen=True)
class _Sheet:
    name: str
    text: PredictionText
    picture: str | None


def _data_uri(result: Result) -> str | None:
    if result.picture is None:
        return None
    return f"data:image/png;base64,{base64.b64encode(result.picture).decode('ascii')}"


def _words_for(request: Request) -> Words:
    """Return the words of the language asked for here, on the page one comes from (a sign-in leads on), or accepted."""
    asked = request.query_params.get("lang")
    if asked is None and (found := _LANG.search(request.headers.get("referer", ""))):
        asked = found[1]
    return words_of(chosen_language(asked, request.headers.get("accept-language")))


def _show(template: str, words: Words, *, status_code: int = 200, **names: object) -> HTMLResponse:
    text = _environment().get_template(template).render(_language_context(words), **names)
    headers = {"Content-Language": words.language, "Vary": "Accept-Language"}
    return HTMLResponse(text, status_code, headers)


def _language_context(words: Words) -> dict[str, Any]:
    """Return what every template may use; `t` and `label` leave the key behind, so that the script can translate anew."""

    def t(key: str, **values: object) -> Markup:
        return Markup('<span data-word="{}">{}</span>').format(key, words(key, **values))

    def label(key: str, attribute: str = "aria-label") -> Markup:
        return Markup('data-word-{}="{}" {}="{}"').format(
            attribute.removeprefix("aria-"), key, Markup(attribute), words(key)
        )

    return {
        "words": words,
        "language": words.language,
        "languages": [(name, words_of(name)("language.name")) for name in languages()],
        "t": t,
        "label": label,
    }


def _page_data(words: Words, model: Fields, limits: PageLimits) -> dict[str, Any]:
    """Return what the script starts from."""
    return {
        "words": dict(words.texts),
        "model": dict(model),
        "positives": positives_of(model),
        "max_upload_mb": limits.max_upload_mb,
        "max_files": limits.max_files,
    }


def _model_context(model: Fields, words: Words) -> dict[str, Any]:
    return {
        "model": _known(model),
        "threshold": model.get("threshold"),
        "measured": list(measured_in_words(model, words)),
        "positive": positive_of(model),
    }


def _card_context(model: Fields, words: Words) -> dict[str, Any]:
    threshold = model.get("threshold") or {}
    split = str(threshold.get("split") or "")
    return _model_context(model, words) | {
        "chosen_on": words(_SPLITS[split]) if split in _SPLITS else split,
        "rule": rule_in_words(threshold, words),
        "trained": _known(model.get("fingerprint") or {}),
        "limits": _known(model.get("limits") or {}),
        "flags": [flag_in_words(name, words) for name in _FLAGS],
    }


def _static(name: str) -> Response:
    if name.startswith("words-") and name.endswith(".json"):
        language = name.removeprefix("words-").removesuffix(".json")
        if language in languages():
            return JSONResponse(dict(words_of(language).texts))
    path = _files().get(name)
    if path is None:
        return JSONResponse({"error": "not_found", "detail": "no such file"}, 404)
    return PlainTextResponse(path.read_text(encoding="utf-8"), media_type=_STATIC[path.suffix])


@lru_cache(maxsize=1)
def _files() -> Mapping[str, Path]:
    """Return what may be served by name: a fixed list, so that no name leads out of the folder."""
    return {path.name: path for path in sorted(_folder().iterdir()) if path.suffix in _STATIC}


def _folder() -> Path:
    return templates_dir() / "serve"


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_folder()),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


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
    """Return the API's description as a page, drawn from `document`: OpenAPI 3.1, as /openapi.json gives it."""
    template = _environment().get_template("docs.html")
    return template.render(info=document["info"], routes=list(_routes(document)))


def _routes(document: Mapping[str, Any]) -> Iterator[Route]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield Route(
                method=method.upper(),
                path=path,
                summary=operation.get("summary", ""),
                description=operation.get("description", ""),
                fields=tuple(_fields(operation)),
                answers=tuple(
                    (status, answer["description"], ", ".join(answer.get("content", {})))
                    for status, answer in sorted(operation["responses"].items())
                ),
            )


def _fields(operation: Mapping[str, Any]) -> Iterator[tuple[str, str, bool, str]]:
    for content in operation.get("requestBody", {}).get("content", {}).values():
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
