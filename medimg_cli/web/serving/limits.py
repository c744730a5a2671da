"""How much one request may bring, and how much may be under way at once."""

from dataclasses import dataclass

MB = 1_000_000


@dataclass(frozen=True)
class Limits:
    """What a server takes.

    Args:
        file_bytes: of one upload.
        request_bytes: of all uploads of a request together.
        files: of one request.
        images: of one request: a file may hold several frames or pages.
        pixels: of one image, asked of its header before it is decoded.
        bytes_under_way: of all uploads that are held in memory at once.
        requests_under_way: that upload, wait or are answered at once.
        upload_seconds: a body has to be here by then.
        answer_seconds: what was uploaded has to be answered by then.
        requests_per_minute: of one client; 0 = any number.
    """

    file_bytes: int = 50 * MB
    request_bytes: int = 200 * MB
    files: int = 32
    images: int = 64
    pixels: int = 50_000_000
    bytes_under_way: int = 500 * MB
    requests_under_way: int = 32
    upload_seconds: float = 60.0
    answer_seconds: float = 120.0
    requests_per_minute: int = 600
