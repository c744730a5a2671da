"""Settings of `serve`: where it listens, who may ask, and how much it takes."""

from pathlib import Path

from pydantic import SecretStr

from medimg_cli.workspace.section import PositiveInt, Section, Several, setting
from medimg_cli.workspace.workspace import Workspace

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
    page: bool = setting(True, "serve the upload page and the API", option=False)
    dicom_port: int | None = setting(
        None, "take DICOM objects on this port too; 0 = any", unset="none", ge=0, le=65535, panel="DICOM"
    )
    ae: str = setting("MEDIMG", "own AE title", metavar="TITLE", min_length=1, max_length=16, panel="DICOM")
    send_to: Several[str] = setting(
        (),
        "who gets the results: dicom://AE@HOST:PORT, dicoms:// for TLS, https://HOST/dicom-web (MEDIMG_DICOM_TOKEN)",
        metavar="PEER",
        repeated=True,
        panel="DICOM",
    )
    dicom_host: str = setting(
        "127.0.0.1",
        "address that DICOM listens on; any but this machine's needs dicom_addresses or dicom_ca",
        option=False,
    )
    dicom_queue: Path | None = setting(
        None,
        "folder of objects that wait for answer or delivery",
        unset="dicom-queue in the workspace",
        option=False,
    )
    dicom_callers: Several[str] = setting((), "AE titles that may call", unset="any", option=False)
    dicom_addresses: Several[str] = setting(
        (), "addresses and networks that may connect", unset="any", option=False
    )
    dicom_cert: Path | None = setting(
        None, "own certificate (PEM), for DICOM over TLS", unset="no TLS", option=False
    )
    dicom_key: Path | None = setting(
        None, "its private key (PEM)", unset="in the certificate's file", option=False
    )
    dicom_ca: Path | None = setting(
        None, "who signs the certificates of callers and peers (PEM)", unset="none is asked for", option=False
    )
    dicom_associations: PositiveInt = setting(8, "associations at once", option=False)
    dicom_reserve_mb: int = setting(
        1000, "room on the disk, for results, below which objects are refused", option=False, unit="MB", ge=50
    )
    dicom_exam_seconds: PositiveInt = setting(
        60, "an exam is answered when so long no image of it came", option=False, unit="seconds"
    )
    dicom_retry_seconds: PositiveInt = setting(
        300, "longest pause before a peer that is down is tried again", option=False, unit="seconds"
    )


def queue_of(workspace: Workspace, settings: ServeSettings) -> Path:
    """Return the folder of a DICOM node's queue."""
    return settings.dicom_queue or workspace.root / "dicom-queue"
