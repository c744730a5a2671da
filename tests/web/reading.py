"""The upload page over a stand-in model, which answers by the look of an image: every state in a second, the same each time."""

import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import uvicorn
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from medimg_cli.images.image import DecodedImage, ReadOptions
from medimg_cli.images.pictures import shrunk
from medimg_cli.images.readers import count_content, read_content
from medimg_cli.inference.similar_cases import SimilarCase
from medimg_cli.predictions.prediction import Prediction, unreadable
from medimg_cli.reporting.pdf import write_pdf
from medimg_cli.web.serving.access import Gate, Load
from medimg_cli.web.serving.api import Api
from medimg_cli.web.serving.app import serve_app
from medimg_cli.web.serving.batching import Batcher
from medimg_cli.web.serving.engine import NoHeatmapError, NoSimilarError
from medimg_cli.web.serving.prometheus import SLOTS, Counters
from medimg_cli.web.serving.uploads import Upload
from medimg_cli.web.serving.worker_config import MB, Address, Limits

CLASSES = ("NORMAL", "PNEUMONIA")
FACTS: dict[str, Any] = {
    "run": "stand-in-1",
    "arch": "small-cnn",
    "classes": list(CLASSES),
    "positive": "PNEUMONIA",
    "answers": "softmax",
    "threshold": {
        "value": 0.42,
        "rule": "highest threshold with recall ≥ 0.95",
        "split": "val",
        "target_recall": 0.95,
        "target_specificity": None,
        "achieved_recall": 0.954,
        "achieved_specificity": 0.881,
    },
    "thresholds": {},
    "intended_use": None,
    "fingerprint": {"train_images": 280, "train_patients": 250, "val_images": 60, "class_counts": {"NORMAL": 140, "PNEUMONIA": 140}},
    "weights_sha256": "5e" * 32,
    "onnx_sha256": "0a" * 32,
    "versions": {"medimg": "0.1.0"},
    "medimg": "0.1.0",
    "similar_cases": 3,
    "limits": {"false_alarms": 0.05, "alpha": 0.1},
}  # fmt: skip
ENTRY: dict[str, Any] = {
    "path": "chest-1.png",
    "status": "ok",
    "label": "PNEUMONIA",
    "confidence": 0.931,
    "probabilities": {"NORMAL": 0.069, "PNEUMONIA": 0.931},
    "decision": "positive",
    "prediction_set": ["PNEUMONIA"],
    "flags": ["inverted?"],
    "message": None,
    "error": None,
}
REFUSED = ENTRY | {
    "status": "refused",
    "label": None,
    "confidence": None,
    "decision": "refer",
    "prediction_set": None,
    "flags": ["out-of-distribution"],
}
"""Entries of `predictions`: one that is answered, one that is refused."""


class StandIn:
    """Positive the brighter an image is; colour is refused; a small image is uncertain."""

    facts: Mapping[str, Any] = FACTS

    def frames(self, upload: Upload) -> int:
        return count_content(upload.stream(), None)

    def read(
        self, upload: Upload, member: str | None, window: tuple[float, float] | None = None
    ) -> DecodedImage:
        return read_content(upload.stream(), "", member, ReadOptions(window=window))

    def prepare(self, upload: Upload, member: str | None) -> DecodedImage:
        return self.read(upload, member)

    def classify(self, prepared: Sequence[DecodedImage]) -> list[Prediction]:
        return [_judged(image) for image in prepared]

    def unreadable(self, reason: str) -> Prediction:
        return unreadable(CLASSES, reason)

    def heatmap(
        self, upload: Upload, member: str | None, label: str | None, shown: DecodedImage
    ) -> Image.Image:
        if self.read(upload, member).width < 64:
            raise NoHeatmapError("the map did not change with the weights")
        picture = shrunk(shown, 1024).convert("RGB")
        warm = Image.new("RGB", picture.size, (250, 230, 90) if label == "PNEUMONIA" else (40, 110, 150))
        return Image.composite(warm, picture, _spot(picture.size))

    def similar(self, upload: Upload, member: str | None) -> list[SimilarCase]:
        if self.read(upload, member).width < 64:
            raise NoSimilarError("no training image travels with this model")
        return [
            SimilarCase(name, 0.9, Image.new("L", (96, 96), 90)) for name in ("PNEUMONIA", "NORMAL", "NORMAL")
        ]

    def to_pdf(self, html: str) -> bytes:
        buffer = BytesIO()
        write_pdf(buffer, html)
        return buffer.getvalue()


