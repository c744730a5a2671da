"""The review page: flagged images in the browser, a decision for each, and nothing that leaves the machine."""

import threading
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs

import jinja2
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse

from medimg_cli.audit.decisions import ACTIONS
from medimg_cli.audit.measurements.measurements import Reader
from medimg_cli.errors import MedimgError, UsageError
from medimg_cli.images.image import UnreadableImage
from medimg_cli.images.pictures import as_png
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.web.guard import Guard
from medimg_cli.web.review.session import ReviewSession
from medimg_cli.workspace.files import templates_dir
from medimg_cli.workspace.threads import usable_cores

_SIDES_PX = {"small": 320, "large": 2048}
_SMALL_KEPT = 512
Form = dict[str, list[str]]


def review_app(session: ReviewSession, read: Reader, guard: Guard) -> FastAPI:
    """Return the application.

    Args:
        session: what is shown, and where decisions go.
        read: returns the pixels of an absolute path; raises `UnreadableImage`.
        guard: keeps everybody else out.
    """
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    guard.install(app)
    show = _renderer(session, guard)
    _add_pages(app, session, show)
    _add_forms(app, session, guard)
    _add_images(app, session, read)
    _add_static(app)
    return app


def _renderer(session: ReviewSession, guard: Guard) -> Callable[..., HTMLResponse]:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates_dir() / "review"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )

    def show(template: str, **names: object) -> HTMLResponse:
        states = session.states()
        page = environment.get_template(template).render(
            session=session, states=states, pending=session.pending(), form_token=guard.form_token, **names
        )
        return HTMLResponse(page)

    return show


def _add_pages(app: FastAPI, session: ReviewSession, show: Callable[..., HTMLResponse]) -> None:
    @app.get("/")
    def index() -> Response:
        return show("index.html")

    @app.get("/finding/{number}")
    def finding(number: int, page: int = 1) -> Response:
        found = session.page(number, page)
        if found is None:
            raise HTTPException(404, "no such page")
        return show("finding.html", page=found)

    @app.get("/decided")
    def decided() -> Response:
        return show("decided.html", cards=session.decided())


def _add_forms(app: FastAPI, session: ReviewSession, guard: Guard) -> None:
    @app.exception_handler(MedimgError)
    async def refuse(_: Request, error: Exception) -> Response:
        words = f"{error.what}: {error.hint}" if isinstance(error, MedimgError) else str(error)
        return JSONResponse({"detail": mask_identities(words)}, 400 if isinstance(error, UsageError) else 500)

    @app.post("/reviewer")
    async def introduce(request: Request) -> Response:
        session.introduce(_one(await _form_of(request, guard), "name"))
        return RedirectResponse("/", 303)

    @app.post("/decide")
    async def decide(request: Request) -> Response:
        form = await _form_of(request, guard)
        numbers, finding = [_number(text) for text in form.get("image", [])], _number(_one(form, "finding"))
        action = next((name for name in ACTIONS if name == _one(form, "decision")), None)
        if action is None or not numbers:
            raise HTTPException(400, "no such decision")
        why = _one(form, "why")
        await run_in_threadpool(session.decide, numbers, finding, action, form.get("label", []), why)
        if request.headers.get("accept") != "application/json":
            return RedirectResponse(_back(form, finding), 303)
        return JSONResponse(_answer(session, numbers, finding))

    @app.post("/apply")
    async def apply(request: Request) -> Response:
        await _form_of(request, guard)
        change = await run_in_threadpool(session.apply)
        if request.headers.get("accept") != "application/json":
            return RedirectResponse("/", 303)
        done = {
            "marked": len(change.marked),
            "restored": len(change.restored),
            "left": len(change.left_alone),
        }
        return JSONResponse(done | {"pending": session.pending()})


async def _form_of(request: Request, guard: Guard) -> Form:
    """Return the fields of a form of this page.

    Raises:
        HTTPException: it was made elsewhere.
    """
    form = parse_qs((await request.body()).decode("utf-8", "replace"), keep_blank_values=True)
    if not guard.allows_form(_one(form, "form_token")):
        raise HTTPException(403, "this form is not of this page: load the page again")
    return form


def _answer(session: ReviewSession, numbers: list[int], finding: int) -> dict[str, object]:
    cards = [session.card(number, finding) for number in numbers]
    states = session.states()
    decided = {state.number: state.decided for state in states}
    return {
        "cards": [{"number": c.number, "action": c.action, "decision": c.decision} for c in cards],
        "decided": decided.get(finding, 0),
        "pending": session.pending(),
    }


def _add_images(app: FastAPI, session: ReviewSession, read: Reader) -> None:
    decoding = threading.BoundedSemaphore(usable_cores())  # a page asks for dozens of pictures at once

    def draw(path: str, side_px: int) -> bytes:
        with decoding:
            return as_png(read(path), side_px)

    keep = lru_cache(maxsize=_SMALL_KEPT)(draw)

    @app.get("/image/{number}/{size}")
    def image(number: int, size: str) -> Response:
        path = session.path_of(number)
        if path is None or size not in _SIDES_PX:
            raise HTTPException(404, "no such image")
        try:
            png = (keep if size == "small" else draw)(path, _SIDES_PX[size])
        except UnreadableImage as reason:
            raise HTTPException(404, mask_identities(f"no picture: {reason}")) from reason
        except OSError as error:  # its text names the path, which may name a person
            raise HTTPException(404, f"no picture: {(error.strerror or 'cannot be read').lower()}") from error
        return Response(png, media_type="image/png")


def _add_static(app: FastAPI) -> None:
    folder = templates_dir()

    def text_of(*names: str) -> str:
        return "\n".join(Path(folder / name).read_text(encoding="utf-8") for name in names)

    style, script = text_of("report/style.css", "review/review.css"), text_of("review/review.js")

    @app.get("/static/review.css")
    def css() -> Response:
        return PlainTextResponse(style, media_type="text/css")

    @app.get("/favicon.ico")
    def icon() -> Response:  # browsers ask for one; there is none
        return Response(status_code=204)

    @app.get("/static/review.js")
    def js() -> Response:
        return PlainTextResponse(script, media_type="text/javascript")


def _one(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 9:
        raise HTTPException(400, "no such image or finding")
    return int(text)


def _back(form: Form, finding: int) -> str:
    """Return the page a form came from; only numbers of it are taken over."""
    page = _one(form, "page")
    if not finding:
        return "/decided" if page == "decided" else "/"
    return f"/finding/{finding}?page={_number(page or '1')}"
