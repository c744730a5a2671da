"""Uploads, taken apart while they arrive: in memory, within limits, and never on the disk.

FastAPI's own forms write what is larger than a megabyte into temporary files; images of patients do not belong there.
"""

import hashlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from io import BytesIO

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from medimg_cli.images.image import HEAD_BYTES, sniff_format
from medimg_cli.privacy.forms.names import mask_identities
from medimg_cli.web.serving.access import Ticket
from medimg_cli.web.serving.refusals import Refusal
from medimg_cli.web.serving.worker_config import MB, Limits

FILE_FIELDS = ("files", "file")
ARCHIVES = frozenset(["zip", "tar", "gzip", "npz", "npy"])
_MOST_FIELDS, _MOST_FIELD_BYTES = 16, 4096
_MOST_OVERHEAD_BYTES = 1 << 20  # boundaries and headers of the parts
_NO_FORM = "Send multipart/form-data with the images in it."


@dataclass(frozen=True)
class Upload:
    """One file as it came.

    Args:
        name: what the client calls it; for its own answer only, never for a path, a log or a metric.
        data: its bytes.
        sha256: of the bytes.
        image_format: in the words of `images.image.sniff_format`, None where nobody knows it.
    """

    name: str
    data: memoryview
    sha256: str
    image_format: str | None

    def stream(self) -> BytesIO:
        """Return the bytes to read from the start; each reader has its own."""
        return BytesIO(self.data)


@dataclass(frozen=True)
class Form:
    """What a request brought: its uploads in order, and its plain fields."""

    files: tuple[Upload, ...]
    fields: dict[str, str]


class _Part:
    def __init__(self) -> None:
        self.disposition = b""
        self.name, self.filename = "", None
        self.data = BytesIO()
        self.sniffed = False

    name: str
    filename: str | None


class _Taker:
    """Callbacks of the parser; they raise a `Refusal` as soon as a limit is passed."""

    def __init__(self, limits: Limits, ticket: Ticket) -> None:
        self._limits, self._ticket = limits, ticket
        self._part = _Part()
        self._field, self._value = b"", b""
        self._overhead = self._file_bytes = self._fields = 0
        self.files: list[Upload] = []
        self.fields: dict[str, str] = {}
        self.ended = False

    def on_part_begin(self) -> None:
        self._part = _Part()

    def on_header_begin(self) -> None:
        self._field, self._value = b"", b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._field += self._counted(data[start:end])

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._counted(data[start:end])

    def on_header_end(self) -> None:
        if self._field.lower() == b"content-disposition":
            self._part.disposition = self._value

    def on_headers_finished(self) -> None:
        _, options = parse_options_header(self._part.disposition.decode("latin-1"))
        self._part.name = options.get(b"name", b"").decode("latin-1")
        if b"filename" in options:
            self._part.filename = options[b"filename"].decode("latin-1")
            if self._part.name not in FILE_FIELDS:
                raise Refusal(400, "bad_request", "Files belong into the fields files or file.")
            if len(self.files) >= self._limits.files:
                raise Refusal(413, "too_many", f"A request takes {self._limits.files} files at most.")
            return
        self._fields += 1
        if self._fields > _MOST_FIELDS:
            raise Refusal(413, "too_many", "The form has too many fields.")

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part, count = self._part, end - start
        size = part.data.tell() + count
        if part.filename is None:
            if size > _MOST_FIELD_BYTES:
                raise Refusal(413, "too_large", "A field of the form is too long.")
        else:
            self._check_file(size, count)
        part.data.write(memoryview(data)[start:end])
        if part.filename is not None and not part.sniffed and size >= HEAD_BYTES:
            self._format_of(part)

    def on_part_end(self) -> None:
        part = self._part
        if part.filename is None:
            self.fields[part.name] = part.data.getvalue().decode("utf-8", "replace")
            return
        if not part.filename and not part.data.tell():
            return  # a form whose file chooser was left empty
        found = self._format_of(part)
        data = part.data.getbuffer()
        digest = hashlib.sha256(data).hexdigest()
        self.files.append(Upload(_decoded(part.filename), data.toreadonly(), digest, found))

    def on_end(self) -> None:
        self.ended = True

    def _counted(self, data: bytes) -> bytes:
        self._overhead += len(data)
        if self._overhead > _MOST_OVERHEAD_BYTES:
            raise Refusal(413, "too_large", "The form's headers are too long.")
        return data

    def _check_file(self, size: int, count: int) -> None:
        self._file_bytes += count
        if size > self._limits.file_bytes:
            raise too_large(self._limits)
        if self._file_bytes > self._limits.request_bytes:
            most = self._limits.request_bytes // MB
            raise Refusal(413, "too_large", f"The files of a request have {most} MB at most together.")
        self._ticket.hold(count)

    def _format_of(self, part: _Part) -> str | None:
        """Return the format by content; raises `Refusal` of an archive."""
        part.sniffed = True
        found = sniff_format(bytes(part.data.getbuffer()[:HEAD_BYTES]))
        if found in ARCHIVES:
            detail = "Archives and arrays are not taken; send the images themselves."
            raise Refusal(415, "archive", detail)
        return found


