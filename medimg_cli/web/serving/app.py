"""The application of `medimg serve`: its routes, and what they say of themselves."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse
from starlette.exceptions import HTTPException
from starlette.routing import Match

from medimg_cli import __version__
from medimg_cli.web.serving import page, schemas
from medimg_cli.web.serving.access import Gate
from medimg_cli.web.serving.api import Api, json_response
from medimg_cli.web.serving.middleware import AroundRequests
from medimg_cli.web.serving.refusals import Code, Refusal
from medimg_cli.web.serving.worker_config import MB

_SECONDS_BETWEEN_LOOKS = 1.0
_CODES: Mapping[int, Code] = {404: "not_found", 405: "bad_request"}


def serve_app(api: Api, gate: Gate) -> FastAPI:
    """Return the application.

    Args:
        api: the work.
        gate: who may ask for it.
    """
    app = FastAPI(
        title="medimg serve",
        version=__version__,
        description="A trained image classifier: decision support for research, not a medical device.",
        docs_url=None,
        redoc_url=None,
        lifespan=_life_of(api),
    )
    app.add_middleware(AroundRequests, gate=gate, counters=api.counters)
    _add_refusals(app)
    _add_api(app, api)
    _add_facts(app, api)
    _add_watch(app, api)
    _add_session(app, gate)
    limits = page.PageLimits(max_upload_mb=api.limits.file_bytes // MB, max_files=api.limits.files)
    page.install(app, api.engine.facts, limits)

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        return HTMLResponse(page.docs_page(app.openapi()))

    return app


def _add_refusals(app: FastAPI) -> None:
    @app.exception_handler(Refusal)
    async def refuse(_: Request, refusal: Exception) -> Response:
        assert isinstance(refusal, Refusal)
        return refusal.response()

    @app.exception_handler(HTTPException)
    async def no_such(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == 405:
            allowed = {"Allow": ", ".join(_methods_of(app, request))}
            if request.method == "OPTIONS":  # RFC 9110, 9.3.7; no other site is let in, so nothing of CORS
                return Response(status_code=204, headers=allowed)
            error.headers = allowed
        code = _CODES.get(error.status_code, "bad_request")
        response = Refusal(error.status_code, code, f"{error.detail}.").response()
        response.headers.update(error.headers or {})
        return response


def _methods_of(app: FastAPI, request: Request) -> list[str]:
    """Return what may be asked of an address, of all its routes: HEAD is answered like GET."""
    routes = [route for route in app.routes if route.matches(request.scope)[0] is not Match.NONE]
    found = {method for route in routes for method in getattr(route, "methods", None) or ()}
    return sorted(found | {"OPTIONS"} | ({"HEAD"} if "GET" in found else set()))


def _add_api(app: FastAPI, api: Api) -> None:
    @app.post(
        "/api/predict",
        tags=["api"],
        summary="Predict images",
        openapi_extra=schemas.form_of(schemas.PREDICT_FIELDS, files=True),
        responses=schemas.answer_of("Predictions", schemas.PREDICTIONS) | schemas.UPLOAD_REFUSALS,
    )
    async def predict(request: Request) -> Response:
        """Return for every file, and every frame of it, what `medimg predict --json` says of it."""
        return await api.predict(request)

    @app.post(
        "/api/view",
        tags=["api"],
        summary="Show an image",
        response_class=schemas.Png,
        openapi_extra=schemas.form_of(schemas.VIEW_FIELDS),
        responses=schemas.picture_of("The picture, without anything of the header")
        | schemas.UPLOAD_REFUSALS
        | schemas.refusals(422),
    )
    async def view(request: Request) -> Response:
        """Return the pixels as PNG. Headers: X-Frames, X-Grey, X-Window-Centre, X-Window-Width, X-Modality."""
        return await api.view(request)

    @app.post(
        "/api/heatmap",
        tags=["api"],
        summary="Show what speaks for a class",
        response_class=schemas.Png,
        openapi_extra=schemas.form_of(schemas.HEATMAP_FIELDS),
        responses=schemas.picture_of("The picture with the heatmap over it")
        | schemas.UPLOAD_REFUSALS
        | schemas.refusals(409, 422),
    )
    async def heatmap(request: Request) -> Response:
        """Return the picture with the evidence for a class over it; 409 where there is none."""
        return await api.heatmap(request)

    @app.post(
        "/api/similar",
        tags=["api"],
        summary="Show similar training images",
        openapi_extra=schemas.form_of(schemas.SIMILAR_FIELDS),
        responses=schemas.answer_of("The three most alike", schemas.SIMILAR)
        | schemas.UPLOAD_REFUSALS
        | schemas.refusals(409, 422),
    )
    async def similar(request: Request) -> Response:
        """Return the training images most alike, with their labels; 409 where none travels with the model."""
        return await api.similar(request)


def _add_facts(app: FastAPI, api: Api) -> None:
    @app.post(
        "/api/result.pdf",
        tags=["api"],
        summary="The result as PDF",
        response_class=schemas.Pdf,
        openapi_extra=schemas.form_of(schemas.PDF_FIELDS, files=True),
        responses=schemas.answer_of("A page for each image", schemas.FILE, "application/pdf")
        | schemas.UPLOAD_REFUSALS,
    )
    async def result_pdf(request: Request) -> Response:
        """Return the predictions as a document, with rows of text in the pictures covered."""
        return await api.result_pdf(request)

    @app.get(
        "/api/model",
        tags=["api"],
        summary="The model",
        responses=schemas.answer_of("What it is and how it was measured", schemas.MODEL)
        | schemas.GUARD_REFUSALS,
    )
    async def model() -> Response:
        """Return architecture, classes, operating point with what was measured there, versions and hashes."""
        return json_response(api.engine.facts)


def _add_watch(app: FastAPI, api: Api) -> None:
    @app.get(
        "/healthz",
        tags=["watch"],
        summary="Is it alive?",
        response_class=PlainTextResponse,
        responses=schemas.text_of("It is") | schemas.refusals(421),
    )
    async def healthz() -> Response:
        return PlainTextResponse("ok\n")

    @app.get(
        "/readyz",
        tags=["watch"],
        summary="Would it take an image now?",
        response_class=PlainTextResponse,
        responses=schemas.text_of("It would") | schemas.refusals(421, 503),
    )
    async def readyz() -> Response:
        if api.load.full or api.batcher.stuck:
            raise api.load.busy()
        return PlainTextResponse("ready\n")

    @app.get(
        "/metrics",
        tags=["watch"],
        summary="Figures for Prometheus",
        response_class=PlainTextResponse,
        responses=schemas.text_of("Of all workers together") | schemas.GUARD_REFUSALS,
    )
    async def metrics() -> Response:
        _look(api)
        return PlainTextResponse(api.counters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_session(app: FastAPI, gate: Gate) -> None:
    @app.get("/login", include_in_schema=False)
    async def ask(request: Request) -> Response:
        return page.login_page(request)

    @app.post("/login", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        return await gate.sign_in(request)

    @app.post("/logout", include_in_schema=False)
    async def sign_out() -> Response:
        return gate.sign_out()


def _life_of(api: Api) -> Any:
    @asynccontextmanager
    async def life(_: FastAPI) -> AsyncIterator[None]:
        watch = asyncio.create_task(_keep_looking(api))
        api.counters.set(ready=1)
        yield
        watch.cancel()
        api.counters.set(ready=0, queue_images=0, requests=0, bytes=0)
        api.batcher.close()

    return life


async def _keep_looking(api: Api) -> None:
    """Tell the counters how things stand; end the process where a decoder is lost in a hostile file: another begins."""
    parent = os.getppid()
    while True:
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        _look(api)
        if api.batcher.stuck or os.getppid() != parent:
            signal.raise_signal(signal.SIGTERM)
            return


def _look(api: Api) -> None:
    api.counters.set(
        beat=time.monotonic(),
        queue_images=api.batcher.depth,
        requests=api.load.requests,
        bytes=api.load.bytes,
    )
