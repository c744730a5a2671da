"""HTML into a tagged PDF, by WeasyPrint; nothing is fetched, and the same page gives the same bytes."""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from medimg_cli.errors import MachineError

_PANGO = (
    "apt-get install -y --no-install-recommends libpango-1.0-0 libpangoft2-1.0-0 "
    "libharfbuzz-subset0 fontconfig fonts-dejavu-core"
)
_NO_DATE = datetime(1980, 1, 1, tzinfo=UTC)  # an attachment must carry a date; today's would change the bytes
ALLOWED_SCHEMES = ("data",)


@dataclass(frozen=True)
class Attached:
    """A file inside the PDF: its name, its bytes, and what it is."""

    name: str
    data: bytes
    description: str


def write_pdf(target: Path | BinaryIO, html: str, attachments: Sequence[Attached] = ()) -> None:
    """Write `html` as PDF/UA-1 (ISO 14289-1: tagged, with language and title).

    The pages hold text, so they can be searched and read aloud; whether every rule of the standard is met
    is not checked here. Any address that is not a `data:` URI is refused.

    Args:
        target: file to write, or a stream.
        html: one self-contained page with `lang`, a title and a title in every drawing.
        attachments: files to carry along, such as the evaluation the numbers come from.

    Raises:
        MachineError: Pango or its companions are not installed.
    """
    weasyprint, fetcher = _load_weasyprint()
    document = weasyprint.HTML(string=html, url_fetcher=fetcher)
    identity = hashlib.sha256(html.encode())
    for attached in attachments:
        identity.update(attached.data)
    document.write_pdf(
        target,
        pdf_variant="pdf/ua-1",
        pdf_tags=True,
        attachments=[
            weasyprint.Attachment(
                string=attached.data,
                name=attached.name,
                description=attached.description,
                created=_date(),
                modified=_date(),
                relationship="Data",
                url_fetcher=fetcher,
            )
            for attached in attachments
        ],
        pdf_identifier=identity.digest()[:16],
        finisher=_scope_headers,
    )


def _scope_headers(_document: Any, pdf: Any) -> None:
    """Say of every header cell whether it heads its column or its row (ISO 14289-1, 7.5), which WeasyPrint leaves open."""
    by_number = {each.number: each for each in pdf.objects if hasattr(each, "get")}
    for row in by_number.values():
        if row.get("S") != "/TR":
            continue
        cells = [by_number[int(key.split()[0])] for key in row["K"]]
        heads = all(cell["S"] == "/TH" for cell in cells)
        for cell in cells:
            if cell["S"] == "/TH":
                cell["A"]["Scope"] = "/Column" if heads else "/Row"


def _date() -> datetime:
    """Return the date that files inside carry: of SOURCE_DATE_EPOCH (reproducible-builds.org), never today's."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", "")
    return datetime.fromtimestamp(int(epoch), tz=UTC) if epoch.isascii() and epoch.isdecimal() else _NO_DATE


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
