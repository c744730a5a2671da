"""A DICOM peer that keeps what it is sent, a DICOM image to send, and a sender: what tests of the node need."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_context, evt
from pynetdicom.transport import ThreadedAssociationServer

from medimg_cli.web.dicom.peers import RESULTS

SIDE_PX = 32


@dataclass
class Peer:
    """A listening peer.

    Args:
        got: SOP Instance UID of every result that came, in order.
        held: the results by UID.
        when: time (`time.monotonic`) at which each came first.
        statuses: given to the next results before it takes one.
        hold: cleared, it answers nothing.
    """

    port: int = 0
    got: list[str] = field(default_factory=list)
    held: dict[str, Dataset] = field(default_factory=dict)
    when: dict[str, float] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)
    _server: ThreadedAssociationServer | None = None
    _lock: Any = field(default_factory=threading.Lock)

    def start(self) -> None:
        """Listen; a second time on the same port."""
        self.hold.set()
        entity = AE("PEER")
        entity.require_called_aet = True
        entity.add_supported_context("1.2.840.10008.1.1")
        for uid in RESULTS:
            entity.add_supported_context(uid, ExplicitVRLittleEndian)
        handlers: Any = [(evt.EVT_C_STORE, self._store)]
        contexts = entity.supported_contexts
        self._server = ThreadedAssociationServer(
            entity, ("127.0.0.1", self.port), "PEER", contexts, evt_handlers=handlers
        )
        entity._servers.append(self._server)
        # The thread of `AE.start_server` looks only twice a second whether it is to end.
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.port = self._server.server_address[1]

    def stop(self) -> None:
        """Be down."""
        if self._server is not None:
            for one in self._server.active_associations:
                one.abort()
            self._server.shutdown()
            self._server = None

    def _store(self, event: Any) -> int:
        self.hold.wait(60.0)
        with self._lock:
            if self.statuses:
                return self.statuses.pop(0)
            found = event.dataset
            found.file_meta = event.file_meta
            self.got.append(str(found.SOPInstanceUID))
            self.held[str(found.SOPInstanceUID)] = found
            self.when.setdefault(str(found.SOPInstanceUID), time.monotonic())
        return 0


@contextmanager
def listening_peer() -> Iterator[Peer]:
    """Listen until the block ends."""
    peer = Peer()
    peer.start()
    try:
        yield peer
    finally:
        peer.stop()


def image(seed: int = 0, *, study: str | None = None, **more: Any) -> Dataset:
    """Return an X-ray of noise with a bright spot where the seed is odd, as the tiny model knows them, of Doe^Jane."""
    generator = np.random.default_rng(seed)
    pixels = generator.normal(90, 12, (SIDE_PX, SIDE_PX))
    if seed % 2:
        top, left = generator.integers(4, SIDE_PX - 12, 2)
        pixels[top : top + 8, left : left + 8] += 110
    found = Dataset()
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    found.SOPClassUID = found.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    found.SOPInstanceUID = found.file_meta.MediaStorageSOPInstanceUID = generate_uid(
        entropy_srcs=[f"image {seed}"]
    )
    found.StudyInstanceUID = study or generate_uid(entropy_srcs=[f"study {seed}"])
    found.SeriesInstanceUID = generate_uid(entropy_srcs=[f"series {found.StudyInstanceUID}"])
    found.PatientName, found.PatientID, found.Modality = "Doe^Jane", "4711-0815", "CR"
    found.Rows = found.Columns = SIDE_PX
    found.SamplesPerPixel, found.PhotometricInterpretation = 1, "MONOCHROME2"
    found.BitsAllocated = found.BitsStored = 8
    found.HighBit, found.PixelRepresentation = 7, 0
    found.PixelData = pixels.clip(0, 255).astype(np.uint8).tobytes()
    for name, value in more.items():
        setattr(found, name, value)
    return found


def source_of_result(result: Dataset) -> str:
    """Return the SOP Instance UID of the image that a result is of."""
    if "PixelData" in result:
        return str(result.SourceImageSequence[0].ReferencedSOPInstanceUID)
    evidence = result.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence[0]
    return str(evidence.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)


def encoded(dataset: Dataset) -> bytes:
    """Return a data set as a file."""
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def send(
    port: int, images: Sequence[Dataset], *, called: str = "MEDIMG", calling: str = "SENDER", **more: Any
) -> list[int]:
    """Store images and return the status of each; -1 where the association ended, [] where it was not accepted."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    kinds = {(str(each.SOPClassUID), str(each.file_meta.TransferSyntaxUID)) for each in images}
    entity.requested_contexts = [build_context(*kind) for kind in sorted(kinds)]
    association = entity.associate("127.0.0.1", port, ae_title=called, **more)
    if not association.is_established:
        return []
    statuses = []
    try:
        for each in images:
            if not association.is_established:
                statuses.append(-1)
                continue
            statuses.append(getattr(association.send_c_store(each), "Status", -1))
    finally:
        if association.is_established:
            association.release()
    return statuses
