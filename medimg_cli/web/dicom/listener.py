"""The DICOM listener: C-ECHO and C-STORE by pynetdicom, within limits; what is stored is not looked into here."""

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from functools import partial
from socketserver import BaseServer
from threading import Thread
from threading import enumerate as enumerate_threads
from typing import Any

from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, evt, sop_class
from pynetdicom.association import Association
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.transport import ThreadedAssociationServer

from medimg_cli.errors import MachineError, UsageError
from medimg_cli.web.dicom.peers import VERIFICATION, tls_of
from medimg_cli.web.dicom.queue import NoRoomError, Queue
from medimg_cli.web.serving.worker_config import is_loopback
from medimg_cli.workspace.serve_settings import ServeSettings

OUT_OF_RESOURCES = 0xA700
"""Refused: out of resources (PS3.4, table B.2-1)."""
_NOT_UNDERSTOOD = 0xC000
_PDU_BYTES = 65_536
_MOST_PDU_BYTES = 1 << 20
"""Of any PDU that is taken; a request of 128 contexts with all transfer syntaxes has less than half of it."""
_PDU_SECONDS = 30.0
_HANDSHAKE_SECONDS = 10.0
_MOST_WAITING = 2
"""Messages of an association that nobody has looked at yet; asynchronous operations are not offered."""


def transfer_syntaxes() -> list[str]:
    """Return the transfer syntaxes whose pixels this machine reads."""

    def is_read(uid: Any) -> bool:
        if uid.is_encapsulated:
            try:
                return bool(get_decoder(uid).is_available)
            except NotImplementedError:
                return False
        return bool(uid.is_transfer_syntax) and "SMPTE" not in uid.name

    return [uid for uid in AllTransferSyntaxes if is_read(uid)]


def image_classes() -> list[str]:
    """Return the storage SOP classes of images."""
    return [uid for name, uid in sop_class._STORAGE_CLASSES.items() if "Image" in name]


class _Server(ThreadedAssociationServer):
    """pynetdicom's server, with limits that it does not have: on addresses, connections and handshakes."""

    daemon_threads, block_on_close, request_queue_size = True, False, 64
    networks: Sequence[Any] = ()
    most: int
    tls: ssl.SSLContext | None
    count: Callable[..., None]

    def get_request(self) -> Any:
        assert self.socket is not None
        return self.socket.accept()  # without the handshake, for which a client may let everybody wait

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002
        address = ipaddress.ip_address(client_address[0])
        address = getattr(address, "ipv4_mapped", None) or address
        allowed = not self.networks or any(address in network for network in self.networks)
        # Also those that have not said yet who they are; pynetdicom refuses associations beyond its own limit politely.
        busy = sum(
            "AcceptorThread" in one.name or "process_request" in one.name for one in enumerate_threads()
        )
        if allowed and busy < 2 * self.most:
            return True
        self.count(dicom_rejected=1)
        return False

    def finish_request(self, request: Any, client_address: Any) -> None:
        request.settimeout(_HANDSHAKE_SECONDS)
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        request.settimeout(_PDU_SECONDS)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 -- of a handshake
        self.count(dicom_rejected=1)