def too_large(limits: Limits) -> Refusal:
    """Return the refusal of a file that passes the limit."""
    return Refusal(413, "too_large", f"A file has {limits.file_bytes // MB} MB at most.")


async def receive_form(request: Request, limits: Limits, ticket: Ticket) -> Form:
    """Return the form of a request; it is read until a limit is passed, and no further.

    Raises:
        Refusal: no multipart form, too large, too many files, an archive, too slow, or no room for it now.
        ClientDisconnect: the client went away.
    """
    taker = _Taker(limits, ticket)
    parser = _parser_for(request, taker)
    length = request.headers.get("content-length")
    if length is not None and (len(length) > 18 or int(length) > limits.request_bytes + _MOST_OVERHEAD_BYTES):
        raise Refusal(413, "too_large", f"A request has {limits.request_bytes // MB} MB at most.")
    try:
        async with ticket.uploading():
            async for chunk in _chunks(request):
                if chunk:
                    ticket.hear()
                parser.write(chunk)
            if not taker.ended:
                raise Refusal(400, "bad_request", f"The form ends in the middle. {_NO_FORM}")
    except TimeoutError as error:
        detail = f"The upload took longer than {limits.upload_seconds:g} s, or stopped on the way."
        raise Refusal(408, "bad_request", detail) from error
    except (FormParserError, UnicodeDecodeError) as error:
        raise Refusal(400, "bad_request", f"The form is malformed. {_NO_FORM}") from error
    return Form(tuple(taker.files), taker.fields)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def _parser_for(request: Request, taker: _Taker) -> MultipartParser:
    kind, options = parse_options_header(request.headers.get("content-type"))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise Refusal(400, "bad_request", _NO_FORM)
    names = ("part_begin", "header_begin", "header_field", "header_value", "header_end", "headers_finished")
    callbacks = {
        f"on_{name}": getattr(taker, f"on_{name}") for name in (*names, "part_data", "part_end", "end")
    }
    try:
        return MultipartParser(boundary, callbacks)  # type: ignore[arg-type]
    except FormParserError as error:
        raise Refusal(400, "bad_request", _NO_FORM) from error


def _decoded(name: str) -> str:
    """Return a file name as the browser meant it: bytes of UTF-8 that the parser gave as Latin-1."""
    return name.encode("latin-1", "replace").decode("utf-8", "replace")


LONGEST_NAME = 80
_FOLDERS = re.compile(r"^.*[/\\]", re.DOTALL)


def shown_name(name: str, member: str | None = None) -> str:
    r"""Return an upload's own file name, and the frame of it, fit to be shown.

    >>> shown_name("C:\\scans\\Doe_Jane_1980-02-03.png")
    'xxx_xxxx_####-##-##.png'
    """
    plain = "".join(sign if sign.isprintable() else " " for sign in _FOLDERS.sub("", name))
    masked = mask_identities(" ".join(plain.split()))
    if len(masked) > LONGEST_NAME:
        half = LONGEST_NAME // 2
        masked = f"{masked[:half]}…{masked[1 - half :]}"
    masked = masked or "image"
    return masked if member is None else f"{masked}#{member}"
