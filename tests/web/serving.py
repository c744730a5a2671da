"""An upload server around a model that judges brightness: everything but the network is real."""

import io
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from fastapi import FastAPI
from PIL import Image, ImageDraw
from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

from medimg_cli.errors import MachineError
from medimg_cli.images.image import DecodedImage, ReadOptions
from medimg_cli.images.readers import count_content, read_content
from medimg_cli.inference.similar_cases import SimilarCase
from medimg_cli.predictions.prediction import Prediction, unreadable
from medimg_cli.web.serving.access import Gate, Load
from medimg_cli.web.serving.api import Api
from medimg_cli.web.serving.app import serve_app
from medimg_cli.web.serving.audit_log import AuditLog
from medimg_cli.web.serving.batching import Batcher
from medimg_cli.web.serving.engine import NoHeatmapError, NoSimilarError
from medimg_cli.web.serving.prometheus import SLOTS, Counters
from medimg_cli.web.serving.uploads import Upload
from medimg_cli.web.serving.worker_config import Address, Limits

with warnings.catch_warnings():  # Starlette 1.1 and later would rather have the successor of httpx
    warnings.simplefilter("ignore")
    from fastapi.testclient import TestClient

PORT = 8020
CLASSES = ("DARK", "LIGHT")
TOKEN = "a-token-for-tests"
POISON = 13
"""A picture of this grey makes the model raise."""
SLOW = 17
"""A picture of this grey takes a while."""
FACTS: Mapping[str, Any] = {
    "name": "first",
    "run": "first",
    "arch": "small-cnn",
    "classes": list(CLASSES),
    "positive": "LIGHT",
    "answers": "softmax",
    "threshold": {
        "value": 0.5,
        "rule": "recall of 0.95",
        "split": "val",
        "achieved_recall": 0.96,
        "achieved_specificity": 0.8,
    },
    "thresholds": {},
    "fingerprint": {
        "train_images": 60,
        "train_patients": 30,
        "val_images": 15,
        "class_counts": {"DARK": 30, "LIGHT": 30},
    },
    "members": 0,
    "recipe": "64 x 64, grey, pad",
    "limits": None,
    "intended_use": None,
    "versions": {},
    "weights_sha256": "ab" * 32,
    "onnx_sha256": None,
    "medimg": "0",
    "notice": "decision-support-for-research",
}


class BrightnessEngine:
    """An engine whose probability of LIGHT is the mean level."""

    facts = FACTS

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.batches: list[int] = []

    def frames(self, upload: Upload) -> int:
        return count_content(upload.stream(), None)

    def read(
        self, upload: Upload, member: str | None, window: tuple[float, float] | None = None
    ) -> DecodedImage:
        options = ReadOptions(window=window, most_pixels=self._limits.pixels)
        return read_content(upload.stream(), "", member, options)

    def prepare(self, upload: Upload, member: str | None) -> DecodedImage:
        return self.read(upload, member)

    def classify(self, prepared: Sequence[DecodedImage]) -> list[Prediction]:
        self.batches.append(len(prepared))
        return [self._prediction(image) for image in prepared]

    def _prediction(self, image: DecodedImage) -> Prediction:
        level = float(image.as_uint8().mean())
        if level == POISON:
            raise RuntimeError("Doe^Jane broke it")
        if level == SLOW:
            time.sleep(0.3)
        light = level / 255
        return Prediction(
            "ok",
            CLASSES[int(light >= 0.5)],
            max(light, 1 - light),
            {"DARK": 1 - light, "LIGHT": light},
            "positive" if light >= 0.5 else "negative",
            prediction_set=CLASSES,
            flags=("uncertain",) if 0.4 < light < 0.6 else (),
        )

    def unreadable(self, reason: str) -> Prediction:
        return unreadable(CLASSES, reason)

    def heatmap(
        self,
        upload: Upload,  # noqa: ARG002 -- every engine's signature
        member: str | None,  # noqa: ARG002
        label: str | None,
        shown: DecodedImage,
    ) -> Image.Image:
        if label == "DARK":
            raise NoHeatmapError("nothing speaks for it")
        return Image.fromarray(shown.as_uint8()[..., 0]).convert("RGB")

    def similar(self, upload: Upload, member: str | None) -> list[SimilarCase]:
        level = int(self.read(upload, member).as_uint8().mean())
        if level < 20:
            raise NoSimilarError("the image is unlike all that the model learnt from")
        return [SimilarCase("LIGHT", 0.9, Image.new("L", (4, 4), level))]

    def to_pdf(self, html: str) -> bytes:
        if 'lang="vi"' in html:
            raise MachineError("no Pango", "install it")
        return b"%PDF-" + html.encode()


@dataclass
class Served:
    """What a test of the server needs."""

    client: TestClient
    app: FastAPI
    api: Api
    engine: BrightnessEngine
    counters: Counters
    limits: Limits = field(default_factory=Limits)

    def predict(self, *uploads: tuple[str, bytes], **more: Any) -> Any:
        """Post uploads and return the response."""
        return self.client.post("/api/predict", files=[("files", upload) for upload in uploads], **more)

    def code(self, path: str, *uploads: tuple[str, bytes], **fields: str) -> tuple[int, str]:
        """Return the status and code of what is refused."""
        name = "file" if path in ("/api/view", "/api/heatmap", "/api/similar") else "files"
        answer = self.client.post(path, files=[(name, upload) for upload in uploads], data=fields)
        return answer.status_code, answer.json()["error"]


def serve_for_tests(
    limits: Limits | None = None,
    *,
    token: str | None = None,
    host: str = "127.0.0.1",
    names: tuple[str, ...] = (),
    audit: AuditLog | None = None,
) -> Served:
    """Return a server and a client that has not signed in."""
    limits = limits or Limits(requests_per_minute=0)
    engine = BrightnessEngine(limits)
    batcher = Batcher(engine.classify, decoders=2, batch=4)
    counters = Counters([0.0] * SLOTS)
    api = Api(engine, batcher, Load(limits), counters, audit)
    app = serve_app(api, Gate(Address(host, PORT, token, names), limits.requests_per_minute))
    client = TestClient(app, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False)
    return Served(client, app, api, engine, counters, limits)


def png_with_text() -> bytes:
    """Return a PNG into which a name is burned."""
    picture = Image.new("L", (240, 120), 40)
    ImageDraw.Draw(picture).text((20, 40), "DOE JANE 19800203", fill=255, font_size=20)
    return encoded(np.asarray(picture), "PNG")


def png(level: int = 200, side: int = 24, *, width: int | None = None) -> bytes:
    """Return a plain grey PNG."""
    return encoded(np.full((side, width or side), level, np.uint8), "PNG")


def encoded(pixels: Any, kind: str, **options: Any) -> bytes:
    """Return pixels as a file of a kind that Pillow writes."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def dicom(
    levels: Sequence[int] = (200,), *, side: int = 24, modality: str = "CT", name: str = "Doe^Jane"
) -> bytes:
    """Return a DICOM file of frames, each of one 12-bit level, with a patient in its header."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    meta.MediaStorageSOPInstanceUID = UID("1.2.3.4")
    data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    data.PatientName, data.PatientID = name, "4711-0815"
    data.add(DataElement("Modality", "CS", modality, validation_mode=IGNORE))
    data.Rows = data.Columns = side
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 12, 11, 0
    data.WindowCenter, data.WindowWidth = 100, 200
    data.RescaleSlope, data.RescaleIntercept = 1, -24
    if len(levels) > 1:
        data.NumberOfFrames = len(levels)
    data.PixelData = np.stack([np.full((side, side), level, "<u2") for level in levels]).tobytes()
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
