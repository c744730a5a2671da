"""Who gets the results: DICOM nodes by C-STORE, DICOMweb servers by STOW-RS (PS3.18, 10.5)."""

import base64
import json
import logging
import os
import secrets
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, Protocol
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit, urlunsplit

from pydicom.dataset import Dataset
from pydicom.filereader import dcmread
from pydicom.uid import (
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
)
from pynetdicom import AE, _config

from medimg_cli.errors import UsageError
from medimg_cli.workspace.files import sha256_of_text
from medimg_cli.workspace.plain_text import reason_of
from medimg_cli.workspace.serve_settings import ServeSettings

RESULTS = (SecondaryCaptureImageStorage, ComprehensiveSRStorage, EnhancedSRStorage)
VERIFICATION = "1.2.840.10008.1.1"
_DUPLICATE = 0x0111
"""Duplicate SOP instance (PS3.7, C.5.7): the peer has it."""
_SECONDS = 30.0
_SHAPE = "dicom://AE@host:port, dicoms:// for TLS, or https://host/dicom-web"
_FAILED_SEQUENCE, _STORED_SEQUENCE = "00081198", "00081199"
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)  # it writes what headers hold
_config.LOG_HANDLER_LEVEL = "none"


class PeerDownError(Exception):
    """Raised where a peer cannot take a result now; it may later. Its text says why."""


class PeerRefusesError(Exception):
    """Raised where a peer will never take a result. Its text says why."""


Send = Callable[[Path], None]
"""Deliver a result; raises `PeerDownError` or `PeerRefusesError`."""


class Peer(Protocol):
    """One that gets results."""

    @property
    def name(self) -> str:
        """Return what it is called, without a password."""

    def connected(self) -> AbstractContextManager[Send]:
        """Return a context that gives a `Send`; raises `PeerDownError`."""

    def echo(self) -> None:
        """See whether it is there; raises `PeerDownError`."""


def id_of(peer: Peer) -> str:
    """Return 12 hex digits that stand for a peer in the queue."""
    return sha256_of_text(peer.name)[:12]


