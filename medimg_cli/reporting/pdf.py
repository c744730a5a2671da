"""HTML into a tagged PDF, by WeasyPrint; nothing is fetched, and the same page gives the same bytes."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medimg_cli.errors import MachineError

_PANGO = (
    "apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 "
    "libharfbuzz-subset0 fontconfig fonts-dejavu-core"
)
_NO_DATE = datetime(1980, 1, 1, tzinfo=UTC)  # an attachment must carry a date; today's would change the bytes
ALLOWED_SCHEMES = ("data",)


def write_pdf(target: Path, html: str, *, attachment_name: str, attachment: bytes) -> None:
    """Write `html` as PDF/UA-1 (ISO 14289-1: tagged, with language and title).

    The pages hold text, so they can be searched and read aloud; whether every rule of the standard is met
    is not checked here. Any address that is not a `data:` URI is refused.

    Args:
        target: file to write.
        html: one self-contained page with `lang`, a title and a title in every drawing.
        attachment_name: file name of the attached data.
        attachment: their bytes, such as the evaluation the numbers come from.

    Raises:
        MachineError: Pango or its companions are not installed.
    """
    weasyprint, fetcher = _load_weasyprint()
    document = weasyprint.HTML(string=html, url_fetcher=fetcher)
    data = weasyprint.Attachment(
        string=attachment,
        name=attachment_name,
        description="The evaluation every number of this report comes from",
        created=_NO_DATE,
        modified=_NO_DATE,
        relationship="Data",
        url_fetcher=fetcher,
    )
    document.write_pdf(
        target,
        pdf_variant="pdf/ua-1",
        pdf_tags=True,
        attachments=[data],
        pdf_identifier=hashlib.sha256(html.encode() + attachment).digest()[:16],
    )


def check_pango() -> str:
    """Return what draws PDF on this machine, such as "WeasyPrint 70.0".

    Raises:
        MachineError: Pango or its companions are not installed.
    """
    weasyprint, _ = _load_weasyprint()
    return f"WeasyPrint {weasyprint.__version__} with Pango"


def _load_weasyprint() -> tuple[Any, Any]:
    """Return WeasyPrint and a fetcher that refuses all but `data:`.

    The one import below the door that does not stand at the top: it loads Pango, a system library that
    pip cannot install, and a machine without it shall still write HTML.
    """
    try:
        import weasyprint
        from weasyprint.urls import URLFetcher
    except OSError as error:
        raise MachineError(
            f"PDF needs Pango, which did not load: {str(error).splitlines()[0]}",
            f"{_PANGO} — or write --out report.html, which needs none of it",
        ) from error
    return weasyprint, URLFetcher(allowed_protocols=ALLOWED_SCHEMES, allow_redirects=False)
