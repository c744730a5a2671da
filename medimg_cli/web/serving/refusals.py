"""How the server says no: one JSON object with a code that the page translates, never a stack trace."""

from typing import Literal

from fastapi.responses import JSONResponse

Code = Literal[
    "too_large", "too_many", "too_many_pixels", "unreadable", "archive", "empty", "busy", "rate_limited",
    "unauthorised", "forbidden", "not_found", "no_heatmap", "no_similar", "bad_request", "internal",
]  # fmt: skip
"""What went wrong, for programs and for the catalogue of the page's words."""


class Refusal(Exception):  # noqa: N818 -- an answer, not a failure
    """Raised where a request is not granted.

    Args:
        status: of HTTP.
        code: see `Code`.
        detail: one English sentence without file names, paths or values of the upload.
        retry_after: seconds after which asking again makes sense, None where it does not.
    """

    def __init__(self, status: int, code: Code, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.code: Code = code
        self.detail = detail
        self.retry_after = retry_after

    def response(self) -> JSONResponse:
        """Return it as an answer."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 401:
            headers["WWW-Authenticate"] = "Bearer"  # RFC 9110, 11.6.1
        return JSONResponse({"error": self.code, "detail": self.detail}, self.status, headers)