def tls_of(settings: ServeSettings, *, server: bool) -> ssl.SSLContext | None:
    """Return the TLS context of own certificate and of those who sign others'; None without any.

    Raises:
        UsageError: the node lacks a certificate, or a file cannot be used.
    """
    cert, ca = settings.dicom_cert, settings.dicom_ca
    if cert is None and (server or ca is None):
        if ca is None:
            return None
        raise UsageError(
            "serve.dicom_ca asks callers for certificates, and there is none of our own",
            "give serve.dicom_cert",
        )
    try:
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH if server else ssl.Purpose.SERVER_AUTH, cafile=ca
        )
        if cert is not None:
            context.load_cert_chain(cert, settings.dicom_key)
    except OSError as error:  # also of ssl
        raise UsageError(
            f"TLS cannot be used: {reason_of(error)}", "give PEM files in serve.dicom_cert, _key and _ca"
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if server and ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass(frozen=True)
class DicomPeer:
    """A node that takes C-STORE.

    Args:
        own: our title.
        ae: its title.
        tls: None = plain TCP.
    """

    own: str
    ae: str
    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        return f"dicom{'s' if self.tls else ''}://{self.ae}@{self.host}:{self.port}"

    @contextmanager
    def connected(self) -> Iterator[Send]:
        with self._associated(RESULTS) as association:
            yield lambda path: _store(association, dcmread(path))

    def echo(self) -> None:
        with self._associated((VERIFICATION,)) as association:
            if getattr(association.send_c_echo(), "Status", None) != 0:
                raise PeerDownError("it does not answer C-ECHO")

    @contextmanager
    def _associated(self, classes: tuple[str, ...]) -> Iterator[Any]:
        entity = AE(self.own)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _SECONDS
        entity.connection_timeout = 10.0
        for uid in classes:
            entity.add_requested_context(uid, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
        tls = None if self.tls is None else (self.tls, self.host)
        association = entity.associate(self.host, self.port, ae_title=self.ae, tls_args=tls)
        if not association.is_established:
            raise PeerDownError(
                "it refuses associations" if association.is_rejected else "it does not answer"
            )
        answers_alone(association)
        try:
            yield association
        finally:
            if association.is_established:
                association.release()


def answers_alone(association: Any) -> None:
    """Keep pynetdicom's reactor from taking the answer that a request waits for, which it does now and then on busy cores."""
    take = association.dimse.get_msg
    association.dimse.get_msg = lambda block=False: take(block=True) if block else (None, None)


def _store(association: Any, dataset: Dataset) -> None:
    if not association.is_established:
        raise PeerDownError("it ended the association")
    try:
        answer = association.send_c_store(dataset)
    except ValueError as error:  # no context for it was accepted
        raise PeerRefusesError(f"it takes no {dataset.SOPClassUID.name}") from error
    except RuntimeError as error:
        raise PeerDownError("it ended the association") from error
    status = getattr(answer, "Status", None)
    if status is None or status & 0xFF00 == 0xA700 or status == 0x0124:
        raise PeerDownError("it gives no answer" if status is None else f"status 0x{status:04X}")
    if status not in (0, _DUPLICATE) and status & 0xF000 != 0xB000:
        raise PeerRefusesError(f"status 0x{status:04X}")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows none: a POST would become a GET that stores nothing, and the token go to whomever was named."""

    def redirect_request(self, *_: Any) -> None:
        return None


@dataclass(frozen=True)
class WebPeer:
    """A DICOMweb server that takes STOW-RS.

    Args:
        name: address of the service, without user and password.
        authorization: of the header of that name, "" for none.
    """

    name: str
    authorization: str
    tls: ssl.SSLContext | None = None

    @contextmanager
    def connected(self) -> Iterator[Send]:
        yield self._store

    def echo(self) -> None:
        self._ask(f"{self.name}/studies?limit=1", None, {"Accept": "application/dicom+json"})

    def _store(self, path: Path) -> None:
        mark = secrets.token_hex(16)
        head, tail = f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n", f"\r\n--{mark}--\r\n"
        kind = f'multipart/related; type="application/dicom"; boundary={mark}'
        body = head.encode() + path.read_bytes() + tail.encode()
        text = self._ask(
            f"{self.name}/studies", body, {"Content-Type": kind, "Accept": "application/dicom+json"}
        )
        try:
            answer = json.loads(text)
            stored, failed = (
                answer.get(tag, {}).get("Value") for tag in (_STORED_SEQUENCE, _FAILED_SEQUENCE)
            )
        except (ValueError, AttributeError):
            stored = failed = None
        if failed:
            raise PeerRefusesError("it did not store the result")
        if not stored:  # a page to sign in, say: taking it for success would lose the result
            raise PeerDownError("it does not answer as STOW-RS does")

    def _ask(self, url: str, body: bytes | None, headers: dict[str, str]) -> bytes:
        if self.authorization:
            headers = {**headers, "Authorization": self.authorization}
        request = urllib.request.Request(url, body, headers)
        try:
            secure = urllib.request.HTTPSHandler(context=self.tls)
            with urllib.request.build_opener(_NoRedirects, secure).open(request, timeout=_SECONDS) as answer:
                return bytes(answer.read(1 << 20))
        except HTTPError as error:
            if error.code in (400, 409, 413, 415):
                raise PeerRefusesError(f"HTTP status {error.code}") from error
            raise PeerDownError(f"HTTP status {error.code}") from error
        except (URLError, HTTPException, OSError, ValueError) as error:
            raise PeerDownError(f"it does not answer ({type(error).__name__})") from error


def peers_of(settings: ServeSettings) -> list[Peer]:
    """Return those that `--send-to` names.

    Raises:
        UsageError: one has no address of a peer, or TLS cannot be used.
    """
    tls = tls_of(settings, server=False)
    token = os.environ.get("MEDIMG_DICOM_TOKEN", "")  # options are seen, and settings are shared
    return [_peer_of(text, settings.ae, tls, token) for text in settings.send_to]


def _peer_of(text: str, own: str, tls: ssl.SSLContext | None, token: str) -> Peer:
    """Return one of them; a user and password in the address of a DICOMweb server go before the token."""
    wrong = UsageError(f"--send-to …{text.rpartition('@')[2]} is no address of a peer", _SHAPE)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise wrong from error
    if parts.scheme in ("dicom", "dicoms") and parts.username and parts.hostname and port:
        title = unquote(parts.username)
        if len(title) <= 16 and parts.path in ("", "/"):
            secure = (tls or ssl.create_default_context()) if parts.scheme == "dicoms" else None
            return DicomPeer(own, title, parts.hostname, port, secure)
    if parts.scheme in ("http", "https") and parts.hostname:
        host = parts.netloc.rpartition("@")[2]
        authorization = f"Bearer {token}" if token else ""
        if parts.username:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        url = urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))
        return WebPeer(url, authorization, tls if parts.scheme == "https" else None)
    raise wrong