def _judged(image: DecodedImage) -> Prediction:
    share = float(image.as_uint8().mean()) / 255
    shares = {"NORMAL": 1 - share, "PNEUMONIA": share}
    if image.channels == 3:
        words = "the image is unlike those the model learnt from"
        flag, unlike = ("out-of-distribution",), {"texture": 1.63, "colour": 4.1}
        return Prediction("refused", None, None, shares, "refer", None, flag, words, unlike)
    label = max(shares, key=lambda name: shares[name])
    small = image.width < 64
    flags = ("size-unlike-training", "uncertain") if small else ()
    sets = CLASSES if small else (label,)
    decision = "positive" if share >= FACTS["threshold"]["value"] else "negative"
    return Prediction("ok", label, shares[label], shares, decision, sets, flags)  # type: ignore[arg-type]


def _spot(size: tuple[int, int]) -> Image.Image:
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    far = ((rows / size[1] - 0.55) / 0.18) ** 2 + ((columns / size[0] - 0.33) / 0.14) ** 2
    return Image.fromarray((np.exp(-far) * 165).astype(np.uint8))


@contextmanager
def served(*, token: str | None = None, max_upload_mb: int = 2, seconds: float = 20) -> Iterator[str]:
    """Serve the stand-in on this machine and give the address."""
    engine = StandIn()
    batcher = Batcher(engine.classify, decoders=2, batch=8)
    load = Load(Limits(file_bytes=max_upload_mb * MB, files=8, requests_per_minute=0))
    port, listening = _free_port()
    api = Api(engine, batcher, load, Counters(np.zeros(SLOTS)))
    app = serve_app(api, Gate(Address("127.0.0.1", port, token), 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    until = time.monotonic() + seconds
    while not server.started:
        assert thread.is_alive() and time.monotonic() < until, "the server did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        thread.join(timeout=seconds)


def _free_port() -> tuple[int, socket.socket]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    return int(listening.getsockname()[1]), listening


def picture(level: float, side_px: int = 256, *, seed: int = 0) -> NDArray[np.uint8]:
    """Return grey pixels (H, W) of a mean near `level`, 0..1, with something to see on them."""
    rows, columns = np.mgrid[0:side_px, 0:side_px] / side_px
    lungs = sum(np.exp(-(((rows - 0.5) / 0.28) ** 2 + ((columns - x) / 0.13) ** 2)) for x in (0.33, 0.67))
    noise = np.random.default_rng(seed).normal(0, 0.02, (side_px, side_px))
    body = np.exp(-(((columns - 0.5) / 0.42) ** 6)) - 0.75 * np.asarray(lungs)
    shown = np.clip(level + 0.3 * (body - body.mean()) + noise, 0, 1)
    return np.asarray(np.rint(shown * 255), dtype=np.uint8)


def picture_file() -> bytes:
    """Return a picture as a PNG file."""
    buffer = BytesIO()
    Image.fromarray(picture(0.5)).save(buffer, "PNG")
    return buffer.getvalue()


def write_pictures(folder: Path) -> dict[str, Path]:
    """Write files for every state of the page and return them by name."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: folder / file for name, file in _NAMES.items()}
    Image.fromarray(picture(0.62)).save(files["positive"])
    Image.fromarray(picture(0.2, seed=1)).save(files["negative"])
    Image.fromarray(picture(0.5, 40)).save(files["small"])
    colours = np.stack([picture(0.5, 128), picture(0.3, 128), picture(0.8, 128)[:, ::-1]], axis=-1)
    Image.fromarray(colours).save(files["colour"])
    files["broken"].write_bytes(files["positive"].read_bytes()[:300])
    files["large"].write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(3 * MB))
    _write_dicom(files["dicom"], [0.55])
    _write_dicom(files["frames"], [0.2, 0.3, 0.7, 0.4])
    return files


_NAMES = {
    "positive": "chest-1.png",
    "negative": "chest-2.png",
    "small": "small.png",
    "colour": "cat.png",
    "broken": "broken.png",
    "large": "large.png",
    "dicom": "Doe_Jane_1980-02-03.dcm",
    "frames": "cine.dcm",
}


def _write_dicom(path: Path, levels: Sequence[float]) -> None:
    """Write a CT of as many frames as levels, in Hounsfield units, with a name in the header."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, UID("1.2.3.4")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    file.PatientName, file.PatientID, file.Modality = "Doe^Jane", "MRN-1", "CT"
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, UID("1.2.3.4")
    frames = [
        np.rint(picture(level, seed=seed).astype(np.float64) / 255 * 1400).astype(np.int16)
        for seed, level in enumerate(levels)
    ]
    file.Rows, file.Columns = frames[0].shape
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 1
    file.RescaleIntercept, file.RescaleSlope = -1000, 1
    file.WindowCenter, file.WindowWidth = -300, 1400
    if len(frames) > 1:
        file.NumberOfFrames = len(frames)
    file.PixelData = np.stack(frames).tobytes()
    pydicom.dcmwrite(path, file, enforce_file_format=True)
