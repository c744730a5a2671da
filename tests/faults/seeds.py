"""Small whole files of every format that medimg opens, drawn here, for `fuzz` to mutate."""

import gzip
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from tests.images.dicom_file import dicom_image, lookup_table

_GREY = (np.add.outer(np.arange(40), np.arange(36) * 7) * 5 % 251).astype(np.uint8)
_COLOUR = np.stack([_GREY, _GREY[::-1], 250 - _GREY], axis=-1)
_DEEP = _GREY.astype(np.uint16) * 257


def _pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def _tiff(pixels: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, **options)
    return buffer.getvalue()


def _dicom(dataset: Dataset, **options: Any) -> bytes:
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True, **options)
    return buffer.getvalue()


def _in_syntax(dataset: Dataset, syntax: Any) -> bytes:
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
        return _dicom(dataset, implicit_vr=False, little_endian=False)
    return _dicom(dataset)


def _compressed(dataset: Dataset, syntax: Any) -> bytes:
    if syntax == JPEGBaseline8Bit:
        from pydicom.encaps import encapsulate

        jpeg = _pillow(Image.fromarray(_GREY), "JPEG")
        dataset.PixelData = encapsulate([jpeg + b"\0" * (len(jpeg) % 2)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = syntax
    else:
        dataset.compress(syntax)
    return _dicom(dataset)


def pictures() -> dict[str, list[bytes]]:
    """Return format → files of images."""
    grey, colour = Image.fromarray(_GREY), Image.fromarray(_COLOUR)
    deep = Image.fromarray(_DEEP)
    window = {"WindowCenter": "9000", "WindowWidth": "20000", "RescaleSlope": "2", "RescaleIntercept": "-5"}
    return {
        "png": [
            _pillow(grey, "PNG"),
            _pillow(colour, "PNG"),
            _pillow(deep, "PNG"),
            _pillow(colour.convert("P"), "PNG", transparency=3),
            _pillow(grey.convert("LA"), "PNG"),
            _pillow(grey.convert("1"), "PNG", dpi=(72, 72)),
        ],
        "jpeg": [
            _pillow(grey, "JPEG"),
            _pillow(
                colour,
                "JPEG",
                progressive=True,
                exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
            ),
            _pillow(colour.convert("CMYK"), "JPEG"),
            _pillow(grey, "MPO", save_all=True, append_images=[grey]),
            _pillow(colour, "JPEG", restart_marker_blocks=3),
        ],
        "bmp": [_pillow(grey, "BMP"), _pillow(colour, "BMP"), _pillow(grey.convert("1"), "BMP")],
        "gif": [
            _pillow(grey, "GIF"),
            _pillow(colour.quantize(32), "GIF", interlace=1, transparency=3, comment=b"Jane"),
            _pillow(grey, "GIF", save_all=True, append_images=[grey.rotate(90), grey.rotate(180)]),
        ],
        "netpbm": [
            *(
                _pillow(picture, "PPM")
                for picture in (grey, colour, deep, grey.convert("1"), grey.convert("F"))
            ),
            b"P6\n# deep\n36 40\n4095\n" + (_COLOUR.astype(">u2") * 16).tobytes(),
            b"P2\n36 40\n255\n" + b" ".join(b"%d" % value for value in _GREY.ravel()),
            b"P1\n36 40\n" + b"".join(b"%d" % (value > 99) for value in _GREY.ravel()),
        ],
        "webp": [_pillow(colour, "WEBP"), _pillow(colour, "WEBP", lossless=True)],
        "jp2": [_pillow(grey, "JPEG2000"), _pillow(colour, "JPEG2000")],
        "tiff": [
            _tiff(_GREY),
            _tiff(_DEEP, photometric="miniswhite"),
            _tiff(_COLOUR, photometric="rgb", compression="zlib", predictor=True),
            _tiff(np.stack([_DEEP, _DEEP]), bigtiff=True, tile=(16, 16), photometric="minisblack"),
            _tiff(_GREY.astype(np.float32)),
            _pillow(colour, "TIFF", compression="tiff_lzw"),
            _pillow(grey.convert("1"), "TIFF", compression="group4"),
        ],
        "dicom": [
            _dicom(dicom_image(_DEEP, **window)),
            _dicom(dicom_image(_COLOUR)),
            _dicom(dicom_image(np.stack([_GREY, _GREY]))),
            _dicom(dicom_image(_DEEP.astype(np.int16), VOILUTSequence=lookup_table([0, 9, 90, 900], -1, 16))),
            _dicom(
                dicom_image(
                    _GREY, ModalityLUTSequence=lookup_table(list(range(256)), 0, 8), PixelPaddingValue=0
                )
            ),
            *(_in_syntax(dicom_image(_DEEP), s) for s in (ImplicitVRLittleEndian, ExplicitVRBigEndian)),
            _in_syntax(dicom_image(_DEEP), DeflatedExplicitVRLittleEndian),
        ],
        "dicom-compressed": [
            _compressed(dicom_image(_GREY if s == JPEGBaseline8Bit else _DEEP), s)
            for s in (RLELossless, JPEG2000Lossless, JPEGLSLossless, JPEGBaseline8Bit)
        ],
        "nifti": _niftis(),
    }


def _niftis() -> list[bytes]:
    try:
        import nibabel
    except ImportError:
        return []
    volume = np.stack([_DEEP.astype(np.int16)] * 4, axis=-1)
    plain = nibabel.Nifti1Image(volume, np.diag([1, 2, 3, 1])).to_bytes()  # type: ignore[no-untyped-call]
    return [plain, gzip.compress(plain)]


def archives(of: Mapping[str, list[bytes]]) -> dict[str, list[bytes]]:
    """Return format → archives of pictures."""
    zipped, tarred, arrays, one = (io.BytesIO() for _ in range(4))
    with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("A/a.png", of["png"][0])
        archive.writestr("B/b.dcm", of["dicom"][0])
    with tarfile.open(fileobj=tarred, mode="w") as archive_of:
        for name, content in (("A/a.png", of["png"][0]), ("B/b.jpg", of["jpeg"][0])):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive_of.addfile(member, io.BytesIO(content))
    np.savez(arrays, train_images=np.stack([_GREY] * 3), train_labels=np.array([0, 1, 0]))
    np.save(one, _DEEP)
    return {
        "zip": [zipped.getvalue()],
        "tar": [tarred.getvalue(), gzip.compress(tarred.getvalue())],
        "npz": [arrays.getvalue()],
        "npy": [one.getvalue()],
    }


def tables() -> dict[str, list[bytes]]:
    """Return format → tables of labels."""
    rows = "image,label,patient\n" + "".join(f"a{n}.png,{'AB'[n % 2]},p{n // 2}\n" for n in range(9))
    from openpyxl import Workbook

    book, buffer = Workbook(), io.BytesIO()
    sheet = book.create_sheet("labels", 0)
    for line in rows.splitlines():
        sheet.append(line.split(","))
    book.save(buffer)
    return {
        "csv": [
            rows.encode(),
            rows.replace(",", ";").encode("utf-16"),
            rows.replace("a1", '"a,1"').encode("cp1252"),
        ],
        "xlsx": [buffer.getvalue()],
    }


def settings() -> dict[str, list[bytes]]:
    """Return format → settings."""
    said = {
        "ingest": {"seed": 3, "split": [0.6, 0.2, 0.2]},
        "train": {"epochs": 2},
        "labels": {"A": {"name": "a"}},
    }
    yaml = "ingest:\n  seed: 3\n  positive: &x A\n  split: [0.6, 0.2, 0.2]\ntrain: {epochs: 2, lr: 0.1}\nserve:\n  names: [*x]\n"
    return {"yaml": [yaml.encode(), json.dumps(said).encode()]}


def models(run: Path | None) -> dict[str, list[bytes]]:
    """Return format → files of a run."""
    names = {"safetensors": "model.safetensors", "reference": "reference.safetensors", "onnx": "model.onnx"}
    names |= {"card": "model.json", "record": "run.json"}
    return {} if run is None else {kind: [(run / name).read_bytes()] for kind, name in names.items()}


Make = Callable[[], dict[str, list[bytes]]]
