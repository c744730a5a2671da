"""Settings of `serve`: where it listens, who may ask, and how much it takes."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, SecretStr, field_validator

from medimg_cli.workspace.section import PositiveInt, Section, listed

LEAST_TOKEN = 12
"""Characters of a token: 12 hexadecimal digits are 48 bits, and attempts to sign in are counted."""


class ServeSettings(Section):
    host: str = Field("127.0.0.1", description="address to listen on; any but this machine's needs a token")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(8000, description="port to listen on; 0 = any")
    token: SecretStr | None = Field(None, description="asked of everybody; empty = MEDIMG_TOKEN, or nobody")
    names: tuple[str, ...] = Field(
        (), description="further names in the header Host, such as a reverse proxy's"
    )
    proxies: tuple[str, ...] = Field(
        (), description="addresses of reverse proxies whose X-Forwarded headers are believed"
    )
    workers: PositiveInt = Field(1, description="processes that answer, each with the model in memory")
    decoders: PositiveInt | None = Field(None, description="decoding threads of each; empty = all cores")
    batch_size: PositiveInt = Field(8, description="images the model is asked for at once")
    queue: PositiveInt = Field(32, description="requests of a process under way; a further one gets 503")
    max_upload_mb: PositiveInt = Field(50, description="size of a file, in millions of bytes")
    max_request_mb: PositiveInt = Field(200, description="size of the files of one request")
    max_memory_mb: PositiveInt = Field(500, description="uploads a process holds at once")
    max_files: PositiveInt = Field(32, description="files of one request")
    max_images: PositiveInt = Field(64, description="images of one request, frames counted")
    max_megapixels: Annotated[int, Field(gt=0, le=500)] = Field(50, description="size of an image")
    requests_per_minute: Annotated[int, Field(ge=0)] = Field(600, description="of one client; 0 = any number")
    upload_seconds: PositiveInt = Field(60, description="an upload has to be here by then")
    answer_seconds: PositiveInt = Field(120, description="an upload has to be answered by then")
    grace_seconds: PositiveInt = Field(30, description="for what is under way when the server ends")
    audit_log: Path | None = Field(
        None, description="a line of hashes and answers for each image; empty = none"
    )
    open: bool = Field(False, description="open the page in the browser")

    @field_validator("names", "proxies", mode="before")
    @classmethod
    def _split_names(cls, value: Any) -> Any:
        return listed(value)
