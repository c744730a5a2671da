"""What the API does with uploads: predict, show, explain, and the same as a document.

Nothing is kept: the client sends a file again for each of them.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from fastapi import Request, Response
from starlette.requests import ClientDisconnect

from medimg_cli.dataset.labels import LabelSpace
from medimg_cli.errors import MachineError
from medimg_cli.images.image import TooManyPixels, UnreadableImage
from medimg_cli.images.pictures import as_png
from medimg_cli.predictions.exam_answers import answer_of_exam, kept_of
from medimg_cli.predictions.prediction import Prediction
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.privacy.pixels.text_policy import covered
from medimg_cli.runs.run import Exams
from medimg_cli.web.serving import pictures
from medimg_cli.web.serving.access import Load, Ticket, client_of
from medimg_cli.web.serving.audit_log import AuditLog
from medimg_cli.web.serving.batching import Batcher, StuckError
from medimg_cli.web.serving.engine import Engine, NoHeatmapError, NoSimilarError
from medimg_cli.web.serving.page import Result, result_page
from medimg_cli.web.serving.prometheus import Counters
from medimg_cli.web.serving.refusals import Code, Refusal
from medimg_cli.web.serving.sentences import texts_in_all
from medimg_cli.web.serving.uploads import Form, Upload, receive_form, shown_name
from medimg_cli.web.serving.worker_config import Limits
from medimg_cli.workspace.files import to_jsonable

SCHEMA = 1
REQUEST_ID = "medimg.request_id"
_PDF_PX = 1200
_FAILED = "the image made the program fail"
Given = TypeVar("Given")


@dataclass(frozen=True)
class UploadAnswer:
    """One image of a request with its prediction.

    Args:
        member: the frame or page, None of a file that is one image.
        error: a code for what is wrong with it, None where nothing is.
    """

    upload: Upload
    member: str | None
    prediction: Prediction
    error: Code | None = None

    def entry(self) -> dict[str, Any]:
        """Return it as `predict --json` has it, and the code beside it."""
        words = self.prediction.entry(shown_name(self.upload.name, self.member))
        return words | {"message": mask_identities(words["message"] or "") or None, "error": self.error}


class Api:
    """The routes' work in one process.

    Args:
        engine: the model.
        batcher: its threads.
        load: what is under way.
        counters: what is counted.
        audit: where answers are recorded first, None where nobody asked for it.
    """

    def __init__(
        self, engine: Engine, batcher: Batcher, load: Load, counters: Counters, audit: AuditLog | None = None
    ) -> None:
        self.engine, self.batcher, self.load, self.counters, self.audit = (
            engine,
            batcher,
            load,
            counters,
            audit,
        )
        self._slow: set[str] = set()
        self._one_pdf = asyncio.Semaphore(1)  # drawing one takes a core for a second and more

    @property
    def limits(self) -> Limits:
        """Return what a request may bring."""
        return self.load.limits

    async def predict(self, request: Request) -> Response:
        """Answer `POST /api/predict`."""

        async def work(form: Form) -> Response:
            answers = await self._answer(request, form.files)
            whole = {
                "schema": SCHEMA,
                "command": "predict",
                "model": self.identity(),
                "predictions": [self._entry(answer, form) for answer in answers],
            }
            if form.fields.get("exam"):
                whole["exam"] = self._exam(answers, form)
            return json_response(whole)

        return await self._serve(request, work)

    def _entry(self, answer: UploadAnswer, form: Form) -> dict[str, Any]:
        """Return what JSON says of an image, for the page also in the words of every language."""
        entry: dict[str, Any] = to_jsonable(answer.entry())
        return entry | {"said": texts_in_all(entry, self.engine.facts)} if form.fields.get("said") else entry

    def _exam(self, answers: Sequence[UploadAnswer], form: Form) -> dict[str, Any]:
        """Return what JSON says of all images of a request as one exam; `driven_by_index` is a place in `predictions`."""
        facts = self.engine.facts
        if not facts.get("exams"):
            raise Refusal(400, "bad_request", "The model answers images alone, not exams.")
        by = Exams.model_validate(facts["exams"])
        labels = LabelSpace(tuple(facts["classes"]), facts["positive"], facts["answers"] == "sigmoid")
        kept = [kept_of(str(place), each.prediction) for place, each in enumerate(answers)]
        answer = answer_of_exam("", kept, by, labels)
        driver = None if answer.driven_by is None else int(answer.driven_by)
        entry: dict[str, Any] = to_jsonable(answer.entry()) | {"driven_by_index": driver}
        entry["driven_by"] = None if driver is None else answers[driver].entry()["path"]
        if not form.fields.get("said"):
            return entry
        own = {"threshold": facts["exams"]["threshold"], "thresholds": facts["exams"]["thresholds"]}
        return entry | {"said": texts_in_all(entry, {**facts, **own, "tested": None, "limits": None})}

    async def view(self, request: Request) -> Response:
        """Answer `POST /api/view`."""

        async def work(form: Form) -> Response:
            asked = pictures.asked_of(form)
            png, headers = await self._read(partial(pictures.draw, self.engine), _only_file(form), asked)
            return Response(png, media_type="image/png", headers=headers)

        return await self._serve(request, work)

    async def heatmap(self, request: Request) -> Response:
        """Answer `POST /api/heatmap`."""

        async def work(form: Form) -> Response:
            png = await self._read(self._heatmap, _only_file(form), form)
            return Response(png, media_type="image/png")

        return await self._serve(request, work)

    async def similar(self, request: Request) -> Response:
        """Answer `POST /api/similar`."""

        async def work(form: Form) -> Response:
            cases = await self._read(self._similar, _only_file(form), form)
            return json_response({"schema": SCHEMA, "model": self.identity(), "cases": cases})

        return await self._serve(request, work)

    async def result_pdf(self, request: Request) -> Response:
        """Answer `POST /api/result.pdf`."""

        async def work(form: Form) -> Response:
            answers = await self._answer(request, form.files)
            longest = self.limits.answer_seconds
            shown = await asyncio.gather(
                *(self.batcher.do(self._with_picture, answer, seconds=longest) for answer in answers)
            )
            async with self._one_pdf:
                pdf = await self.batcher.do(self._pdf, shown, form.fields.get("lang"), seconds=longest)
            headers = {"Content-Disposition": 'attachment; filename="medimg-result.pdf"'}
            return Response(pdf, media_type="application/pdf", headers=headers)

        return await self._serve(request, work)

    def identity(self) -> dict[str, Any]:
        """Return which model answered, as every answer says."""
        names = ("run", "arch", "weights_sha256", "medimg")
        return {name: self.engine.facts.get(name) for name in names}

    async def _serve(self, request: Request, work: Callable[[Form], Awaitable[Response]]) -> Response:
        """Take a place among the requests, read the form, and answer it unless the client goes away."""
        try:
            with Ticket(self.load, client_of(request)) as ticket:
                form = await receive_form(request, self.limits, ticket)
                if not form.files:
                    raise Refusal(400, "empty", "The form holds no file.")
                began = time.monotonic()
                response = await self._unless_gone(request, work(form))
                ticket.took(time.monotonic() - began)
                return response
        except asyncio.CancelledError:
            self.load.cut_short += 1
            raise

    async def _unless_gone(self, request: Request, work: Awaitable[Response]) -> Response:
        """Return what is worked out.

        Raises:
            ClientDisconnect: nobody waits for it any more.
            Refusal: it takes too long.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_disconnected(request))
        try:
            done, _ = await asyncio.wait(
                {task, gone}, timeout=self.limits.answer_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            if task in done:
                return task.result()
            if gone in done:
                raise ClientDisconnect
            raise self.load.busy()
        finally:
            for one in (task, gone):
                one.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.gather(task, gone, return_exceptions=True)

    async def _answer(self, request: Request, files: Sequence[Upload]) -> list[UploadAnswer]:
        """Return a prediction for every image of the uploads, in order, once they stand in the audit log."""
        counts = await asyncio.gather(*(self._frames(upload) for upload in files))
        if sum(counts) > self.limits.images:
            raise Refusal(413, "too_many", f"A request takes {self.limits.images} images and frames at most.")
        pairs = [
            (upload, pictures.member_of(upload, count, frame))
            for upload, count in zip(files, counts, strict=True)
            for frame in range(count)
        ]
        answers = list(await asyncio.gather(*(self._answer_one(*pair) for pair in pairs)))
        if self.audit is not None:
            lines = [(one.upload.sha256, one.member, one.prediction) for one in answers]
            path = request.url.path
            await asyncio.to_thread(self.audit.write, request.scope.get(REQUEST_ID, ""), path, lines)
        answered = sum(one.prediction.status == "ok" for one in answers)
        self.counters.answered_images(answered, len(answers) - answered)
        return answers

    async def _frames(self, upload: Upload) -> int:
        try:
            return await self._timed(self.engine.frames, upload)
        except UnreadableImage:  # reading it says why
            return 1

    async def _timed(self, work: Callable[..., Given], upload: Upload, *more: object) -> Given:
        """Return what a thread makes of an upload; one that takes too long is asked nothing more.

        Raises:
            UnreadableImage: it takes too long, or whatever `work` raises.
        """
        seconds = self.limits.decode_seconds
        slow = f"reading it takes longer than {seconds:g} s"
        if upload.sha256 in self._slow:
            raise UnreadableImage(slow)
        try:
            return await self.batcher.do(work, upload, *more, seconds=seconds)
        except StuckError as error:
            self._slow.add(upload.sha256)  # it would take another thread; the process ends soon
            raise UnreadableImage(slow) from error

    async def _answer_one(self, upload: Upload, member: str | None) -> UploadAnswer:
        try:
            prepared = await self._timed(self.engine.prepare, upload, member)
            return UploadAnswer(upload, member, await self.batcher.ask(prepared))
        except UnreadableImage as reason:
            return UploadAnswer(upload, member, self.engine.unreadable(str(reason)), _code_of(reason, upload))
        except Exception as error:  # whatever it is, it is this image's fault and nobody else's
            say_failed(error)
            return UploadAnswer(upload, member, self.engine.unreadable(_FAILED), "internal")

    async def _read(self, work: Callable[..., Given], upload: Upload, *more: object) -> Given:
        """Return what a thread makes of one image; raises `Refusal` where that cannot be."""
        try:
            return await self._timed(work, upload, *more)
        except TooManyPixels as reason:
            raise Refusal(413, "too_many_pixels", _sentence(reason)) from reason
        except UnreadableImage as reason:
            raise Refusal(422, "unreadable", _sentence(reason)) from reason
        except NoHeatmapError as reason:
            raise Refusal(409, "no_heatmap", _sentence(reason)) from reason
        except NoSimilarError as reason:
            raise Refusal(409, "no_similar", _sentence(reason)) from reason
        except Refusal:
            raise
        except Exception as error:  # as in `_answer_one`
            say_failed(error)
            raise Refusal(422, "unreadable", f"{_FAILED.capitalize()}.") from error

    def _heatmap(self, upload: Upload, form: Form) -> bytes:
        frames = self.engine.frames(upload)
        member = pictures.asked_member(upload, frames, pictures.frame_of(form))
        label = form.fields.get("label") or None
        if label is not None and label not in self.engine.facts["classes"]:
            raise Refusal(400, "bad_request", "The model has no such class.")
        image = self.engine.read(upload, member)
        shown = covered(image)
        return pictures.png_of(self.engine.heatmap(upload, member, label, shown))

    def _similar(self, upload: Upload, form: Form) -> list[dict[str, Any]]:
        member = pictures.asked_member(upload, self.engine.frames(upload), pictures.frame_of(form))
        return [
            {
                "label": one.label,
                "likeness": one.likeness,
                "picture": base64.b64encode(pictures.png_of(one.picture)).decode(),
            }
            for one in self.engine.similar(upload, member)
        ]

    def _with_picture(self, answer: UploadAnswer) -> Result:
        picture = None
        with suppress(UnreadableImage):
            if answer.prediction.status != "unreadable":
                image = self.engine.read(answer.upload, answer.member)
                picture = as_png(covered(image), _PDF_PX)
        return Result(answer.entry(), picture)

    def _pdf(self, shown: Sequence[Result], language: str | None) -> bytes:
        html = result_page(self.engine.facts, shown, language, datetime.now(UTC).date())
        try:
            return self.engine.to_pdf(html)
        except MachineError as error:
            raise Refusal(503, "internal", "This server cannot write PDF: Pango is missing.") from error


async def _disconnected(request: Request) -> None:
    """Return once the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def json_response(content: Mapping[str, Any], status: int = 200) -> Response:
    """Return JSON as the command line writes it: floats in full, NaN as null."""
    text = json.dumps(to_jsonable(content), ensure_ascii=False, allow_nan=False)
    return Response(text.encode("utf-8", "replace"), status, media_type="application/json")


def say_failed(error: BaseException) -> None:
    """Tell whoever runs the server that something is wrong in it; the text of an error may quote a header."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = f" at {place.tb_frame.f_code.co_name}:{place.tb_lineno}" if place is not None else ""
    sys.stderr.write(f"error: {type(error).__name__}{where} while answering\n")
    sys.stderr.flush()


def _only_file(form: Form) -> Upload:
    if len(form.files) != 1:
        raise Refusal(400, "bad_request", "One file at a time.")
    return form.files[0]


def _code_of(reason: UnreadableImage, upload: Upload) -> Code:
    if isinstance(reason, TooManyPixels):
        return "too_many_pixels"
    return "unreadable" if len(upload.data) else "empty"


def _sentence(reason: Exception) -> str:
    text = mask_identities(str(reason)).rstrip(".")
    return f"{text[:1].upper()}{text[1:]}."
