"""Settings of `serve`: where it listens, who may ask, and how much it takes."""

from pathlib import Path

from pydantic import SecretStr

from medimg_cli.workspace.section import PositiveInt, Section, Several, setting

LEAST_TOKEN = 12
"""Characters of a token: 12 hexadecimal digits are 48 bits, and attempts to sign in are counted."""


class ServeSettings(Section):
    host: str = setting("127.0.0.1", "address to listen on; any but this machine's needs a token")
    port: int = setting(8000, "port to listen on; 0 = any", ge=0, le=65535)
    token: SecretStr | None = setting(
        None,
        "asked of everybody; needed on any other host; better in the environment, as options are seen",
        unset="MEDIMG_TOKEN, or nobody is asked",
        envvar="MEDIMG_TOKEN",
    )
    names: Several[str] = setting(
        (), "further names in the header Host, such as a reverse proxy's", option=False
    )
    proxies: Several[str] = setting(
        (), "addresses of reverse proxies whose X-Forwarded headers are believed", option=False
    )
    workers: PositiveInt = setting(1, "processes that answer, each with the model in memory")
    open: bool = setting(False, "open the page in the browser", flags="--open/--no-open")
    prevalence: float | None = setting(
        None,
        "share of this place's patients with the disease, for predictive values",
        unset="none",
        gt=0,
        lt=1,
    )
    audit_log: Path | None = setting(None, "record hashes and answers, a line an image", unset="none")
    decoders: PositiveInt | None = setting(
        None, "decoding threads of each process", unset="all cores", option=False
    )
    batch_size: PositiveInt = setting(8, "images the model is asked for at once", option=False, unit="images")
    queue: PositiveInt = setting(
        32, "requests of a process under way; a further one gets 503", option=False, unit="requests"
    )
    max_upload_mb: PositiveInt = setting(50, "size of a file", unit="MB", panel="Limits")
    max_request_mb: PositiveInt = setting(200, "size of the files of one request", option=False, unit="MB")
    max_memory_mb: PositiveInt = setting(500, "uploads a process holds at once", option=False, unit="MB")
    max_files: PositiveInt = setting(32, "files of one request", option=False, unit="files")
    max_images: PositiveInt = setting(
        64, "images of one request, frames counted", option=False, unit="images"
    )
    max_megapixels: int = setting(50, "size of an image", option=False, unit="megapixels", gt=0, le=500)
    requests_per_minute: int = setting(
        600, "requests a minute of one client; 0 = any number", ge=0, panel="Limits"
    )
    upload_seconds: PositiveInt = setting(
        60, "an upload has to be here by then", option=False, unit="seconds"
    )
    decode_seconds: PositiveInt = setting(30, "an image has to be read by then", option=False, unit="seconds")
    answer_seconds: PositiveInt = setting(
        120, "an upload has to be answered by then", option=False, unit="seconds"
    )
    grace_seconds: PositiveInt = setting(
        30, "for what is under way when the server ends", option=False, unit="seconds"
    )
