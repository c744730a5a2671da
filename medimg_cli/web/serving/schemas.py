"""What the API's OpenAPI document says of forms and answers."""

from typing import Any

from fastapi import Response

Schema = dict[str, Any]
Responses = dict[int | str, dict[str, Any]]

_TEXT: Schema = {"type": "string"}
_MAYBE_TEXT: Schema = {"type": ["string", "null"]}
_MAYBE_SHARE: Schema = {"type": ["number", "null"], "minimum": 0, "maximum": 1}
FILE: Schema = {"type": "string", "format": "binary"}
_REASONS = {
    400: "The request is malformed, or holds no file",
    401: "A token is asked for",
    403: "The request comes from another site",
    408: "The upload took too long",
    409: "There is none for this model or image",
    413: "Too large, too many files, or too many pixels",
    415: "An archive",
    421: "Not the name of this server",
    422: "Not an image that can be read",
    429: "Too many requests of this client; see Retry-After",
    503: "Busy; see Retry-After",
}


class Png(Response):
    """A picture."""

    media_type = "image/png"


class Pdf(Response):
    """A document."""

    media_type = "application/pdf"


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


REFUSAL = _object(error={**_TEXT, "description": "a code for programs"}, detail=_TEXT)
_ENTRY = _object(
    path={**_TEXT, "description": "the file's own name, identities masked"},
    status={"enum": ["ok", "refused", "unreadable"]},
    label=_MAYBE_TEXT,
    confidence=_MAYBE_SHARE,
    probabilities={"type": "object", "additionalProperties": _MAYBE_SHARE},
    decision={"enum": ["positive", "negative", "refer", None]},
    prediction_set={"type": ["array", "null"], "items": _TEXT},
    flags={"type": "array", "items": _TEXT},
    message=_MAYBE_TEXT,
    error={**_MAYBE_TEXT, "description": "a code where the file could not be read"},
    # Beside these: `unlike` of a refused image, and `said` where the form asks for it.
)
_IDENTITY = _object(run=_TEXT, arch=_TEXT, weights_sha256=_TEXT, medimg=_TEXT)
PREDICTIONS = _object(
    schema={"const": 1},
    command={"const": "predict"},
    model=_IDENTITY,
    predictions={"type": "array", "items": _ENTRY},
)
_CASE = _object(
    label={**_TEXT, "description": "the reference standard of the training image"},
    likeness={"type": "number", "minimum": -1, "maximum": 1, "description": "cosine of the features"},
    picture={**_TEXT, "description": "a PNG, in base64"},
)
SIMILAR = _object(schema={"const": 1}, model=_IDENTITY, cases={"type": "array", "items": _CASE})
MODEL = _object(
    arch=_TEXT,
    classes={"type": "array", "items": _TEXT},
    positive=_MAYBE_TEXT,
    threshold={"type": ["object", "null"]},
    intended_use=_MAYBE_TEXT,
    limits={"type": ["object", "null"]},
    notice=_TEXT,
)
VIEW_FIELDS: dict[str, Schema] = {
    "frame": {"type": "integer", "minimum": 0, "maximum": 999_999},
    "centre": {"type": "number", "minimum": -1e9, "maximum": 1e9},
    "width": {"type": "number", "minimum": 1e-6, "maximum": 1e9},
    "invert": {"enum": ["0", "1"]},
    "text": {"enum": ["cover", "show"], "description": "rows of text in the picture; else cover"},
    "max_px": {"type": "integer", "minimum": 16, "maximum": 4096},
}
HEATMAP_FIELDS: dict[str, Schema] = {
    "label": {**_TEXT, "description": "a class; else the positive one, or the predicted one"},
    "frame": VIEW_FIELDS["frame"],
}
SIMILAR_FIELDS: dict[str, Schema] = {"frame": VIEW_FIELDS["frame"]}
PREDICT_FIELDS: dict[str, Schema] = {
    "said": {"enum": ["1"], "description": "also the answer in words"},
    "exam": {"enum": ["1"], "description": "all files are one exam, which gets an answer under `exam`"},
}
PDF_FIELDS: dict[str, Schema] = {"lang": {**_TEXT, "description": "en, de or vi"}}


def form_of(fields: dict[str, Schema] | None = None, *, files: bool = False) -> dict[str, Any]:
    """Return the form a route takes: several `files`, or one `file`, and its plain fields."""
    name = "files" if files else "file"
    own: Schema = {"type": "array", "items": FILE, "minItems": 1} if files else FILE
    schema = {"type": "object", "required": [name], "properties": {name: own, **(fields or {})}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def refusals(*statuses: int) -> Responses:
    """Return the description of answers that say no."""
    content = {"application/json": {"schema": REFUSAL}}
    return {status: {"description": _REASONS[status], "content": content} for status in statuses}


GUARD_REFUSALS = refusals(401, 403, 421, 429)
UPLOAD_REFUSALS = GUARD_REFUSALS | refusals(400, 408, 413, 415, 503)


def answer_of(description: str, schema: Schema, kind: str = "application/json") -> Responses:
    """Return the description of an answer of a media type."""
    return {200: {"description": description, "content": {kind: {"schema": schema}}}}


def picture_of(description: str) -> Responses:
    """Return the description of a picture."""
    return answer_of(description, FILE, "image/png")


def text_of(description: str) -> Responses:
    """Return the description of plain text."""
    return answer_of(description, _TEXT, "text/plain")