class Listener:
    """A listening node.

    Args:
        settings: where to listen, who may store, and how many at once.
        object_bytes: of one object at most.
        queue: keeps objects.
        taken: called with the key of an object that has been acknowledged.
        count: adds to counters, see `prometheus.Counters.add`.

    Raises:
        UsageError: others could store without being asked who they are, or TLS cannot be used.
        MachineError: the port is taken.
    """

    def __init__(
        self,
        settings: ServeSettings,
        object_bytes: int,
        queue: Queue,
        taken: Callable[[str], None],
        count: Callable[..., None],
    ) -> None:
        self._most_bytes, self._queue, self._taken, self._count = object_bytes, queue, taken, count
        networks, tls = _networks_of(settings), tls_of(settings, server=True)
        entity = AE(settings.ae)
        entity.require_called_aet, entity.require_calling_aet = True, list(settings.dicom_callers)
        entity.maximum_associations, entity.maximum_pdu_size = settings.dicom_associations, _PDU_BYTES
        entity.acse_timeout, entity.dimse_timeout, entity.network_timeout = 15, 60, 60
        for uid in (VERIFICATION, *image_classes()):
            entity.add_supported_context(uid, transfer_syntaxes())
        handlers: Any = [
            (evt.EVT_CONN_OPEN, self._limit),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_REJECTED, lambda _: count(dicom_rejected=1)),
            (evt.EVT_ESTABLISHED, lambda _: count(dicom_associations=1)),
        ]
        address = (settings.dicom_host, settings.dicom_port or 0)
        try:
            contexts = entity.supported_contexts
            self._server = _Server(entity, address, settings.ae, contexts, evt_handlers=handlers)
        except OSError as error:
            raise MachineError(
                f"port {address[1]} of {address[0]} cannot be opened: {error.strerror or error}",
                "choose another with --dicom-port, or an address of this machine with serve.dicom_host",
            ) from error
        self._server.networks, self._server.tls, self._server.count = networks, tls, count
        self._server.most, self._is_started = settings.dicom_associations, False
        self.address = f"{settings.ae}@{settings.dicom_host}:{self._server.server_address[1]}"

    def start(self) -> None:
        """Take associations from now on."""
        self._is_started = True
        Thread(target=self._server.serve_forever, args=(0.1,), daemon=True, name="dicom-listener").start()

    def stop(self) -> None:
        """Take no more, and end what is open, also to peers: what was not acknowledged comes again."""
        for association in [each for each in enumerate_threads() if isinstance(each, Association)]:
            association.dul.kill_dul()
            if association.dul.socket is not None:
                association.dul.socket.close()  # wakes whoever reads there
            association.kill()
        if self._is_started:  # else it would wait for ever
            BaseServer.shutdown(self._server)
        self._server.server_close()

    def _limit(self, event: Any) -> None:
        """Have a new connection read within limits: pynetdicom takes PDUs and messages of any size, however slowly."""
        connection = event.assoc.dul.socket
        held = 0

        def recv(count: int) -> bytearray:
            nonlocal held
            if event.assoc.dimse.message is None:
                held = 0
            held += count
            if count > _MOST_PDU_BYTES or held > self._most_bytes + _MOST_PDU_BYTES:
                self._count(dicom_refused=1)
                raise OSError("too large")
            if event.assoc.dimse.msg_queue.qsize() > _MOST_WAITING:
                raise OSError("too many at once")
            return _received(connection.socket, count)

        connection.recv = recv
        for thread in (event.assoc, event.assoc.dul):
            thread.run = partial(self._run, event.assoc, thread.run)

    def _run(self, association: Any, run: Callable[[], None]) -> None:
        """Be a thread of a connection; where pynetdicom fails at what came, that ends, without a word of what it was."""
        try:
            run()
        except Exception:
            self._count(dicom_rejected=1)
            association.dul.kill_dul()
            association.dul.socket.close()
        finally:  # its other thread would wait for a request that can no longer come, and hold a place
            association.dul.to_user_queue.put(None)

    def _store(self, event: Any) -> int:
        """Answer a C-STORE: success once the object is on the disk."""
        request = event.request
        uid = str(request.AffectedSOPInstanceUID or "")
        if not uid or len(uid) > 64:
            return _NOT_UNDERSTOOD
        meta = encode_file_meta(event.file_meta)
        try:
            key = self._queue.put(uid, [bytes(128), b"DICM", meta, request.DataSet.getbuffer()])
        except NoRoomError:
            self._count(dicom_refused=1)
            return OUT_OF_RESOURCES
        self._count(dicom_received=1)
        if key is not None:
            self._taken(key)
        return 0


def _received(connection: socket.socket, count: int) -> bytearray:
    """Return so many bytes of a connection, fewer where it ends; raises `OSError` where they come too slowly."""
    until = time.monotonic() + _PDU_SECONDS
    data = bytearray()
    while len(data) < count:
        if time.monotonic() > until:
            raise TimeoutError
        some = connection.recv(min(count - len(data), 65_536))
        if not some:
            break
        data += some
    return data


def _networks_of(settings: ServeSettings) -> tuple[Any, ...]:
    """Return from where one may connect, () for anywhere; raises `UsageError` where that would be anybody."""
    texts = settings.dicom_addresses
    try:
        found = tuple(ipaddress.ip_network(text) for text in texts)
    except ValueError as error:
        raise UsageError(f"serve.dicom_addresses: {error}", "such as 10.1.2.3 or 10.1.0.0/16") from error
    if not is_loopback(settings.dicom_host) and not found and settings.dicom_ca is None:
        raise UsageError(
            f"serve.dicom_host {settings.dicom_host} is in reach of other machines, and anybody may store",
            "name who may in serve.dicom_addresses, or ask for certificates with serve.dicom_ca",
        )
    return found
